//! Captures made by hand: raw IPv4 in pcap, with queries and answers at given minutes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

/// Midnight, 1 March 2026, UTC.
pub const MIDNIGHT: u64 = 1_772_323_200;

/// Link type raw IP (LINKTYPE_RAW).
const RAW: u32 = 101;

/// A capture in the making.
#[derive(Clone, Default)]
pub struct Capture {
    frames: Vec<(u64, Vec<u8>)>,
}

impl Capture {
    /// A client asks a server for a name's A at this minute, and is answered that there is none.
    pub fn ask(mut self, minute: u64, client: [u8; 4], server: [u8; 4], name: &str) -> Self {
        let question = question(name);
        let second = MIDNIGHT + minute * 60;
        let query = [&[0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let answer = [&[0, 7, 0x84, 3, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        self.frames.push((second, udp((client, 4_242), (server, 53), &query)));
        self.frames.push((second, udp((server, 53), (client, 4_242), &answer)));
        self
    }

    /// A client asks a server for a zone's NS set at this minute, and is answered with one name and a TTL in seconds.
    pub fn ask_ns(
        mut self,
        minute: u64,
        (client, server): ([u8; 4], [u8; 4]),
        zone: &str,
        ns: &str,
        ttl: u32,
    ) -> Self {
        let mut question = question(zone);
        let kind = question.len() - 3;
        question[kind] = 2;
        let second = MIDNIGHT + minute * 60;
        let query = [&[0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question].concat();
        let data = self::question(ns);
        let data = &data[..data.len() - 4];
        let length = u16::try_from(data.len()).unwrap();
        let answer = [
            &[0, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0][..],
            &question,
            &[0xc0, 12, 0, 2, 0, 1],
            &ttl.to_be_bytes(),
            &length.to_be_bytes(),
            data,
        ]
        .concat();
        self.frames.push((second, udp((client, 4_242), (server, 53), &query)));
        self.frames.push((second, udp((server, 53), (client, 4_242), &answer)));
        self
    }

    /// What shows that the tap is alive, every ten minutes: somebody asks another server for another name.
    pub fn alive(mut self, from: u64, to: u64) -> Self {
        for minute in (from..=to).step_by(10) {
            self = self.ask(minute, [203, 0, 113, 1], [192, 0, 2, 200], "www.other.example");
        }
        self
    }

    /// Leaves away what a server says.
    pub fn without_answers_of(mut self, server: [u8; 4]) -> Self {
        self.frames.retain(|(_, frame)| frame[12..16] != server);
        self
    }

    /// Writes the frames in order of time; octets of a frame beyond `snap` are cut off.
    pub fn write(mut self, path: &Path, snap: usize) {
        self.frames.sort_by_key(|(second, _)| *second);
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 262_144, RAW] {
            file.extend(word.to_le_bytes());
        }
        for (second, frame) in self.frames {
            let kept = &frame[..frame.len().min(snap)];
            for word in [u32::try_from(second).unwrap(), 0, u32::try_from(kept.len()).unwrap()] {
                file.extend(word.to_le_bytes());
            }
            file.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
            file.extend(kept);
        }
        fs::write(path, file).unwrap();
    }
}

/// One pcapng file in the making: an interface of microseconds, and packets.
impl Capture {
    /// Those up to a minute.
    pub fn until(mut self, minute: u64) -> Self {
        self.frames.retain(|&(second, _)| second <= MIDNIGHT + minute * 60);
        self
    }

    /// How many there are.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// The frames in order of time as pcapng; `options` are those of the packet of that number.
    pub fn pcapng(mut self, options: Option<(usize, &[u8])>) -> Vec<u8> {
        self.frames.sort_by_key(|(second, _)| *second);
        let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
        let mut file = block(0x0a0d_0d0a, &section);
        file.extend(block(1, &[RAW.to_le_bytes(), [0; 4]].concat()));
        for (number, (second, frame)) in self.frames.into_iter().enumerate() {
            let len = u32::try_from(frame.len()).unwrap();
            let mut body = [&[0; 4][..], &ticks(second * 1_000_000)].concat();
            body.extend([len.to_le_bytes(), len.to_le_bytes()].concat());
            body.extend(frame);
            body.resize(body.len().next_multiple_of(4), 0);
            if let Some((_, options)) = options.filter(|&(of, _)| of == number) {
                body.extend(options);
            }
            file.extend(block(6, &body));
        }
        file
    }
}

/// Interface statistics at this many microseconds: `(5, n)` were dropped by the interface, `(7, n)` by the system.
pub fn statistics(micros: u64, counts: &[(u16, u64)]) -> Vec<u8> {
    let mut body = [&[0; 4][..], &ticks(micros)].concat();
    for &(code, count) in counts {
        body.extend(option(code, &count.to_le_bytes()));
    }
    block(5, &body)
}

/// An option of a block.
pub fn option(code: u16, value: &[u8; 8]) -> Vec<u8> {
    [&code.to_le_bytes()[..], &[8, 0], value].concat()
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
    [&kind.to_le_bytes()[..], &len, body, &len].concat()
}

/// The high half first.
fn ticks(micros: u64) -> Vec<u8> {
    let [a, b, c, d, high @ ..] = micros.to_le_bytes();
    [high, [a, b, c, d]].concat()
}

fn question(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend(label.bytes());
    }
    octets.extend([0, 0, 1, 0, 1]);
    octets
}

fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let mut frame = vec![0x45, 0];
    frame.extend((20 + length).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(Ipv4Addr::from(from.0).octets());
    frame.extend(Ipv4Addr::from(to.0).octets());
    frame.extend(from.1.to_be_bytes());
    frame.extend(to.1.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

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

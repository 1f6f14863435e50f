//! Writes the corpus of every target: inputs made here, and pieces of the recordings in `testdata/`.
//!
//! `cargo run -p lowtide-fuzz --bin corpus`. What a fuzzer found stays where it is: files of other names are not touched.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a tool for developers: it stops where it stands"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lowtide_capture::{CaptureFile, Record};
use lowtide_decode::layers::{FragmentLimits, Layers};
use lowtide_decode::{Ports, TcpFlags, Unit};
use lowtide_fuzz::craft;
use lowtide_fuzz::input::{DNSTAP, START, step_code, write_frame};
use lowtide_fuzz::tcp::is;
use lowtide_proto::{Endpoint, NameBuf, Timestamp};

/// Recordings longer than this are not taken whole.
const WHOLE: usize = 3_000;

/// Octets of a list of frames or segments.
const LIST: usize = 4_000;

/// Messages of one recording and of all.
const MESSAGES: usize = 12;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recordings = recordings(&root.join("../testdata"));
    let mut corpus = Corpus { folder: root.join("corpus") };
    for recording in &recordings {
        corpus.add_recording(recording);
    }
    corpus.add_messages(&recordings);
    corpus.add_crafted();
}

/// A recording with its frames.
struct Recording {
    name: String,
    octets: Vec<u8>,
    frames: Vec<Owned>,
}

struct Owned {
    /// [`DNSTAP`] for dnstap.
    link_type: u16,
    time: Timestamp,
    missing: u8,
    data: Vec<u8>,
}

fn recordings(folder: &Path) -> Vec<Recording> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            [".pcap", ".pcapng", ".dnstap"].iter().any(|part| path.to_string_lossy().contains(part))
        })
        .collect();
    paths.sort();
    let read = |path: PathBuf| Recording {
        name: path.file_name().unwrap().to_string_lossy().replace('.', "-"),
        octets: fs::read(&path).unwrap(),
        frames: frames(&path),
    };
    paths.into_iter().map(read).collect()
}

fn frames(path: &Path) -> Vec<Owned> {
    let mut file = CaptureFile::open(path).unwrap();
    let mut frames = Vec::new();
    while let Ok(Some(record)) = file.next() {
        frames.push(match record {
            Record::Packet(packet) => Owned {
                link_type: packet.link_type.0,
                time: packet.time,
                missing: (packet.wire_len as usize - packet.data.len()).min(255) as u8,
                data: packet.data.to_vec(),
            },
            Record::Dnstap(frame) => {
                Owned { link_type: DNSTAP, time: frame.time, missing: 0, data: frame.octets.to_vec() }
            }
        });
    }
    frames
}

struct Corpus {
    folder: PathBuf,
}

impl Corpus {
    fn add(&self, target: &str, name: &str, octets: &[u8]) {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), octets).unwrap();
    }

    /// Its front as a file, as frames, as a replay; its dnstap frames and TCP segments.
    fn add_recording(&mut self, recording: &Recording) {
        let Recording { name, octets, frames } = recording;
        let is_variant = name.starts_with("link-") || name.starts_with("linux-");
        if !is_variant {
            let compressed = !name.ends_with("pcap") && !name.ends_with("pcapng");
            let end = if compressed { WHOLE } else { 700 };
            if octets.len() <= end || !compressed {
                self.add("capture_file", name, &octets[..octets.len().min(end)]);
            }
        }
        let mut list = Vec::new();
        let mut last = START;
        for (at, frame) in frames.iter().enumerate() {
            let nanos = if at == 0 { 0 } else { frame.time.since(last) };
            last = frame.time;
            if list.len() + frame.data.len() > if is_variant { 500 } else { LIST } {
                break;
            }
            write_frame(&mut list, frame.link_type, nanos, frame.missing, &frame.data);
        }
        self.add("frames", name, &list);
        if !is_variant {
            self.add("replay", name, &[&[2, 2], &list[..]].concat());
        }
        let mut kinds = BTreeSet::new();
        for frame in frames.iter().filter(|frame| frame.link_type == DNSTAP && frame.data.len() < 600) {
            // Type and transport tell most of what a server sends.
            let view = lowtide_proto::dnstap::View::parse(&frame.data).unwrap();
            let kind = (view.message_type, view.socket_protocol, view.socket_family);
            if kinds.len() < 6 && kinds.insert(kind) {
                self.add("dnstap", &format!("{name}-{}", kinds.len()), &frame.data);
            }
        }
        self.add_segments(name, frames);
        self.add_stream(name, frames);
    }

    /// The first dnstap frames as a connection.
    fn add_stream(&self, name: &str, frames: &[Owned]) {
        let frames =
            || frames.iter().filter(|frame| frame.link_type == DNSTAP && frame.data.len() < 600).take(5);
        let data: Vec<u8> = frames().flat_map(|frame| craft::data(&frame.data)).collect();
        if !data.is_empty() {
            let stream = [craft::control(4), craft::control(2), data, craft::control(3)].concat();
            self.add("frame_streams", name, &stream);
        }
    }

    fn add_segments(&self, name: &str, frames: &[Owned]) {
        let mut layers = Layers::new(Ports::default(), FragmentLimits::default());
        let mut segments = Segments::default();
        for frame in frames {
            let packet = lowtide_proto::Packet {
                time: frame.time,
                time_known: true,
                link_type: lowtide_proto::LinkType(frame.link_type),
                data: &frame.data,
                wire_len: frame.data.len() as u32 + u32::from(frame.missing),
            };
            if let Ok(peeled) = layers.peel(&packet)
                && let Unit::Tcp(tcp) = peeled.unit
                && segments.list.len() + tcp.payload.len() < LIST
            {
                let from_server = tcp.source.port == 53;
                let client = if from_server { tcp.destination } else { tcp.source };
                let missing = tcp.wire_len - tcp.payload.len() as u32;
                segments.add(client, from_server, tcp.sequence, tcp.flags, missing as u16, tcp.payload);
            }
        }
        if segments.clients.len() > 1 || segments.list.len() > 400 {
            self.add("tcp", name, &segments.list);
        }
    }

    /// Messages that differ in what can be told of them.
    fn add_messages(&self, recordings: &[Recording]) {
        let mut kinds = BTreeSet::new();
        for Recording { name, frames, .. } in recordings {
            let mut layers = Layers::new(Ports::default(), FragmentLimits::default());
            let mut added = 0;
            for frame in frames {
                let packet = lowtide_proto::Packet {
                    time: frame.time,
                    time_known: true,
                    link_type: lowtide_proto::LinkType(frame.link_type),
                    data: &frame.data,
                    wire_len: frame.data.len() as u32 + u32::from(frame.missing),
                };
                let Ok(peeled) = layers.peel(&packet) else { continue };
                let octets = match peeled.unit {
                    Unit::Udp(udp) => udp.payload,
                    Unit::Tcp(tcp) => tcp.payload.get(2..).unwrap_or_default(),
                };
                let mut qname = NameBuf::new();
                let Some(message) = lowtide_decode::dns::read(octets, octets.len() as u32, &mut qname) else {
                    continue;
                };
                let kind = (
                    (message.is_response, message.opcode, message.rcode, message.qtype),
                    (message.facts.bits(), message.malformed, message.zone_labels),
                );
                if octets.len() < 1_500 && added < MESSAGES && kinds.insert(kind) {
                    added += 1;
                    self.add("dns", &format!("{name}-{added}"), octets);
                }
            }
        }
    }

    fn add_crafted(&self) {
        self.add_crafted_messages();
        self.add_crafted_files();
        self.add_crafted_frames();
        self.add_crafted_segments();
    }

    fn add_crafted_messages(&self) {
        let www = craft::name("wWw.example.org");
        let answer = |flags: u16, counts: [u16; 3], parts: &[&[u8]]| {
            let [answers, authorities, additionals] = counts;
            [
                craft::header(7, flags, [1, answers, authorities, additionals]),
                craft::question(&www, 1),
                parts.concat(),
            ]
            .concat()
        };
        let opt = |ttl: u32, options: &[u8]| {
            [&[0, 0, 41, 0x04, 0xd0], &ttl.to_be_bytes()[..], &(options.len() as u16).to_be_bytes(), options]
                .concat()
        };
        let soa = craft::record(&[0xc0, 16], 6, 60, &[[0; 2].as_slice(), &[0; 20]].concat());
        let ns = craft::record(&[0xc0, 16], 2, 60, &[0xc0, 16]);
        let mut long = [1, b'x'].repeat(127);
        long.push(0);
        let cases: &[(&str, Vec<u8>)] = &[
            ("empty", vec![]),
            ("header", craft::header(1, 0, [0; 4])),
            ("counts", craft::header(1, 0, [0xffff; 4])),
            ("nodata", answer(0x8400, [0, 1, 0], &[&soa])),
            ("referral", answer(0x8000, [0, 1, 0], &[&ns])),
            ("answer", answer(0x8580, [1, 0, 0], &[&craft::record(&[0xc0, 12], 1, 60, &[192, 0, 2, 1])])),
            ("badvers", answer(0x8000, [0, 0, 1], &[&opt(0x0100_8000, &[])])),
            (
                "options",
                answer(
                    0x0100,
                    [0, 0, 1],
                    &[&opt(0x8000, &[0, 8, 0, 4, 0, 1, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])],
                ),
            ),
            ("option-cut", answer(0x0100, [0, 0, 1], &[&opt(0, &[0, 10, 0, 8, 1])])),
            ("opt-twice", answer(0x0100, [0, 0, 2], &[&opt(0, &[]), &opt(0, &[])])),
            ("opt-owner", answer(0x0100, [0, 0, 1], &[&[0xc0, 28], &opt(0, &[])[1..]])),
            ("self-pointer", [craft::header(1, 0, [1, 0, 0, 0]), vec![0xc0, 12, 0, 1, 0, 1]].concat()),
            ("forward-pointer", [craft::header(1, 0, [1, 0, 0, 0]), vec![0xc0, 18, 0, 1, 0, 1, 0]].concat()),
            (
                "pointer-into-header",
                [craft::header(0x0161, 0, [1, 0, 0, 0]), vec![0xc0, 0, 0, 1, 0, 1]].concat(),
            ),
            ("127-labels", craft::query(1, &long, 1)),
            (
                "two-questions",
                [
                    craft::header(1, 0, [2, 0, 0, 0]),
                    craft::question(&www, 1),
                    craft::question(&[0xc0, 16], 28),
                ]
                .concat(),
            ),
            (
                "update",
                [
                    craft::header(1, 0x2800, [1, 0, 1, 0]),
                    craft::question(&www, 6),
                    craft::record(&[0xc0, 12], 255, 0, &[]),
                ]
                .concat(),
            ),
            ("dso", [craft::header(1, 0x3000, [0; 4]), vec![0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]].concat()),
            (
                "https",
                answer(
                    0x8180,
                    [1, 0, 0],
                    &[&craft::record(&[0xc0, 12], 65, 60, &[0, 1, 0, 0, 1, 0, 3, 2, b'h', b'2'])],
                ),
            ),
            ("txt", answer(0x8180, [1, 0, 0], &[&craft::record(&[0xc0, 12], 16, 60, b"\x03abc\x00")])),
            ("trailing", [craft::query(1, &www, 1), vec![0; 3]].concat()),
        ];
        for (name, octets) in cases {
            self.add("dns", name, octets);
        }
        for (name, octets) in
            cases.iter().filter(|(name, _)| name.starts_with("opt") || name.contains("pointer"))
        {
            let mut list = vec![1, 0];
            let client = Endpoint::v4([192, 0, 2, 1], 40_000);
            write_frame(
                &mut list,
                101,
                1_000,
                0,
                &craft::udp4(client, Endpoint::v4([192, 0, 2, 53], 53), octets),
            );
            self.add("replay", name, &list);
        }
    }

    fn add_crafted_files(&self) {
        let packet = craft::pcap_record(1_000_000_000, b"packet");
        let swapped: Vec<u8> =
            craft::pcap_header(1).chunks(4).flat_map(|word| word.iter().rev()).copied().collect();
        let stream = [craft::control(2), craft::data(b"frame"), craft::control(3)].concat();
        let too_long = [craft::pcap_header(1), packet.clone(), vec![0xff; 16]].concat();
        let cases = [
            ("empty", vec![]),
            ("pcap", [craft::pcap_header(101), packet.clone(), packet].concat()),
            ("pcap-big-endian", swapped),
            ("pcap-too-long", too_long),
            ("dnstap", stream.clone()),
            ("dnstap-endless", [&stream[..stream.len() - 34], &[0xff; 5]].concat()),
            ("dnstap-joined", [stream.clone(), stream].concat()),
            ("pcapng", pcapng()),
        ];
        for (name, octets) in cases {
            self.add("capture_file", name, &octets);
        }
        let frame = craft::data(b"frame");
        let cases = [
            ("empty", vec![]),
            ("unidirectional", [craft::control(2), frame.clone(), craft::control(3)].concat()),
            (
                "bidirectional",
                [craft::control(4), craft::control(2), frame.clone(), craft::control(3)].concat(),
            ),
            ("without-content-type", [&[0; 4][..], &[0, 0, 0, 4], &[0, 0, 0, 2], &frame].concat()),
            ("after-stop", [craft::control(2), craft::control(3), frame.clone()].concat()),
            ("accept", craft::control(1)),
            ("ready-twice", [craft::control(4), craft::control(4)].concat()),
            ("endless", [craft::control(2), frame, vec![0xff; 4]].concat()),
        ];
        for (name, octets) in cases {
            self.add("frame_streams", name, &octets);
        }
        let group = [0xa3, 0x06].repeat(200);
        self.add("dnstap", "groups", &group);
        self.add("dnstap", "groups-closed", &[group, [0xa4, 0x06].repeat(200)].concat());
        self.add("dnstap", "policy", &[0x72, 6, 0x08, 1, 0x7a, 2, 0x0a, 0, 0x78, 1]);
        self.add(
            "dnstap",
            "message-twice",
            &[0x72, 4, 0x08, 5, 0x30, 53, 0x72, 4, 0x08, 6, 0x38, 53, 0x78, 1],
        );
    }

    fn add_crafted_frames(&self) {
        let client = Endpoint::v4([192, 0, 2, 1], 40_000);
        let server = Endpoint::v4([198, 51, 100, 53], 53);
        let query = craft::query(9, &craft::name("fragments.example"), 1);
        let datagram = craft::udp4(client, server, &query).split_off(20);
        let mut list = Vec::new();
        for (at, part) in datagram.chunks(16).enumerate() {
            let more = (at + 1) * 16 < datagram.len();
            let frame = craft::fragment4(client, server, 17, 5, at * 16, more, part);
            write_frame(&mut list, 1, 1_000, 0, &craft::ethernet(&frame));
        }
        self.add("frames", "fragments", &list);
        let overlap = craft::fragment4(client, server, 17, 5, 8, true, &[1; 16]);
        write_frame(&mut list, 1, 1_000, 0, &craft::ethernet(&overlap));
        let first = craft::fragment4(client, server, 17, 5, 0, true, &datagram[..16]);
        write_frame(&mut list, 1, 1_000, 0, &craft::ethernet(&first));
        self.add("frames", "fragments-overlapping", &list);
        let mut list = Vec::new();
        for name in ["a.example", "b.example"] {
            let query = craft::query(9, &craft::name(name), 1);
            let framed = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
            write_frame(&mut list, 101, 1_000, 0, &craft::tcp4(client, server, 0, 2, &[]));
            write_frame(&mut list, 101, 1_000, 0, &craft::tcp4(client, server, 1, 16, &framed));
            write_frame(
                &mut list,
                101,
                1_000,
                0,
                &craft::udp4(server, client, &craft::response(9, &craft::name(name), 1, 3)),
            );
        }
        self.add("frames", "tcp", &list);
        self.add("replay", "retransmissions", &retransmissions(client, server));
    }

    fn add_crafted_segments(&self) {
        let client = Endpoint::v4([192, 0, 2, 1], 40_000);
        let query = craft::query(3, &craft::name("one.octet.example"), 1);
        let framed = [&(query.len() as u16).to_be_bytes()[..], &query].concat();
        let stream = [&framed[..], &framed, &[0, 5, 1, 2, 3, 4, 5], &framed].concat();
        let ack = TcpFlags::ACK;
        let mut single = Segments::default();
        single.add(client, false, 0, TcpFlags::SYN, 0, &[]);
        for (at, octet) in stream.iter().enumerate() {
            single.add(client, false, 1 + at as u32, ack, 0, &[*octet]);
        }
        self.add("tcp", "one-octet", &single.list);
        let mut backwards = Segments::default();
        backwards.add(client, false, 0, TcpFlags::SYN, 0, &[]);
        for (at, part) in stream.chunks(9).enumerate().rev() {
            backwards.add(client, false, 1 + at as u32 * 9, ack, 0, part);
        }
        self.add("tcp", "backwards", &backwards.list);
        backwards.list[0] = 15;
        self.add("tcp", "backwards-limited", &backwards.list);
        let mut gaps = Segments::default();
        for (at, part) in stream.chunks(20).enumerate().filter(|(at, _)| at % 3 != 1) {
            gaps.add(client, false, (at as u32 * 20).wrapping_sub(30), ack, 0, part);
        }
        gaps.add(client, false, 500, TcpFlags::FIN, 40, &framed);
        gaps.add(client, false, 7, TcpFlags::RST, 0, b"why");
        self.add("tcp", "gaps", &gaps.list);
    }
}

/// A section, an interface with nanoseconds, and a packet block of each kind.
fn pcapng() -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, body, &length].concat()
    };
    [
        block(0x0a0d_0d0a, &[&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat()),
        block(1, &[101, 0, 0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]),
        block(6, &[0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 4, 0, 0, 0, 60, 0, 0, 0, b'a', b'b', b'c', b'd']),
        block(3, &[4, 0, 0, 0, b'a', b'b', b'c', b'd']),
        block(2, &[0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, b'a', b'b', b'c', b'd']),
        block(0xbad, &[1, 2, 3, 4]),
    ]
    .concat()
}

/// Retransmissions, duplicates, an orphan, an hour back and an hour forward.
fn retransmissions(client: Endpoint, server: Endpoint) -> Vec<u8> {
    let www = craft::name("www.example");
    let query = craft::udp4(client, server, &craft::query(1, &www, 1));
    let response = craft::udp4(server, client, &craft::response(1, &www, 1, 3));
    let mut list = vec![2, 0];
    for (nanos, frame) in [
        (0, &query),
        (1_000_000_000, &query),
        (1_000_000, &response),
        (1_000_000, &response),
        (1_000_000, &response),
        (1_000_000, &query),
        (-4_000_000_000_000, &query),
        (1_000_000, &response),
        (4_000_000_000_000, &response),
        (9_000_000_000, &query),
    ] {
        write_frame(&mut list, 101, nanos, 0, frame);
    }
    list
}

/// Segments as the target `tcp` reads them.
struct Segments {
    list: Vec<u8>,
    clients: Vec<Endpoint>,
    current: Option<usize>,
}

impl Default for Segments {
    fn default() -> Self {
        Self { list: vec![0], clients: Vec::new(), current: None }
    }
}

impl Segments {
    fn add(
        &mut self,
        client: Endpoint,
        from_server: bool,
        sequence: u32,
        flags: TcpFlags,
        missing: u16,
        payload: &[u8],
    ) {
        let number = self.clients.iter().position(|known| *known == client).unwrap_or_else(|| {
            self.clients.push(client);
            self.clients.len() - 1
        });
        let is_other = self.current != Some(number);
        self.current = Some(number);
        let mut kind = flags.bits() & 7 | is::ABSOLUTE;
        for (bit, set) in [(is::RESPONSE, from_server), (is::CLIENT, is_other), (is::CUT, missing > 0)] {
            kind |= if set { bit } else { 0 };
        }
        self.list.push(kind);
        if is_other {
            self.list.push(number as u8);
        }
        self.list.extend(sequence.to_be_bytes());
        if missing > 0 {
            self.list.extend(missing.to_be_bytes());
        }
        self.list.extend((payload.len() as u16).to_be_bytes());
        self.list.extend(payload);
    }
}

const _: () = assert!(step_code(0) == 0x80);

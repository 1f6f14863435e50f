//! Messages, packets and files by hand, for the corpus and for the hostile tests.

use lowtide_proto::Endpoint;

/// A message header with these flags and counts.
pub fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [id, flags].iter().chain(&counts).flat_map(|word| word.to_be_bytes()).collect()
}

/// A name in wire form from labels separated by dots; the empty text is the root.
pub fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        wire.push(label.len() as u8);
        wire.extend(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// A name, type and the class IN.
pub fn question(name: &[u8], qtype: u16) -> Vec<u8> {
    [name, &qtype.to_be_bytes(), &[0, 1]].concat()
}

/// A record of the class IN.
pub fn record(owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let length = (rdata.len() as u16).to_be_bytes();
    [owner, &rtype.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length, rdata].concat()
}

/// A query for a name in wire form.
pub fn query(id: u16, name: &[u8], qtype: u16) -> Vec<u8> {
    [header(id, 0x0100, [1, 0, 0, 0]), question(name, qtype)].concat()
}

/// An empty authoritative response with this code.
pub fn response(id: u16, name: &[u8], qtype: u16, rcode: u16) -> Vec<u8> {
    [header(id, 0x8400 | rcode, [1, 0, 0, 0]), question(name, qtype)].concat()
}

/// A UDP datagram in IPv4 (the link type is 101), between the IPv4 addresses of two endpoints.
pub fn udp4(source: Endpoint, destination: Endpoint, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let ports = [source.port.to_be_bytes(), destination.port.to_be_bytes()].concat();
    ipv4(source, destination, 17, &[&ports, &length.to_be_bytes()[..], &[0, 0], payload].concat())
}

/// A TCP segment in IPv4.
pub fn tcp4(source: Endpoint, destination: Endpoint, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ports = [source.port.to_be_bytes(), destination.port.to_be_bytes()].concat();
    let rest = [0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
    ipv4(source, destination, 6, &[&ports, &sequence.to_be_bytes()[..], &rest, payload].concat())
}

fn ipv4(source: Endpoint, destination: Endpoint, protocol: u8, payload: &[u8]) -> Vec<u8> {
    fragment4(source, destination, protocol, 1, 0, false, payload)
}

/// A fragment of an IPv4 datagram.
pub fn fragment4(
    source: Endpoint,
    destination: Endpoint,
    protocol: u8,
    id: u16,
    offset: usize,
    more: bool,
    payload: &[u8],
) -> Vec<u8> {
    let total = 20 + payload.len() as u16;
    let place = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
    let [.., s0, s1, s2, s3] = source.address.octets();
    let [.., d0, d1, d2, d3] = destination.address.octets();
    [
        &[0x45, 0],
        &total.to_be_bytes()[..],
        &id.to_be_bytes(),
        &place.to_be_bytes(),
        &[64, protocol, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3],
        payload,
    ]
    .concat()
}

/// An Ethernet frame of an IPv4 packet.
pub fn ethernet(ipv4: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0], ipv4].concat()
}

/// A pcap file header, microseconds, little-endian.
pub fn pcap_header(link_type: u32) -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link_type];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A pcap record.
pub fn pcap_record(nanos: u64, data: &[u8]) -> Vec<u8> {
    let (seconds, micros) = (nanos / 1_000_000_000, nanos % 1_000_000_000 / 1000);
    let words = [seconds as u32, micros as u32, data.len() as u32, data.len() as u32];
    let mut record: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    record.extend(data);
    record
}

/// A Frame Streams control frame with dnstap's content type.
pub fn control(kind: u32) -> Vec<u8> {
    let content_type = lowtide_proto::frame_streams::DNSTAP_CONTENT_TYPE;
    let words = [0, 12 + content_type.len() as u32, kind, 1, content_type.len() as u32];
    let mut frame: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    frame.extend(content_type);
    frame
}

/// A Frame Streams data frame.
pub fn data(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

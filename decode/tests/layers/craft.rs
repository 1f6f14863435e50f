//! Headers by hand, each before the octets it is given.

/// A query for `example.com A`.
pub const QUERY: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
pub const CLIENT: [u8; 4] = [192, 0, 2, 1];
pub const SERVER: [u8; 4] = [198, 51, 100, 53];
pub const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub const SERVER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53];
pub const CLIENT_PORT: u16 = 40000;

pub fn cat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    cat(&[&source.to_be_bytes(), &destination.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload])
}

/// A segment without options.
pub fn tcp(source: u16, destination: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let rest = [0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
    cat(&[&source.to_be_bytes(), &destination.to_be_bytes(), &sequence.to_be_bytes(), &rest, payload])
}

pub fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_fragment(protocol, 1, 0, false, payload)
}

pub fn ipv4_fragment(protocol: u8, id: u16, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let place = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
    cat(&[
        &[0x45, 0],
        &total.to_be_bytes(),
        &id.to_be_bytes(),
        &place.to_be_bytes(),
        &[64, protocol, 0, 0],
        &CLIENT,
        &SERVER,
        payload,
    ])
}

pub fn ipv4_options(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(protocol, &cat(&[options, payload]));
    packet[0] += (options.len() / 4) as u8;
    packet
}

pub fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    cat(&[&[0x60, 0, 0, 0], &length.to_be_bytes(), &[next, 64], &CLIENT6, &SERVER6, payload])
}

pub fn ipv6_fragment(next: u8, id: u32, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let place = offset as u16 | u16::from(more);
    ipv6(44, &cat(&[&[next, 0], &place.to_be_bytes(), &id.to_be_bytes(), payload]))
}

pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    cat(&[&[2, 0, 0, 0, 0, 2], &[2, 0, 0, 0, 0, 1], &ether_type.to_be_bytes(), payload])
}

/// The query from [`CLIENT`] to [`SERVER`].
pub fn query4() -> Vec<u8> {
    ipv4(17, &udp(CLIENT_PORT, 53, QUERY))
}

/// The query from [`CLIENT6`] to [`SERVER6`].
pub fn query6() -> Vec<u8> {
    ipv6(17, &udp(CLIENT_PORT, 53, QUERY))
}

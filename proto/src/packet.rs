//! A captured packet as it is borrowed from a file buffer or the kernel's ring.

use crate::Timestamp;

/// The link-layer header type of a packet: a `LINKTYPE_` value of the tcpdump group's registry
/// (<https://www.tcpdump.org/linktypes.html>), as capture files carry it. Unknown values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

/// A packet borrowed from where it was read.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was captured; the time of the frame before it when `time_known` is false.
    pub time: Timestamp,
    /// Whether the file says when: a pcapng Simple Packet Block does not.
    pub time_known: bool,
    /// What its first header is.
    pub link_type: LinkType,
    /// The octets that were captured.
    pub data: &'a [u8],
    /// The packet's length on the wire, in octets; more than `data.len()` when the snap length cut it.
    pub wire_len: u32,
}

//! Capture files, dnstap files and dnstap sockets: bytes in, frames borrowed out.
//!
//! A [`CaptureFile`] is one file (pcap, pcapng, or dnstap in Frame Streams; plain or compressed); a [`Timeline`] is
//! several of them as one, merged by time. Either lends one [`Record`] at a time out of its read buffer: nothing is
//! copied, nothing is allocated per record, and memory is bounded whatever a file says of itself. A file that is cut
//! short or broken gives everything up to the [`Damage`], and then the damage, once.
//!
//! [`tap`] listens for dnstap from running servers.

mod buffer;
mod compression;
mod dnstap;
mod dropped;
mod error;
mod file;
mod link_type;
pub mod live;
mod pcap;
mod pcapng;
pub mod tap;
mod timeline;

pub use compression::Compression;
pub use dropped::{Dropped, DroppedBy};
pub use error::{Damage, DamageReason, OpenError, OpenErrorKind};
pub use file::{CaptureFile, Format, Record, Summary};
pub use link_type::link_type_name;
pub use timeline::{Input, Timeline};

/// The largest packet that is accepted, in octets: wiretap's `WTAP_MAX_PACKET_SIZE_STANDARD`. A record that says more
/// is damaged.
pub const MAX_PACKET: usize = 256 * 1024;

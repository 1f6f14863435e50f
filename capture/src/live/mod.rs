//! Live capture through libpcap: frames lent straight out of the kernel's ring.
//!
//! [`LiveCapture::open`] gives one handle for each capture thread. Several of them form a fanout group of the kernel,
//! so that each frame reaches one handle, and both directions of a flow the same one. A handle's
//! [`poll`](LiveCapture::poll) lends what is there and waits when there is nothing; it is never woken for a single
//! frame (libpcap's "immediate mode" costs twenty times as much per frame, and drops). So a frame costs the polling
//! thread some 30 ns of CPU.
//!
//! What is not seen has to be known. So the kernel's own counters are read and accumulated ([`LiveStats`]), an
//! interface that goes down or away is an error ([`LiveError::Gone`]) and not a silence, a filter that would lose DNS
//! is found before the first frame ([`filter`]), and an XDP program, which can take frames away before any capture
//! sees them, is looked for ([`Xdp`]).
//!
//! # When privileges are dropped
//!
//! An open handle needs none. It polls, asks its packet socket (`getsockopt`, `ioctl`) and its netlink socket
//! (`sendto`, `recvfrom`), and libpcap looks into `/sys/class/net` when it is asked for statistics, which may fail.
//! To [`reopen`](LiveCapture::reopen) an interface that was removed needs what opening needs: `CAP_NET_RAW`,
//! `socket`, `mmap`.
//!
//! # What a capture shows twice, or not at all
//!
//! - The interface `any` shows a frame at each interface that it passes: on a machine that forwards, and on one that
//!   has the same frame at a bridge, at its port and at a VLAN's interface, once for each. So does a bridge whose
//!   ports are captured as well. [`Warning`] says so; name the interface that the traffic enters by.
//! - DNS inside a tunnel (VXLAN, GRE, PPPoE, MPLS) does not pass the filter.
//! - What a network card puts together (GRO) or takes apart late (TSO) shows as one large TCP segment.

mod capture;
mod error;
mod fanout;
pub mod filter;
mod handle;
mod link;
mod stats;

pub use capture::{LiveCapture, Polled};
pub use error::{Gone, LiveError, Warning};
pub use link::{Xdp, xdp};
pub use stats::LiveStats;

/// The name under which libpcap captures at all interfaces.
pub const ANY: &str = "any";

/// What to capture, and how.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    /// The interface's name, or [`ANY`].
    pub interface: String,
    /// Whether to take in frames for other stations as well, as at a mirror port. Has no meaning for [`ANY`].
    pub promiscuous: bool,
    /// The octets kept of a frame. By default all that libpcap can keep: the ring (`TPACKET_V3`) packs frames one
    /// behind the other, so that a snap length saves nothing but what it cuts off, and frames that the network card
    /// put together, or TCP on the loopback, are longer than 65,535 octets with their link header.
    pub snap_length: u32,
    /// The ring's size, for each thread.
    pub buffer_octets: usize,
    /// The user's own filter, in libpcap's language; only DNS that it accepts is seen. See [`filter`].
    pub filter: Option<String>,
    /// Further DNS ports; 53 is always one, as it is in decoding.
    pub ports: Vec<u16>,
    /// The number of handles, at least 1 and at most 256.
    pub threads: usize,
    /// Whether to capture although an XDP program is attached, which may hide traffic.
    pub allow_xdp: bool,
}

impl LiveOptions {
    /// The defaults, at an interface.
    pub fn new(interface: impl Into<String>) -> Self {
        Self {
            interface: interface.into(),
            promiscuous: true,
            snap_length: MAX_SNAP_LENGTH,
            buffer_octets: 64 << 20,
            filter: None,
            ports: Vec::new(),
            threads: 1,
            allow_xdp: false,
        }
    }
}

/// libpcap's `MAXIMUM_SNAPLEN`, and the largest packet that files may hold.
const MAX_SNAP_LENGTH: u32 = 262_144;
const _: () = assert!(MAX_SNAP_LENGTH as usize == crate::MAX_PACKET);

//! Frames to DNS observations: link layers, IP, fragments, tunnels, TCP streams, the DNS message.
//!
//! This crate does no IO, starts no thread and reads no clock; it allocates nothing per message and never panics on
//! input.

mod decoder;
pub mod dns;
mod fate;
pub mod layers;
mod ports;
pub mod tcp;
mod unit;

pub use decoder::{Decoder, DecoderLimits, FrameCounts, Sink};
pub use fate::{Defect, Fate};
pub use ports::Ports;
pub use unit::{Tcp, TcpFlags, Udp, Unit};

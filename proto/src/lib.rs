//! Wire formats and the vocabulary that all lowtide crates share.
//!
//! Everything here is a value or a state machine over bytes: this crate does no IO, starts no thread, reads no
//! clock and never panics on input.

pub mod code;
pub mod cursor;
pub mod dnstap;
pub mod frame_streams;
pub mod name;
pub mod observation;
pub mod packet;
pub mod time;

pub use code::{Class, Opcode, Qtype, Rcode};
pub use cursor::{Cursor, Short};
pub use name::{Name, NameBuf};
pub use observation::{
    Delegation, Endpoint, Facts, Malformed, Message, Observation, Role, Transport, server_bit,
};
pub use packet::{LinkType, Packet};
pub use time::Timestamp;

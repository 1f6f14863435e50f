//! Real connections into [`lowtide_capture::tap`]: well-behaved, hostile and those of fstrm_replay.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod hostile;
mod overload;
mod replay;
mod sockets;
mod stopped;
mod streams;
mod support;
mod tls;

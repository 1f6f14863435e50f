//! Live capture at interfaces that the tests make, in network namespaces of their own.
//!
//! They need root. Where that is not to be had, `LOWTIDE_TEST_NET=skip` skips them, which they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod dumpcap;
mod fanout;
mod filter;
mod frames;
mod interface;
mod loss;
mod net;
mod open;
mod program;
mod xdp;

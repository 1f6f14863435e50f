//! Files of every format and variant, whole and broken, crafted in code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod craft;
mod dnstap;
mod dropped;
mod mutated;
mod packed;
mod pcap;
mod pcapng;
mod timeline;

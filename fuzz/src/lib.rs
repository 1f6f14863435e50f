//! What must hold whatever comes in: one property for each way that input takes.
//!
//! A property is a function over any octets that panics when it is broken. cargo-fuzz calls them with what it invents
//! (`fuzz_targets/`), and `tests/corpus.rs` calls them on stable, over the corpus and its mutations. Oracles are
//! hickory-proto for messages, etherparse for frames and prost for dnstap; where they say less than the truth, or
//! something else, the property says so at that place.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a property that is broken panics; that is how the fuzzer and the driver hear of it"
)]

pub mod capture_file;
pub mod craft;
pub mod dns;
pub mod dnstap;
pub mod frame_streams;
pub mod frames;
pub mod input;
pub mod observed;
pub mod random;
pub mod replay;
pub mod tcp;

/// A property: panics when the octets break it.
pub type Property = fn(&[u8]);

/// The properties by name; the corpus of each is the folder of that name.
pub const PROPERTIES: [(&str, Property); 7] = [
    ("capture_file", capture_file::holds),
    ("frames", frames::holds),
    ("tcp", tcp::holds),
    ("dns", dns::holds),
    ("dnstap", dnstap::holds),
    ("frame_streams", frame_streams::holds),
    ("replay", replay::holds),
];

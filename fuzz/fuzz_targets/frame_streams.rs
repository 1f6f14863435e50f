//! cargo-fuzz target of [`lowtide_fuzz::frame_streams`].

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| lowtide_fuzz::frame_streams::holds(octets));

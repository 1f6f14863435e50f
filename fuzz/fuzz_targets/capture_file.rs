//! cargo-fuzz target of [`lowtide_fuzz::capture_file`].

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| lowtide_fuzz::capture_file::holds(octets));

//! cargo-fuzz target of [`lowtide_fuzz::tcp`].

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| lowtide_fuzz::tcp::holds(octets));

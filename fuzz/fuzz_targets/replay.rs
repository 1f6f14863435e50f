//! cargo-fuzz target of [`lowtide_fuzz::replay`].

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| lowtide_fuzz::replay::holds(octets));

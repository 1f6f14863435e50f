//! cargo-fuzz target of [`lowtide_fuzz::frames`].

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| lowtide_fuzz::frames::holds(octets));

//! cargo-fuzz target of [`lowtide_fuzz::dns`].

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| lowtide_fuzz::dns::holds(octets));

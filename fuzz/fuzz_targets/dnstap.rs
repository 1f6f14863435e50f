//! cargo-fuzz target of [`lowtide_fuzz::dnstap`].

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| lowtide_fuzz::dnstap::holds(octets));

//! Writes simulated migrations as files.

fn main() {}

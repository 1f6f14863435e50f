//! Lines on standard error.

use std::io::{Write, stderr};

/// One line on standard error, written at once so that other writers do not get between. When even that cannot be written there is
/// nobody left to tell.
pub fn complain(line: &str) {
    let _ = stderr().write_all(format!("lowtide: {line}\n").as_bytes());
}

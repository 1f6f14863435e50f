//! Simulations as files.

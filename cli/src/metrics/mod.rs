//! What the running process tells of itself: a page of metrics as Prometheus reads it, and whether it is well.
//!
//! [`text::Page`] makes the text of one scrape out of a snapshot, [`server`] puts it on a socket. Nothing is counted here:
//! the accounts are kept where they arise, and a scrape reads them.

pub mod server;
pub mod text;

//! Packets of interfaces.
#![allow(missing_docs)]
use lowtide_proto::Packet;
use std::fmt;
use std::time::Duration;
#[derive(Clone, Debug, Default)]
pub struct LiveOptions {
    pub interface: String,
    pub promiscuous: bool,
    pub snap_length: u32,
    pub buffer_octets: usize,
    pub filter: Option<String>,
    pub ports: Vec<u16>,
    pub threads: usize,
    pub allow_xdp: bool,
}
impl LiveOptions {
    pub fn new(interface: &str) -> Self {
        Self { interface: interface.to_owned(), ..Self::default() }
    }
}
#[derive(Debug)]
pub struct LiveCapture;
#[derive(Debug)]
pub struct LiveError;
impl fmt::Display for LiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none")
    }
}
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveStats {
    pub received: u64,
    pub kernel_dropped: u64,
    pub interface_dropped: u64,
}
impl LiveCapture {
    pub fn open(_: &LiveOptions) -> Result<Vec<Self>, LiveError> {
        Err(LiveError)
    }
    pub fn warnings(&self) -> &[String] {
        &[]
    }
    pub fn interface(&self) -> &str {
        ""
    }
    pub fn poll(&mut self, _: Duration, _: &mut dyn FnMut(&Packet<'_>)) -> Result<(), LiveError> {
        Err(LiveError)
    }
    pub fn stats(&mut self) -> Result<LiveStats, LiveError> {
        Err(LiveError)
    }
    pub fn reopen(&mut self) -> Result<(), LiveError> {
        Err(LiveError)
    }
}

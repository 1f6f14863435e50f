//! Captured packets sent on an interface, many with one call, at a rate.

use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use lowtide_capture::{CaptureFile, Record};
use lowtide_proto::LinkType;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{SockaddrLike, bind};
use rustix::net::{
    AddressFamily, MMsgHdr, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, sendmmsg, socket_with,
};

use crate::clock;
use crate::pipeline::{self, Count};

const ETHERNET: LinkType = LinkType(1);

/// Packets of one call.
const BATCH: usize = 64;

/// How far behind its rate a sender may fall before it gives up making up for it.
const LATE: Duration = Duration::from_millis(100);

/// Packets in memory.
#[derive(Debug, Default)]
pub struct Packets {
    octets: Vec<u8>,
    ends: Vec<usize>,
    /// DNS messages in them.
    pub messages: u64,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets that the interface took.
    pub packets: u64,
    /// How long that took.
    pub time: Duration,
}

impl Packets {
    /// Those of a capture file, at most so many.
    ///
    /// # Errors
    /// The file cannot be read, or is not of an Ethernet.
    pub fn load(path: &Path, most: usize) -> io::Result<Self> {
        let mut file = CaptureFile::open(path).map_err(io::Error::other)?;
        let (mut packets, mut decoder, mut count) = (Self::default(), pipeline::decoder(), Count::default());
        while packets.ends.len() < most
            && let Some(record) = file.next().map_err(io::Error::other)?
        {
            let Record::Packet(packet) = record else {
                return Err(io::Error::other(format!("{}: holds no packets", path.display())));
            };
            if packet.link_type != ETHERNET {
                return Err(io::Error::other(format!("{}: is not of an Ethernet", path.display())));
            }
            decoder.packet(&packet, &mut count);
            packets.octets.extend_from_slice(packet.data);
            packets.ends.push(packets.octets.len());
        }
        packets.messages = count.0;
        Ok(packets)
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn slices(&self) -> impl Iterator<Item = IoSlice<'_>> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = begins.zip(&self.ends);
        ranges.map(|(begin, &end)| IoSlice::new(self.octets.get(begin..end).unwrap_or_default()))
    }

    /// Sends them again and again on an interface, so many packets a second for some time. What the machine cannot send in
    /// time is left out: the rate that was reached is that of [`Sent`].
    ///
    /// # Errors
    /// There is no such interface, or this process may not.
    pub fn send(&self, interface: &str, rate: f64, time: Duration) -> io::Result<Sent> {
        let address = getifaddrs()?
            .filter(|found| found.interface_name == interface)
            .find_map(|found| found.address?.as_link_addr().copied())
            .ok_or_else(|| io::Error::other(format!("there is no interface {interface}")))?;
        // Without a protocol it receives nothing.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        bind(socket.as_raw_fd(), &address as &dyn SockaddrLike)?;

        let slices: Vec<IoSlice<'_>> = self.slices().collect();
        let mut batches = slices.chunks(BATCH).cycle();
        let begin = Instant::now();
        let (mut sent, mut due) = (0, begin);
        while begin.elapsed() < time
            && let Some(batch) = batches.next()
        {
            clock::wait_until(due);
            let mut controls: Vec<_> = batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
            let headers =
                batch.chunks(1).zip(&mut controls).map(|(slice, control)| MMsgHdr::new(slice, control));
            let mut headers: Vec<_> = headers.collect();
            let mut rest = headers.as_mut_slice();
            while !rest.is_empty() {
                let took = sendmmsg(&socket, rest, SendFlags::empty())?;
                rest = rest.get_mut(took..).unwrap_or_default();
            }
            sent += batch.len() as u64;
            due = (due + Duration::from_secs_f64(batch.len() as f64 / rate)).max(Instant::now() - LATE);
        }
        Ok(Sent { packets: sent, time: begin.elapsed() })
    }
}

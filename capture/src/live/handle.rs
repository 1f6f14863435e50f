//! libpcap's handle: opened so that it gives nothing yet, and emptied.

use std::io;
use std::time::{Duration, Instant};

use pcap::{Active, Capture, Precision};
use rustix::event::{Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::filter::message;
use super::{ANY, LiveError, LiveOptions, MAX_SNAP_LENGTH};

/// After this the kernel hands over a block of the ring that is not full. An idle capture is woken ten times a second
/// at most, and a frame waits no longer than a report of one minute can bear; much shorter, and busy ones would be
/// woken for blocks that are nearly empty. Each block handed over early costs its 256 KiB of the ring, so that a ring
/// of the default size lasts 25 s even then.
pub(super) const RETIRE: Duration = Duration::from_millis(100);

/// After this every frame that the kernel has taken in can be read: its timer retires a block at the second tick at
/// the latest.
pub(super) const FLUSH: Duration = Duration::from_millis(300);

/// The frames of one call, so that the caller comes to its other work.
pub(super) const BATCH: usize = 4096;

/// Accepts nothing.
const NOTHING: &str = "len = 0";

/// Opens a handle that accepts nothing.
pub(super) fn activate(options: &LiveOptions) -> Result<Capture<Active>, LiveError> {
    may_capture(options)?;
    // libpcap tells of promiscuous mode at `any` by a warning, which the crate takes for an error.
    let promiscuous = options.promiscuous && options.interface != ANY;
    let snap_length = options.snap_length.clamp(64, MAX_SNAP_LENGTH);
    // Less than a few blocks is no ring.
    let buffer = options.buffer_octets.clamp(1 << 20, i32::MAX as usize);
    Capture::from_device(options.interface.as_str())
        .and_then(|inactive| {
            inactive
                .promisc(promiscuous)
                .snaplen(i32::try_from(snap_length).unwrap_or(i32::MAX))
                .buffer_size(i32::try_from(buffer).unwrap_or(i32::MAX))
                .timeout(RETIRE.as_millis() as i32)
                .precision(Precision::Nano)
                .open()
        })
        // A blocking read waits for ever at an interface without traffic, whatever the timeout.
        .and_then(Capture::setnonblock)
        .and_then(|mut handle| handle.filter(NOTHING, true).map(|()| handle))
        .map_err(|error| of_pcap(options, error))
}

/// Reads away what was caught before [`NOTHING`] was set, until the kernel has handed over its last block. That is as
/// long for all handles as for one, which are drained when they begin.
pub(super) fn discard(handle: &mut Capture<Active>) {
    let end = Instant::now() + FLUSH;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // An error of the interface shows when it is polled; here time alone counts.
        let _ = drain(handle);
        let _ = poll(&mut [], Some(&timespec(left.min(RETIRE))));
    }
}

pub(super) fn drain(handle: &mut Capture<Active>) -> Result<(), pcap::Error> {
    while handle.dispatch(Some(BATCH), |_| {})? > 0 {}
    Ok(())
}

/// Tells a process without the right so: libpcap's message for that depends on its version.
fn may_capture(options: &LiveOptions) -> Result<(), LiveError> {
    match socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None) {
        Ok(_) => Ok(()),
        Err(Errno::PERM | Errno::ACCESS) => {
            Err(LiveError::Permission { interface: options.interface.clone() })
        }
        Err(error) => Err(os(options, error.into())),
    }
}

pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}

pub(super) fn os(options: &LiveOptions, error: io::Error) -> LiveError {
    LiveError::Os { interface: options.interface.clone(), error }
}

pub(super) fn of_pcap(options: &LiveOptions, error: pcap::Error) -> LiveError {
    LiveError::Pcap { interface: options.interface.clone(), message: message(error) }
}

//! Fanout groups: several packet sockets share an interface's traffic (packet(7), `PACKET_FANOUT`).
//!
//! - **By hash** of the flow, which the kernel makes the same for both directions, so that a query and its response
//!   reach one socket.
//! - **With defragmentation**: IPv4 fragments have no ports to hash, so that the kernel puts datagrams together
//!   before it hashes them. They arrive whole; a datagram of which a fragment is missing does not arrive. It does not
//!   do so for IPv6, whose fragments are hashed by addresses alone: all fragments of a datagram reach one socket, but
//!   it may be another than the query's.
//! - **Without rollover** to another socket when one's ring is full: that saves a frame and parts it from its
//!   flow, so that a drop which the kernel counts would become a query without response that nobody explains.

#![expect(unsafe_code, reason = "no crate wraps this socket option")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{c_int, c_void, socklen_t};

/// A group's number; it means something in its network namespace only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group(u16);

const MODE: u32 = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG;

/// Founds a group whose number no other has, with `socket` as its first member. The socket must be bound.
pub(super) fn found(socket: BorrowedFd<'_>) -> io::Result<Group> {
    set(socket, (MODE | libc::PACKET_FANOUT_FLAG_UNIQUEID) << 16)?;
    let mut value: c_int = 0;
    let mut length = size_of::<c_int>() as socklen_t;
    // SAFETY: the kernel writes at most `length` octets to `value`, which is that large, and how many into `length`;
    // both outlive the call. The descriptor is open, because it is borrowed.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw mut value).cast::<c_void>(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // The number is in the lower 16 bits, mode and flags are above it.
    Ok(Group((value & 0xffff) as u16))
}

/// Joins a group, which is founded anew when it has no member any more. The socket must be bound to what the other
/// members are bound to.
pub(super) fn join(socket: BorrowedFd<'_>, group: Group) -> io::Result<()> {
    set(socket, MODE << 16 | u32::from(group.0))
}

fn set(socket: BorrowedFd<'_>, value: u32) -> io::Result<()> {
    // SAFETY: the kernel reads four octets at `value`, which is that large and outlives the call. The descriptor is
    // open, because it is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_FANOUT,
            (&raw const value).cast::<c_void>(),
            size_of::<u32>() as socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

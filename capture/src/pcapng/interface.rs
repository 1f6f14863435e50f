//! Interfaces of a section, their clocks, and the options of blocks.

use lowtide_proto::time::NANOS_PER_SECOND;
use lowtide_proto::{Cursor, LinkType, Short, Timestamp};

use super::statistics::Told;
use crate::pcap::Order;

/// An interface of the current section.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) link_type: LinkType,
    pub(super) snap_len: u32,
    clock: Clock,
    /// `if_tsoffset`, in nanoseconds.
    offset: i64,
    /// The time of its first packet.
    pub(super) first: Option<Timestamp>,
    /// The time of its last packet.
    pub(super) last: Option<Timestamp>,
    /// What it said last of what was dropped.
    pub(super) told: Told,
}

/// How ticks become nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Multiply(u64),
    Divide(u64),
    /// Ticks are 2^-n seconds.
    Binary(u8),
}

impl Clock {
    /// From `if_tsresol`: a negative power of 10, or of 2 when the highest bit is set.
    fn from_resolution(resolution: u8) -> Self {
        let exponent = resolution & 0x7f;
        if resolution & 0x80 != 0 {
            return Clock::Binary(exponent);
        }
        match u32::from(exponent) {
            coarse @ 0..=9 => Clock::Multiply(10_u64.pow(9 - coarse)),
            // Of ticks finer than 10^-28 seconds, 64 bits do not make a nanosecond.
            fine => 10_u64.checked_pow(fine - 9).map_or(Clock::Multiply(0), Clock::Divide),
        }
    }
}

impl Interface {
    const MICROSECONDS: u8 = 6;
    const OPT_TSRESOL: u16 = 9;
    const OPT_TSOFFSET: u16 = 14;

    pub(super) fn read(mut cursor: Cursor<'_>, order: Order) -> Result<Self, Short> {
        let link_type = LinkType(order.u16(cursor.take_array()?));
        cursor.skip(2)?;
        let snap_len = order.u32(cursor.take_array()?);
        let mut interface = Self {
            link_type,
            snap_len,
            clock: Clock::from_resolution(Self::MICROSECONDS),
            offset: 0,
            first: None,
            last: None,
            told: Told::default(),
        };
        // Options that run past the block are left alone, as those that are not known: packets can be read without.
        while let Ok((code, value)) = option(&mut cursor, order) {
            match (code, value) {
                (0, _) => break,
                (Self::OPT_TSRESOL, [resolution, ..]) => {
                    interface.clock = Clock::from_resolution(*resolution);
                }
                (Self::OPT_TSOFFSET, value) => {
                    if let Some((value, _)) = value.split_first_chunk::<8>() {
                        interface.offset = seconds(*value, order).saturating_mul(NANOS_PER_SECOND as i64);
                    }
                }
                _ => {}
            }
        }
        Ok(interface)
    }

    /// The moment of a packet; saturates at both ends of the range.
    #[inline]
    pub(super) fn time(&self, ticks: u64) -> Timestamp {
        let nanos = match self.clock {
            Clock::Multiply(factor) => ticks.saturating_mul(factor),
            Clock::Divide(divisor) => ticks / divisor,
            Clock::Binary(exponent) => {
                let nanos = (u128::from(ticks) * u128::from(NANOS_PER_SECOND)) >> exponent;
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
        };
        Timestamp(nanos.saturating_add_signed(self.offset))
    }
}

fn seconds(octets: [u8; 8], order: Order) -> i64 {
    match order {
        Order::Little => i64::from_le_bytes(octets),
        Order::Big => i64::from_be_bytes(octets),
    }
}

/// The next option: its code and value.
pub(super) fn option<'a>(cursor: &mut Cursor<'a>, order: Order) -> Result<(u16, &'a [u8]), Short> {
    let code = order.u16(cursor.take_array()?);
    let len = usize::from(order.u16(cursor.take_array()?));
    let value = cursor.take(len)?;
    // The padding of the last option may be missing.
    let _ = cursor.skip(len.next_multiple_of(4) - len);
    Ok((code, value))
}

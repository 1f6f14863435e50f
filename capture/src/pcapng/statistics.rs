//! What blocks say of packets that were dropped: interface statistics, and a count in front of a packet.

use lowtide_proto::time::NANOS_PER_SECOND;
use lowtide_proto::{Cursor, Short, Timestamp};

use super::interface::{Interface, option};
use crate::DroppedBy;
use crate::dropped::Drops;
use crate::pcap::Order;

const OPT_END: u16 = 0;
const EPB_DROPCOUNT: u16 = 4;
const ISB_STARTTIME: u16 = 2;
const ISB_ENDTIME: u16 = 3;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;

/// Packets are written out of order by this much: nanoseconds.
const DISORDER: u64 = NANOS_PER_SECOND;

/// What cannot be read: cut short, or not of the length that it has to be.
#[derive(Debug)]
pub(super) struct Unreadable;

impl From<Short> for Unreadable {
    fn from(_: Short) -> Self {
        Self
    }
}

/// What an interface said last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    at: Option<Timestamp>,
    by_interface: u64,
    by_system: u64,
}

/// An interface statistics block. Counts are since the capture began.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    pub(super) interface: u32,
    /// Of this moment, in ticks of the interface's clock, as are the next two.
    at: u64,
    start: Option<u64>,
    end: Option<u64>,
    by_interface: Option<u64>,
    by_system: Option<u64>,
}

impl Statistics {
    pub(super) fn read(body: &[u8], order: Order) -> Result<Self, Unreadable> {
        let mut cursor = Cursor::new(body);
        let mut statistics = Self {
            interface: order.u32(cursor.take_array()?),
            at: ticks(&mut cursor, order)?,
            ..Self::default()
        };
        options(cursor, order, |code, value| {
            let mut value = Cursor::new(value);
            match code {
                ISB_STARTTIME => statistics.start = Some(ticks(&mut value, order)?),
                ISB_ENDTIME => statistics.end = Some(ticks(&mut value, order)?),
                // Of two that say otherwise, the larger.
                ISB_IFDROP => {
                    statistics.by_interface = statistics.by_interface.max(Some(count(&mut value, order)?));
                }
                ISB_OSDROP => {
                    statistics.by_system = statistics.by_system.max(Some(count(&mut value, order)?));
                }
                _ => return Ok(()),
            }
            if value.is_empty() { Ok(()) } else { Err(Unreadable) }
        })?;
        Ok(statistics)
    }

    /// Adds what was dropped since the interface said so last.
    pub(super) fn tell(&self, interface: &mut Interface, drops: &mut Drops) {
        let said = interface.time(self.end.unwrap_or_default().max(self.at));
        // Its packets that stand before the block were there before.
        let is_credible = interface.last.is_none_or(|last| said.0.saturating_add(DISORDER) >= last.0);
        let to = is_credible.then_some(said);
        // The capture began with its first packet, if not before.
        let start = self.start.map(|start| interface.time(start)).filter(|_| is_credible);
        let start = start.map(|start| interface.first.map_or(start, |first| first.min(start)));
        let Told { at, by_interface, by_system } = interface.told;
        let from = at.or(start);
        let is_later = at.is_none_or(|at| !is_credible || said > at);
        let since = |new: Option<u64>, old: u64| match new {
            // A counter that went back began anew, unless it is one of before.
            Some(new) => new.checked_sub(old).unwrap_or(if is_later { new } else { 0 }),
            None => 0,
        };
        drops.add(DroppedBy::Interface, since(self.by_interface, by_interface), from, to);
        drops.add(DroppedBy::System, since(self.by_system, by_system), from, to);
        let latest = |new: Option<u64>, old: u64| match new {
            Some(new) if is_later => new,
            _ => old.max(new.unwrap_or_default()),
        };
        interface.told = Told {
            at: at.max(to.or(interface.last)),
            by_interface: latest(self.by_interface, by_interface),
            by_system: latest(self.by_system, by_system),
        };
    }
}

/// How many packets were lost in front of a packet, by the options of its block.
pub(super) fn dropped_before(block: &[u8], order: Order) -> Result<u64, Unreadable> {
    let mut dropped = 0;
    options(Cursor::new(block), order, |code, value| {
        if code == EPB_DROPCOUNT {
            let mut value = Cursor::new(value);
            dropped = count(&mut value, order)?.max(dropped);
            if !value.is_empty() {
                return Err(Unreadable);
            }
        }
        Ok(())
    })?;
    Ok(dropped)
}

/// Shows all options.
fn options(
    mut cursor: Cursor<'_>,
    order: Order,
    mut show: impl FnMut(u16, &[u8]) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    while !cursor.is_empty() {
        let (code, value) = option(&mut cursor, order)?;
        if code == OPT_END {
            break;
        }
        show(code, value)?;
    }
    Ok(())
}

/// A moment: the high half first, in either order.
fn ticks(cursor: &mut Cursor<'_>, order: Order) -> Result<u64, Short> {
    let high = order.u32(cursor.take_array()?);
    Ok(u64::from(high) << 32 | u64::from(order.u32(cursor.take_array()?)))
}

fn count(cursor: &mut Cursor<'_>, order: Order) -> Result<u64, Short> {
    let octets = cursor.take_array()?;
    Ok(match order {
        Order::Little => u64::from_le_bytes(octets),
        Order::Big => u64::from_be_bytes(octets),
    })
}

//! pcapng files (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>).

mod interface;
mod statistics;

use std::ops::Range;

use lowtide_proto::{Cursor, LinkType, Short, Timestamp};

use self::interface::Interface;
use self::statistics::Statistics;
use crate::buffer::Buffer;
use crate::dropped::Drops;
use crate::file::Located;
use crate::pcap::Order;
use crate::{Damage, DamageReason, DroppedBy, MAX_PACKET};

// Block types; all others are passed over.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// A block's type and length in front of its body.
const BLOCK_HEADER: usize = 8;

/// The length again, behind it.
const BLOCK_TRAILER: usize = 4;

/// The largest block that is read: the largest packet with 64 KiB for its fields and options. Blocks that are passed
/// over may have any length.
const MAX_BLOCK: usize = MAX_PACKET + 64 * 1024;

/// As many as the 16 bits of the obsolete packet block can tell apart.
const MAX_INTERFACES: usize = 1 << 16;

/// Whether the file that begins with `head` is a pcapng file.
pub(crate) const fn is_pcapng(head: &[u8]) -> bool {
    matches!(head, [0x0a, 0x0d, 0x0d, 0x0a, ..])
}

/// The section of a pcapng file that is being read.
pub(crate) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
    link_types: Vec<LinkType>,
    drops: Drops,
}

/// A packet inside a block's body.
struct Found {
    time: Option<Timestamp>,
    link_type: LinkType,
    /// Octets of the body in front of it.
    skipped: usize,
    captured: usize,
    original: u32,
    /// The time of the packet before it, of its interface.
    before: Option<Timestamp>,
}

/// A whole block that stands in the buffer.
struct Block {
    kind: u32,
    body: Range<usize>,
}

impl Pcapng {
    pub(crate) fn new() -> Self {
        Self { order: Order::Little, interfaces: Vec::new(), link_types: Vec::new(), drops: Drops::default() }
    }

    /// The link types of the interfaces so far, each once.
    pub(crate) fn link_types(&self) -> &[LinkType] {
        &self.link_types
    }

    /// What the file says was dropped, so far.
    pub(crate) const fn drops(&self) -> &Drops {
        &self.drops
    }

    #[inline]
    pub(crate) fn advance(&mut self, buffer: &mut Buffer) -> Result<Option<Located>, Damage> {
        loop {
            let offset = buffer.offset();
            let Some(Block { kind, body }) = self.block(buffer)? else {
                return Ok(None);
            };
            let octets = buffer.consumed(body.clone());
            let found = match kind {
                ENHANCED_PACKET => self.enhanced_packet(octets),
                SIMPLE_PACKET => self.simple_packet(octets),
                OBSOLETE_PACKET => self.obsolete_packet(octets),
                STATISTICS => {
                    self.statistics(octets);
                    Ok(None)
                }
                _ => self.describe(kind, octets).map(|()| None),
            };
            match found {
                Ok(Some(found)) => {
                    let start = body.start + found.skipped;
                    let octets = start..start + found.captured;
                    return Ok(Some(Located::packet(found.time, octets, found.link_type, found.original)));
                }
                Ok(None) => {}
                Err(reason) => return Err(Damage { offset, reason }),
            }
        }
    }

    /// Consumes the next block that matters.
    #[inline]
    fn block(&mut self, buffer: &mut Buffer) -> Result<Option<Block>, Damage> {
        loop {
            let offset = buffer.offset();
            let Some(header) = buffer.rest().first_chunk::<BLOCK_HEADER>() else {
                if buffer.fill(BLOCK_HEADER) {
                    continue;
                }
                return buffer.end_of(offset).map(|()| None);
            };
            let [a, b, c, d, length @ ..] = *header;
            // The section header's type reads the same in both orders.
            let kind = self.order.u32([a, b, c, d]);
            if kind == SECTION_HEADER {
                self.order = section_order(buffer)?;
            }
            let len = self.order.u32(length);
            let total = len as usize;
            if total < BLOCK_HEADER + BLOCK_TRAILER || !total.is_multiple_of(4) {
                return Err(buffer.damage(DamageReason::BlockLength(len)));
            }
            let matters = match kind {
                ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET | INTERFACE_DESCRIPTION => true,
                STATISTICS => total <= MAX_BLOCK,
                _ => kind == SECTION_HEADER,
            };
            let body = total - BLOCK_HEADER - BLOCK_TRAILER;
            if !matters {
                if buffer.skip((total - BLOCK_TRAILER) as u64)
                    && (buffer.rest().len() >= BLOCK_TRAILER || buffer.fill(BLOCK_TRAILER))
                {
                    self.trailer(buffer, offset, len)?;
                    if kind == STATISTICS {
                        self.drops.add(DroppedBy::Unreadable, 1, None, None);
                    }
                    continue;
                }
                return Err(buffer
                    .end_of(offset)
                    .err()
                    .unwrap_or(Damage { offset, reason: DamageReason::Cut }));
            }
            if total > MAX_BLOCK {
                return Err(buffer.damage(DamageReason::BlockLength(len)));
            }
            if buffer.rest().len() < total {
                if buffer.fill(total) {
                    continue;
                }
                return buffer.end_of(offset).map(|()| None);
            }
            buffer.consume(BLOCK_HEADER);
            let body = buffer.consume(body);
            self.trailer(buffer, offset, len)?;
            return Ok(Some(Block { kind, body }));
        }
    }

    /// Consumes the length behind a block.
    #[inline]
    fn trailer(&self, buffer: &mut Buffer, offset: u64, len: u32) -> Result<(), Damage> {
        let trailer = buffer.rest().first_chunk::<BLOCK_TRAILER>();
        let trailer = trailer.map_or(0, |octets| self.order.u32(*octets));
        if trailer != len {
            return Err(Damage { offset, reason: DamageReason::BlockTrailer(len, trailer) });
        }
        buffer.consume(BLOCK_TRAILER);
        Ok(())
    }

    #[inline]
    fn enhanced_packet(&mut self, body: &[u8]) -> Result<Option<Found>, DamageReason> {
        let fields = self.fields(body).map_err(|_| DamageReason::BlockShort(ENHANCED_PACKET))?;
        let found = self.packet(fields.first, &fields, body.len(), ENHANCED_PACKET)?;
        let options = body.get(Fields::LEN + found.captured.next_multiple_of(4)..).unwrap_or_default();
        if !options.is_empty() {
            let (by, count) = match statistics::dropped_before(options, self.order) {
                Ok(count) => (DroppedBy::Unsaid, count),
                Err(_) => (DroppedBy::Unreadable, 1),
            };
            self.drops.add(by, count, found.before, found.time);
        }
        Ok(Some(found))
    }

    /// Its interface has 16 bits; a count of drops has the others.
    #[cold]
    fn obsolete_packet(&mut self, body: &[u8]) -> Result<Option<Found>, DamageReason> {
        let fields = self.fields(body).map_err(|_| DamageReason::BlockShort(OBSOLETE_PACKET))?;
        let [a, b, c, d] = match self.order {
            Order::Little => fields.first.to_le_bytes(),
            Order::Big => fields.first.to_be_bytes(),
        };
        let id = u32::from(self.order.u16([a, b]));
        let found = self.packet(id, &fields, body.len(), OBSOLETE_PACKET)?;
        // All bits are set by writers that do not count.
        let drops = Some(self.order.u16([c, d])).filter(|&drops| drops != u16::MAX);
        self.drops.add(DroppedBy::Unsaid, drops.unwrap_or_default().into(), found.before, found.time);
        Ok(Some(found))
    }

    /// What an interface says was dropped. What cannot be read of it may have been a loss; packets can be read without.
    #[cold]
    fn statistics(&mut self, body: &[u8]) {
        let known = Statistics::read(body, self.order).ok();
        let interface = known.as_ref().and_then(|known| self.interfaces.get_mut(known.interface as usize));
        match (known, interface) {
            (Some(known), Some(interface)) => known.tell(interface, &mut self.drops),
            _ => self.drops.add(DroppedBy::Unreadable, 1, None, None),
        }
    }

    #[inline]
    fn fields(&self, body: &[u8]) -> Result<Fields, Short> {
        let mut cursor = Cursor::new(Cursor::new(body).take(Fields::LEN)?);
        let mut u32 = || cursor.take_array().map(|octets| self.order.u32(octets));
        Ok(Fields {
            first: u32()?,
            ticks: u64::from(u32()?) << 32 | u64::from(u32()?),
            captured: u32()?,
            original: u32()?,
        })
    }

    #[inline]
    fn packet(&mut self, id: u32, fields: &Fields, body: usize, kind: u32) -> Result<Found, DamageReason> {
        let interface = self.interfaces.get_mut(id as usize).ok_or(DamageReason::Interface(id))?;
        let captured = fields.captured as usize;
        if captured > MAX_PACKET {
            return Err(DamageReason::PacketLength(fields.captured));
        }
        if captured > body - Fields::LEN {
            return Err(DamageReason::BlockShort(kind));
        }
        let time = Some(interface.time(fields.ticks));
        let before = std::mem::replace(&mut interface.last, time);
        if before.is_none() {
            interface.first = time;
        }
        Ok(Found {
            time,
            link_type: interface.link_type,
            skipped: Fields::LEN,
            captured,
            original: fields.original,
            before,
        })
    }

    /// A packet of interface 0 without a time; what was captured of it is what the snap length left.
    #[cold]
    fn simple_packet(&self, body: &[u8]) -> Result<Option<Found>, DamageReason> {
        let interface = self.interfaces.first().ok_or(DamageReason::Interface(0))?;
        let mut cursor = Cursor::new(body);
        let original = cursor.take_array().map_err(|_| DamageReason::BlockShort(SIMPLE_PACKET))?;
        let original = self.order.u32(original);
        let captured = match interface.snap_len {
            0 => original,
            snap_len => original.min(snap_len),
        };
        if captured as usize > MAX_PACKET {
            return Err(DamageReason::PacketLength(captured));
        }
        if captured as usize > cursor.len() {
            return Err(DamageReason::BlockShort(SIMPLE_PACKET));
        }
        Ok(Some(Found {
            time: None,
            link_type: interface.link_type,
            skipped: 4,
            captured: captured as usize,
            original,
            before: None,
        }))
    }

    /// Sections and interfaces.
    #[cold]
    fn describe(&mut self, kind: u32, body: &[u8]) -> Result<(), DamageReason> {
        let mut cursor = Cursor::new(body);
        let short = |_: Short| DamageReason::BlockShort(kind);
        if kind == SECTION_HEADER {
            cursor.skip(4).map_err(short)?;
            let major = self.order.u16(cursor.take_array().map_err(short)?);
            let minor = self.order.u16(cursor.take_array().map_err(short)?);
            // The section's length is a help for those who seek; blocks end it as well.
            cursor.skip(8).map_err(short)?;
            if major != 1 {
                return Err(DamageReason::SectionVersion(major, minor));
            }
            self.interfaces.clear();
            return Ok(());
        }
        let interface = Interface::read(cursor, self.order).map_err(short)?;
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(DamageReason::TooManyInterfaces);
        }
        // A bound for files that describe interfaces without end; no report has use for more.
        if self.link_types.len() < 64 && !self.link_types.contains(&interface.link_type) {
            self.link_types.push(interface.link_type);
        }
        self.interfaces.push(interface);
        Ok(())
    }
}

/// The order of octets in the section that begins here.
#[cold]
fn section_order(buffer: &mut Buffer) -> Result<Order, Damage> {
    let offset = buffer.offset();
    if !buffer.fill(BLOCK_HEADER + 4) {
        buffer.end_of(offset)?;
    }
    match buffer.rest() {
        [_, _, _, _, _, _, _, _, 0x4d, 0x3c, 0x2b, 0x1a, ..] => Ok(Order::Little),
        [_, _, _, _, _, _, _, _, 0x1a, 0x2b, 0x3c, 0x4d, ..] => Ok(Order::Big),
        [_, _, _, _, _, _, _, _, a, b, c, d, ..] => {
            Err(buffer.damage(DamageReason::ByteOrder(u32::from_be_bytes([*a, *b, *c, *d]))))
        }
        _ => Err(buffer.damage(DamageReason::Cut)),
    }
}

/// The fixed part of an enhanced and of an obsolete packet block.
struct Fields {
    first: u32,
    ticks: u64,
    captured: u32,
    original: u32,
}

impl Fields {
    const LEN: usize = 20;
}

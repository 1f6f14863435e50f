//! pcapng files (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>).

use std::ops::Range;

use lowtide_proto::time::NANOS_PER_SECOND;
use lowtide_proto::{Cursor, LinkType, Short, Timestamp};

use crate::buffer::Buffer;
use crate::file::Located;
use crate::pcap::Order;
use crate::{Damage, DamageReason, MAX_PACKET};

// Block types; all others are passed over.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
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
}

/// A packet inside a block's body.
struct Found {
    time: Option<Timestamp>,
    link_type: LinkType,
    /// Octets of the body in front of it.
    skipped: usize,
    captured: usize,
    original: u32,
}

/// A whole block that stands in the buffer.
struct Block {
    kind: u32,
    body: Range<usize>,
}

impl Pcapng {
    pub(crate) const fn new() -> Self {
        Self { order: Order::Little, interfaces: Vec::new(), link_types: Vec::new() }
    }

    /// The link types of the interfaces so far, each once.
    pub(crate) fn link_types(&self) -> &[LinkType] {
        &self.link_types
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
            let matters = matches!(
                kind,
                ENHANCED_PACKET | SIMPLE_PACKET | OBSOLETE_PACKET | INTERFACE_DESCRIPTION | SECTION_HEADER
            );
            let body = total - BLOCK_HEADER - BLOCK_TRAILER;
            if !matters {
                if buffer.skip((total - BLOCK_TRAILER) as u64)
                    && (buffer.rest().len() >= BLOCK_TRAILER || buffer.fill(BLOCK_TRAILER))
                {
                    self.trailer(buffer, offset, len)?;
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
    fn enhanced_packet(&self, body: &[u8]) -> Result<Option<Found>, DamageReason> {
        let fields = self.fields(body).map_err(|_| DamageReason::BlockShort(ENHANCED_PACKET))?;
        self.packet(fields.first, &fields, body.len(), ENHANCED_PACKET)
    }

    /// Its interface has 16 bits; a count of drops has the others.
    #[cold]
    fn obsolete_packet(&self, body: &[u8]) -> Result<Option<Found>, DamageReason> {
        let fields = self.fields(body).map_err(|_| DamageReason::BlockShort(OBSOLETE_PACKET))?;
        let [a, b, ..] = match self.order {
            Order::Little => fields.first.to_le_bytes(),
            Order::Big => fields.first.to_be_bytes(),
        };
        self.packet(u32::from(self.order.u16([a, b])), &fields, body.len(), OBSOLETE_PACKET)
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
    fn packet(
        &self,
        id: u32,
        fields: &Fields,
        body: usize,
        kind: u32,
    ) -> Result<Option<Found>, DamageReason> {
        let interface = self.interfaces.get(id as usize).ok_or(DamageReason::Interface(id))?;
        let captured = fields.captured as usize;
        if captured > MAX_PACKET {
            return Err(DamageReason::PacketLength(fields.captured));
        }
        if captured > body - Fields::LEN {
            return Err(DamageReason::BlockShort(kind));
        }
        Ok(Some(Found {
            time: Some(interface.time(fields.ticks)),
            link_type: interface.link_type,
            skipped: Fields::LEN,
            captured,
            original: fields.original,
        }))
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

/// An interface of the current section.
#[derive(Debug)]
struct Interface {
    link_type: LinkType,
    snap_len: u32,
    clock: Clock,
    /// `if_tsoffset`, in nanoseconds.
    offset: i64,
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

    fn read(mut cursor: Cursor<'_>, order: Order) -> Result<Self, Short> {
        let link_type = LinkType(order.u16(cursor.take_array()?));
        cursor.skip(2)?;
        let snap_len = order.u32(cursor.take_array()?);
        let mut interface =
            Self { link_type, snap_len, clock: Clock::from_resolution(Self::MICROSECONDS), offset: 0 };
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
    fn time(&self, ticks: u64) -> Timestamp {
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
fn option<'a>(cursor: &mut Cursor<'a>, order: Order) -> Result<(u16, &'a [u8]), Short> {
    let code = order.u16(cursor.take_array()?);
    let len = usize::from(order.u16(cursor.take_array()?));
    let value = cursor.take(len)?;
    // The padding of the last option may be missing.
    let _ = cursor.skip(len.next_multiple_of(4) - len);
    Ok((code, value))
}

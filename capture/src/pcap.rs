//! pcap files (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-05.html>) and the variants of old that wiretap
//! and libpcap read as well.

use lowtide_proto::{Cursor, LinkType, Short, Timestamp};

use crate::buffer::Buffer;
use crate::file::Located;
use crate::{Damage, DamageReason, MAX_PACKET};

/// The order of octets in a file's integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    pub(crate) const fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Order::Little => u16::from_le_bytes(octets),
            Order::Big => u16::from_be_bytes(octets),
        }
    }

    #[inline]
    pub(crate) const fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Order::Little => u32::from_le_bytes(octets),
            Order::Big => u32::from_be_bytes(octets),
        }
    }
}

/// The magic numbers, in the order of their octets in a big-endian file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Magic {
    Micros,
    Nanos,
    /// Kuznetzov's patch of 1999: longer record headers.
    Modified,
    /// Ixia's lcap: a longer file header.
    IxiaMicros,
    IxiaNanos,
}

impl Magic {
    const fn of(head: &[u8]) -> Option<(Self, Order)> {
        Some(match head {
            [0xa1, 0xb2, 0xc3, 0xd4, ..] => (Magic::Micros, Order::Big),
            [0xd4, 0xc3, 0xb2, 0xa1, ..] => (Magic::Micros, Order::Little),
            [0xa1, 0xb2, 0x3c, 0x4d, ..] => (Magic::Nanos, Order::Big),
            [0x4d, 0x3c, 0xb2, 0xa1, ..] => (Magic::Nanos, Order::Little),
            [0xa1, 0xb2, 0xcd, 0x34, ..] => (Magic::Modified, Order::Big),
            [0x34, 0xcd, 0xb2, 0xa1, ..] => (Magic::Modified, Order::Little),
            [0x1c, 0x00, 0x01, 0xab, ..] => (Magic::IxiaMicros, Order::Big),
            [0xab, 0x01, 0x00, 0x1c, ..] => (Magic::IxiaMicros, Order::Little),
            [0x1c, 0x00, 0x01, 0xac, ..] => (Magic::IxiaNanos, Order::Big),
            [0xac, 0x01, 0x00, 0x1c, ..] => (Magic::IxiaNanos, Order::Little),
            _ => return None,
        })
    }
}

/// Which of the two length fields comes first. Files before version 2.3 have the original length first, files of 2.3
/// either: there the captured length is the smaller one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    CapturedFirst,
    OriginalFirst,
    SmallerIsCaptured,
}

/// A pcap file behind its header.
pub(crate) struct Pcap {
    order: Order,
    nanos_per_tick: u64,
    record_header: usize,
    lengths: Lengths,
    link_type: LinkType,
}

/// Whether the file that begins with `head` is a pcap file.
pub(crate) const fn is_pcap(head: &[u8]) -> bool {
    Magic::of(head).is_some()
}

/// How much of a file is looked at to tell variants apart that share a magic number.
const TRIAL: usize = 64 * 1024;

const FILE_HEADER: usize = 24;

impl Pcap {
    /// Reads the file header.
    pub(crate) fn open(buffer: &mut Buffer) -> Result<Self, Damage> {
        buffer.fill(FILE_HEADER);
        let Some((magic, order)) = Magic::of(buffer.rest()) else {
            return Err(buffer.damage(DamageReason::Cut));
        };
        let header = Header::read(buffer.rest(), order);
        let header = header.map_err(|_| buffer.damage(DamageReason::Cut))?;
        let ixia = matches!(magic, Magic::IxiaMicros | Magic::IxiaNanos);
        // Ixia's header ends with the length of all records, 4 octets.
        if !buffer.skip(if ixia { FILE_HEADER as u64 + 4 } else { FILE_HEADER as u64 }) {
            return Err(buffer.damage(DamageReason::Cut));
        }
        let mut pcap = Self {
            order,
            nanos_per_tick: if matches!(magic, Magic::Nanos | Magic::IxiaNanos) { 1 } else { 1_000 },
            record_header: Variant::Standard.record_header(),
            lengths: Lengths::CapturedFirst,
            // The upper half holds the length of the frame check sequence, if it is known.
            link_type: LinkType(header.network as u16),
        };
        match header.version {
            (0 | 1, _) => {
                return Err(Damage {
                    offset: 0,
                    reason: DamageReason::PcapVersion(header.version.0, header.version.1),
                });
            }
            // 543.0 is DG/UX's.
            (2, 0..=2) | (543, _) => pcap.lengths = Lengths::OriginalFirst,
            (2, 3) => pcap.lengths = Lengths::SmallerIsCaptured,
            _ => {
                buffer.fill(TRIAL);
                pcap.record_header = Variant::guess(magic, order, buffer, header.snap_len).record_header();
            }
        }
        if let (Magic::Micros, (2, 2), Some(link_type)) = (magic, header.version, aix(header.network)) {
            pcap.nanos_per_tick = 1;
            pcap.link_type = link_type;
        }
        Ok(pcap)
    }

    pub(crate) const fn link_type(&self) -> LinkType {
        self.link_type
    }

    #[inline]
    pub(crate) fn advance(&mut self, buffer: &mut Buffer) -> Result<Option<Located>, Damage> {
        loop {
            let rest = buffer.rest();
            let mut needed = self.record_header;
            if let Ok(record) = Record::read(&mut Cursor::new(rest), self.order) {
                let (captured, original) = self.lengths(&record);
                if captured as usize > MAX_PACKET {
                    return Err(buffer.damage(DamageReason::PacketLength(captured)));
                }
                needed += captured as usize;
                if rest.len() >= needed {
                    // A fraction beyond its second, from broken writers, is added all the same: no sum overflows.
                    let time = Timestamp::new(
                        u64::from(record.seconds),
                        u64::from(record.fraction) * self.nanos_per_tick,
                    );
                    buffer.consume(self.record_header);
                    let octets = buffer.consume(captured as usize);
                    return Ok(Some(Located::packet(Some(time), octets, self.link_type, original)));
                }
            }
            if !buffer.fill(needed) {
                return buffer.end_of(buffer.offset()).map(|()| None);
            }
        }
    }

    /// The captured and the original length.
    #[inline]
    fn lengths(&self, record: &Record) -> (u32, u32) {
        let (first, second) = record.lengths;
        match self.lengths {
            Lengths::CapturedFirst => (first, second),
            Lengths::SmallerIsCaptured if first <= second => (first, second),
            Lengths::OriginalFirst | Lengths::SmallerIsCaptured => (second, first),
        }
    }
}

/// AIX wrote version 2.2 with nanoseconds and with interface types of RFC 1573 where others have link types.
const fn aix(network: u32) -> Option<LinkType> {
    match network {
        6 => Some(LinkType(1)),
        9 => Some(LinkType(6)),
        24 => Some(LinkType(0)),
        _ => None,
    }
}

/// What all variants have in their file header.
struct Header {
    version: (u16, u16),
    snap_len: u32,
    network: u32,
}

impl Header {
    fn read(octets: &[u8], order: Order) -> Result<Self, Short> {
        let mut cursor = Cursor::new(octets);
        cursor.skip(4)?;
        let version = (order.u16(cursor.take_array()?), order.u16(cursor.take_array()?));
        // The offset from UTC and the accuracy of the times, which were never used.
        cursor.skip(8)?;
        let snap_len = order.u32(cursor.take_array()?);
        Ok(Self { version, snap_len, network: order.u32(cursor.take_array()?) })
    }
}

/// What all variants have in front of a record.
struct Record {
    seconds: u32,
    fraction: u32,
    lengths: (u32, u32),
}

impl Record {
    #[inline]
    fn read(cursor: &mut Cursor<'_>, order: Order) -> Result<Self, Short> {
        let mut header = Cursor::new(cursor.take(16)?);
        Ok(Self {
            seconds: order.u32(header.take_array()?),
            fraction: order.u32(header.take_array()?),
            lengths: (order.u32(header.take_array()?), order.u32(header.take_array()?)),
        })
    }
}

/// Record headers that differ where the magic number does not.
#[derive(Clone, Copy)]
enum Variant {
    Standard,
    /// Kuznetzov's patches of 1999-04-17 (with the standard magic number) and of 1999-10-29.
    Kuznetzov,
    /// Kuznetzov's patch of 1999-09-15, as in SuSE 6.3.
    KuznetzovSmp,
    Nokia,
}

impl Variant {
    const fn record_header(self) -> usize {
        match self {
            Variant::Standard => 16,
            Variant::Nokia => 20,
            Variant::Kuznetzov => 24,
            Variant::KuznetzovSmp => 28,
        }
    }

    /// Which variant the first records fit. Wiretap takes the one that fits best; here a standard file whose first
    /// records are damaged stays one unless another variant fits without fault.
    fn guess(magic: Magic, order: Order, buffer: &Buffer, snap_len: u32) -> Self {
        let misfits = |variant: &Self| variant.misfits(order, buffer, snap_len);
        match magic {
            Magic::Micros if misfits(&Variant::Standard) > 0 => {
                let others = [Variant::Kuznetzov, Variant::Nokia];
                others.into_iter().find(|variant| misfits(variant) == 0).unwrap_or(Variant::Standard)
            }
            Magic::Modified if misfits(&Variant::KuznetzovSmp) < misfits(&Variant::Kuznetzov) => {
                Variant::KuznetzovSmp
            }
            Magic::Modified => Variant::Kuznetzov,
            Magic::Micros | Magic::Nanos | Magic::IxiaMicros | Magic::IxiaNanos => Variant::Standard,
        }
    }

    /// What looks wrong in the first three records when they are read as this variant.
    fn misfits(self, order: Order, buffer: &Buffer, snap_len: u32) -> u32 {
        let mut cursor = Cursor::new(buffer.rest());
        let mut misfits = 0;
        for _ in 0..3 {
            if cursor.is_empty() {
                break;
            }
            match self.record_misfits(&mut cursor, order, snap_len, &mut misfits) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => {
                    misfits += u32::from(buffer.is_last());
                    break;
                }
            }
        }
        misfits
    }

    fn record_misfits(
        self,
        cursor: &mut Cursor<'_>,
        order: Order,
        snap_len: u32,
        misfits: &mut u32,
    ) -> Result<bool, Short> {
        let mut judge = |fits: bool| *misfits += u32::from(!fits);
        let record = Record::read(cursor, order)?;
        let (captured, original) = record.lengths;
        judge(record.fraction < 1_000_000);
        judge(captured as usize <= MAX_PACKET);
        judge(captured <= snap_len);
        judge(original <= 128 * 1024 * 1024);
        judge(captured <= original);
        match self {
            Variant::Standard => {}
            Variant::Kuznetzov | Variant::KuznetzovSmp => {
                let interface = order.u32(cursor.take_array()?);
                let ether_type = order.u16(cursor.take_array()?);
                let packet_type = cursor.u8()?;
                cursor.skip(self.record_header() - 23)?;
                // Interfaces count from 1, and nobody had many in 1999; 0 is what stands here on loopback, when it
                // is the destination of an Ethernet frame.
                judge((1..=10_000).contains(&interface));
                judge(matches!(ether_type, 0..=0x17 | 0x60 | 0x200 | 0x400 | 0x600..));
                judge(packet_type <= 4);
            }
            Variant::Nokia => {
                // The values that were ever seen in this field of unknown meaning.
                let field = order.u32(cursor.take_array()?);
                judge(
                    field & 0x0fff_00f0 == 0x0fbf_0000
                        && matches!(field >> 28, 0x9 | 0xb)
                        && matches!(field >> 12 & 0xf, 0xb | 0xd)
                        && matches!(field >> 8 & 0xf, 0x6 | 0x9)
                        && matches!(field & 0xf, 1 | 2),
                );
            }
        }
        if captured as usize > MAX_PACKET {
            return Ok(false);
        }
        cursor.skip(captured as usize)?;
        Ok(true)
    }
}

use lowtide_capture::{DamageReason, Format};
use lowtide_proto::LinkType;

use crate::craft::{
    ORDERS, Order, assert_damaged, block, enhanced, interface, option, read, read_whole, section,
};

const L: Order = Order::Little;

/// A section with one Ethernet interface of microseconds.
fn simple_file() -> Vec<u8> {
    [section(L), interface(L, 1, 0, &[])].concat()
}

#[test]
fn enhanced_packets_in_both_orders() {
    for order in ORDERS {
        let file = [
            section(order),
            interface(order, 1, 65_535, &[]),
            enhanced(order, 0, 1_700_000_000_000_001, b"abcde", 100),
            // Name resolution, statistics, a custom block, and one that nobody knows.
            block(order, 4, &[1; 33]),
            block(order, 5, &[2; 12]),
            block(order, 0x0bad, &[3; 700_000]),
            block(order, 0x8000_0001, &[]),
            enhanced(order, 0, 1_700_000_000_000_002, b"", 0),
        ]
        .concat();
        let (frames, damage, summary) = read(file);
        assert_eq!((damage, summary.format), (None, Format::Pcapng));
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].nanos, 1_700_000_000_000_001_000);
        assert_eq!((&frames[0].octets[..], frames[0].packet), (&b"abcde"[..], Some((1, 100))));
        assert_eq!(frames[1].nanos, 1_700_000_000_000_002_000);
    }
}

#[test]
fn sections_have_their_own_order_and_interfaces() {
    let file = [
        section(Order::Big),
        interface(Order::Big, 1, 0, &[]),
        interface(Order::Big, 113, 0, &[]),
        enhanced(Order::Big, 1, 1, b"sll", 3),
        section(L),
        interface(L, 276, 0, &[]),
        enhanced(L, 0, 2, b"sll2", 4),
        section(Order::Big),
        interface(Order::Big, 1, 0, &[]),
        enhanced(Order::Big, 0, 3, b"ether", 5),
    ]
    .concat();
    let (frames, damage, summary) = read(file);
    assert_eq!(damage, None);
    let link_types: Vec<_> = frames.iter().filter_map(|frame| frame.packet).collect();
    assert_eq!(link_types, [(113, 3), (276, 4), (1, 5)]);
    assert_eq!(summary.link_types, [1, 113, 276].map(LinkType));
    assert_eq!(summary.link_type_names(), "ETHERNET,LINUX_SLL,LINUX_SLL2");
}

#[test]
fn resolutions_and_offsets() {
    for order in ORDERS {
        for (resolution, offset, ticks, nanos) in [
            (None, 0, 5, 5_000),
            (Some(0), 0, 5, 5_000_000_000),
            (Some(3), 0, 5, 5_000_000),
            (Some(9), 0, 5, 5),
            (Some(12), 0, 5_999, 5),
            (Some(127), 0, u64::MAX, 0),
            // 2^-10, 2^-32 and 2^-127 seconds.
            (Some(0x8a), 0, 1_536, 1_500_000_000),
            (Some(0xa0), 0, 1 << 31, 500_000_000),
            (Some(0xff), 0, u64::MAX, 0),
            (Some(9), 7, 5, 7_000_000_005),
            (Some(9), -1, 1_000_000_007, 7),
            // Both ends of the range hold.
            (Some(9), -2, 5, 0),
            (Some(9), i64::MIN, 5, 0),
            (Some(9), i64::MAX, u64::MAX, u64::MAX),
            (Some(0), 0, u64::MAX, u64::MAX),
            (Some(0x80), 0, u64::MAX, u64::MAX),
        ] {
            let mut options = option(order, 2, b"eth0");
            if let Some(resolution) = resolution {
                options.extend(option(order, 9, &[resolution]));
            }
            options.extend(option(order, 14, &order.u64(offset as u64)));
            options.extend(option(order, 0, b""));
            let file = [section(order), interface(order, 1, 0, &options), enhanced(order, 0, ticks, b"", 0)]
                .concat();
            assert_eq!(read_whole(file)[0].nanos, nanos, "{resolution:?} {offset} {ticks}");
        }
    }
}

#[test]
fn simple_packets_have_the_time_before_them_and_the_snap_length_of_interface_0() {
    let simple = |original: u32, data: &[u8]| block(L, 3, &[&original.to_le_bytes(), data].concat());
    let file = [
        section(L),
        interface(L, 1, 4, &[]),
        interface(L, 113, 0, &[]),
        simple(6, b"abcd"),
        enhanced(L, 1, 9, b"x", 1),
        simple(2, b"ef"),
    ]
    .concat();
    let (frames, damage, summary) = read(file);
    assert_eq!(damage, None);
    assert_eq!((&frames[0].octets[..], frames[0].packet, frames[0].nanos), (&b"abcd"[..], Some((1, 6)), 0));
    assert_eq!((&frames[2].octets[..], frames[2].packet, frames[2].nanos), (&b"ef"[..], Some((1, 2)), 9_000));
    // A time that is not known is neither the first nor the last one.
    assert_eq!(summary.first.map(|time| time.0), Some(9_000));
}

#[test]
fn obsolete_packets() {
    for order in ORDERS {
        let mut body = order.u16(1).to_vec();
        body.extend(order.u16(77));
        body.extend(order.u32(0));
        body.extend(order.u32(8));
        body.extend(order.u32(3));
        body.extend(order.u32(30));
        body.extend(b"abc");
        let file = [
            section(order),
            interface(order, 1, 0, &[]),
            interface(order, 101, 0, &[]),
            block(order, 2, &body),
        ]
        .concat();
        let frames = read_whole(file);
        assert_eq!(
            (&frames[0].octets[..], frames[0].packet, frames[0].nanos),
            (&b"abc"[..], Some((101, 30)), 8_000)
        );
    }
}

#[test]
fn options_that_run_past_their_block_are_left_alone() {
    let mut broken = option(L, 9, &[9]);
    broken.extend([14, 0, 200, 0]);
    let file = [section(L), interface(L, 1, 0, &broken), enhanced(L, 0, 5, b"", 0)].concat();
    assert_eq!(read_whole(file)[0].nanos, 5);
}

#[test]
fn hostile_block_lengths() {
    let whole = [simple_file(), enhanced(L, 0, 1, b"abcd", 4)].concat();
    let at = whole.len();
    for kind in [1_u32, 6, 0x0bad] {
        for len in [0_u32, 4, 8, 11, 13, 0xffff_ffff] {
            let mut file = whole.clone();
            file.extend(kind.to_le_bytes());
            file.extend(len.to_le_bytes());
            file.extend([0; 64]);
            assert_damaged(file, 1, at, DamageReason::BlockLength(len));
        }
    }
    // Longer than any packet: refused where it would be read, passed over where it would not.
    for (kind, reason) in [(6_u32, DamageReason::BlockLength(0xffff_fffc)), (0x0bad, DamageReason::Cut)] {
        let mut file = whole.clone();
        file.extend(kind.to_le_bytes());
        file.extend(0xffff_fffc_u32.to_le_bytes());
        file.extend([0; 64]);
        assert_damaged(file, 1, at, reason);
    }
    for kind in [6, 0x0bad] {
        let mut file = [whole.clone(), block(L, kind, &[0; 20])].concat();
        *file.last_mut().unwrap() = 1;
        assert_damaged(file, 1, at, DamageReason::BlockTrailer(32, 0x0100_0020));
    }
}

#[test]
fn blocks_that_do_not_hold_what_they_say() {
    let whole = simple_file();
    let at = whole.len();
    let packet = |captured: u32| {
        let fields: Vec<u8> =
            [0, 0, 0, captured, captured].iter().flat_map(|&field: &u32| field.to_le_bytes()).collect();
        block(L, 6, &[&fields[..], b"abcd"].concat())
    };
    let damaged = |next: Vec<u8>, reason| assert_damaged([whole.clone(), next].concat(), 0, at, reason);
    damaged(packet(5), DamageReason::BlockShort(6));
    damaged(packet(262_145), DamageReason::PacketLength(262_145));
    damaged(packet(u32::MAX), DamageReason::PacketLength(u32::MAX));
    damaged(block(L, 6, &[0; 16]), DamageReason::BlockShort(6));
    damaged(block(L, 2, &[0; 16]), DamageReason::BlockShort(2));
    damaged(block(L, 3, &[]), DamageReason::BlockShort(3));
    damaged(block(L, 3, &[9, 0, 0, 0, 1]), DamageReason::BlockShort(3));
    damaged(block(L, 1, &[0; 4]), DamageReason::BlockShort(1));
    damaged(enhanced(L, 1, 0, b"", 0), DamageReason::Interface(1));
    assert_damaged([section(L), block(L, 3, &[0; 8])].concat(), 0, 28, DamageReason::Interface(0));
    // The interfaces of a section are gone with it.
    let next = [section(L), enhanced(L, 0, 0, b"", 0)].concat();
    assert_damaged([whole.clone(), next].concat(), 0, at + 28, DamageReason::Interface(0));
}

#[test]
fn sections_that_cannot_be() {
    let mut file = section(L);
    file[8..12].copy_from_slice(&[1, 2, 3, 4]);
    assert_damaged(file, 0, 0, DamageReason::ByteOrder(0x0102_0304));
    let mut file = [simple_file(), section(L)].concat();
    let at = file.len() - 28;
    file[at + 12] = 2;
    assert_damaged(file, 0, at, DamageReason::SectionVersion(2, 0));
    assert_damaged(
        [section(L), interface(L, 1, 0, &[]).repeat((1 << 16) + 1)].concat(),
        0,
        28 + (20 << 16),
        DamageReason::TooManyInterfaces,
    );
}

#[test]
fn a_file_cut_anywhere_gives_what_is_before_the_cut() {
    let blocks = [
        section(L),
        interface(L, 1, 0, &[]),
        enhanced(L, 0, 1, b"abc", 3),
        block(L, 5, &[0; 40]),
        enhanced(L, 0, 2, b"d", 1),
    ];
    let file = blocks.concat();
    let mut begins = vec![0];
    for block in &blocks {
        begins.push(begins.last().unwrap() + block.len());
    }
    for len in 1..file.len() {
        let complete = begins.iter().filter(|&&begin| begin <= len).count() - 1;
        let frames = usize::from(complete >= 3);
        if begins.contains(&len) {
            assert_eq!(read_whole(&file[..len]).len(), frames);
        } else {
            assert_damaged(&file[..len], frames, begins[complete], DamageReason::Cut);
        }
    }
}

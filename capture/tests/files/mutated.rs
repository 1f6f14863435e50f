use crate::craft::{Order, block, data, enhanced, interface, option, pcap_at, read, section, start, stop};
use lowtide_capture::CaptureFile;

/// Files with a few octets changed: whatever they say then, reading comes to an end and the summary holds.
#[test]
fn mutated_files_come_to_an_end() {
    let pcapng = [Order::Little, Order::Big].map(|order| {
        [
            section(order),
            interface(order, 1, 64, &[]),
            enhanced(order, 0, 7, b"packet", 6),
            block(order, 2, &[0; 24]),
            block(order, 3, &[0; 12]),
            block(order, 5, &[&[0; 12][..], &option(order, 5, &[1; 8]), &option(order, 7, &[2; 8])].concat()),
        ]
        .concat()
    });
    let whole = [
        pcap_at(&[1, 2, 3]),
        pcapng.concat(),
        [start(), data(b"frame"), stop(), start(), data(&[0x72, 2, 8, 1])].concat(),
    ];
    let mut random = 1_u64;
    let mut below = |bound: usize| {
        random = random * 48_271 % 2_147_483_647;
        random as usize % bound
    };
    for whole in &whole {
        let known = whole.len().min(8);
        for _ in 0..5_000 {
            let mut file = whole.clone();
            for _ in 0..=below(3) {
                let at = known + below(file.len() - known);
                file[at] = [0, 1, 0x7f, 0x80, 0xff, below(256) as u8][below(6)];
            }
            file.truncate(known + below(file.len() - known + 1));
            // Mutated octets may also make the file one of no known format.
            if CaptureFile::from_reader(std::io::Cursor::new(file.clone())).is_ok() {
                read(file);
            }
        }
    }
}

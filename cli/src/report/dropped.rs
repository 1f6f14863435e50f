//! What files say of packets that never came to them, in words.

use super::number::counted;

/// A loss and who says it, by [`lowtide_aggregate::report::Dropped::by`].
pub fn words(by: &str, number: u64) -> String {
    let packets = counted(number, "packet", "packets");
    match by {
        "interface" => format!("{packets} dropped by the interface, says the file (isb_ifdrop)"),
        "system" => format!("{packets} dropped by the operating system, says the file (isb_osdrop)"),
        "interface-or-system" => {
            format!("{packets} dropped in front of others, says the file (epb_dropcount)")
        }
        _ => {
            let blocks = counted(number, "block", "blocks");
            format!("what the file says of dropped packets cannot be read ({blocks})")
        }
    }
}

//! IEEE 802.11 data frames, and the headers that capture drivers put before them.

use super::view::View;
use super::{Header, Stop};
use crate::Defect;

/// The 802.11 MAC header. Frames that are not data, fragments of the MAC layer, and what is still encrypted end here.
pub(super) fn header(view: &mut View, padded: bool) -> Result<Header, Stop> {
    const LLC_SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];
    const ADDRESSED_TO_AND_FROM_DS: u8 = 0x03;
    const MORE_FRAGMENTS: u8 = 0x04;
    const PROTECTED: u8 = 0x40;
    const ORDER: u8 = 0x80;
    const AGGREGATED: u8 = 0x80;

    let fixed: [u8; 24] = view.array(Defect::Link)?;
    let [control, flags, .., fragment, _] = fixed;
    let (kind, no_data, qos) = (control & 0x0c, control & 0x40 != 0, control & 0x80 != 0);
    if kind != 0x08 || control & 0x03 != 0 || no_data || flags & MORE_FRAGMENTS != 0 || fragment & 0x0f != 0 {
        return Err(Stop::NOT_DNS);
    }
    let mut length = 24;
    if flags & ADDRESSED_TO_AND_FROM_DS == ADDRESSED_TO_AND_FROM_DS {
        view.skip(6, Defect::Link)?;
        length += 6;
    }
    let mut aggregated = false;
    if qos {
        let [qos_control, _] = view.array(Defect::Link)?;
        aggregated = qos_control & AGGREGATED != 0;
        length += 2;
        if flags & ORDER != 0 {
            view.skip(4, Defect::Link)?; // HT control
            length += 4;
        }
    }
    if padded {
        view.skip(usize::next_multiple_of(length, 4) - length, Defect::Link)?;
    }
    if aggregated {
        // An A-MSDU; a frame gives one message, the first.
        let [.., l0, l1]: [u8; 14] = view.array(Defect::Link)?;
        view.limit(usize::from(u16::from_be_bytes([l0, l1])));
    }
    // Drivers that decrypt may leave the bit set.
    if flags & PROTECTED != 0 && view.peek() != Some(LLC_SNAP) {
        return Err(Stop::NOT_DNS);
    }
    Ok(Header::Llc)
}

/// Radiotap: its length, and in its flags whether the driver pads the MAC header to 4 octets.
pub(super) fn radiotap(view: &mut View) -> Result<Header, Stop> {
    const TSFT: u32 = 1;
    const FLAGS: u32 = 1 << 1;
    const MORE_PRESENT: u32 = 1 << 31;
    const PADDED: u8 = 0x20;

    let [_, _, l0, l1] = view.array(Defect::Link)?;
    let length =
        usize::from(u16::from_le_bytes([l0, l1])).checked_sub(4).ok_or(Stop::malformed(Defect::Link))?;
    let mut fields = *view;
    view.skip(length, Defect::Link)?;

    fields.limit(length);
    let mut at = 4;
    let mut present = None;
    loop {
        let word = u32::from_le_bytes(fields.array(Defect::Link)?);
        at += 4;
        present.get_or_insert(word);
        if word & MORE_PRESENT == 0 {
            break;
        }
    }
    let present = present.unwrap_or_default();
    if present & FLAGS == 0 {
        return Ok(Header::Wlan(false));
    }
    if present & TSFT != 0 {
        fields.skip(usize::next_multiple_of(at, 8) - at + 8, Defect::Link)?;
    }
    let [flags] = fields.array(Defect::Link)?;
    Ok(Header::Wlan(flags & PADDED != 0))
}

/// Prism and AVS headers: drivers mixed up the two link types, so the magic number decides.
pub(super) fn prism_or_avs(view: &mut View) -> Result<Header, Stop> {
    let [m0, m1, m2, m3, l0, l1, l2, l3] = view.array(Defect::Link)?;
    let length = match u32::from_be_bytes([m0, m1, m2, m3]) {
        0x8021_1001 | 0x8021_1002 => u32::from_be_bytes([l0, l1, l2, l3]),
        // In the byte order of the host.
        _ => u32::from_le_bytes([l0, l1, l2, l3]).min(u32::from_be_bytes([l0, l1, l2, l3])),
    };
    view.skip((length as usize).checked_sub(8).ok_or(Stop::malformed(Defect::Link))?, Defect::Link)?;
    Ok(Header::Wlan(false))
}

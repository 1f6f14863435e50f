//! A machine for classic BPF, as the kernel runs it at a packet socket.
//!
//! It is here because libpcap's knows no tag beside the frame. It runs a few hundred golden frames at start, so that
//! it is written to be read, not to be fast. What a program asks of the kernel beyond tags is answered with an error,
//! and then nothing is known about the program.

use pcap::BpfProgram;

/// A frame as a packet socket shows it to its filter.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) octets: Vec<u8>,
    /// The tag that the kernel took off the frame.
    pub(super) tag: Option<u16>,
}

/// The program uses something that this machine has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    pub(super) k: u32,
}

impl Instruction {
    /// Whether it compares with a constant for equality.
    pub(super) fn is_equality(self) -> bool {
        self.code == 0x15
    }
}

/// The instructions of a compiled filter; none if they cannot be read.
pub(super) fn instructions(program: &BpfProgram) -> Option<Vec<Instruction>> {
    // The crate shows an instruction's fields only in its text: "code jt jf k".
    let read = |text: String| {
        let mut fields = text.split(' ');
        Some(Instruction {
            code: fields.next()?.parse().ok()?,
            if_true: fields.next()?.parse().ok()?,
            if_false: fields.next()?.parse().ok()?,
            k: fields.next()?.parse().ok()?,
        })
    };
    program.get_instructions().iter().map(|instruction| read(instruction.to_string())).collect()
}

/// Where the kernel's answers begin among a load's offsets, and those about tags (linux/filter.h, `SKF_AD_`).
const KERNEL: u32 = 0xffff_f000;
const TAG: u32 = KERNEL + 44;
const TAG_PRESENT: u32 = KERNEL + 48;

/// Whether the filter accepts the frame. All jumps go forward, so that it ends.
pub(super) fn accepts(program: &[Instruction], frame: &Frame) -> Result<bool, Unknown> {
    let (mut a, mut x) = (0_u32, 0_u32);
    let mut memory = [0_u32; 16];
    let mut at = 0_usize;
    loop {
        let Instruction { code, if_true, if_false, k } = *program.get(at).ok_or(Unknown)?;
        at += 1;
        let operand = if code & 0x08 == 0 { k } else { x };
        match code & 0x07 {
            // LD and LDX, by addressing mode; a load from beyond the frame's end ends the program and rejects.
            class @ (0x00 | 0x01) => {
                let value = match code & 0xe0 {
                    0x00 => Some(k),
                    0x20 if k >= KERNEL => match k {
                        TAG => Some(u32::from(frame.tag.unwrap_or(0))),
                        TAG_PRESENT => Some(u32::from(frame.tag.is_some())),
                        _ => return Err(Unknown),
                    },
                    0x20 => load(frame, code, k),
                    0x40 => load(frame, code, x.wrapping_add(k)),
                    0x60 => Some(*memory.get(k as usize).ok_or(Unknown)?),
                    0x80 => u32::try_from(frame.octets.len()).ok(),
                    // The length of an IPv4 header.
                    0xa0 => load(frame, 0x10, k).map(|octet| (octet & 0x0f) * 4),
                    _ => return Err(Unknown),
                };
                let Some(value) = value else { return Ok(false) };
                if class == 0 { a = value } else { x = value }
            }
            // ST and STX.
            class @ (0x02 | 0x03) => {
                *memory.get_mut(k as usize).ok_or(Unknown)? = if class == 0x02 { a } else { x };
            }
            0x04 => {
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    0x30 | 0x90 if operand == 0 => return Ok(false),
                    0x30 => a / operand,
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a.wrapping_shl(operand),
                    0x70 => a.wrapping_shr(operand),
                    0x80 => a.wrapping_neg(),
                    0x90 => a % operand,
                    0xa0 => a ^ operand,
                    _ => return Err(Unknown),
                }
            }
            0x05 => {
                let holds = match code & 0xf0 {
                    0x00 => {
                        at = at.saturating_add(k as usize);
                        continue;
                    }
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => return Err(Unknown),
                };
                at += usize::from(if holds { if_true } else { if_false });
            }
            // RET.
            0x06 => return Ok(if code & 0x18 == 0x10 { a } else { k } != 0),
            // TAX and TXA.
            _ if code & 0xf8 == 0 => x = a,
            _ => a = x,
        }
    }
}

/// A word, half-word or octet.
fn load(frame: &Frame, code: u16, offset: u32) -> Option<u32> {
    let octets = frame.octets.get(offset as usize..)?;
    match code & 0x18 {
        0x00 => octets.first_chunk().copied().map(u32::from_be_bytes),
        0x08 => octets.first_chunk().map(|half| u32::from(u16::from_be_bytes(*half))),
        _ => octets.first().copied().map(u32::from),
    }
}

#[cfg(test)]
mod tests {
    use pcap::{Capture, Linktype};

    use super::super::{ETHERNET, expression, golden};
    use super::*;

    /// libpcap's machine is the oracle where no kernel is asked.
    #[test]
    fn agrees_with_libpcap() {
        let handle = Capture::dead(Linktype::ETHERNET).unwrap();
        let filters = [
            expression(&[853], None, ETHERNET),
            expression(&[], Some("net 192.0.2.0/24 or ip6 net 2001:db8::/32"), ETHERNET),
            "ip[2:2] / 3 * 2 - 1 > (ip[0] & 0xf) << 2 and len >= 60 and ip[4:2] ^ 7 != 0".to_owned(),
            "vlan 7 or (udp[4:2] % 7 = 3 and not greater 100) or -ip[0] > 5 or ip[0] >> 2 | 3 = 1".to_owned(),
        ];
        let mut verdicts = [0_usize; 2];
        for filter in &filters {
            for optimize in [false, true] {
                let program = handle.compile(filter, optimize).unwrap();
                let instructions = instructions(&program).unwrap();
                for golden in golden::dns(&[53, 853]).iter().chain(&golden::other(&[53, 853])) {
                    for (shape, frame) in golden.shapes(ETHERNET).unwrap() {
                        let frame = Frame { tag: None, ..frame };
                        for cut in [frame.octets.len(), 40, 20, 13] {
                            let octets = frame.octets[..cut.min(frame.octets.len())].to_vec();
                            let expected = program.filter(&octets);
                            verdicts[usize::from(expected)] += 1;
                            let frame = Frame { octets, tag: None };
                            let name = golden.name;
                            assert_eq!(
                                accepts(&instructions, &frame),
                                Ok(expected),
                                "{filter}: {name}, {shape}"
                            );
                        }
                    }
                }
            }
        }
        assert!(verdicts.iter().all(|count| *count > 500), "{verdicts:?}");
    }

    #[test]
    fn what_it_does_not_know_is_said() {
        let frame = Frame { octets: vec![0; 60], tag: None };
        // `inbound` asks the kernel for the packet's type.
        let ask = Instruction { code: 0x28, if_true: 0, if_false: 0, k: KERNEL + 4 };
        assert_eq!(accepts(&[ask], &frame), Err(Unknown));
        assert_eq!(accepts(&[], &frame), Err(Unknown));
    }
}

//! Runs classic BPF as the kernel does, so that programs are tested without one. Written from the
//! kernel's description (Documentation/networking/filter.rst), not from the assembler.

use super::Instruction;

/// A packet and what the kernel knows of it.
#[derive(Debug, Clone)]
pub struct TestPacket {
    pub data: Vec<u8>,
    pub protocol: u16,
    pub interface: u32,
    pub random: u32,
}

const ANCILLARY: u32 = 0xffff_f000;

fn load(seen: &TestPacket, at: u32, width: usize) -> Option<u32> {
    match at.checked_sub(ANCILLARY) {
        Some(0) => return Some(seen.protocol.into()),
        Some(8) => return Some(seen.interface),
        Some(56) => return Some(seen.random),
        Some(other) => panic!("unknown ancillary {other}"),
        None => {}
    }
    let bytes = seen.data.get(at as usize..)?.get(..width)?;
    Some(
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u32::from(*byte)),
    )
}

/// How many bytes of the packet the program takes.
pub fn run(program: &[Instruction], seen: &TestPacket) -> u32 {
    let (mut a, mut x) = (0u32, 0u32);
    let mut at = 0;
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { jt } else { jf });
        let loaded = match code {
            0x06 => return k,
            0x05 => {
                at += k as usize;
                continue;
            }
            0x15 => {
                jump(a == k);
                continue;
            }
            0x25 => {
                jump(a > k);
                continue;
            }
            0x45 => {
                jump(a & k != 0);
                continue;
            }
            0x54 => Some(a & k),
            0x01 => {
                x = k;
                continue;
            }
            0xb1 => {
                let Some(byte) = load(seen, k, 1) else {
                    return 0;
                };
                x = (byte & 15) * 4;
                continue;
            }
            0x20 => load(seen, k, 4),
            0x28 => load(seen, k, 2),
            0x30 => load(seen, k, 1),
            0x48 => load(seen, x.wrapping_add(k), 2),
            0x50 => load(seen, x.wrapping_add(k), 1),
            other => panic!("unknown instruction {other:#x}"),
        };
        match loaded {
            Some(value) => a = value,
            // A load beyond the packet's end ends the program: nothing is taken.
            None => return 0,
        }
    }
}

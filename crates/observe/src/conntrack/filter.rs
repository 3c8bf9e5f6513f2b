//! A filter that runs in the kernel on every event, so that most of them never reach the agent: of a TCP
//! connection's five updates only the one that establishes it matters.

use netlink_sys::Socket;
use std::io;
use std::os::fd::AsRawFd;

/// What each instruction does with the message; `SKF_AD_NLATTR…` calls are of the kernel's
/// net/core/filter.c: A = offset of the attribute of type X, searched from offset A (NLATTR) or inside
/// the attribute at A (NLATTR_NEST); 0 if there is none.
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_BYTE_AT_X: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_IMM) as u16;
const X_NUMBER: u16 = (libc::BPF_LDX | libc::BPF_IMM) as u16;
const X_IS_A: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

const FIND: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR) as u32;
const FIND_INSIDE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR_NEST) as u32;

/// The header's numbers are in the node's byte order: where their low and high bytes are.
const LOW: u32 = if cfg!(target_endian = "little") { 0 } else { 1 };
const HIGH: u32 = 1 - LOW;

const fn step(code: u16, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Drops updates of TCP connections in another state than ESTABLISHED. Updates without a state
/// (an answer to what was picked up in the middle) pass, so does all that is not TCP.
const PROGRAM: [libc::sock_filter; 19] = [
    // Not IPCTNL_MSG_CT_NEW (the low byte of the type): accept.
    step(LOAD_BYTE, 4 + LOW),
    jump(IF_EQUAL, 0, 0, 16),
    // NLM_F_CREATE or NLM_F_EXCL (bits of the flags' high byte): new, accept.
    step(LOAD_BYTE, 6 + HIGH),
    jump(IF_ANY_BIT, 0x06, 14, 0),
    // CTA_PROTOINFO, after both headers.
    step(LOAD_NUMBER, 20),
    step(X_NUMBER, 4),
    step(LOAD_BYTE, FIND),
    jump(IF_EQUAL, 0, 10, 0),
    // CTA_PROTOINFO_TCP in it.
    step(X_NUMBER, 1),
    step(LOAD_BYTE, FIND_INSIDE),
    jump(IF_EQUAL, 0, 7, 0),
    // CTA_PROTOINFO_TCP_STATE in that.
    step(X_NUMBER, 1),
    step(LOAD_BYTE, FIND_INSIDE),
    jump(IF_EQUAL, 0, 4, 0),
    step(X_IS_A, 0),
    step(LOAD_BYTE_AT_X, 4),
    jump(IF_EQUAL, super::event::tcp::ESTABLISHED as u32, 1, 0),
    step(RETURN, 0),
    step(RETURN, u32::MAX),
];

/// Puts the filter on the socket.
///
/// # Errors
/// The error of setsockopt(2); the socket works without the filter too.
pub(super) fn attach(socket: &Socket) -> io::Result<()> {
    let mut program = PROGRAM;
    let program = libc::sock_fprog {
        len: program.len() as libc::c_ushort,
        filter: program.as_mut_ptr(),
    };
    super::socket::set_option(socket.as_raw_fd(), libc::SO_ATTACH_FILTER, &program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_of_the_filter_ends_at_a_return() {
        for (at, step) in PROGRAM.iter().enumerate() {
            if step.code & 7 == libc::BPF_JMP as u16 {
                for distance in [step.jt, step.jf].into_iter().filter(|d| *d > 0) {
                    let target = &PROGRAM[at + 1 + usize::from(distance)];
                    let accepts = target.code == RETURN && target.k == u32::MAX;
                    assert!(accepts, "jump of {at}");
                }
            }
        }
    }
}

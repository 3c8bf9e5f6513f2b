//! Netlink messages and attributes as bytes: bounds are checked here and nowhere else
//! (linux/netlink.h, linux/netfilter/nfnetlink.h). Numbers of the header are in the node's byte order.

use thiserror::Error;

/// Length of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;
/// Length of `struct nfgenmsg`, with which every netfilter message begins.
pub(super) const FAMILY_HEADER: usize = 4;
/// NLA_TYPE_MASK: the two highest bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

pub(super) const NLMSG_ERROR: u16 = 2;
pub(super) const NLMSG_DONE: u16 = 3;
/// Netfilter messages: the subsystem (NFNL_SUBSYS_CTNETLINK is 1) is the high byte of the type.
pub(super) const CT_NEW: u16 = 1 << 8;
pub(super) const CT_GET: u16 = 1 << 8 | 1;
pub(super) const CT_DELETE: u16 = 1 << 8 | 2;

/// Bytes that are no message or no attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("failed to read a conntrack message: its lengths or contents do not fit")]
pub(super) struct Malformed;

/// One netlink message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    /// What comes after the header.
    pub body: &'a [u8],
}

/// The messages of one datagram. After a malformed one no further message can be found.
pub(super) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub fn of(datagram: &'a [u8]) -> Self {
        Messages(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut self.0);
        let Some(length) = native_u32(whole, 0).map(|length| length as usize) else {
            return Some(Err(Malformed));
        };
        let (Some(body), Some(kind), Some(flags)) = (
            whole.get(HEADER..length),
            native_u16(whole, 4),
            native_u16(whole, 6),
        ) else {
            return Some(Err(Malformed));
        };
        self.0 = whole.get(align(length)..).unwrap_or_default();
        Some(Ok(Message { kind, flags, body }))
    }
}

/// The attributes of a message or of a nest: type (without flags) and value.
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    pub fn of(bytes: &'a [u8]) -> Self {
        Attributes(bytes)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let whole = std::mem::take(&mut self.0);
        let (Some(length), Some(kind)) = (native_u16(whole, 0), native_u16(whole, 2)) else {
            return Some(Err(Malformed));
        };
        let Some(value) = whole.get(4..usize::from(length)) else {
            return Some(Err(Malformed));
        };
        self.0 = whole.get(align(usize::from(length))..).unwrap_or_default();
        Some(Ok((kind & TYPE_MASK, value)))
    }
}

/// Messages and attributes begin at multiples of 4.
fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

fn native_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let value = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(value))
}

pub(super) fn native_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let value = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(value))
}

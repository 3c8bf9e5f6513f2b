//! Bounds-checked big-endian reads. Whatever a capture holds, these never panic.

use super::Skip;

#[inline(always)]
pub(super) fn byte(data: &[u8], at: usize) -> Result<u8, Skip> {
    data.get(at).copied().ok_or(Skip::TooShort)
}

#[inline(always)]
pub(super) fn array<const N: usize>(data: &[u8], at: usize) -> Result<[u8; N], Skip> {
    data.get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .ok_or(Skip::TooShort)
}

#[inline(always)]
pub(super) fn be16(data: &[u8], at: usize) -> Result<u16, Skip> {
    array(data, at).map(u16::from_be_bytes)
}

#[inline(always)]
pub(super) fn be32(data: &[u8], at: usize) -> Result<u32, Skip> {
    array(data, at).map(u32::from_be_bytes)
}

/// Everything from `at` on.
#[inline(always)]
pub(super) fn rest(data: &[u8], at: usize) -> Result<&[u8], Skip> {
    data.get(at..).ok_or(Skip::TooShort)
}

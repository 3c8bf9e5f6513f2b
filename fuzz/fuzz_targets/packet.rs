//! Decodes any bytes as a frame of any link type.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::flow::{LinkType, decode};
use nanoseg::net::Timestamp;

fuzz_target!(|data: &[u8]| {
    let Some((link, frame)) = data.split_first_chunk::<2>() else { return };
    let link = LinkType(u16::from_le_bytes(*link));
    let _ = decode(link, frame, frame.len() as u32, Timestamp::from_secs(1));
});

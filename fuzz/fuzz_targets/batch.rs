//! Parses any bytes as a flow batch. A valid batch must be the same after it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::wire::{decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(batch) = decode(data) {
        assert_eq!(decode(&encode(&batch)), Ok(batch));
    }
});

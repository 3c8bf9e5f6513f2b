//! Reads any bytes as conntrack messages, as events and as a dump, up to flow records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::observe::replay_conntrack;

fuzz_target!(|data: &[u8]| {
    let _ = replay_conntrack(data);
});

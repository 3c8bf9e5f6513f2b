//! Any text as a long list of a cluster's objects: the short way of reading it gives what the long way gives, where
//! both read it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::cluster::read_both_ways;

fuzz_target!(|text: &str| {
    let _ = read_both_ways(text);
});

//! Reads any text as a long list of a cluster's objects. The fast reader and the complete reader must give the same
//! result for every text that both accept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::cluster::read_both_ways;

fuzz_target!(|text: &str| {
    let _ = read_both_ways(text);
});

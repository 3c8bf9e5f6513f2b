//! Reads any bytes as a flow log of any format: our own, CSV, Hubble's events, Calico's, Zeek's, VPC
//! flow logs, NetObserv's, nfdump's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::flow::{AddressEpochs, NoListeners};
use nanoseg::observe::flow_log::parse_bytes;

fuzz_target!(|data: &[u8]| {
    if let Ok((aggregate, _)) = parse_bytes(data, "fuzz") {
        let _ = aggregate.into_result(&NoListeners, &AddressEpochs::default(), 16);
    }
});

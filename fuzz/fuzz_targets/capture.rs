//! Reads any bytes as a capture file, up to flow records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::flow::{AddressEpochs, FlowConfig, FlowTable, NoListeners, decode};
use nanoseg::observe::read_capture_bytes;

fuzz_target!(|data: &[u8]| {
    let limits = FlowConfig { max_connections: 1000, ..FlowConfig::default() };
    let mut table = FlowTable::new(NoListeners, AddressEpochs::default(), limits);
    let _ = read_capture_bytes(data, |frame| {
        if let Ok(decoded) = decode(frame.link, frame.data, frame.original_length, frame.time) {
            table.ingest(&decoded);
        }
    });
    let _ = table.finish();
});

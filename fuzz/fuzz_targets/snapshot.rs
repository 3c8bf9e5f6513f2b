//! Reads any bytes as a cluster snapshot, up to the inventory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::cluster::parse_objects;
use nanoseg::inventory::{Inventory, Objects, OwnerRule};

fuzz_target!(|data: &[u8]| {
    let mut objects = Objects::default();
    if parse_objects(data, "fuzz", &mut objects).is_ok() {
        let _ = Inventory::build(&objects, OwnerRule::Infer);
    }
});

//! Reads any text as a file of policies, our kind and other kinds, up to what they allow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nanoseg::cluster::parse_objects;
use nanoseg::evaluate::{Evaluation, HostNetwork};
use nanoseg::inventory::{Inventory, Objects, OwnerRule, other_policy_findings};

fuzz_target!(|text: &str| {
    let mut objects = Objects::default();
    if parse_objects(text.as_bytes(), "fuzz", &mut objects).is_ok() {
        let _ = other_policy_findings(&objects.not_judged);
        let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
        let _ = Evaluation::new(&inventory, &objects.network_policies, HostNetwork::Exact);
    }
});

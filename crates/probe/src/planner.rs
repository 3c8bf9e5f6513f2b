//! Makes the plan.

use super::choose::choose;
use super::clients::clients;
use super::listeners::listeners;
use super::plan::{Plan, PlanInputs};
use nanoseg_evaluate::ClassId;
use std::collections::BTreeMap;

/// Makes the plan (rule: tried-not-only-evaluated).
pub fn plan(inputs: &PlanInputs<'_>) -> Plan {
    let classes: BTreeMap<usize, ClassId> = inputs
        .evaluation
        .classes()
        .flat_map(|(id, class)| class.pods.iter().map(move |pod| (*pod, id)))
        .collect();
    let listeners = listeners(inputs, &classes);
    let (clients, left_out) = clients(inputs);
    Plan {
        probes: choose(inputs, &classes, &listeners, &clients),
        left_out,
    }
}

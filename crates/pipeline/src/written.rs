//! Generated policies as they are written, for the proof: in the dialect of each, and with what names were looked up as
//! (rule: same-requirements-in-each-dialect).

use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::PolicyRef;
use nanoseg_graph::{DnsEvidence, End, Requirement};
use nanoseg_inventory::{Inventory, OtherKinds, is_ours};
use nanoseg_policy::Synthesis;
use nanoseg_policy_kinds::OtherKindPolicy;
use std::borrow::Cow;
use std::sync::Arc;

/// Policies of each kind.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub network: Vec<NetworkPolicy>,
    pub others: Vec<OtherKindPolicy>,
}

impl Written {
    pub fn of(synthesis: &Synthesis) -> Written {
        let mut written = Written::default();
        for one in &synthesis.policies {
            match &one.native {
                Some(native) => written.others.push(native.object.clone()),
                None => written.network.push(one.policy.clone()),
            }
        }
        written
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = PolicyRef<'_>> {
        let network = self.network.iter().map(PolicyRef::from);
        network.chain(self.others.iter().map(PolicyRef::from))
    }
}

/// The inventory for the proof: without nanoseg's own policies of other kinds, which are replaced, and with the addresses
/// that the clients of the requirements were told for the names that they looked up.
pub(super) fn for_proof<'i>(
    inventory: &'i Inventory,
    (requirements, dns): (&[Requirement], &DnsEvidence),
    written: &Written,
) -> Cow<'i, Inventory> {
    let is_own = |policy: &OtherKindPolicy| is_ours(policy.metadata());
    let known = &inventory.other_kinds;
    let needs_names = !written.others.is_empty() || !known.policies.is_empty();
    let mut names = known.names.clone();
    for requirement in requirements.iter().filter(|_| needs_names) {
        let End::Addresses(addresses) = &requirement.server else {
            continue;
        };
        for name in dns.names(requirement.edge) {
            names.entry(name.to_owned()).or_default().extend(addresses);
        }
    }
    if names == known.names && !known.policies.iter().any(is_own) {
        return Cow::Borrowed(inventory);
    }
    let policies = known.policies.iter().filter(|policy| !is_own(policy));
    let others = OtherKinds {
        policies: policies.cloned().collect(),
        names,
    };
    let mut judged = inventory.clone();
    judged.other_kinds = Arc::new(others);
    Cow::Owned(judged)
}

//! Names whose addresses moved, for proposals: a policy by address holds only until the name moves (rule: fqdn-drift).

use super::observation::{ClusterView, Observation};
use super::state::EngineState;
use crate::finding::{Code, Finding};
use crate::graph::{End, NameDrift, NameDrifts, Requirement, Requiring};
use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::policy::Dialect;
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How many addresses a finding names.
const SHOWN: usize = 8;

/// Finds the drifts of workloads whose approved policy is a NetworkPolicy. An address whose answer has ended counts only
/// where the policy allows it: then it is no reason to change the policy, in neither direction.
pub fn find(
    engine_state: &EngineState,
    observation: &Observation,
    view: &ClusterView,
    now: Timestamp,
) -> NameDrifts {
    let states = engine_state.states();
    let policy = |id: &WorkloadId| states.get(id)?.wanted_policy();
    let is_plain = |id: &WorkloadId| {
        let segment = engine_state.segments.get(&id.namespace);
        let segment = segment.and_then(|state| state.segment.as_ref());
        segment.is_some_and(|one| one.synthesis.dialect != Dialect::Cilium)
    };
    let is_asked = |id: &WorkloadId| policy(id).is_some() && is_plain(id);
    let mut drifts = observation.name_drifts(&view.graph, is_asked, now);
    drifts.found.retain(|one| {
        one.is_current || policy(&one.client).is_some_and(|policy| allows(policy, one.address))
    });
    drifts
}

/// Returns true if a rule of egress has a block with the address.
fn allows(policy: &NetworkPolicySpec, address: IpAddr) -> bool {
    let rules = policy.egress.iter().flatten();
    let peers = rules.flat_map(|rule| rule.to.iter().flatten());
    let mut blocks = peers.filter_map(|peer| peer.ip_block.as_ref());
    blocks.any(|block| {
        let within = |text: &String| {
            text.parse::<IpNet>()
                .is_ok_and(|net| net.contains(&address))
        };
        within(&block.cidr) && !block.except.iter().flatten().any(within)
    })
}

/// What a policy must allow for it.
pub fn requirement(drift: &NameDrift) -> Requirement {
    Requirement {
        client: End::Workload(drift.client.clone()),
        server: End::Addresses(BTreeSet::from([drift.address])),
        protocol: drift.protocol,
        port: drift.port,
        label: Some(format!("{} ({})", drift.name, drift.address)),
        outside: true,
        edge: Requiring::NOT_TAUGHT,
    }
}

/// The finding about the names of a workload that its approved policy does not follow; `None`: it follows all of them.
pub fn finding(
    drifts: &NameDrifts,
    workload: &WorkloadId,
    approved: Option<&NetworkPolicySpec>,
) -> Option<Finding> {
    let approved = approved?;
    let new: Vec<&NameDrift> = drifts
        .of(workload)
        .filter(|one| !allows(approved, one.address))
        .collect();
    let names: BTreeSet<&str> = new.iter().map(|one| one.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().take(SHOWN).collect();
    if names.is_empty() {
        return None;
    }
    let more = drifts.left_out.get(workload).copied().unwrap_or_default();
    let left_out = match more {
        0 => String::new(),
        more => format!("; {more} more addresses are left out"),
    };
    let message = format!(
        "looked up {}, which has {} addresses that its policy does not allow{left_out}",
        names.join(", "),
        new.len()
    );
    let samples = new.iter().take(SHOWN);
    let samples = samples.map(|one| format!("{} {}", one.name, one.address));
    let finding = Finding::new(Code::FqdnDrift, workload.to_string(), message);
    Some(finding.with_samples(samples))
}

/// What the digest of a proposal's basis has of them.
pub fn basis(drifts: &NameDrifts, workload: &WorkloadId) -> impl Iterator<Item = String> {
    let lines = drifts.of(workload).map(|one| {
        let (name, address, port) = (&one.name, one.address, one.port);
        format!("{name} {address} {port} {}", one.protocol)
    });
    lines.collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Protocol;

    fn web() -> WorkloadId {
        WorkloadId {
            namespace: "shop".into(),
            name: "web".into(),
            kind: "Deployment".into(),
        }
    }

    fn drift(address: &str) -> NameDrift {
        NameDrift {
            client: web(),
            name: "api.example".into(),
            protocol: Protocol::Tcp,
            port: 443,
            address: address.parse().expect("an address"),
            is_current: true,
        }
    }

    fn policy() -> NetworkPolicySpec {
        let text = "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.64/26]}}]}]}";
        serde_yaml::from_str(text).expect("a policy")
    }

    #[test]
    fn a_policy_follows_a_name_where_a_block_of_egress_has_its_address() {
        let allowed = |text: &str| allows(&policy(), text.parse().expect("an address"));
        assert!(allowed("203.0.113.1") && !allowed("203.0.113.65") && !allowed("192.0.2.1"));
        assert!(!allows(
            &NetworkPolicySpec::default(),
            drift("192.0.2.1").address
        ));
    }

    #[test]
    fn the_finding_has_only_what_the_approved_policy_does_not_allow() {
        let drifts = NameDrifts {
            found: vec![drift("192.0.2.1"), drift("203.0.113.1")],
            left_out: [(web(), 3)].into(),
        };
        let found = finding(&drifts, &web(), Some(&policy())).expect("a finding");
        assert!(
            found.message.contains("has 1 addresses"),
            "{}",
            found.message
        );
        assert!(found.message.contains("3 more addresses are left out"));
        assert_eq!(found.samples, ["api.example 192.0.2.1"]);
        assert_eq!(finding(&drifts, &web(), None), None, "nothing is approved");
        let none = NameDrifts::default();
        assert_eq!(finding(&none, &web(), Some(&policy())), None);
    }

    #[test]
    fn a_drift_is_required_by_its_address_and_named() {
        let needed = requirement(&drift("192.0.2.1"));
        assert_eq!(needed.label.as_deref(), Some("api.example (192.0.2.1)"));
        assert!(needed.outside && needed.edge == Requiring::NOT_TAUGHT);
    }
}

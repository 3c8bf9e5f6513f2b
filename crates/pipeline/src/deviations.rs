//! Policies in force with which the cluster's network plugin does otherwise than they are judged, as findings
//! (rule: oracles-agree).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::Inventory;
use nanoseg_plugin::Deviation;
use nanoseg_policy_kinds::OtherKindPolicy;
use nanoseg_policy_kinds::admin::{AdminAction, AdminPeer, AdminTier, ClusterNetworkPolicy};

/// What of the policies of administrators the plugin does otherwise, and the evaluator does not judge so.
pub(super) fn deviation_findings(inventory: &Inventory) -> Vec<Finding> {
    let behaviour = inventory.network_plugin.behaviour();
    let title = inventory.network_plugin.profile.plugin.title();
    let policies = inventory.other_kinds.policies.iter();
    let administrators = policies.filter_map(|policy| match policy {
        OtherKindPolicy::ClusterNetworkPolicy(policy) => Some(policy),
        _ => None,
    });
    administrators
        .flat_map(|policy| {
            let name = policy.metadata.name.clone().unwrap_or_default();
            let concerned = Deviation::ALL
                .into_iter()
                .filter(|deviation| behaviour.deviates(*deviation) && concerns(*deviation, policy));
            concerned.map(move |deviation| {
                let what = deviation.text().replace('`', "");
                Finding::new(
                    Code::RuleNotHonoured,
                    format!("ClusterNetworkPolicy {name}"),
                    format!("{title} does otherwise than it is judged: {what}"),
                )
            })
        })
        .collect()
}

/// Returns true if a policy has what the plugin does otherwise.
fn concerns(deviation: Deviation, policy: &ClusterNetworkPolicy) -> bool {
    let spec = &policy.spec;
    let ingress = || spec.ingress.iter().flatten();
    let egress = || spec.egress.iter().flatten();
    match deviation {
        Deviation::BaselineOpensNetworkPolicies => {
            let mut actions = ingress().map(|rule| rule.action);
            spec.tier == AdminTier::Baseline
                && (actions.any(opens) || egress().any(|rule| opens(rule.action)))
        }
        Deviation::NamespacesMatchTheWorld => {
            let peers = ingress().flat_map(|rule| &rule.from);
            let mut peers = peers.chain(egress().flat_map(|rule| &rule.to));
            peers.any(asks_for_no_label)
        }
        // Of NetworkPolicies, or of the ports of pods.
        Deviation::IdleRulesCount
        | Deviation::WholeFamilyIsTheWorld
        | Deviation::OnePortOfAName
        | Deviation::NamedPortsOfLabels => false,
    }
}

fn opens(action: AdminAction) -> bool {
    matches!(action, AdminAction::Accept | AdminAction::Allow)
}

/// Returns true if a `namespaces` peer only says which labels there must not be.
fn asks_for_no_label(peer: &AdminPeer) -> bool {
    let asks = |selector: &LabelSelector| {
        let has_labels = selector.match_labels.iter().flatten().next().is_some();
        let expressions = selector.match_expressions.as_deref().unwrap_or_default();
        let absent = |operator: &str| matches!(operator, "NotIn" | "DoesNotExist");
        !has_labels
            && !expressions.is_empty()
            && expressions.iter().all(|one| absent(&one.operator))
    };
    peer.namespaces.as_ref().is_some_and(asks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_plugin::ClusterPlugin;
    use nanoseg_policy_kinds::OtherKind;
    use serde_json::{Value, json};

    fn found(plugin: &str, spec: &Value) -> Vec<String> {
        let object = json!({"metadata": {"name": "guard"}, "spec": spec});
        let read = OtherKindPolicy::read(OtherKind::ClusterNetworkPolicy, &object).unwrap();
        let mut inventory = Inventory {
            network_plugin: ClusterPlugin::said(plugin.parse().unwrap()),
            ..Inventory::default()
        };
        inventory.set_other_kinds(&[read.policy]);
        let findings = deviation_findings(&inventory).into_iter();
        findings.map(|finding| finding.message).collect()
    }

    fn spec(tier: &str, action: &str, namespaces: &Value) -> Value {
        json!({
            "tier": tier, "priority": 1, "subject": {"namespaces": {}},
            "ingress": [{"action": action, "from": [{"namespaces": namespaces}]}],
        })
    }

    #[test]
    fn what_cilium_does_otherwise_with_an_administrators_policy_is_said_and_nothing_elsewhere() {
        let team = json!({"matchLabels": {"team": "a"}});
        let others = json!({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]});
        let both = json!({
            "matchLabels": {"team": "a"},
            "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}],
        });
        let opened = found("cilium", &spec("Baseline", "Accept", &team));
        assert_eq!(opened.len(), 1);
        assert!(
            opened[0].contains("opens what a NetworkPolicy closes"),
            "{opened:?}"
        );
        let world = found("cilium", &spec("Admin", "Deny", &others));
        assert_eq!(world.len(), 1);
        assert!(
            world[0].contains("matches nodes and the world"),
            "{world:?}"
        );
        for (plugin, spec) in [
            ("cilium", spec("Baseline", "Deny", &team)),
            ("cilium", spec("Admin", "Accept", &both)),
            ("cilium", spec("Admin", "Accept", &json!({}))),
            ("kube-network-policies", spec("Baseline", "Accept", &others)),
        ] {
            assert_eq!(found(plugin, &spec), [""; 0], "{plugin} {spec}");
        }
    }
}

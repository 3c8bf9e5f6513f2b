//! github.com/np-guard/netpol-analyzer v1.2.1, `pkg/netpol/eval`. Pods on the host network are pods like others there
//! ([`HostNetwork::LikePods`]), and an ipBlock matches no pod.

use super::case::Case;
use super::cluster::{Shape, cluster};
use super::compare::{Judge, Plan, compare};
use super::network_policies::{Rules, policies};
use super::ours::Ours;
use fastrand::Rng;
use nanoseg::evaluate::HostNetwork;

fn make(rng: &mut Rng) -> Case {
    let shape = Shape {
        // `github.com/np-guard/models` has IPv4 only.
        ipv6: false,
        host_network: false,
        own_label: false,
        every_key: false,
        one_protocol_each_name: true,
    };
    let rules = Rules {
        not_in: true,
        ipv6: false,
        named_ports_to_blocks: true,
        named_egress_ports: true,
        idle_rules: true,
    };
    let mut case = cluster(rng, shape);
    case.policies = policies(rng, rules);
    // Nodes are addresses like others there.
    case.outside.retain(|address| {
        !case
            .nodes
            .iter()
            .any(|node| node.addresses.contains(address))
    });
    case.pairs = case.all_pairs();
    case
}

fn judge(case: &Case) -> Judge {
    let ours = Ours::new(case, HostNetwork::LikePods);
    Box::new(move |client, server, probe| Some(ours.allows(client, server, probe)))
}

#[test]
fn np_guard_and_the_evaluator_say_the_same_of_network_policies() {
    compare(&Plan {
        oracle: "netpol-analyzer",
        make: &make,
        judge: &judge,
        explain: &|case, pair, probe| {
            Ours::new(case, HostNetwork::LikePods).explain(pair.0, pair.1, probe)
        },
    });
}

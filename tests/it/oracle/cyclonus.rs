//! github.com/mattfenwick/cyclonus v0.5.6, `pkg/matcher`: NetworkPolicy as the authors of the API's conformance
//! checks read it. An ipBlock matches every address there, those of pods too.

use super::case::{Case, Probe};
use super::cluster::{Shape, cluster};
use super::compare::{Judge, Plan, compare};
use super::network_policies::{Rules, policies};
use super::ours::Ours;
use fastrand::Rng;
use nanoseg::evaluate::HostNetwork;

fn make(rng: &mut Rng) -> Case {
    let ipv6 = rng.bool();
    let shape = Shape {
        ipv6,
        host_network: true,
        own_label: false,
        every_key: false,
        one_protocol_each_name: false,
    };
    let rules = Rules {
        // `not_in_matches_objects_without_the_key_here_but_not_in_cyclonus`.
        not_in: false,
        ipv6,
        // The matcher is told one name for the port, whatever the peer of a rule is.
        named_ports_to_blocks: false,
        named_egress_ports: true,
        idle_rules: true,
    };
    let mut case = cluster(rng, shape);
    case.policies = policies(rng, rules);
    case
}

fn judge(case: &Case) -> Judge {
    let ours = Ours::new(case, HostNetwork::Exact);
    Box::new(move |client, server, probe: Probe| {
        Some(ours.allows_with_pods_in_blocks(client, server, probe))
    })
}

#[test]
fn cyclonus_and_the_evaluator_say_the_same_of_network_policies() {
    compare(&Plan {
        oracle: "cyclonus",
        make: &make,
        judge: &judge,
        explain: &|case, pair, probe| {
            Ours::new(case, HostNetwork::Exact).explain(pair.0, pair.1, probe)
        },
    });
}

use super::shop::Shop;
use crate::{
    Cause, ClusterFacts, Heard, Outcome, Plan, Probe, Results, ResultsError, ServerKind, Told,
    Verdict, changed, digests, fresh,
};
use nanoseg_net::Timestamp;
use std::collections::BTreeSet;

/// The results if each probe hears what `outcome` says.
fn results(plan: Plan, facts: &ClusterFacts, outcome: impl Fn(&Probe) -> Outcome) -> Results {
    let mut heard = Heard::default();
    for (pod, probes) in plan.by_pod() {
        let told = probes.iter().map(|index| Told {
            first: outcome(&plan.probes[*index]),
            second: None,
        });
        heard.pods.insert(pod.clone(), Ok(told.collect()));
    }
    // Every server listens.
    let all: BTreeSet<usize> = (0..plan.probes.len()).collect();
    let listens = Told {
        first: Outcome::Connected,
        second: None,
    };
    let checks = plan.checks(&all, &Shop::new().subjects());
    heard.checks = checks
        .into_iter()
        .map(|check| (check, Ok(listens)))
        .collect();
    Results::new(plan, &heard, facts)
}

fn causes(results: &Results) -> BTreeSet<Cause> {
    let differ = results.tried.iter().filter(|one| one.verdict.differs());
    differ.flat_map(|one| one.causes.clone()).collect()
}

fn is_denied(probe: &Probe) -> bool {
    !probe.denied_by.is_empty()
}

fn enforced(probe: &Probe) -> Outcome {
    if is_denied(probe) {
        Outcome::Silent
    } else {
        Outcome::Connected
    }
}

#[test]
fn a_cluster_that_enforces_has_no_difference_and_no_cause() {
    let found = results(Shop::new().plan(), &ClusterFacts::default(), enforced);
    assert_eq!(found.figures.differences(), 0);
    assert_eq!(
        (
            found.figures.allowed_confirmed,
            found.figures.denied_confirmed
        ),
        (4, 4)
    );
    assert_eq!(causes(&found), BTreeSet::new());
}

#[test]
fn where_nothing_is_stopped_the_plugin_does_not_enforce() {
    let found = results(Shop::new().plan(), &ClusterFacts::default(), |_| {
        Outcome::Connected
    });
    assert_eq!(found.figures.not_blocked, 4);
    assert_eq!(
        causes(&found),
        BTreeSet::from([Cause::PluginDoesNotEnforce])
    );
}

#[test]
fn where_one_node_stops_nothing_the_node_is_named() {
    let found = results(Shop::new().plan(), &ClusterFacts::default(), |probe| {
        if probe.denied_on.contains("node2") {
            Outcome::Connected
        } else {
            enforced(probe)
        }
    });
    assert_eq!(
        causes(&found),
        BTreeSet::from([Cause::NodeDoesNotEnforce("node2".into())])
    );
}

#[test]
fn where_only_the_way_through_the_service_differs_it_is_the_translation() {
    let found = results(Shop::new().plan(), &ClusterFacts::default(), |probe| {
        if probe.through.is_some() {
            Outcome::Silent
        } else {
            enforced(probe)
        }
    });
    assert_eq!(found.figures.blocked, 2);
    assert_eq!(causes(&found), BTreeSet::from([Cause::Translation]));
}

#[test]
fn a_server_with_a_node_address_may_not_be_matched_by_ip_blocks() {
    let mut plan = Shop::new().plan();
    for probe in &mut plan.probes {
        probe.server.kind = ServerKind::ApiServer;
    }
    let blocked = |probe: &Probe| {
        if is_denied(probe) {
            Outcome::Silent
        } else {
            Outcome::Refused
        }
    };
    let found = results(plan.clone(), &ClusterFacts::default(), blocked);
    assert!(causes(&found).contains(&Cause::NodeAddresses));
    // Known not to be so.
    let facts = ClusterFacts {
        ip_blocks_match_nodes: Some(true),
        ..ClusterFacts::default()
    };
    assert!(!causes(&results(plan, &facts, blocked)).contains(&Cause::NodeAddresses));
}

#[test]
fn policies_of_other_kinds_and_fresh_ones_are_named() {
    let facts = ClusterFacts {
        not_judged: vec!["CiliumNetworkPolicy shop/x".into()],
        fresh: BTreeSet::from(["shop/api".to_owned()]),
        ..ClusterFacts::default()
    };
    let found = results(Shop::new().plan(), &facts, |_| Outcome::Silent);
    assert!(found.figures.blocked > 0);
    let causes = causes(&found);
    assert!(
        causes.contains(&Cause::Fresh("NetworkPolicy shop/api".into())),
        "{causes:?}"
    );
    assert!(causes.contains(&Cause::OtherKinds("CiliumNetworkPolicy shop/x".into())));
}

#[test]
fn every_difference_has_a_cause() {
    let found = results(Shop::new().plan(), &ClusterFacts::default(), |_| {
        Outcome::Silent
    });
    let differ = found.tried.iter().filter(|one| one.verdict.differs());
    assert!(differ.clone().count() > 0);
    assert!(differ.into_iter().all(|one| !one.causes.is_empty()));
}

#[test]
fn results_are_read_as_they_are_written_and_other_texts_are_refused() {
    let found = results(Shop::new().plan(), &ClusterFacts::default(), |_| {
        Outcome::Connected
    });
    let text = serde_json::to_vec_pretty(&found).unwrap();
    assert_eq!(Results::parse(&text).unwrap(), found);
    assert!(matches!(Results::parse(b"{}"), Err(ResultsError::Json(_))));
    assert!(matches!(
        Results::parse(b"\xff"),
        Err(ResultsError::Json(_))
    ));
    let other = br#"{"schema": "nanoseg.dev/probe/v2"}"#;
    assert!(matches!(
        Results::parse(other),
        Err(ResultsError::Schema(_))
    ));
    // A difference cannot be taken away without its being noticed in the figures.
    let mut altered = found;
    let differs = altered
        .tried
        .iter_mut()
        .find(|one| one.verdict.differs())
        .unwrap();
    differs.verdict = Verdict::AsExpected;
    let text = serde_json::to_vec(&altered).unwrap();
    assert!(matches!(Results::parse(&text), Err(ResultsError::Figures)));
}

#[test]
fn what_is_otherwise_afterwards_has_changed() {
    let shop = Shop::new();
    let plan = shop.plan();
    assert!(changed(&plan, &shop.inventory, &shop.evaluation()).is_empty());
    // Without the policy of db, all that it denied is allowed.
    let mut after = Shop::new();
    after.policies.truncate(1);
    let changes = changed(&plan, &after.inventory, &after.evaluation());
    let denied_by_db = |index: &usize| plan.probes[*index].denied_by == ["shop/db"];
    assert!(
        !changes.is_empty() && changes.iter().all(denied_by_db),
        "{changes:?}"
    );
    // Another pod has the name, with another address.
    let mut moved = Shop::new();
    for pod in &mut moved.inventory.pods {
        if pod.name == "db" {
            pod.addresses = vec!["10.0.1.99".parse().unwrap()];
        }
    }
    let changes = changed(&plan, &moved.inventory, &moved.evaluation());
    assert!(
        changes
            .iter()
            .all(|index| plan.probes[*index].behind.port() == 5432)
    );
    assert!(!changes.is_empty());
}

#[test]
fn the_digest_of_a_policy_changes_with_its_spec_only() {
    let shop = Shop::new();
    let before = digests(&shop.policies, &shop.inventory);
    let mut after = Shop::new();
    after.policies[0].metadata.resource_version = Some("7".into());
    assert_eq!(digests(&after.policies, &after.inventory), before);
    after.policies[0].spec.as_mut().unwrap().ingress = None;
    assert_ne!(digests(&after.policies, &after.inventory), before);
    let of = |policy: &str| crate::PolicyDigest {
        policy: policy.into(),
        digest: String::new(),
    };
    assert_eq!(of("shop/api").namespace(), Some("shop"));
    assert_eq!(of("CiliumNetworkPolicy shop/api").namespace(), Some("shop"));
    assert_eq!(of("ClusterNetworkPolicy baseline").namespace(), None);
}

#[test]
fn what_was_written_within_a_minute_is_fresh() {
    let mut shop = Shop::new();
    let time = |text: &str| serde_json::from_value(serde_json::json!(text)).unwrap();
    shop.policies[0].metadata.creation_timestamp = Some(time("2026-01-01T00:00:00Z"));
    shop.policies[1].metadata.creation_timestamp = Some(time("2026-01-01T00:10:00Z"));
    // 2026-01-01T00:10:30Z
    let now = Timestamp::from_secs(1_767_226_230);
    let found = fresh(&shop.policies, &shop.inventory, now);
    assert!(
        found.contains("shop/db") && !found.contains("shop/api"),
        "{found:?}"
    );
}

#[test]
fn where_it_is_not_known_whether_the_service_port_is_checked_a_try_tells() {
    use crate::CheckedPort;
    use nanoseg_plugin::EnforcedPorts;
    let mut shop = Shop::new();
    shop.ports = EnforcedPorts::Either;
    let plan = shop.plan();
    let asking: Vec<&Probe> = plan
        .probes
        .iter()
        .filter(|one| one.asks.is_some())
        .collect();
    // The Service of db has the port of its pod: nothing is open there.
    assert_eq!(asking.len(), 1, "{asking:#?}");
    assert_eq!(asking[0].through.as_deref(), Some("shop/api"));
    for (heard, port) in [
        (Outcome::Connected, CheckedPort::Pod),
        (Outcome::Silent, CheckedPort::Service),
    ] {
        let found = results(plan.clone(), &ClusterFacts::default(), |probe| {
            if probe.asks.is_some() {
                heard
            } else {
                enforced(probe)
            }
        });
        assert_eq!(found.figures.differences(), 0);
        assert_eq!(found.figures.found_out, 1);
        assert_eq!(found.found_out.checked_port, Some(port));
    }
}

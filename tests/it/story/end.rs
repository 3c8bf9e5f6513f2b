//! The end of a run of the story: the policies, and the record, which has each write once.

use super::people::nanoseg;
use super::telling::Telling;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The result that all runs have in common: the policies in the cluster at the end, by workload, with names that do not
/// depend on the run.
pub type End = BTreeMap<String, NetworkPolicySpec>;

/// Stops the controllers, checks the record, and deletes the shop.
pub fn finish(mut telling: Telling) -> End {
    let policies = telling.cluster.run(telling.policies()).expect("policies");
    let suffix = telling.shop.suffix().to_owned();
    let common = |(name, spec): (String, NetworkPolicySpec)| {
        let text = serde_json::to_string(&spec)
            .expect("JSON")
            .replace(&suffix, "");
        (
            name.replace(&suffix, ""),
            serde_json::from_str(&text).expect("a spec"),
        )
    };
    let end = policies.into_iter().map(common).collect();
    written_by_one_alone(&telling);
    let codes = telling.controllers.stop();
    assert!(
        telling.calm == (codes == [0, 0]) || !telling.calm,
        "{codes:?}"
    );
    record_is_intact(&telling, &telling.controllers.store());
    let codes = telling.agents.terminate(telling.cluster);
    assert_eq!(codes, [0, 0]);
    telling.shop.close();
    end
}

/// Checks that only nanoseg owns fields of its policies.
fn written_by_one_alone(telling: &Telling) {
    for namespace in telling.shop.namespaces() {
        for policy in telling
            .cluster
            .run(telling.our_policies(&namespace))
            .expect("policies")
        {
            let managers = policy.metadata.managed_fields.unwrap_or_default();
            let managers: Vec<String> = managers
                .into_iter()
                .filter_map(|field| field.manager)
                .collect();
            assert_eq!(managers, ["nanoseg"], "{namespace}");
        }
    }
}

/// Checks that the chain is intact and that no write is recorded twice: an applied policy is applied again only if it
/// changed, or after it was deleted.
fn record_is_intact(telling: &Telling, store: &Path) {
    let store = store.to_string_lossy();
    let verified = nanoseg(&telling.people.vera, &["record", "verify", &store]);
    assert_eq!(verified.code, 0, "{verified:?}");
    if telling.calm {
        // The cluster has the same record, up to the last line.
        let published = nanoseg(
            telling.cluster.kubeconfig(),
            &["record", "verify", "cluster"],
        );
        assert_eq!(published.stdout, verified.stdout, "{published:?}");
    }
    let shown = nanoseg(
        &telling.people.vera,
        &["record", "show", &store, "-o", "json"],
    );
    assert_eq!(shown.code, 0, "{shown:?}");
    let lines: Vec<Value> = shown
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let mut in_force: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for line in &lines {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let (action, about) = (text("action"), (text("namespace"), text("object")));
        *counts.entry(action.clone()).or_default() += 1;
        match action.as_str() {
            "applied" => {
                let before = in_force.insert(about.clone(), line["after"].clone());
                assert_ne!(
                    before,
                    Some(line["after"].clone()),
                    "{about:?} was applied twice: {line}"
                );
            }
            "deleted" => drop(in_force.remove(&about)),
            // A policy that break-glass deleted is recorded as applied again.
            "drift-repaired" => assert!(in_force.contains_key(&about), "{line}"),
            // There is one line for all policies of the namespace.
            "break-glass-on" => in_force.retain(|(namespace, _), _| *namespace != about.0),
            _ => {}
        }
    }
    telling.say(&format!(
        "the record is intact: {} lines, {counts:?}",
        lines.len()
    ));
    for wanted in [
        "proposed",
        "approved",
        "applied",
        "violation",
        "rejected",
        "rolled-back",
        "decision-refused",
    ] {
        assert!(counts.contains_key(wanted), "no {wanted} in {counts:?}");
    }
    let repaired = counts.get("drift-repaired").copied().unwrap_or_default();
    let wanted = if was_recorded_after_its_edit(telling, &lines) {
        0
    } else {
        2
    };
    assert!(repaired >= wanted, "{repaired} repairs in {counts:?}");
    breaking_the_glass_left_its_traces(telling, &lines);
}

/// Returns true if the record has no write of nanoseg-app from before somebody edited it. The leader that wrote it was
/// killed before it recorded that; the first write that the record can have is then `applied` by the next leader, and
/// no repair. Where nobody kills leaders this must not be.
fn was_recorded_after_its_edit(telling: &Telling, lines: &[Value]) -> bool {
    let edited = telling.first_edit.get().expect("somebody edited a policy");
    let applied = |line: &&Value| line["action"] == "applied" && line["object"] == "nanoseg-app";
    let first = lines.iter().find(applied).expect("nanoseg-app was applied");
    let at: jiff::Timestamp = first["at"]
        .as_str()
        .expect("a time")
        .parse()
        .expect("RFC 3339");
    at > *edited && !telling.calm
}

/// Checks that each namespace has its lines, also if the leader was killed between them.
fn breaking_the_glass_left_its_traces(telling: &Telling, lines: &[Value]) {
    for namespace in telling.shop.namespaces() {
        for action in ["break-glass-on", "break-glass-off"] {
            let is = |line: &Value, key: &str, text: &str| line[key].as_str() == Some(text);
            let has = lines
                .iter()
                .any(|line| is(line, "namespace", &namespace) && is(line, "action", action));
            assert!(has, "no {action} of {namespace}");
            let signed = lines.iter().any(|line| {
                is(line, "namespace", &namespace)
                    && is(line, "action", action)
                    && is(line, "actor", "admin")
                    && is(line, "by", "user")
            });
            assert!(signed, "no {action} of {namespace} names who did it");
        }
    }
}

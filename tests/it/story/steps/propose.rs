//! Steps 3 and 4: the proposals are right, and only users with the right decide.

use super::learn::LEARNED;
use crate::story::connections::truth;
use crate::story::controllers::SNAPSHOT;
use crate::story::people::nanoseg;
use crate::story::telling::Telling;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use kube::ResourceExt;
use nanoseg::review::resources::{DecisionOutcome, PolicyProposal, ProposalDecision};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub fn the_proposals_are_those_that_generate_makes(telling: &Telling) {
    telling.until("proposals as generate makes them", async || {
        let waiting = telling.waiting().await?;
        let proposed: BTreeMap<String, NetworkPolicySpec> = waiting
            .into_iter()
            .map(|(workload, proposal)| (workload, proposal.spec.policy))
            .collect();
        let wanted: BTreeSet<String> = LEARNED.iter().map(|name| telling.shop.here(name)).collect();
        let there: BTreeSet<String> = proposed.keys().cloned().collect();
        if there != wanted {
            return Err(format!("{there:?} instead of {wanted:?}"));
        }
        let generated = generate(telling)?;
        for (workload, spec) in &proposed {
            if generated.policies.get(workload) != Some(spec) {
                let other = generated.policies.get(workload);
                return Err(format!("{workload}: {spec:#?} instead of {other:#?}"));
            }
        }
        let true_edges = true_edges(telling);
        if generated.edges == true_edges {
            Ok(())
        } else {
            Err(format!(
                "missing {:?}, too much {:?}",
                true_edges.difference(&generated.edges).collect::<Vec<_>>(),
                generated.edges.difference(&true_edges).collect::<Vec<_>>()
            ))
        }
    });
    telling.say("the proposals are those that generate makes, of the edges that are true");
}

/// The result of `nanoseg generate` for the controller's store and a snapshot of the cluster.
struct Generated {
    policies: BTreeMap<String, NetworkPolicySpec>,
    /// Learned and implied edges with an end in the shop.
    edges: BTreeSet<String>,
}

fn generate(telling: &Telling) -> Result<Generated, String> {
    let cluster = telling.cluster;
    let snapshot = cluster.kubectl(&["get", SNAPSHOT, "-A", "-o", "yaml"]);
    let file = cluster.path("snapshot.yaml");
    std::fs::write(&file, snapshot.stdout).map_err(|e| e.to_string())?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (store, file) = (
        telling.controllers.store(),
        file.to_string_lossy().into_owned(),
    );
    let (store, out) = (store.to_string_lossy(), folder.path().to_string_lossy());
    let mut arguments = vec![
        "generate",
        "--output",
        "json",
        "--flows",
        &*store,
        "--cluster",
        &*file,
        "--out",
        &*out,
    ];
    let namespaces = telling.shop.namespaces();
    for namespace in &namespaces {
        arguments.extend(["--namespace", namespace]);
    }
    let said = nanoseg(&telling.people.vera, &arguments);
    let json: Value =
        serde_json::from_str(&said.stdout).map_err(|e| format!("{e}: {}", said.stderr))?;
    let mut policies = BTreeMap::new();
    for policy in json["policies"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let workload = &policy["workload"];
        let path = folder.path().join(text(&policy["file"]));
        let text_of =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let read: NetworkPolicy = serde_yaml::from_str(&text_of).map_err(|e| e.to_string())?;
        let name = format!(
            "{}/{}",
            text(&workload["namespace"]),
            text(&workload["name"])
        );
        policies.insert(name, read.spec.unwrap_or_default());
    }
    let edges = json["graph"]["edges"].as_array().into_iter().flatten();
    let taught = edges.filter(|edge| {
        ["learned", "implied"].contains(&edge["lesson"]["kind"].as_str().unwrap_or_default())
    });
    let words = taught.filter_map(|edge| edge_words(edge, &namespaces));
    Ok(Generated {
        policies,
        edges: words.collect(),
    })
}

/// Returns `shop-1/web → shop-1/app 8080/TCP`, if one of the ends is in these namespaces.
fn edge_words(edge: &Value, namespaces: &[String]) -> Option<String> {
    let end = |side: &str| {
        let peer = edge[side].as_str()?;
        Some(peer.split('[').next().unwrap_or(peer).to_owned())
    };
    let (client, server) = (end("client")?, end("server")?);
    let ours = |peer: &str| {
        peer.split_once('/')
            .is_some_and(|(namespace, _)| namespaces.iter().any(|n| n == namespace))
    };
    let protocol = edge["protocol"].as_str()?;
    (ours(&client) || ours(&server))
        .then(|| format!("{client} → {server} {}/{protocol}", edge["port"]))
}

fn true_edges(telling: &Telling) -> BTreeSet<String> {
    let (edges, implied) = truth();
    let here = |peer: &str| telling.shop.here(peer);
    let edges = edges.iter().chain(&implied);
    edges
        .map(|edge| {
            format!(
                "{} → {} {}/{}",
                here(&edge.client),
                here(&edge.server),
                edge.port,
                edge.protocol
            )
        })
        .collect()
}

pub fn only_who_may_decide_decides(telling: &Telling) {
    let namespace = telling.shop.namespace("shop");
    let people = &telling.people;
    let proposal = telling.proposal("shop/web", "any", |_| true);
    let name = proposal.name_any();
    let pause = [
        "approve",
        &name,
        "-n",
        &namespace,
        "--reason",
        "I like it",
        "--yes",
    ];
    let said = nanoseg(&people.vera, &pause);
    assert_eq!(said.code, 2, "Vera may not decide: {said:?}");
    // As Rosa, who may decide, but with another name.
    let refusal = telling.installation.await_admission(|| {
        let decision = decision(&proposal, "vera", &proposal.spec.review.revision);
        create(telling, &decision, true).map(drop)
    });
    assert!(
        refusal.contains("sign decisions with your own name"),
        "{refusal}"
    );
    let outdated = format!("sha256:{}", "0".repeat(64));
    let outdated =
        create(telling, &decision(&proposal, "rosa", &outdated), false).expect("it is made");
    telling.until("the outdated decision to be refused", async || {
        let all: Vec<ProposalDecision> = telling.all(&namespace).await?;
        let found = all
            .into_iter()
            .find(|decision| decision.name_any() == outdated);
        let outcome = found.and_then(|decision| decision.status?.outcome);
        match outcome {
            Some(DecisionOutcome::Refused) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    let waiting = telling.cluster.run(telling.waiting()).expect("proposals");
    assert_eq!(waiting.len(), LEARNED.len(), "nothing was decided");
    for namespace in telling.shop.namespaces() {
        approve_all(telling, &namespace);
    }
    let policies = telling.cluster.run(telling.policies()).expect("policies");
    assert!(policies.is_empty(), "Propose writes nothing: {policies:?}");
    telling.say("Rosa approved");
}

/// Rosa approves until no proposal is open. A decision about a proposal that changed meanwhile is refused and made
/// again.
fn approve_all(telling: &Telling, namespace: &str) {
    let approve = [
        "approve",
        "--all",
        "-n",
        namespace,
        "--reason",
        "as observed",
        "--yes",
        "--wait",
        "60s",
    ];
    telling.until("everything to be approved", async || {
        let said = nanoseg(&telling.people.rosa, &approve);
        let waiting = telling.waiting().await?;
        let theirs = waiting
            .keys()
            .filter(|name| name.starts_with(&format!("{namespace}/")));
        match theirs.count() {
            0 => Ok(()),
            count => Err(format!("{count} wait: {said:?}")),
        }
    });
}

/// Returns a ProposalDecision as a person may write it.
pub fn decision(proposal: &PolicyProposal, by: &str, revision: &str) -> Value {
    json!({
        "apiVersion": "nanoseg.dev/v1alpha1",
        "kind": "ProposalDecision",
        "metadata": {"generateName": "by-hand-", "namespace": proposal.namespace()},
        "spec": {
            "proposal": proposal.name_any(),
            "proposalUid": proposal.uid(),
            "revision": revision,
            "decision": "Approve",
            "reason": "by hand",
            "decidedBy": by,
        },
    })
}

/// Rosa creates a decision with kubectl. Returns its name, or the refusal.
pub fn create(telling: &Telling, decision: &Value, dry: bool) -> Result<String, String> {
    let file = telling.cluster.path(&telling.cluster.name("decision"));
    std::fs::write(&file, decision.to_string()).expect("a file");
    let file = file.to_string_lossy();
    let mut arguments = vec!["create", "-f", &*file, "-o", "jsonpath={.metadata.name}"];
    arguments.extend(dry.then_some("--dry-run=server"));
    let output = telling.cluster.kubectl_of(&telling.people.rosa, &arguments);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

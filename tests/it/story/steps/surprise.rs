//! Step 7: a new connection.

use super::propose::{create, decision};
use crate::story::connections::{Attempt, Edge, attempts};
use crate::story::people::nanoseg;
use crate::story::telling::{Telling, plain};
use kube::ResourceExt;
use nanoseg::review::resources::PolicyProposal;
use std::time::{Duration, Instant};

/// The time limit from the first attempt to the proposal.
const ASKED: Duration = Duration::from_secs(5);
/// The time limit from the decision to the policy in the cluster, for an unoptimised build on a busy machine.
const APPLIED: Duration = Duration::from_secs(3);

pub fn a_new_connection_is_blocked_asked_about_and_works_once_approved(telling: &Telling) {
    refuse_what_nobody_needs(telling);
    let edge = Edge {
        client: "shop/feed".to_owned(),
        server: "shop/broker".to_owned(),
        protocol: "TCP".to_owned(),
        port: 1883,
    };
    let attempts = attempts(telling.cluster, &telling.shop, &edge);
    let begun = Instant::now();
    for attempt in &attempts {
        assert!(attempt.make().is_some(), "{} is not blocked", attempt.words);
    }
    let ends = [&edge.client, &edge.server].map(|peer| telling.shop.here(peer));
    let opens = |proposal: &PolicyProposal| {
        let mut gained = proposal.spec.review.gained.iter();
        gained.any(|change| {
            [&change.client, &change.server] == [&ends[0], &ends[1]]
                && change.ports.contains("1883")
        })
    };
    let asked: Vec<PolicyProposal> = [&edge.client, &edge.server]
        .map(|workload| telling.proposal(workload, "the new connection", opens))
        .into();
    telling.in_time("attempt → proposals at both ends", begun.elapsed(), ASKED);
    violation_is_counted(telling);
    for proposal in &asked {
        let only = proposal.spec.review.gained_total;
        assert_eq!(only, 1, "{:#?}", proposal.spec.review);
    }
    approve(telling, &asked);
    for attempt in &attempts {
        let took = attempt.until(true, Duration::from_secs(20));
        telling.say(&format!(
            "{}: works {:.2?} later",
            attempt.words,
            took.expect("it works")
        ));
    }
}

/// Rosa rejects the open proposals: for the attempts of step 5, and for failing calls of the shop.
fn refuse_what_nobody_needs(telling: &Telling) {
    // Attempts before the leader knows that the policy is in the cluster are not proposed, and a leader that follows a
    // killed one may know it late. The other callers try again by themselves.
    let again = Edge {
        client: "shop/loadgen".to_owned(),
        server: "shop/app".to_owned(),
        protocol: "TCP".to_owned(),
        port: 8080,
    };
    for attempt in attempts(telling.cluster, &telling.shop, &again) {
        assert!(attempt.make().is_some(), "{} is not blocked", attempt.words);
    }
    // Recent attempts are proposed with a short delay.
    for workload in ["shop/pay", "shop/consumer", "shop/web", "shop/loadgen"] {
        telling.proposal(workload, "what is blocked", |_| true);
    }
    telling.until("nothing to wait", async || {
        let waiting = telling.waiting().await?;
        for proposal in waiting.values() {
            let (namespace, name) = (
                proposal.namespace().unwrap_or_default(),
                proposal.name_any(),
            );
            let reject = [
                "reject",
                &*name,
                "-n",
                &*namespace,
                "--reason",
                "nobody needs it",
                "--yes",
                "--wait",
                "60s",
            ];
            nanoseg(&telling.people.rosa, &reject);
        }
        match waiting.len() {
            0 => Ok(()),
            _ => Err(format!("{:?} wait", waiting.keys())),
        }
    });
    telling.say("Rosa rejected what nobody needs");
}

fn violation_is_counted(telling: &Telling) {
    let namespace = telling.shop.namespace("shop");
    telling.until("the violation to be counted", async || {
        let status = telling
            .segmentation(&namespace)
            .await?
            .status
            .unwrap_or_default();
        let counted = status.counts.violations > 0 && status.counts.open_proposals > 0;
        counted.then_some(()).ok_or_else(|| format!("{status:?}"))
    });
}

/// Rosa approves both, the first within the time limit.
fn approve(telling: &Telling, asked: &[PolicyProposal]) {
    let policy = |proposals: &[PolicyProposal]| {
        proposals
            .iter()
            .map(|p| {
                format!(
                    "{}/{}",
                    p.namespace().unwrap_or_default(),
                    p.spec.policy_name
                )
            })
            .collect::<Vec<_>>()
    };
    let names = policy(asked);
    for (proposal, name) in asked.iter().zip(&names) {
        let begun = Instant::now();
        create(
            telling,
            &decision(proposal, "rosa", &proposal.spec.review.revision),
            false,
        )
        .expect("it is made");
        let created = begun.elapsed();
        let wanted = plain(proposal.spec.policy.clone());
        telling.until("the approved policy", async || {
            let policies = telling.policies().await?;
            if policies.get(name) == Some(&wanted) {
                Ok(())
            } else {
                Err(format!("{name} is another"))
            }
        });
        telling.in_time(
            "decision → applied",
            begun.elapsed().saturating_sub(created),
            APPLIED,
        );
    }
}

/// Returns the attempts of an edge, for later steps.
pub fn attempts_of(telling: &Telling, client: &str, server: &str, port: u16) -> Vec<Attempt> {
    let edge = Edge {
        client: client.to_owned(),
        server: server.to_owned(),
        protocol: "TCP".to_owned(),
        port,
    };
    attempts(telling.cluster, &telling.shop, &edge)
}

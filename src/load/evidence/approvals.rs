//! From the reviews of workloads: who approved which rule, and which connections proposals would allow.

use crate::net::Direction;
use crate::report::evidence::{Approval, Asked, RuleApproval};
use crate::review::resources::EvidenceLine;
use crate::review::{Revision, WorkloadState};
use serde_json::Value;

/// `namespace/name` of a workload's policy.
pub fn policy_name(state: &WorkloadState) -> String {
    format!("{}/{}", state.workload.namespace, state.policy_name)
}

/// Who approved a revision, and each of its rules.
pub fn approval(state: &WorkloadState, revision: &Revision) -> Approval {
    let proposal = state.proposal(&revision.proposal);
    Approval {
        policy: policy_name(state),
        workload: state.workload.clone(),
        revision: revision.number,
        digest: revision.digest.as_str().to_owned(),
        by: revision.decided_by.clone(),
        at: revision.at,
        reason: proposal
            .and_then(|one| one.stage.ruling())
            .map_or(String::new(), |ruling| ruling.reason.clone()),
        rules: [Direction::Ingress, Direction::Egress]
            .into_iter()
            .flat_map(|direction| rules(state, revision, direction))
            .collect(),
    }
}

/// Each rule was approved with the earliest revision that has it unchanged in every revision since, following the
/// revisions that this one is based on.
fn rules(state: &WorkloadState, revision: &Revision, direction: Direction) -> Vec<RuleApproval> {
    let mut lineage = vec![(revision, rules_of(revision, direction))];
    while let Some((last, _)) = lineage.last()
        && let Some(base) = base(state, last)
    {
        lineage.push((base, rules_of(base, direction)));
    }
    let rules = rules_of(revision, direction).into_iter().enumerate();
    rules
        .map(|(index, rule)| {
            let has_it = lineage
                .iter()
                .take_while(|(_, rules)| rules.contains(&rule));
            let first = has_it.last().map_or(revision, |(first, _)| first);
            RuleApproval {
                direction,
                index,
                revision: first.number,
                by: first.decided_by.clone(),
                at: first.at,
            }
        })
        .collect()
}

/// The revision that this one changed. Also `None` if its proposal is not kept any more: then the approval of this
/// one is the earliest known.
fn base<'s>(state: &'s WorkloadState, revision: &Revision) -> Option<&'s Revision> {
    let number = state.proposal(&revision.proposal)?.base_revision?;
    state
        .revision(number)
        .filter(|one| one.number < revision.number)
}

fn rules_of(revision: &Revision, direction: Direction) -> Vec<Value> {
    let (ingress, egress) = (&revision.policy.ingress, &revision.policy.egress);
    match direction {
        Direction::Ingress => as_values(ingress.as_deref().unwrap_or_default()),
        Direction::Egress => as_values(egress.as_deref().unwrap_or_default()),
    }
}

fn as_values<T: serde::Serialize>(rules: &[T]) -> Vec<Value> {
    let rules = rules.iter();
    rules
        .map(|rule| serde_json::to_value(rule).unwrap_or_default())
        .collect()
}

/// The connections that each proposal would allow.
pub fn asked(state: &WorkloadState) -> Vec<Asked> {
    let proposals = state.proposals.iter();
    proposals
        .map(|proposal| Asked {
            namespace: state.workload.namespace.clone(),
            name: proposal.name.clone(),
            connections: proposal
                .impact
                .evidence
                .iter()
                .filter_map(EvidenceLine::connection)
                .collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::WorkloadId;
    use crate::net::Timestamp;
    use crate::review::policy_digest;

    fn state(revisions: &[(&str, &str, Option<u32>)]) -> WorkloadState {
        let workload = WorkloadId {
            namespace: "shop".into(),
            name: "db".into(),
            kind: "Deployment".into(),
        };
        let mut state = WorkloadState::new(workload, "nanoseg-db".into());
        let mut proposals = Vec::new();
        for (index, (by, policy, base)) in revisions.iter().enumerate() {
            let policy: k8s_openapi::api::networking::v1::NetworkPolicySpec =
                serde_yaml::from_str(policy).unwrap();
            let number = index as u32 + 1;
            let at = Timestamp::from_secs(i64::from(number));
            proposals.push(serde_json::json!({
                "name": format!("db-{number}"), "created": at, "policy": policy,
                "base_revision": base, "base": null, "material": {},
                "generated": policy_digest(&policy), "basis": policy_digest(&policy),
                "asked_by_blocked": false, "phase": "Applied", "since": at,
                "decided_by": by, "decision": null, "reason": "fine", "message": null,
                "revision": number,
            }));
            state.revisions.push(Revision {
                number,
                digest: policy_digest(&policy),
                policy,
                base: *base,
                intent: Default::default(),
                temporary: None,
                is_rest: false,
                proposal: format!("db-{number}"),
                decided_by: (*by).into(),
                at,
            });
        }
        state.proposals = serde_json::from_value(Value::Array(proposals)).unwrap();
        state
    }

    fn approvers(state: &WorkloadState) -> Vec<(u32, String)> {
        let last = state.revisions.last().unwrap();
        let rules = approval(state, last).rules.into_iter();
        rules.map(|one| (one.revision, one.by)).collect()
    }

    const WEB: &str = "{from: [{podSelector: {matchLabels: {app: web}}}]}";
    const JOB: &str = "{from: [{podSelector: {matchLabels: {app: job}}}]}";

    #[test]
    fn a_rule_was_approved_by_who_approved_it_first() {
        let (one, two) = (
            format!("{{podSelector: {{}}, ingress: [{WEB}]}}"),
            format!("{{podSelector: {{}}, ingress: [{JOB}, {WEB}]}}"),
        );
        let mut state = state(&[("alice", &one, None), ("bob", &two, Some(1))]);
        let expected = [(2, "bob".to_owned()), (1, "alice".to_owned())];
        assert_eq!(approvers(&state), expected);
        // Where the way back is not known any more, the last approval is what is known.
        state.proposals.pop();
        assert_eq!(approvers(&state), [(2, "bob".into()), (2, "bob".into())]);
    }

    #[test]
    fn what_was_taken_back_in_between_does_not_count() {
        let (one, none) = (
            format!("{{podSelector: {{}}, ingress: [{WEB}]}}"),
            "{podSelector: {}, ingress: []}",
        );
        let back = [
            ("alice", one.as_str(), None),
            ("bob", none, Some(1)),
            ("carol", &one, Some(1)),
        ];
        assert_eq!(approvers(&state(&back)), [(1, "alice".into())]);
        let again = [
            ("alice", one.as_str(), None),
            ("bob", none, Some(1)),
            ("carol", &one, Some(2)),
        ];
        assert_eq!(approvers(&state(&again)), [(3, "carol".into())]);
    }
}

//! The states of a workload: proposed, decided, applied, rolled back; each step with its line in the record.

use super::*;
use crate::Assessment;
use crate::resources::Phase;
use crate::resources::Verb;
use crate::testing::peer;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::Protocol;
use nanoseg_record::ActionKind;

mod openings;

const UID: &str = "u1";

fn at(seconds: i64) -> Timestamp {
    Timestamp::default().plus_secs(seconds)
}

fn policy(port: u16) -> NetworkPolicySpec {
    let text = format!(
        "podSelector: {{matchLabels: {{app: api}}}}\npolicyTypes: [Ingress, Egress]\ningress: [{{ports: [{{port: {port}, protocol: TCP}}]}}]"
    );
    serde_yaml::from_str(&text).expect("a policy")
}

fn desired(port: u16) -> DesiredPolicy {
    DesiredPolicy {
        policy: policy(port),
        basis: Digest::of_bytes(&port.to_be_bytes()),
        asked_by_blocked: false,
        is_changed: false,
        temporary: None,
    }
}

/// It is meant to allow web to call the policy's port.
fn assessment(policy: &NetworkPolicySpec) -> Assessment {
    let rules = policy.ingress.iter().flatten();
    let ports = rules.flat_map(|rule| rule.ports.iter().flatten());
    let ports = ports.filter_map(|port| match &port.port {
        Some(IntOrString::Int(port)) => u16::try_from(*port).ok(),
        _ => None,
    });
    Assessment {
        impact: Impact {
            revision: policy_digest(policy).to_string(),
            reason: "a test".into(),
            ..Impact::default()
        },
        intent: Intent::new(ports.map(call), []),
        ..Assessment::default()
    }
}

/// web → api on a port.
fn call(port: u16) -> IntendedConnection {
    IntendedConnection {
        client: peer("shop/web"),
        server: peer("shop/api"),
        protocol: Protocol::Tcp,
        port,
    }
}

fn state() -> WorkloadState {
    let workload = WorkloadId {
        namespace: "shop".into(),
        name: "api".into(),
        kind: "Deployment".into(),
    };
    WorkloadState::new(workload, "nanoseg-api".into())
}

fn propose(state: &mut WorkloadState, port: u16, now: i64, record: &mut Vec<Entry>) {
    let desired = desired(port);
    assert_eq!(state.need(&desired), Need::Assess);
    let assessment = assessment(state.policy_to_assess(&desired));
    state.propose(desired, assessment, at(now), record);
}

fn decision(state: &WorkloadState, name: &str, verb: Verb) -> Decision {
    Decision {
        name: "d".into(),
        proposal: name.into(),
        proposal_uid: UID.into(),
        revision: state
            .proposal(name)
            .map_or(String::new(), |p| p.digest().into()),
        verb,
        reason: "looks right".into(),
        decided_by: "ann".into(),
        except: Vec::new(),
        open_for: None,
        made: None,
    }
}

fn approve(state: &mut WorkloadState, now: i64, record: &mut Vec<Entry>) {
    let name = state.open().expect("an open proposal").name.clone();
    let decision = decision(state, &name, Verb::Approve);
    let done = state.decide(&decision, Some(UID), at(now), record);
    assert_eq!(done, Ok(()));
}

fn phases(state: &WorkloadState) -> Vec<Phase> {
    state.proposals.iter().map(|p| p.stage.phase()).collect()
}

fn actions(record: &[Entry]) -> Vec<ActionKind> {
    record.iter().map(|entry| entry.action.kind()).collect()
}

#[test]
fn a_proposal_is_approved_and_applied_and_the_next_one_supersedes_it() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    assert_eq!(state.need(&desired(80)), Need::Nothing);
    approve(&mut state, 2, &mut record);
    assert_eq!(state.wanted_policy(), Some(&policy(80)));
    assert!(!state.is_applied());
    state.applied(at(3), &mut record);
    assert!(state.is_applied());
    assert_eq!(state.need(&desired(80)), Need::Nothing);
    propose(&mut state, 81, 4, &mut record);
    assert_eq!(state.open().and_then(|p| p.base.clone()), Some(policy(80)));
    approve(&mut state, 5, &mut record);
    state.applied(at(6), &mut record);
    assert_eq!(phases(&state), [Phase::Superseded, Phase::Applied]);
    assert_eq!(state.policy_before(), Some(&policy(80)));
    use ActionKind::{Applied, Approved, Proposed};
    assert_eq!(
        actions(&record),
        [Proposed, Approved, Applied, Proposed, Approved, Applied]
    );
}

#[test]
fn a_policy_that_is_already_applied_is_applied_once() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    approve(&mut state, 2, &mut record);
    state.applied(at(3), &mut record);
    let (before, lines) = (state.clone(), record.len());
    state.applied(at(4), &mut record);
    assert_eq!((state, record.len()), (before, lines));
}

#[test]
fn a_decision_about_an_earlier_revision_is_refused() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    let old = decision(&state, "api-1", Verb::Approve);
    propose(&mut state, 81, 2, &mut record);
    assert_eq!(
        state.proposals.len(),
        1,
        "the open one is brought up to date"
    );
    let before = state.clone();
    let refused = state.decide(&old, Some(UID), at(3), &mut record);
    assert!(
        matches!(refused, Err(Refusal::Outdated { .. })),
        "{refused:?}"
    );
    let other = decision(&state, "api-1", Verb::Approve);
    let refused = state.decide(&other, Some("u2"), at(3), &mut record);
    assert!(matches!(refused, Err(Refusal::AnotherObject(_))));
    let unknown = decision(&state, "api-9", Verb::Approve);
    let refused = state.decide(&unknown, Some(UID), at(3), &mut record);
    assert!(matches!(refused, Err(Refusal::Unknown(_))));
    assert_eq!(state, before);
}

#[test]
fn a_decided_proposal_cannot_be_decided_again() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    let reject = decision(&state, "api-1", Verb::Reject);
    assert_eq!(state.decide(&reject, Some(UID), at(2), &mut record), Ok(()));
    let again = decision(&state, "api-1", Verb::Approve);
    let refused = state.decide(&again, Some(UID), at(3), &mut record);
    assert!(matches!(refused, Err(Refusal::NotPending { .. })));
    let undo = decision(&state, "api-1", Verb::Rollback);
    let refused = state.decide(&undo, Some(UID), at(3), &mut record);
    assert!(matches!(refused, Err(Refusal::NotApproved { .. })));
}

#[test]
fn a_rejected_policy_is_not_proposed_again_until_the_traffic_changes() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    let reject = decision(&state, "api-1", Verb::Reject);
    assert_eq!(state.decide(&reject, Some(UID), at(2), &mut record), Ok(()));
    assert_eq!(state.need(&desired(80)), Need::Nothing);
    assert_eq!(state.need(&desired(81)), Need::Assess);
}

#[test]
fn an_edited_proposal_keeps_its_policy_and_gets_another_revision() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    let read = decision(&state, "api-1", Verb::Approve);
    assert!(state.edit("api-1", &policy(99)));
    assert!(!state.edit("api-1", &policy(99)), "it is the same by now");
    let refused = state.decide(&read, Some(UID), at(2), &mut record);
    assert!(
        matches!(refused, Err(Refusal::Outdated { .. })),
        "not judged yet"
    );
    assert_eq!(state.need(&desired(80)), Need::Assess);
    assert_eq!(state.policy_to_assess(&desired(80)), &policy(99));
    state.propose(desired(80), assessment(&policy(99)), at(3), &mut record);
    assert_eq!(state.need(&desired(80)), Need::Nothing);
    approve(&mut state, 4, &mut record);
    assert_eq!(state.wanted_policy(), Some(&policy(99)));
    // The person's edit is not questioned again until the traffic requires another policy.
    assert_eq!(state.need(&desired(80)), Need::Nothing);
    assert_eq!(state.need(&desired(81)), Need::Assess);
}

#[test]
fn a_rollback_restores_the_policy_in_force_before_and_undoes_later_ones() {
    let (mut state, mut record) = (state(), Vec::new());
    for (port, now) in [(80, 10), (81, 20), (82, 30)] {
        propose(&mut state, port, now, &mut record);
        approve(&mut state, now + 1, &mut record);
        state.applied(at(now + 2), &mut record);
    }
    let undo = decision(&state, "api-2", Verb::Rollback);
    assert_eq!(state.decide(&undo, Some(UID), at(40), &mut record), Ok(()));
    assert_eq!(state.wanted_policy(), Some(&policy(80)));
    assert!(!state.is_applied());
    state.applied(at(41), &mut record);
    assert_eq!(
        phases(&state),
        [Phase::Applied, Phase::RolledBack, Phase::RolledBack]
    );
    let undo = decision(&state, "api-1", Verb::Rollback);
    assert_eq!(state.decide(&undo, Some(UID), at(50), &mut record), Ok(()));
    assert_eq!(state.wanted_policy(), None);
    state.applied(at(51), &mut record);
    assert_eq!(
        record.last().map(|entry| entry.action.kind()),
        Some(ActionKind::Deleted)
    );
}

/// Revisions of these ports, each approved and applied.
fn approved(ports: &[u16]) -> (WorkloadState, Vec<Entry>) {
    let (mut state, mut record) = (state(), Vec::new());
    for (n, port) in (0..).zip(ports) {
        propose(&mut state, *port, 10 * n + 1, &mut record);
        approve(&mut state, 10 * n + 2, &mut record);
        state.applied(at(10 * n + 3), &mut record);
    }
    (state, record)
}

fn decide(state: &mut WorkloadState, name: &str, verb: Verb, now: i64, record: &mut Vec<Entry>) {
    let decision = decision(state, name, verb);
    assert_eq!(state.decide(&decision, Some(UID), at(now), record), Ok(()));
}

#[test]
fn blocked_traffic_undoes_the_last_change_and_a_decision_clears_degraded() {
    let (mut state, mut record) = approved(&[80, 81]);
    assert!(state.roll_back_blocked(&call(80), "web → api 80/TCP", at(30), &mut record));
    assert!(state.degraded.is_some() && state.wanted == Some(1));
    assert_eq!(phases(&state), [Phase::Superseded, Phase::RolledBack]);
    state.applied(at(31), &mut record);
    propose(&mut state, 82, 32, &mut record);
    approve(&mut state, 33, &mut record);
    assert_eq!(state.degraded, None);
}

#[test]
fn the_first_policy_is_never_rolled_back_by_traffic() {
    let (mut fresh, mut record) = (state(), Vec::new());
    assert!(!fresh.roll_back_blocked(&call(80), "x", at(0), &mut record));
    let (mut state, mut record) = approved(&[80]);
    let before = state.clone();
    assert!(!state.roll_back_blocked(&call(80), "x", at(9), &mut record));
    assert_eq!(state, before);
    // It stays, and a person is asked, once.
    assert!(state.keep_although_blocked(&call(80), "x", at(9), &mut record));
    assert!(!state.keep_although_blocked(&call(80), "x", at(10), &mut record));
    assert_eq!((state.wanted, state.is_applied()), (Some(1), true));
    let last = record.last().expect("a line").action.clone();
    assert_eq!(last.kind(), ActionKind::ApprovedTrafficBlocked);
    assert!(state.needs_person().is_some());
}

#[test]
fn one_rollback_does_not_lead_to_the_next() {
    let (mut state, mut record) = approved(&[80, 81, 82]);
    assert_eq!(state.applied_change().map(|c| c.revision.number), Some(3));
    assert!(state.roll_back_blocked(&call(80), "x", at(40), &mut record));
    state.applied(at(41), &mut record);
    assert_eq!(state.wanted, Some(2));
    assert_eq!(
        state.applied_change(),
        None,
        "nobody approved it as a change"
    );
    assert!(!state.roll_back_blocked(&call(80), "x", at(42), &mut record));
    assert_eq!(state.wanted, Some(2));
}

#[test]
fn after_any_rollback_the_same_policy_is_proposed_again_and_only_a_person_approves_it() {
    let (mut state, mut record) = approved(&[80]);
    decide(&mut state, "api-1", Verb::Rollback, 10, &mut record);
    state.applied(at(11), &mut record);
    assert_eq!((state.wanted, state.open()), (None, None));
    assert!(
        state.needs_person().is_some(),
        "the rules do not bring it back"
    );
    propose(&mut state, 80, 12, &mut record);
    approve(&mut state, 13, &mut record);
    state.applied(at(14), &mut record);
    assert_eq!(state.wanted_policy(), Some(&policy(80)));
    assert_eq!(state.needs_person(), None);
}

#[test]
fn what_was_rolled_back_is_approved_again_as_a_change_of_what_is_in_force() {
    let (mut state, mut record) = approved(&[80]);
    decide(&mut state, "api-1", Verb::Rollback, 10, &mut record);
    state.applied(at(11), &mut record);
    propose(&mut state, 81, 12, &mut record);
    approve(&mut state, 13, &mut record);
    state.applied(at(14), &mut record);
    decide(&mut state, "api-1", Verb::Approve, 15, &mut record);
    state.applied(at(16), &mut record);
    assert_eq!(state.wanted_policy(), Some(&policy(80)));
    assert_eq!(phases(&state), [Phase::Applied, Phase::Superseded]);
    let change = state.applied_change().expect("a change");
    assert_eq!(
        (change.revision.number, change.before.map(|r| r.number)),
        (3, Some(2))
    );
    decide(&mut state, "api-1", Verb::Rollback, 17, &mut record);
    assert_eq!(state.wanted_policy(), Some(&policy(81)));
}

#[test]
fn a_rejected_proposal_is_not_approved_again() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    decide(&mut state, "api-1", Verb::Reject, 2, &mut record);
    let again = decision(&state, "api-1", Verb::Approve);
    let refused = state.decide(&again, Some(UID), at(3), &mut record);
    assert!(matches!(refused, Err(Refusal::NotPending { .. })));
}

#[test]
fn a_revision_keeps_what_it_was_meant_to_allow_and_what_it_closes_on_purpose() {
    let (mut state, mut record) = approved(&[80]);
    let closing = Assessment {
        intent: Intent::new([call(81)], [call(80)]),
        ..assessment(&policy(81))
    };
    state.propose(desired(81), closing, at(4), &mut record);
    approve(&mut state, 5, &mut record);
    state.applied(at(6), &mut record);
    let (_, meant) = (propose(&mut state, 82, 7, &mut record), call(82));
    approve(&mut state, 8, &mut record);
    state.applied(at(9), &mut record);
    let text = serde_json::to_string(&state).expect("JSON");
    let state: WorkloadState = serde_json::from_str(&text).expect("a state");
    let kept = &state.revision(3).expect("revision 3").intent;
    assert!(kept.allows.contains(&meant));
    // Still so after the next change, which does not allow it again.
    assert_eq!(state.closed_on_purpose(), [&call(80)].into());
    assert!(approved(&[80]).0.closed_on_purpose().is_empty());
}

#[test]
fn a_rejected_opening_stays_closed_on_purpose() {
    let (mut state, mut record) = approved(&[80]);
    assert!(state.keep_although_blocked(&call(80), "x", at(9), &mut record));
    propose(&mut state, 81, 10, &mut record);
    decide(&mut state, "api-2", Verb::Reject, 11, &mut record);
    assert_eq!(state.degraded, None);
    assert_eq!(state.closed_on_purpose(), [&call(80)].into());
    let revision = state.revision(1).expect("revision 1");
    assert!(
        revision.intent.allows.is_empty(),
        "it triggers nothing more"
    );
}

#[test]
fn what_was_rejected_before_is_asked_again_once_approved_traffic_is_blocked() {
    let (mut state, mut record) = approved(&[80]);
    propose(&mut state, 81, 4, &mut record);
    decide(&mut state, "api-2", Verb::Reject, 5, &mut record);
    assert_eq!(state.need(&desired(81)), Need::Nothing);
    assert!(state.keep_although_blocked(&call(80), "x", at(6), &mut record));
    propose(&mut state, 81, 7, &mut record);
    decide(&mut state, "api-3", Verb::Reject, 8, &mut record);
    assert_eq!(
        state.need(&desired(81)),
        Need::Nothing,
        "a person has looked"
    );
}

#[test]
fn a_state_of_an_earlier_version_reads_and_its_revisions_trigger_nothing() {
    let (state, _) = approved(&[80, 81]);
    let mut stored = serde_json::to_value(&state).expect("JSON");
    stored
        .as_object_mut()
        .expect("an object")
        .remove("awaits_person");
    for list in ["proposals", "revisions"] {
        for one in stored[list].as_array_mut().expect("a list") {
            let one = one.as_object_mut().expect("an object");
            one.remove("intent");
            one.remove("base");
            if list == "proposals" {
                one.insert("base".into(), serde_json::Value::Null);
            }
        }
    }
    stored["degraded"] = serde_json::json!({"at": state.proposals[0].since, "why": "web"});
    let read: WorkloadState = serde_json::from_value(stored).expect("a state");
    let change = read.applied_change().expect("a change");
    assert_eq!(change.before.map(|r| r.number), Some(1));
    assert_eq!(change.revision.intent, Intent::default());
    let degraded = read.degraded.expect("it is degraded");
    assert_eq!(
        (degraded.by, degraded.connection),
        (DegradedBy::RolledBack, None)
    );
}

#[test]
fn blocked_traffic_does_not_push_out_what_was_once_approved() {
    let (mut state, mut record) = approved(&[80, 81]);
    for number in 0..60 {
        propose(
            &mut state,
            1000 + number,
            30 + i64::from(number),
            &mut record,
        );
        state.withdraw("a test", at(30 + i64::from(number)), &mut record);
    }
    assert!(
        state.proposal("api-1").is_some(),
        "the way back to revision 1"
    );
}

#[test]
fn only_a_limited_number_of_closed_proposals_is_kept() {
    let (mut state, mut record) = (state(), Vec::new());
    for number in 0..60 {
        propose(&mut state, 1000 + number, i64::from(number), &mut record);
        state.withdraw("a test", at(i64::from(number)), &mut record);
    }
    assert!(
        state.proposals.len() <= KEPT + 1,
        "{}",
        state.proposals.len()
    );
    let kept: Vec<_> = state.proposals.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(kept.last(), Some(&"api-60"));
}

#[test]
fn a_state_is_the_same_after_it_was_stored() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    approve(&mut state, 2, &mut record);
    propose(&mut state, 81, 3, &mut record);
    let text = serde_json::to_string(&state).expect("JSON");
    let back: WorkloadState = serde_json::from_str(&text).expect("a state");
    assert_eq!(back, state);
}

#[test]
fn a_policy_that_break_glass_removed_comes_back_as_itself_and_not_as_a_first_policy() {
    let (mut state, mut record) = (state(), Vec::new());
    propose(&mut state, 80, 1, &mut record);
    approve(&mut state, 2, &mut record);
    state.applied(at(3), &mut record);
    assert_eq!(state.policy_before(), None);
    // Once when break-glass begins, and once when it ends.
    state.taken_away();
    state.taken_away();
    assert!(!state.is_applied());
    state.applied(at(9), &mut record);
    assert_eq!(state.policy_before(), state.wanted_policy());
    // A policy that is approved meanwhile is a change of the policy before break-glass.
    state.taken_away();
    propose(&mut state, 81, 10, &mut record);
    approve(&mut state, 11, &mut record);
    state.applied(at(12), &mut record);
    let before = state.revision(1).map(|revision| revision.policy.clone());
    assert_eq!(state.policy_before(), before.as_ref());
}

/// What the record proves after these entries.
fn rulings(record: &[Entry]) -> nanoseg_record::Rulings {
    let (mut chain, mut rulings) = (
        nanoseg_record::Chain::default(),
        nanoseg_record::Rulings::default(),
    );
    for entry in record {
        rulings.take(&chain.append(entry.clone(), at(0)));
    }
    rulings
}

#[test]
fn a_state_as_it_was_recorded_is_proven_at_each_step() {
    let (mut state, mut record) = (state(), Vec::new());
    let proven = |state: &WorkloadState, record: &[Entry]| {
        let mut kept = state.clone();
        assert_eq!(kept.keep_proven(&rulings(record)), []);
        assert_eq!(kept, *state);
    };
    for (port, now) in [(1, 10), (2, 20)] {
        propose(&mut state, port, now, &mut record);
        proven(&state, &record);
        approve(&mut state, now + 1, &mut record);
        proven(&state, &record);
        state.applied(at(now + 2), &mut record);
        proven(&state, &record);
    }
    let undo = decision(&state, "api-2", Verb::Rollback);
    let undone = state.decide(&undo, Some(UID), at(30), &mut record);
    assert_eq!(undone, Ok(()));
    proven(&state, &record);
    state.applied(at(31), &mut record);
    proven(&state, &record);
}

#[test]
fn an_altered_state_loses_what_the_record_does_not_prove() {
    let (mut state, mut record) = (state(), Vec::new());
    for (port, now) in [(1, 10), (2, 20)] {
        propose(&mut state, port, now, &mut record);
        approve(&mut state, now + 1, &mut record);
        state.applied(at(now + 2), &mut record);
    }
    let rulings = rulings(&record);

    // Another policy in an approved revision, with and without its digest: nothing is wanted of the cluster.
    for with_digest in [false, true] {
        let mut altered = state.clone();
        let last = altered.revisions.last_mut().expect("a revision");
        last.policy = policy(9);
        if with_digest {
            last.digest = policy_digest(&last.policy);
        }
        let unproven = altered.keep_proven(&rulings);
        assert_eq!(unproven, [Unproven::Revision(2), Unproven::Wanted(2)]);
        assert_eq!((altered.wanted, &altered.applied), (None, &None));
        assert_eq!(altered.revisions.len(), 1);
    }

    // An older, wider revision is made the wanted one: the record says which one is.
    let mut altered = state.clone();
    altered.wanted = Some(1);
    assert_eq!(altered.keep_proven(&rulings), [Unproven::Wanted(1)]);
    assert_eq!(altered.wanted, Some(2));

    // No policy is made the wanted one, which would delete it.
    let mut altered = state.clone();
    altered.wanted = None;
    assert_eq!(altered.keep_proven(&rulings), []);
    assert_eq!(altered.wanted, Some(2));

    // A revision that nobody ever made: that would delete the policy as well.
    let mut altered = state.clone();
    altered.wanted = Some(99);
    assert_eq!(altered.keep_proven(&rulings), [Unproven::Wanted(99)]);
    assert_eq!(altered.wanted, Some(2));

    // A review without revisions, which would delete it too.
    let mut altered = state.clone();
    altered.wanted = None;
    altered.revisions.clear();
    if let Some(applied) = &mut altered.applied {
        (applied.revision, applied.before) = (None, None);
    }
    assert_eq!(altered.keep_proven(&rulings), [Unproven::Deletion]);
    assert_eq!(altered.applied, None);

    // The policies of one workload under the name of another.
    let mut altered = state.clone();
    altered.policy_name = "nanoseg-db".into();
    assert_eq!(altered.keep_proven(&rulings).len(), 3);
    assert!(altered.revisions.is_empty());
}

#[test]
fn a_policy_that_is_in_the_cluster_is_adopted_by_a_decision_only() {
    let (mut state, mut record) = (state(), Vec::new());
    // What the traffic needs is proposed already, and then the policy is found.
    propose(&mut state, 1, 10, &mut record);
    assert!(state.may_adopt(&policy(7)));
    state.adopt(policy(7), assessment(&policy(7)), at(11), &mut record);
    let open = state.open().expect("a proposal");
    assert!(open.adopts && open.is_kept());
    assert_eq!(phases(&state), [Phase::Superseded, Phase::Pending]);
    assert!(!state.may_adopt(&policy(7)), "once");
    assert!(state.may_adopt(&policy(8)), "somebody changed it meanwhile");
    // What the traffic needs does not take its place.
    let needed = desired(1);
    assert_eq!(state.need(&needed), Need::Assess);
    assert_eq!(*state.policy_to_assess(&needed), policy(7));
    state.propose(needed, assessment(&policy(7)), at(12), &mut record);
    assert_eq!(state.need(&desired(1)), Need::Nothing);

    let mut rejected = state.clone();
    let name = rejected.open().expect("a proposal").name.clone();
    let no = decision(&rejected, &name, Verb::Reject);
    let done = rejected.decide(&no, Some(UID), at(13), &mut Vec::new());
    assert_eq!(done, Ok(()));
    assert!(!rejected.may_adopt(&policy(7)), "a person said no");

    approve(&mut state, 13, &mut record);
    state.applied(at(14), &mut record);
    assert_eq!(state.wanted_policy(), Some(&policy(7)));
    assert_eq!(
        actions(&record).last(),
        Some(&ActionKind::Adopted),
        "it was there"
    );
    assert!(!state.may_adopt(&policy(9)), "from now on that is drift");
    assert_eq!(state.clone().keep_proven(&rulings(&record)), []);
}

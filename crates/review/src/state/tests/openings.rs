//! Temporary openings and exceptions (rules: temporary-opening-ends, exception-is-proven).

use super::*;
use nanoseg_record::{Chain, RecordLine, Rulings};

/// The state with an approved policy for port 80, and an open proposal for another port that closes nothing.
fn with_open(port: u16, record: &mut Vec<Entry>) -> WorkloadState {
    let mut state = state();
    propose(&mut state, 80, 1, record);
    approve(&mut state, 2, record);
    state.applied(at(3), record);
    ask(&mut state, port, None, record);
    state
}

/// Opens a proposal for ports 80 and `port`. `rest`: the port that is left when the opening ends.
fn ask(state: &mut WorkloadState, port: u16, rest: Option<u16>, record: &mut Vec<Entry>) {
    let mut wanted = desired(port);
    let opening = state.opening.as_ref().map(|one| one.proposal.clone());
    wanted.temporary = opening.zip(rest).map(|(opening, rest)| Temporary {
        opening,
        afterwards: policy(rest),
        intent: Intent::new([call(rest)], []),
    });
    let mut assessed = assessment(&wanted.policy);
    assessed.impact.gained_total = 1;
    assessed.opens.all.insert(call(port));
    state.propose(wanted, assessed, at(4), record);
}

fn decide_for(
    state: &mut WorkloadState,
    seconds: Option<u32>,
    now: i64,
    record: &mut Vec<Entry>,
) -> Result<(), Refusal> {
    let name = state.open().expect("an open proposal").name.clone();
    let decision = Decision {
        open_for: seconds,
        made: Some(at(now)),
        ..decision(state, &name, Verb::Approve)
    };
    state.decide(&decision, Some(UID), at(now), record)
}

fn wanted(state: &WorkloadState) -> &NetworkPolicySpec {
    state.wanted_policy().expect("a policy")
}

fn rulings(record: &[Entry]) -> Rulings {
    let mut chain = Chain::default();
    let mut rulings = Rulings::default();
    for entry in record {
        let line: RecordLine = chain.append(entry.clone(), at(0));
        rulings.take(&line);
    }
    rulings
}

#[test]
fn an_opening_ends_when_its_time_is_over_and_what_was_in_force_before_is_again() {
    let mut record = Vec::new();
    let mut state = with_open(443, &mut record);
    assert_eq!(decide_for(&mut state, Some(7200), 10, &mut record), Ok(()));
    state.applied(at(11), &mut record);
    assert_eq!(*wanted(&state), policy(443));
    assert_eq!(
        state.needs_person().map(|why| why.contains("temporary")),
        Some(true)
    );
    assert_eq!(state.expire(at(7209), &mut record), None);
    let ended = state.expire(at(7210), &mut record).expect("it ended");
    assert_eq!(ended.connections, BTreeSet::from([call(443)]));
    assert_eq!(*wanted(&state), policy(80));
    state.applied(at(7211), &mut record);
    assert_eq!(phases(&state), [Phase::Applied, Phase::Expired]);
    assert_eq!(state.expire(at(9999), &mut record), None, "once");
    let kinds = actions(&record);
    assert_eq!(
        kinds[kinds.len() - 2..],
        [ActionKind::OpeningExpired, ActionKind::Applied]
    );
    // It is no change that traffic could take back, and nobody rolls it back.
    assert_eq!(state.applied_change(), None);
    let again = decision(&state, &ended.proposal, Verb::Rollback);
    assert!(
        state
            .decide(&again, Some(UID), at(8000), &mut record)
            .is_err()
    );
}

#[test]
fn what_else_was_approved_meanwhile_stays_and_no_rollback_opens_it_again() {
    let mut record = Vec::new();
    let mut state = with_open(443, &mut record);
    decide_for(&mut state, Some(600), 10, &mut record).expect("approved");
    state.applied(at(11), &mut record);
    ask(&mut state, 9000, Some(8080), &mut record);
    decide_for(&mut state, None, 20, &mut record).expect("approved");
    state.applied(at(21), &mut record);
    let lasting = state.proposals.last().expect("one").name.clone();
    state.expire(at(610), &mut record).expect("it ended");
    assert_eq!(*wanted(&state), policy(8080));
    state.applied(at(611), &mut record);
    assert_eq!(
        state.proposal(&lasting).expect("it").stage.phase(),
        Phase::Applied
    );
    let mut proven = state.clone();
    assert_eq!(proven.keep_proven(&rulings(&record)), []);
    assert_eq!(proven, state);
    // Its base had the opening in it.
    let undo = decision(&state, &lasting, Verb::Rollback);
    assert_eq!(state.decide(&undo, Some(UID), at(700), &mut record), Ok(()));
    assert_eq!(*wanted(&state), policy(80));
}

#[test]
fn a_policy_that_knows_nothing_of_the_opening_takes_its_place() {
    let mut record = Vec::new();
    let mut state = with_open(443, &mut record);
    decide_for(&mut state, Some(600), 10, &mut record).expect("approved");
    state.applied(at(11), &mut record);
    ask(&mut state, 9000, None, &mut record);
    decide_for(&mut state, None, 20, &mut record).expect("approved");
    assert_eq!(state.opening, None);
    assert_eq!(state.expire(at(9999), &mut record), None);
    assert_eq!(*wanted(&state), policy(9000));
    // As does going back.
    let mut state = with_open(443, &mut record);
    decide_for(&mut state, Some(600), 10, &mut record).expect("approved");
    let name = state.opening.clone().expect("an opening").proposal;
    let undo = decision(&state, &name, Verb::Rollback);
    state
        .decide(&undo, Some(UID), at(30), &mut record)
        .expect("undone");
    assert_eq!(
        (state.opening.clone(), wanted(&state).clone()),
        (None, policy(80))
    );
}

#[test]
fn what_cannot_be_taken_back_without_harm_is_not_opened_for_a_time() {
    let mut record = Vec::new();
    let refused = |result: Result<(), Refusal>| match result {
        Err(Refusal::NoOpening { why, .. }) => Some(why),
        _ => None,
    };
    let mut fresh = state();
    propose(&mut fresh, 80, 1, &mut record);
    let result = decide_for(&mut fresh, Some(600), 2, &mut record);
    assert_eq!(refused(result), Some(NoOpening::FirstPolicy));
    assert_eq!(phases(&fresh), [Phase::Pending], "nothing changed");
    let mut state = with_open(443, &mut record);
    for seconds in [0, 9, LONGEST_OPENING + 1, u32::MAX] {
        let result = decide_for(&mut state, Some(seconds), 10, &mut record);
        assert_eq!(refused(result), Some(NoOpening::TooLong), "{seconds}");
    }
    // The controller was away for longer.
    let name = state.open().expect("one").name.clone();
    let late = Decision {
        open_for: Some(60),
        made: Some(at(10)),
        ..decision(&state, &name, Verb::Approve)
    };
    let result = state.decide(&late, Some(UID), at(71), &mut record);
    assert_eq!(refused(result), Some(NoOpening::Over));
    state.open_mut().expect("one").impact.lost_total = 1;
    let result = decide_for(&mut state, Some(600), 10, &mut record);
    assert_eq!(refused(result), Some(NoOpening::Closes));
    state.open_mut().expect("one").impact.lost_total = 0;
    decide_for(&mut state, Some(600), 10, &mut record).expect("approved");
    ask(&mut state, 9000, Some(8080), &mut record);
    let result = decide_for(&mut state, Some(600), 20, &mut record);
    assert_eq!(refused(result), Some(NoOpening::Another));
}

#[test]
fn a_stored_opening_that_was_altered_ends_when_the_record_says() {
    let mut record = Vec::new();
    let mut state = with_open(443, &mut record);
    decide_for(&mut state, Some(600), 10, &mut record).expect("approved");
    state.applied(at(11), &mut record);
    let rulings = rulings(&record);
    let mut same = state.clone();
    assert_eq!(same.keep_proven(&rulings), []);
    assert_eq!(same, state);
    let mut longer = state.clone();
    longer.opening.as_mut().expect("one").until = at(999_999);
    assert_eq!(longer.keep_proven(&rulings), [Unproven::Opening]);
    assert_eq!(longer.opening.map(|one| one.until), Some(at(610)));
    let mut none = state.clone();
    none.opening = None;
    assert_eq!(none.keep_proven(&rulings), [Unproven::Opening]);
    none.expire(at(610), &mut record)
        .expect("it ends all the same");
    assert_eq!(*wanted(&none), policy(80));
    // What is left afterwards is proven too.
    for altered in [None, Some(policy(1))] {
        let mut wide = state.clone();
        let last = wide.revisions.last_mut().expect("one");
        last.temporary = last
            .temporary
            .take()
            .zip(altered)
            .map(|(rest, altered)| Temporary {
                afterwards: altered,
                ..rest
            });
        assert!(wide.keep_proven(&rulings).contains(&Unproven::Revision(2)));
    }
}

#[test]
fn a_decision_with_exceptions_needs_what_is_left_and_records_what_it_rejects() {
    let mut record = Vec::new();
    let mut state = state();
    propose(&mut state, 80, 1, &mut record);
    let name = state.open().expect("one").name.clone();
    let with = |state: &WorkloadState, port| Decision {
        except: vec![call(port).for_record()],
        ..decision(state, &name, Verb::Approve)
    };
    let before = record.len();
    let other = with(&state, 81);
    let refused = state.decide(&other, Some(UID), at(2), &mut record);
    assert!(
        matches!(refused, Err(Refusal::NotInProposal { .. })),
        "{refused:?}"
    );
    let one = with(&state, 80);
    let refused = state.decide(&one, Some(UID), at(2), &mut record);
    assert!(
        matches!(refused, Err(Refusal::CannotExcept { .. })),
        "{refused:?}"
    );
    assert_eq!(
        (record.len(), phases(&state)),
        (before, vec![Phase::Pending])
    );
    let amendment = Amendment {
        policy: policy(79),
        assessment: assessment(&policy(79)),
    };
    let done = state.decide_amended(&one, Some(UID), Some(amendment), at(2), &mut record);
    assert_eq!(done, Ok(()));
    assert_eq!(*wanted(&state), policy(79));
    let kinds = actions(&record);
    assert_eq!(
        kinds[before..],
        [ActionKind::Approved, ActionKind::ConnectionsRejected]
    );
    assert_eq!(state.proposals[0].except, [call(80).for_record()]);
}

#[test]
fn a_rejection_refuses_what_is_new_and_asks_about_lookups_once_more() {
    let mut record = Vec::new();
    let mut state = with_open(443, &mut record);
    let refused = |state: &WorkloadState| state.open().expect("one").refused_by_rejection();
    assert_eq!(refused(&state), BTreeSet::from([call(443)]));
    let opens = &mut state.open_mut().expect("one").opens;
    opens.all.insert(call(53));
    opens.lookups.insert(call(53));
    assert_eq!(refused(&state), BTreeSet::from([call(443)]));
    state.open_mut().expect("one").opens.all.remove(&call(443));
    assert_eq!(
        refused(&state),
        BTreeSet::from([call(53)]),
        "nothing else was asked"
    );
    // Who rejects a first policy refuses no connection.
    let mut first = super::state();
    propose(&mut first, 80, 1, &mut record);
    first.open_mut().expect("one").opens.all.insert(call(80));
    assert_eq!(refused(&first), BTreeSet::new());
}

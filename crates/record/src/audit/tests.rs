use super::*;
use crate::{Actor, Chain, Entry, to_line};
use nanoseg_net::Timestamp;

/// The lines of a record, and the heads after each.
fn record(lines: usize) -> (Vec<String>, Vec<Head>) {
    let mut chain = Chain::default();
    let (mut texts, mut heads) = (Vec::new(), vec![Head::default()]);
    for number in 0..lines {
        let object = format!("nanoseg-{number}");
        let entry = Entry::new(Action::Applied, Actor::Controller, "shop", &object);
        texts.push(to_line(&chain.append(entry, Timestamp::from_secs(7))));
        heads.push(chain.head().clone());
    }
    (texts, heads)
}

fn audit(lines: &[String], witness: Witness) -> Audited {
    let mut audit = Audit::new(witness);
    for (number, line) in (1..).zip(lines) {
        audit.take(number, line);
    }
    audit.finish()
}

fn cause(lines: &[String], witness: Witness) -> Option<ResetCause> {
    audit(lines, witness).broken.map(|broken| broken.cause)
}

/// What a person's acceptance appends.
fn accept(lines: &mut Vec<String>, witness: Witness) -> Head {
    let audited = audit(lines, witness);
    let action = audited.broken.expect("it is broken").accepted();
    let mut chain = Chain::after(audited.head);
    let entry = Entry::new(action, Actor::Unknown, "nanoseg", "nanoseg-record");
    let line = chain.append(entry, Timestamp::from_secs(8));
    lines.push(to_line(&line));
    line.head()
}

#[test]
fn a_state_that_continues_what_is_published_is_acted_on() {
    let (lines, heads) = record(5);
    for head in &heads {
        // The leader before may have ended between writing and publishing.
        assert_eq!(cause(&lines, Witness::Published(head.clone())), None);
    }
    assert_eq!(cause(&[], Witness::Absent), None, "a first start");
    assert_eq!(cause(&[], Witness::Published(Head::default())), None);
}

#[test]
fn a_state_that_is_lost_cut_exchanged_or_altered_is_not_acted_on() {
    let (lines, heads) = record(5);
    let published = || Witness::Published(heads[5].clone());
    assert_eq!(cause(&[], published()), Some(ResetCause::Lost));
    assert_eq!(cause(&lines[..4], published()), Some(ResetCause::Behind));
    let mut other = Chain::default();
    let entry = Entry::new(Action::Applied, Actor::Controller, "shop", "other");
    let others: Vec<String> = (0..6)
        .map(|_| to_line(&other.append(entry.clone(), Timestamp::from_secs(7))))
        .collect();
    assert_eq!(
        cause(&others, published()),
        Some(ResetCause::AnotherChain),
        "a chain that was made anew is whole in itself"
    );
    for number in 0..5 {
        let mut changed = lines.clone();
        changed[number] = changed[number].replace("nanoseg-", "nanosex-");
        assert_eq!(cause(&changed, published()), Some(ResetCause::Altered));
        let mut removed = lines.clone();
        removed.remove(number);
        assert!(cause(&removed, published()).is_some(), "{number}");
        let mut junk = lines.clone();
        junk[number] = "junk".into();
        assert!(cause(&junk, published()).is_some(), "{number}");
    }
}

#[test]
fn what_is_not_known_is_not_nothing() {
    let (lines, _) = record(2);
    assert_eq!(
        cause(&lines, Witness::Absent),
        Some(ResetCause::Unpublished)
    );
    let unreadable = || Witness::Unreadable("it has no head".into());
    assert_eq!(cause(&lines, unreadable()), Some(ResetCause::Unreadable));
    assert_eq!(cause(&[], unreadable()), Some(ResetCause::Unreadable));
}

#[test]
fn an_accepted_state_is_acted_on_until_it_is_altered_again() {
    let (mut lines, heads) = record(6);
    let published = Witness::Published(heads[6].clone());
    lines[2] = lines[2].replace("nanoseg-", "nanosex-");
    // Also where the last line cannot be read at all.
    for junk in [false, true] {
        let mut lines = lines.clone();
        if junk {
            lines[5] = "junk".into();
        }
        let head = accept(&mut lines, published.clone());
        assert_eq!(head.sequence, 7);
        let found = cause(&lines, Witness::Published(head.clone()));
        assert_eq!(found, None, "accepted, junk: {junk}");
        // Before the acceptance is published it could be anybody's.
        assert!(cause(&lines, published.clone()).is_some());
        let mut again = lines.clone();
        again[3] = again[3].replace("nanoseg-", "nanosex-");
        let found = cause(&again, Witness::Published(head.clone()));
        assert_eq!(found, Some(ResetCause::Altered));
        let mut cut = lines.clone();
        cut.remove(5);
        assert!(cause(&cut, Witness::Published(head)).is_some());
    }
}

#[test]
fn an_acceptance_holds_the_old_end_and_the_old_lines_stay_as_they_were() {
    let (lines, heads) = record(5);
    let mut restored = lines[..3].to_vec();
    accept(&mut restored, Witness::Published(heads[5].clone()));
    assert_eq!(restored[..3], lines[..3]);
    let line = parse_line(&restored[3]).expect("a line");
    assert_eq!(
        line.entry.action,
        Action::RecordReset {
            published: Some(heads[5].clone()),
            cause: ResetCause::Behind,
            faults: 0,
        }
    );
    assert!(restored[3].contains(&heads[5].to_string()), "{restored:?}");
    let mut verifier = Verifier::default();
    for text in &restored {
        let line = parse_line(text).expect("a line");
        verifier.check(&line).expect("the chain goes on");
    }
}

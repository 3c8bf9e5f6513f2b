use crate::*;
use proptest::prelude::*;

/// One action of each kind, with all its details.
fn actions() -> Vec<Action> {
    let (proposal, why) = ("web-1".to_owned(), "because: \"it\" is\nnew → ü".to_owned());
    let name = || proposal.clone();
    let text = || why.clone();
    let connection = Connection {
        client: "shop/web".into(),
        server: "shop/db".into(),
        protocol: nanoseg_net::Protocol::Tcp,
        port: 5432,
    };
    let at = Some(Timestamp::from_secs(1));
    vec![
        Action::Proposed {
            proposal: name(),
            refreshed: true,
            why: text(),
        },
        Action::Superseded {
            proposal: name(),
            why: text(),
        },
        Action::Approved {
            proposal: name(),
            why: text(),
            until: at,
            afterwards: Some(Digest::of_bytes(b"x")),
        },
        Action::AutoApproved { proposal: name() },
        Action::Rejected {
            proposal: name(),
            why: text(),
            connections: vec![connection.clone()],
        },
        Action::ConnectionsRejected {
            proposal: name(),
            why: text(),
            connections: vec![connection.clone()],
        },
        Action::OpeningExpired {
            proposal: name(),
            until: Timestamp::from_secs(1),
            connections: vec![connection.clone()],
        },
        Action::DecisionRefused {
            proposal: name(),
            because: RefusalKind::AnotherObject,
        },
        Action::Applied,
        Action::Deleted,
        Action::DriftRepaired {
            drift: Drift::LabelChanged,
        },
        Action::DriftGivenUp {
            drift: Drift::SpecChanged,
            until: at,
        },
        Action::RolledBack {
            proposal: name(),
            to: None,
            why: text(),
        },
        Action::AutoRolledBack {
            proposal: name(),
            to: Some(3),
            why: text(),
        },
        Action::ApprovedTrafficBlocked {
            connection: connection.clone(),
            revision: 3,
            why: text(),
        },
        Action::BreakGlassOn {
            why: text(),
            policies: Some(3),
            done: at,
        },
        Action::BreakGlassOff,
        Action::ModeChanged {
            from: Mode::Enforce,
            to: Mode::Propose,
        },
        Action::SegmentationAdded {
            mode: Mode::Observe,
        },
        Action::SegmentationRemoved {
            policies: RemainingPolicies::Retained,
            deleted: at,
        },
        Action::Violation {
            connection: connection.clone(),
            policy: "nanoseg-db".into(),
            further: true,
        },
        Action::ViolationWithdrawn {
            connection: connection.clone(),
            now: connection,
        },
        Action::Adopted,
        Action::Exported,
        Action::RecordReset {
            published: Some(Chain::default().head().clone()),
            cause: ResetCause::Behind,
            faults: 2,
        },
    ]
}

fn entry(number: usize) -> Entry {
    let all = actions();
    let actors = [
        Actor::user(format!("user-{number}")),
        Actor::Controller,
        Actor::FieldManager {
            name: format!("manager-{number}"),
            at: None,
        },
        Actor::Unknown,
        Actor::FieldManager {
            name: "kubectl".into(),
            at: Some(Timestamp::from_secs(7)),
        },
    ];
    // The first kinds of actors are by users, as tests change their names.
    let actor = if number < 12 {
        actors[0].clone()
    } else {
        actors[number % actors.len()].clone()
    };
    let object = format!("NetworkPolicy/nanoseg-{number}");
    Entry::new(all[number % all.len()].clone(), actor, "shop", &object).with_policies(
        number
            .is_multiple_of(2)
            .then(|| Digest::of_bytes(&[number as u8])),
        number
            .is_multiple_of(3)
            .then(|| Digest::of_bytes(&[number as u8, 1])),
    )
}

fn record(length: usize) -> Vec<RecordLine> {
    let mut chain = Chain::default();
    (0..length)
        .map(|number| chain.append(entry(number), Timestamp::from_secs(number as i64)))
        .collect()
}

/// Reads and checks all lines, as `nanoseg record verify` does.
fn verify(lines: &[String], end: &Head) -> Result<(), String> {
    let mut verifier = Verifier::default();
    for line in lines {
        let entry = parse_line(line).map_err(|e| e.to_string())?;
        verifier.check(&entry).map_err(|e| e.to_string())?;
    }
    verifier
        .finish(Some((end.sequence, end.digest.clone())))
        .map_err(|e| e.to_string())
}

fn lines(entries: &[RecordLine]) -> Vec<String> {
    entries.iter().map(to_line).collect()
}

fn end(entries: &[RecordLine]) -> Head {
    entries.last().map_or_else(Head::default, RecordLine::head)
}

/// The part of a record from an entry on.
fn tail(entries: &[RecordLine], from: usize) -> Tail {
    let tail = Tail::of_lines(lines(&entries[from..])).unwrap();
    tail.unwrap()
}

fn problems(tail: &Tail, known: Option<&Head>) -> Vec<String> {
    let (_, problems) = tail.check(known);
    problems.iter().map(ToString::to_string).collect()
}

fn fault(entries: &[RecordLine]) -> Option<(u64, Fault)> {
    let mut verifier = Verifier::default();
    let found = entries.iter().find_map(|entry| verifier.check(entry).err());
    found.map(|found| (found.sequence, found.fault))
}

#[test]
fn the_names_of_actions_are_those_of_the_lines() {
    for action in ActionKind::ALL {
        let written = serde_json::to_string(action).unwrap();
        assert_eq!(written, format!("\"{action}\""));
    }
}

#[test]
fn a_record_that_nobody_touched_is_whole() {
    let entries = record(20);
    assert_eq!(verify(&lines(&entries), &end(&entries)), Ok(()));
    assert_eq!(entries[0].sequence, 1);
    for entry in &entries {
        assert_eq!(parse_line(&to_line(entry)).as_ref(), Ok(entry));
    }
}

#[test]
fn a_chain_goes_on_after_its_head() {
    let mut entries = record(3);
    let mut chain = Chain::after(end(&entries));
    entries.push(chain.append(entry(9), Timestamp::from_secs(9)));
    assert_eq!(fault(&entries), None);
    let mut verifier = Verifier::after(end(&entries[..2]));
    assert!(entries[2..].iter().all(|e| verifier.check(e).is_ok()));
}

#[test]
fn what_was_done_is_told_with_its_place() {
    let good = record(6);
    let mut changed = good.clone();
    changed[2].entry.actor = Actor::user("mallory");
    assert_eq!(fault(&changed), Some((3, Fault::Changed)));

    let mut replaced = good.clone();
    let before = end(&good[..2]);
    replaced[2] = Chain::after(before).append(entry(77), Timestamp::from_secs(2));
    assert_eq!(fault(&replaced), Some((3, Fault::Changed)));

    let mut removed = good.clone();
    removed.drain(1..3);
    assert_eq!(fault(&removed), Some((2, Fault::Removed)));
    assert_eq!(fault(&good[1..]), Some((1, Fault::Removed)));

    let mut inserted = good.clone();
    inserted.insert(4, good[1].clone());
    assert_eq!(fault(&inserted), Some((2, Fault::Inserted)));
}

#[test]
fn an_entry_that_was_moved_is_told_as_such_where_it_comes() {
    let mut entries = record(4);
    entries.swap(1, 2);
    let mut verifier = Verifier::default();
    let found: Vec<_> = entries
        .iter()
        .filter_map(|entry| verifier.check(entry).err())
        .map(|found| (found.sequence, found.fault))
        .collect();
    assert_eq!(found[..2], [(2, Fault::Removed), (2, Fault::Reordered)]);
}

#[test]
fn a_cut_tail_is_found_by_the_expected_end() {
    let entries = record(5);
    let mut verifier = Verifier::default();
    assert!(entries[..3].iter().all(|e| verifier.check(e).is_ok()));
    let expected = end(&entries);
    let found = verifier
        .finish(Some((expected.sequence, expected.digest)))
        .unwrap_err();
    assert_eq!((found.sequence, found.fault), (4, Fault::Truncated));
}

#[test]
fn a_chain_that_was_made_anew_is_found_by_an_anchor() {
    let good = record(5);
    let mut chain = Chain::default();
    let forged: Vec<RecordLine> = (10..16)
        .map(|n| chain.append(entry(n), Timestamp::from_secs(n as i64)))
        .collect();
    assert_eq!(fault(&forged), None);
    let mut verifier = Verifier::default().with_anchor(end(&good[..3]));
    let found = forged.iter().find_map(|e| verifier.check(e).err());
    assert_eq!(
        found.map(|found| (found.sequence, found.fault)),
        Some((3, Fault::Changed))
    );
}

#[test]
fn a_line_that_reads_the_same_and_is_written_otherwise_is_refused() {
    let line = to_line(&record(1)[0]);
    for other in [
        line.replacen("{", "{ ", 1),
        line.replacen("user-0", "user\\u002d0", 1),
        line.replacen("{", "{\"reason\":\"x\",", 1),
        format!("{line} "),
    ] {
        assert!(parse_line(&other).is_err(), "{other}");
    }
}

#[test]
fn a_head_is_a_number_and_a_digest() {
    let digest = "ab".repeat(32);
    for text in [format!("7:{digest}"), format!("7:sha256:{digest}")] {
        let head = Head::parse(&text).unwrap();
        assert_eq!(head.to_string(), format!("7:sha256:{digest}"));
    }
    for text in ["", "7", "7:", "x:ab", "7:sha256:ab"] {
        assert!(Head::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_part_of_a_record_is_verified_from_what_it_follows() {
    let entries = record(8);
    for from in 0..8 {
        let part = tail(&entries, from);
        assert_eq!(part.after, end(&entries[..from]));
        assert_eq!(part.head, end(&entries));
        assert_eq!(Tail::from_data(&part.to_data()).as_ref(), Ok(&part));
        assert_eq!(part.check(None), (entries[from..].to_vec(), vec![]));
    }
    assert_eq!(Tail::of_lines(Vec::new()), Ok(None));
}

#[test]
fn a_part_of_a_record_that_was_altered_is_told_with_the_place() {
    let good = tail(&record(8), 3);
    let altered = |alter: &dyn Fn(&mut Tail)| {
        let mut tail = good.clone();
        alter(&mut tail);
        problems(&tail, None)
    };
    let changed = altered(&|tail| tail.lines[1] = tail.lines[1].replace("user-4", "mallory"));
    assert_eq!(changed, ["entry 5 was changed"]);
    let removed = altered(&|tail| drop(tail.lines.remove(1)));
    assert_eq!(removed, ["entry 5 is missing at its place"]);
    let first = altered(&|tail| drop(tail.lines.remove(0)));
    assert_eq!(first, ["entry 4 is missing at its place"]);
    let cut = altered(&|tail| drop(tail.lines.pop()));
    assert_eq!(cut, ["entry 8 is missing at the end"]);
    let twice = altered(&|tail| tail.lines.insert(2, tail.lines[1].clone()));
    assert_eq!(twice, ["entry 5 was inserted"]);
    let unreadable = altered(&|tail| tail.lines[4].push(' '));
    assert!(
        unreadable[0].starts_with("line 5: failed to read"),
        "{unreadable:?}"
    );
    let after = altered(&|tail| tail.after.digest = Digest::of_bytes(b"other"));
    assert_eq!(after, ["entry 3 was changed"]);
}

#[test]
fn a_part_of_a_record_that_was_made_anew_is_found_by_what_was_seen_before() {
    let good = record(8);
    let (seen, before) = (end(&good[..5]), end(&good[..3]));
    // Whole in itself, and so is what is before it.
    let mut chain = Chain::after(before.clone());
    let forged: Vec<RecordLine> = (3..8)
        .map(|number| chain.append(entry(number + 9), Timestamp::from_secs(9)))
        .collect();
    let forged = tail(&forged, 0);
    assert_eq!(problems(&forged, None), [""; 0]);
    assert_eq!(problems(&forged, Some(&seen)), ["entry 5 was changed"]);
    let good = tail(&good, 3);
    assert_eq!(problems(&good, Some(&seen)), [""; 0]);
    assert_eq!(problems(&good, Some(&before)), [""; 0]);
    // Of what is before the part only the last can be compared.
    let other = |sequence| Head {
        sequence,
        digest: Digest::of_bytes(b"other"),
    };
    assert_eq!(problems(&good, Some(&other(3))), ["entry 3 was changed"]);
    assert_eq!(problems(&good, Some(&other(2))), [""; 0]);
    assert_eq!(
        problems(&good, Some(&other(9))),
        ["entry 9 is missing at the end"]
    );
}

#[test]
fn what_is_no_part_of_a_record_is_refused() {
    let data = tail(&record(3), 1).to_data();
    for key in ["after", "head", "record.jsonl"] {
        let mut less = data.clone();
        less.remove(key);
        assert!(
            matches!(Tail::from_data(&less), Err(TailError::Missing(_))),
            "{key}"
        );
    }
    let mut wrong = data;
    wrong.insert("head".into(), "3".into());
    let error = Tail::from_data(&wrong).unwrap_err().to_string();
    assert!(error.contains("\"3\" is no head"), "{error}");
}

proptest! {
    #[test]
    fn any_changed_byte_of_a_published_part_is_found(
        length in 2usize..12, from in any::<prop::sample::Index>(), key in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), bit in 0u8..7,
    ) {
        let good = tail(&record(length), from.index(length));
        let mut data = good.to_data();
        let key = key.get(&["after", "head", "record.jsonl"]).to_string();
        let mut bytes = data[&key].clone().into_bytes();
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        data.insert(key, text);
        // A line break may become another kind of one, which is the same.
        if let Ok(read) = Tail::from_data(&data) && read != good {
            prop_assert!(!problems(&read, None).is_empty());
        }
    }

    #[test]
    fn any_flip_removal_swap_or_insertion_is_found(
        length in 2usize..12, kind in 0u8..4, first in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(), bit in 0u8..7,
    ) {
        let entries = record(length);
        let good = lines(&entries);
        let mut bad = good.clone();
        let (a, b) = (first.index(length), second.index(length));
        match kind {
            0 => {
                let mut bytes = bad[a].clone().into_bytes();
                let place = second.index(bytes.len());
                bytes[place] ^= 1 << bit;
                let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
                bad[a] = text;
            }
            1 => drop(bad.remove(a)),
            2 => bad.swap(a, b),
            _ => bad.insert(a, good[b].clone()),
        }
        if bad != good {
            prop_assert!(verify(&bad, &end(&entries)).is_err());
        }
    }
}

/// A line as versions without typed details wrote it.
fn earlier(previous: &Head, action: &str, reason: &str) -> String {
    let before = format!(
        "{{\"sequence\":{},\"at\":\"2026-03-01T00:00:00Z\",\"action\":\"{action}\",\"actor\":\"olga\",\
         \"namespace\":\"shop\",\"object\":\"nanoseg-db\",\"reason\":\"{reason}\",\"previous\":\"{}\"",
        previous.sequence + 1,
        previous.digest
    );
    let digest = Digest::of_bytes(format!("{before}}}").as_bytes());
    format!("{before},\"digest\":\"{digest}\"}}")
}

#[test]
fn lines_of_earlier_versions_read_and_verify_as_they_were_written_and_new_ones_follow_them() {
    let mut head = Head::default();
    let mut lines = Vec::new();
    for kind in ActionKind::ALL {
        let line = earlier(&head, kind.name(), "db-2: fine");
        let read = parse_line(&line).unwrap();
        assert_eq!(to_line(&read), line);
        assert_eq!(read.entry.action.kind(), *kind);
        assert_eq!(read.entry.actor, Actor::user("olga"));
        head = read.head();
        lines.push(line);
    }
    let approved = parse_line(&lines[2]).unwrap();
    assert_eq!(approved.entry.action.proposal(), Some("db-2"));
    let next = Chain::after(head).append(entry(3), Timestamp::from_secs(9));
    lines.push(to_line(&next));
    assert_eq!(verify(&lines, &next.head()), Ok(()));
}

#[test]
fn a_line_of_an_earlier_version_cannot_be_given_details() {
    let line = earlier(&Head::default(), "applied", "");
    for details in ["{}", "null", "{\"proposal\":\"x\"}"] {
        let more = format!("\"action\":\"applied\",\"details\":{details},");
        let other = line.replacen("\"action\":\"applied\",", &more, 1);
        assert!(parse_line(&other).is_err(), "{other}");
    }
    let typed = to_line(&record(3)[2]);
    for (from, to) in [
        ("\"details\":{", "\"details\":{\"more\":1,"),
        (",\"why\":", ",\"reason\":"),
        ("\"by\":\"user\",", "\"by\":\"person\","),
        ("\"by\":\"user\",", ""),
    ] {
        let other = typed.replacen(from, to, 1);
        assert_ne!(other, typed);
        assert!(parse_line(&other).is_err(), "{other}");
    }
}

#[test]
fn the_facts_of_a_line_are_in_its_details_and_not_in_its_sentence() {
    for line in record(20) {
        let mut chain = Chain::default();
        let reworded = line.entry.clone().with_reason("in other words".into());
        let reworded = parse_line(&to_line(&chain.append(reworded, line.at))).unwrap();
        assert_eq!(reworded.entry.action, line.entry.action);
        assert_eq!(reworded.entry.actor, line.entry.actor);
    }
}

#[test]
fn a_connection_is_read_as_it_is_shown_and_what_names_none_is_refused_with_an_example() {
    for text in [
        "shop/web → shop/db 5432/TCP",
        "shop/web -> shop/db  5432/TCP",
        " shop/web→shop/db 5432/tcp ",
    ] {
        let read: Connection = text.parse().expect(text);
        assert_eq!(read.to_string(), "shop/web → shop/db 5432/TCP");
    }
    let outside: Connection = "shop/web → outside:2001:db8::1 443/TCP"
        .parse()
        .expect("one");
    assert_eq!(outside.server, "outside:2001:db8::1");
    for text in [
        "",
        "→",
        "shop/web",
        "shop/web → shop/db",
        "shop/web → shop/db 5432",
        "shop/web → shop/db 99999/TCP",
        "shop/web → shop/db 5432/ICMP9",
        "shop/web → 5432/TCP",
        "a b → shop/db 1/TCP",
        "shop/web → shop/db → shop/x 1/TCP",
    ] {
        let refused = text.parse::<Connection>().expect_err(text).to_string();
        assert!(refused.contains("shop/web → shop/db 5432/TCP"), "{refused}");
    }
}

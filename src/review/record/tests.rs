use super::*;
use proptest::prelude::*;

fn draft(number: usize) -> Draft {
    Draft {
        action: Action::ALL[number % Action::ALL.len()],
        actor: format!("user-{number}"),
        namespace: "shop".into(),
        object: format!("NetworkPolicy/nanoseg-{number}"),
        before: number
            .is_multiple_of(2)
            .then(|| Digest::of_bytes(&[number as u8])),
        after: number
            .is_multiple_of(3)
            .then(|| Digest::of_bytes(&[number as u8, 1])),
        reason: "because \"it\" is\nnew → ü".into(),
    }
}

fn record(length: usize) -> Vec<Entry> {
    let mut chain = Chain::default();
    (0..length)
        .map(|number| chain.append(draft(number), Timestamp::from_secs(number as i64)))
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

fn lines(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(to_line).collect()
}

fn end(entries: &[Entry]) -> Head {
    entries.last().map_or_else(Head::default, Entry::head)
}

/// The part of a record from an entry on.
fn tail(entries: &[Entry], from: usize) -> Tail {
    let tail = Tail::of_lines(lines(&entries[from..])).unwrap();
    tail.unwrap()
}

fn problems(tail: &Tail, known: Option<&Head>) -> Vec<String> {
    let (_, problems) = tail.check(known);
    problems.iter().map(ToString::to_string).collect()
}

fn fault(entries: &[Entry]) -> Option<(u64, Fault)> {
    let mut verifier = Verifier::default();
    let found = entries.iter().find_map(|entry| verifier.check(entry).err());
    found.map(|found| (found.sequence, found.fault))
}

#[test]
fn the_names_of_actions_are_those_of_the_lines() {
    for action in Action::ALL {
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
    entries.push(chain.append(draft(9), Timestamp::from_secs(9)));
    assert_eq!(fault(&entries), None);
    let mut verifier = Verifier::after(end(&entries[..2]));
    assert!(entries[2..].iter().all(|e| verifier.check(e).is_ok()));
}

#[test]
fn what_was_done_is_told_with_its_place() {
    let good = record(6);
    let mut changed = good.clone();
    changed[2].draft.actor = "mallory".into();
    assert_eq!(fault(&changed), Some((3, Fault::Changed)));

    let mut replaced = good.clone();
    let before = end(&good[..2]);
    replaced[2] = Chain::after(before).append(draft(77), Timestamp::from_secs(2));
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
    let forged: Vec<Entry> = (10..16)
        .map(|n| chain.append(draft(n), Timestamp::from_secs(n as i64)))
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
    let forged: Vec<Entry> = (3..8)
        .map(|number| chain.append(draft(number + 9), Timestamp::from_secs(9)))
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

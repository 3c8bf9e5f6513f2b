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
    entries.last().map_or_else(Head::default, |entry| Head {
        sequence: entry.sequence,
        digest: entry.digest.clone(),
    })
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

proptest! {
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

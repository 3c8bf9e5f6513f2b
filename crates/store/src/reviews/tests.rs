use super::*;
use crate::FlowStore;
use nanoseg_flow::testing::batches::deliveries;
use nanoseg_flow::{
    AddressEpochs, Aggregate, FlowBatch, Instance, NamedBy, NoListeners, Observations, ScanSummary,
};
use nanoseg_record::Actor;
use proptest::prelude::*;

fn id(name: &str) -> WorkloadId {
    WorkloadId {
        namespace: "shop".into(),
        name: name.into(),
        kind: "Deployment".into(),
    }
}

fn decision(uid: &str, outcome: &str) -> StoredDecision {
    StoredDecision {
        uid: uid.into(),
        namespace: "shop".into(),
        name: format!("decide-{uid}"),
        at: Timestamp::from_secs(1_700_000_000),
        outcome: outcome.into(),
        body: "{}".into(),
    }
}

fn departed(uid: &str, secs: i64) -> DepartedPod {
    DepartedPod {
        uid: uid.into(),
        gone_at: Timestamp::from_secs(secs),
        body: r#"{"name":"web-1"}"#.into(),
    }
}

fn ended(name: &str, secs: i64) -> EndedReview {
    EndedReview {
        workload: id(name),
        ended_at: Timestamp::from_secs(secs),
        body: format!("{{\"b\":{secs}}}"),
    }
}

fn full() -> Commit {
    Commit {
        reviews: vec![(id("web"), "{\"a\":1}".into()), (id("api"), "{}".into())],
        segments: vec![StoredSegment {
            namespace: "shop".into(),
            observing_since: Timestamp::from_nanos(1_700_000_000_123_456_789),
            body: "{}".into(),
        }],
        decisions: vec![decision("u1", "approved")],
        record_lines: vec![(1, r#"{"at":"a","action":"x"}"#.into()), (2, "{}".into())],
        departed: vec![departed("p1", 100), departed("p2", 200)],
        memories: vec![("shop".into(), "{\"m\":1}".into())],
        ..Commit::default()
    }
}

fn store_in(folder: &tempfile::TempDir) -> ReviewStore {
    ReviewStore::open(&folder.path().join("nanoseg.sqlite")).expect("a store")
}

fn lines(store: &ReviewStore, from: u64) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    store
        .record_lines(from, |sequence, line| {
            lines.push((sequence, line.to_owned()));
            true
        })
        .expect("content");
    lines
}

#[test]
fn a_commit_is_loaded_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    store_in(&folder).commit(&full()).unwrap();
    let store = ReviewStore::open_read_only(&folder.path().join("nanoseg.sqlite")).unwrap();
    let loaded = store.load().unwrap();
    let expected = Loaded {
        reviews: vec![(id("api"), "{}".into()), (id("web"), "{\"a\":1}".into())],
        segments: full().segments,
        decisions: full().decisions,
        record_head: Some((2, "{}".into())),
        departed: full().departed,
        memories: full().memories,
    };
    assert_eq!(loaded, expected);
    assert_eq!(lines(&store, 2), [(2, "{}".to_owned())]);
}

#[test]
fn a_commit_replaces_removes_and_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.commit(&full()).unwrap();
    store
        .commit(&Commit {
            reviews: vec![(id("web"), "{\"a\":2}".into())],
            ended_reviews: vec![ended("api", 300)],
            removed_segments: vec!["shop".into()],
            decisions: vec![decision("u1", "refused"), decision("u2", "approved")],
            forget_departed_before: Some(Timestamp::from_secs(200)),
            memories: vec![("shop".into(), "{\"m\":2}".into())],
            ..Commit::default()
        })
        .unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.reviews, [(id("web"), "{\"a\":2}".to_owned())]);
    assert!(loaded.segments.is_empty());
    assert_eq!(loaded.decisions.len(), 2);
    assert_eq!(loaded.departed, [departed("p2", 200)]);
    // It outlives the segment.
    assert_eq!(
        loaded.memories,
        [("shop".to_owned(), "{\"m\":2}".to_owned())]
    );
}

#[test]
fn a_review_that_ended_is_kept_for_reports_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.commit(&full()).unwrap();
    // The same workload came and went twice.
    for secs in [300, 100] {
        let commit = Commit {
            ended_reviews: vec![ended("api", secs)],
            ..Commit::default()
        };
        store.commit(&commit).unwrap();
    }
    let both = [ended("api", 100), ended("api", 300)];
    assert_eq!(store.ended_reviews().unwrap(), both);
    store.forget_hours(Timestamp::from_secs(200)).unwrap();
    assert_eq!(store.ended_reviews().unwrap(), both[1..]);
    // A file of a version that forgot them has none.
    let old = "DROP TABLE ended_reviews";
    store.connection.execute_batch(old).unwrap();
    assert_eq!(store.ended_reviews().unwrap(), []);
}

#[test]
fn a_line_that_does_not_follow_the_last_one_takes_the_whole_commit_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.commit(&full()).unwrap();
    let before = store.load().unwrap();
    for sequences in [&[4][..], &[2], &[3, 5], &[0], &[u64::MAX]] {
        let error = store
            .commit(&Commit {
                reviews: vec![(id("new"), "{}".into())],
                record_lines: sequences.iter().map(|n| (*n, "{}".into())).collect(),
                ..Commit::default()
            })
            .unwrap_err();
        assert!(
            matches!(error, ReviewStoreError::OutOfSequence { .. }),
            "{error}"
        );
        assert_eq!(store.load().unwrap(), before);
    }
}

#[test]
fn the_record_can_be_neither_changed_nor_cut_with_plain_sql() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.commit(&full()).unwrap();
    for sql in [
        "UPDATE record SET line = 'x' WHERE sequence = 1",
        "DELETE FROM record WHERE sequence = 2",
        "REPLACE INTO record VALUES (2, 'x')",
        "INSERT INTO record VALUES (9, 'x')",
        "INSERT INTO record (line) VALUES ('x')",
    ] {
        let error = store.connection.execute_batch(sql).unwrap_err();
        assert!(error.to_string().contains("the record"), "{sql}: {error}");
    }
    assert_eq!(lines(&store, 0), full().record_lines);
}

#[test]
fn auditors_read_times_as_text_and_the_record_by_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.commit(&full()).unwrap();
    let one = |sql: &str| -> String {
        let value = store.connection.query_row(sql, [], |row| row.get(0));
        value.expect(sql)
    };
    assert_eq!(
        one("SELECT at FROM decisions_view"),
        "2023-11-14T22:13:20.000Z"
    );
    assert_eq!(
        one("SELECT observing_since FROM segments_view"),
        "2023-11-14T22:13:20.123Z"
    );
    assert_eq!(
        one("SELECT gone_at FROM departed_pods_view WHERE uid = 'p1'"),
        "1970-01-01T00:01:40.000Z"
    );
    assert_eq!(
        one("SELECT action FROM record_lines WHERE sequence = 1"),
        "x"
    );
}

#[test]
fn a_file_with_flow_records_only_has_no_reviews_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nanoseg.sqlite");
    make_version_1(&path);
    let error = ReviewStore::open_read_only(&path).unwrap_err();
    assert!(
        matches!(error, ReviewStoreError::NoReviews { .. }),
        "{error}"
    );
}

/// A store as the first version made it.
fn make_version_1(path: &Path) {
    let connection = Connection::open(path).expect("a file");
    connection
        .execute_batch(include_str!("../flows/version_1.sql"))
        .expect("the first schema");
    connection
        .execute_batch("PRAGMA application_id = 0x6e736567; PRAGMA user_version = 1;")
        .expect("its marks");
}

/// Everything in the tables that the first version has.
fn rows(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).expect("a file");
    let mut rows = Vec::new();
    for (table, columns) in [
        // Versions 8 and 9 made these tables anew.
        ("applied", "instance, first, last, node"),
        ("names", "address, name, client, first, until"),
        ("records", "*"),
        ("other_traffic", "*"),
        ("losses", "*"),
    ] {
        let mut statement = connection
            .prepare(&format!("SELECT {columns} FROM {table}"))
            .expect(table);
        // Version 6 added when each record was told.
        let columns = statement.column_count().min(22);
        let mut found = statement.query([]).expect(table);
        while let Some(row) = found.next().expect(table) {
            let values: Vec<_> = (0..columns).map(|n| row.get_ref_unwrap(n)).collect();
            rows.push(format!("{table} {values:?}"));
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_store_of_the_first_version_is_migrated_and_loads_the_same((batches, order) in deliveries()) {
        let folder = tempfile::tempdir().expect("a folder");
        let (new, old) = (folder.path().join("new.sqlite"), folder.path().join("old.sqlite"));
        let mut store = FlowStore::open(&new).expect("a store");
        for place in order {
            let mut batch = batches[place].clone();
            batch.seen.scans.clear();
            // An earlier version does not know who answered, nor which addresses a node has.
            batch.seen.node_addresses.clear();
            for (_, entry) in &mut batch.seen.names {
                entry.by = NamedBy::Unknown;
            }
            store.apply(&batch).expect("room");
        }
        let expected = store.load().expect("content");
        drop(store);
        make_version_1(&old);
        // Version 2 changed nothing of these tables.
        let connection = Connection::open(&old).expect("a file");
        connection.execute("ATTACH ?1 AS new", [new.to_str()]).expect("both");
        connection.execute_batch("DROP VIEW new.flows; ALTER TABLE new.records DROP COLUMN told_first; ALTER TABLE new.records DROP COLUMN told_last").expect("columns");
        for table in ["records", "other_traffic", "losses"] {
            connection.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM new.{table}")).expect(table);
        }
        for (table, columns) in [("applied", "instance, first, last, node"), ("names", "address, name, client, first, until")] {
            let copy = format!("INSERT OR IGNORE INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}");
            connection.execute_batch(&copy).expect(table);
        }
        drop(connection);
        let before = rows(&old);
        // The times of observation came with version 5.
        let without_views = |mut content: Aggregate| {
            content.forget_views();
            content
        };
        let expected = without_views(expected);
        prop_assert_eq!(FlowStore::open_read_only(&old).expect("it may stay old").load().expect("content"), expected.clone());
        let mut reviews = ReviewStore::open(&old).expect("migrated");
        reviews.commit(&full()).expect("room");
        let migrated = FlowStore::open(&old).expect("a store").load().expect("content");
        let named = migrated.records().filter(|(observer, _)| !observer.node.is_empty());
        let nodes: std::collections::BTreeSet<_> = named.map(|(observer, _)| observer.node.clone()).collect();
        prop_assert_eq!(migrated.views().keys().cloned().collect::<std::collections::BTreeSet<_>>(), nodes);
        prop_assert_eq!(without_views(migrated), expected);
        prop_assert_eq!(rows(&old), before);
    }
}

#[test]
fn the_tail_of_the_record_has_whole_lines_and_no_more_bytes_than_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store_in(&folder);
    assert_eq!(store.record_tail(100).expect("content"), [""; 0]);
    let line = |number: u64| (number, format!("{{\"line\":{number}}}"));
    let commit = Commit {
        record_lines: (1..=5).map(line).collect(),
        ..Commit::default()
    };
    store.commit(&commit).expect("it is written");
    let [four, five] = [4, 5].map(|number| line(number).1);
    let each = five.len() + 1;
    let tail = |most| store.record_tail(most).expect("content");
    assert_eq!(tail(0), std::slice::from_ref(&five), "one at least");
    assert_eq!(tail(2 * each - 1), std::slice::from_ref(&five));
    assert_eq!(tail(2 * each), [four, five]);
    assert_eq!(tail(1000).len(), 5);
}

#[test]
fn an_address_has_the_names_of_the_time_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store_in(&folder);
    let lines = [
        ("old.example", 10, 12),
        ("now.example", 20, 22),
        ("late.example", 30, 32),
    ];
    for (name, first, until) in lines {
        let [first, until] = [first, until].map(|hour| Timestamp::from_hour(hour).nanos());
        let written =
            "INSERT INTO names VALUES ('192.0.2.7', ?1, '10.0.0.1', '10.96.0.10', ?2, ?3)";
        let row = rusqlite::params![name, first, until];
        store.connection.execute(written, row).expect("written");
        let written = "INSERT INTO edge_names VALUES ('192.0.2.7', ?1)";
        store.connection.execute(written, [name]).expect("written");
    }
    let names = |hours| {
        let history = store.names(hours).expect("names");
        let names = history.names().values().flatten();
        names.cloned().collect::<Vec<String>>().join(" ")
    };
    assert_eq!(names(19..25), "now.example");
    assert_eq!(names(14..18), "old.example", "nobody asked again");
    assert_eq!(names(11..21), "now.example old.example");
    assert_eq!(names(0..5), "");
}

#[test]
fn break_glass_is_unrecorded_until_a_commit_records_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = store_in(&folder);
    let mut log = BreakGlassLog::open(&folder.path().join("nanoseg.sqlite")).expect("a log");
    let broken = |namespace: &str, secs| BreakGlassEntry {
        namespace: namespace.into(),
        reason: "the shop is down".into(),
        by: Actor::user("olga"),
        policies: 3,
        at: Timestamp::from_secs(secs),
    };
    let all = [broken("shop", 20), broken("dns", 10), broken("shop", 10)];
    log.write(&all).expect("it is written");
    log.write(&all[..1]).expect("it is written again");
    drop(log);
    let untold = store.unrecorded_break_glass().expect("content");
    assert_eq!(
        untold,
        [broken("dns", 10), broken("shop", 10), broken("shop", 20)]
    );
    // What is not committed stays unrecorded.
    let recorded = vec![("shop".to_owned(), Timestamp::from_secs(20))];
    let gap = Commit {
        recorded_break_glass: recorded.clone(),
        record_lines: vec![(7, "{}".into())],
        ..Commit::default()
    };
    store.commit(&gap).expect_err("a gap in the record");
    assert_eq!(store.unrecorded_break_glass().expect("content").len(), 3);
    let commit = Commit {
        recorded_break_glass: recorded,
        ..Commit::default()
    };
    store.commit(&commit).expect("it is committed");
    assert_eq!(
        store.unrecorded_break_glass().expect("content"),
        untold[..2]
    );
}

#[test]
fn break_glass_does_not_wait_long_for_another_writer() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nanoseg.sqlite");
    let mut store = store_in(&folder);
    let mut log = BreakGlassLog::open(&path).expect("a log");
    let writer = store
        .connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .expect("a transaction");
    let broken = BreakGlassEntry {
        namespace: "shop".into(),
        reason: "the shop is down".into(),
        by: Actor::user("olga"),
        policies: 3,
        at: Timestamp::from_secs(10),
    };
    log.write(std::slice::from_ref(&broken))
        .expect_err("the store is busy");
    drop(writer);
    log.write(&[broken]).expect("it is written");
}

#[test]
fn scans_of_an_earlier_version_are_of_nobody_and_those_of_this_one_of_the_node_that_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.sqlite");
    make_version_1(&old);
    let connection = Connection::open(&old).expect("a file");
    let scan = "INSERT INTO scans VALUES ('10.0.0.1', 5, 5, 5, '[]', 0, 9)";
    connection.execute_batch(scan).expect("a row");
    drop(connection);
    let observers = |store: &FlowStore| {
        let seen = store.load().expect("content");
        let seen = seen.into_result(&NoListeners, &AddressEpochs::default(), 1024);
        let tellers = seen.scans.iter().map(|(nodes, _)| nodes.to_string());
        tellers.collect::<Vec<_>>()
    };
    let read = FlowStore::open_read_only(&old).expect("it may stay old");
    assert_eq!(observers(&read), [""]);
    let mut store = FlowStore::open(&old).expect("migrated");
    let mut batch = FlowBatch {
        node: "n1".into(),
        instance: Instance([1; 16]),
        sequence: (1, 1),
        span: (Timestamp::from_secs(0), Timestamp::from_secs(9)),
        seen: Observations::default(),
    };
    batch.seen.scans.push(ScanSummary {
        client: Some([10, 0, 0, 1].into()),
        connections: 7,
        addresses: 7,
        ports: 7,
        samples: Vec::new(),
        first: Timestamp::from_secs(0),
        last: Timestamp::from_secs(9),
    });
    store.apply(&batch).expect("room");
    assert_eq!(observers(&store), ["", "n1"]);
}

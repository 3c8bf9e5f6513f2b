use super::*;
use nanoseg_flow::testing::batches::deliveries;
use proptest::prelude::*;
use std::fs;

fn store_in(folder: &tempfile::TempDir) -> FlowStore {
    FlowStore::open(&folder.path().join("flows.db")).expect("a store")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_store_equals_the_aggregate((batches, order) in deliveries(), group in 1usize..5) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = store_in(&folder);
        let mut model = Aggregate::default();
        let delivered: Vec<FlowBatch> = order.iter().map(|place| batches[*place].clone()).collect();
        for group in delivered.chunks(group) {
            let expected: Vec<Applied> = group.iter().map(|b| model.apply(b.clone())).collect();
            prop_assert_eq!(store.apply_all(group).expect("room"), expected);
        }
        prop_assert_eq!(&store.load().expect("content"), &model);
        drop(store);
        let again = FlowStore::open_read_only(&folder.path().join("flows.db")).expect("a store");
        prop_assert_eq!(again.load().expect("content"), model);
    }
}

fn batch(sequence: u64) -> FlowBatch {
    use nanoseg_flow::{
        ActivityWindows, FlowRecord, Instance, Observations, Opening, Source, Verdict,
    };
    use nanoseg_net::{Protocol, Timestamp};
    let at = Timestamp::from_secs(1_700_000_000);
    let record = FlowRecord {
        observers: Default::default(),
        told: None,
        client: "10.0.0.1".parse().unwrap(),
        server: "10.0.0.2".parse().unwrap(),
        port: 80,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        labels: None,
        connections: 2,
        datagrams: 0,
        bytes_to_server: 10,
        bytes_to_client: 20,
        first: at,
        last: at.plus_secs(1),
        windows: ActivityWindows::at(at),
    };
    FlowBatch {
        node: "node-1".into(),
        instance: Instance([1; 16]),
        sequence: (sequence, sequence),
        span: (at, at),
        seen: Observations {
            records: vec![(Source::Conntrack, record)],
            ..Observations::default()
        },
    }
}

#[test]
fn a_run_that_another_node_gives_as_its_own_uses_up_none_of_its_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    let forged = FlowBatch {
        node: "node-2".into(),
        sequence: (1, 1_000_000),
        ..batch(1)
    };
    assert_eq!(store.apply(&forged).unwrap(), Applied::New);
    for number in [2, 1, 3] {
        assert_eq!(store.apply(&batch(number)).unwrap(), Applied::New);
        assert_eq!(store.apply(&batch(number)).unwrap(), Applied::Duplicate);
    }
    assert_eq!(store.apply(&forged).unwrap(), Applied::Duplicate);
    let all = store.load().unwrap();
    let numbers = |node: &str| -> Vec<(u64, u64)> {
        let run = (node.into(), batch(1).instance);
        all.applied()[&run].intervals().collect()
    };
    assert_eq!(numbers("node-1"), [(1, 3)]);
    assert_eq!(numbers("node-2"), [(1, 1_000_000)]);
}

fn connections(store: &FlowStore) -> u64 {
    let all = store.load().expect("content");
    all.records().map(|(_, record)| record.connections).sum()
}

#[test]
fn auditors_read_addresses_and_times_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.apply(&batch(1)).unwrap();
    let row: (String, String, String, i64) = store
        .connection
        .query_row(
            "SELECT first, client, source, connections FROM flows",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    let expected = ("2023-11-14T22:13:20.000Z", "10.0.0.1", "conntrack", 2);
    assert_eq!((&*row.0, &*row.1, &*row.2, row.3), expected);
    let edges: i64 = store
        .connection
        .query_row("SELECT count(*) FROM flow_edges", [], |row| row.get(0))
        .unwrap();
    assert_eq!(edges, 1);
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.apply(&batch(1)).unwrap();
    let pages: i64 = store
        .connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    store
        .connection
        .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
        .unwrap();
    let mut large = batch(3);
    large.seen.records = (0..5000)
        .map(|port| {
            let (source, record) = batch(1).seen.records[0].clone();
            (source, nanoseg_flow::FlowRecord { port, ..record })
        })
        .collect();
    let error = store
        .apply_all(&[batch(2), large.clone()])
        .unwrap_err()
        .to_string();
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(connections(&store), 2, "nothing of the group");
    store
        .connection
        .pragma_update_and_check(None, "max_page_count", 1_000_000, |_| Ok(()))
        .unwrap();
    let applied = store.apply_all(&[batch(1), batch(2), large]).unwrap();
    assert_eq!(applied, [Applied::Duplicate, Applied::New, Applied::New]);
    assert_eq!(connections(&store), 2 + 2 + 10_000);
}

#[test]
fn a_store_held_by_another_writer_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    let other = store_in(&folder);
    other.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.connection.busy_timeout(Duration::ZERO).unwrap();
    let error = store.apply(&batch(1)).unwrap_err().to_string();
    assert!(error.contains("another program holds it"), "{error}");
    other.connection.execute_batch("COMMIT").unwrap();
    assert_eq!(store.apply(&batch(1)).unwrap(), Applied::New);
}

#[test]
fn a_read_only_store_refuses_batches() {
    let folder = tempfile::tempdir().unwrap();
    store_in(&folder).apply(&batch(1)).unwrap();
    let mut store = FlowStore::open_read_only(&folder.path().join("flows.db")).unwrap();
    let error = store.apply(&batch(2)).unwrap_err().to_string();
    assert!(
        error.contains("make the file and its folder writable"),
        "{error}"
    );
    assert_eq!(connections(&store), 2);
}

#[test]
fn a_file_that_is_not_a_flow_store_is_refused_and_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.db");
    let missing = FlowStore::open_read_only(&path).unwrap_err().to_string();
    assert!(
        missing.contains("check that the folder is there"),
        "{missing}"
    );
    fs::write(
        &path,
        "certainly no database, but long enough to have a header of a hundred bytes, \
                      which is what SQLite reads first",
    )
    .unwrap();
    let text = FlowStore::open(&path).unwrap_err().to_string();
    assert!(text.contains("it is no SQLite file"), "{text}");
    fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE mine (a)")
        .unwrap();
    for error in [FlowStore::open(&path), FlowStore::open_read_only(&path)] {
        let error = error.unwrap_err();
        assert!(matches!(error, FlowStoreError::Stranger { .. }), "{error}");
    }
}

#[test]
fn a_store_of_a_newer_nanoseg_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    store_in(&folder)
        .connection
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = FlowStore::open(&folder.path().join("flows.db")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("version 99, this program knows 11"),
        "{error}"
    );
}

#[test]
fn an_altered_row_is_an_error_that_says_what_is_odd() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_in(&folder);
    store.apply(&batch(1)).unwrap();
    store
        .connection
        .execute_batch("UPDATE records SET client = 'nobody'")
        .unwrap();
    let error = store.load().unwrap_err().to_string();
    assert!(
        error.contains("\"nobody\" is no value of client"),
        "{error}"
    );
}

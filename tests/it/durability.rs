//! A crash at any moment loses nothing that was acknowledged, and folds nothing twice. The test repeatedly kills a
//! process that writes like the controller (one thread for flow records, one for reviews and folding).

use nanoseg::cluster::parse_objects;
use nanoseg::flow::{
    ActivityWindows, Applied, FlowBatch, FlowRecord, Instance, Observations, Opening, Source,
    Verdict,
};
use nanoseg::graph::History;
use nanoseg::inventory::{Inventory, Objects, OwnerRule, WorkloadId};
use nanoseg::net::{Protocol, Timestamp};
use nanoseg::store::{Commit, FlowStore, ReviewStore, StateLock, StoredDecision};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// The environment variable with the path of the state, for the child.
const STATE: &str = "NANOSEG_DURABILITY_STATE";
/// The name of the child's test.
const CHILD: &str = "durability::a_writer_that_is_killed";
const KILLS: usize = 40;
const START: i64 = 1_700_000_000;

const PODS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: web}, spec: {nodeName: n1, containers: [{name: c}]},
   status: {phase: Running, podIP: 10.0.0.1, startTime: '2020-01-01T00:00:00Z'}}
- {apiVersion: v1, kind: Pod, metadata: {namespace: shop, name: api}, spec: {nodeName: n1, containers: [{name: c}]},
   status: {phase: Running, podIP: 10.0.0.2, startTime: '2020-01-01T00:00:00Z'}}
";

fn inventory() -> Inventory {
    let mut objects = Objects::default();
    parse_objects(PODS.as_bytes(), "pods", &mut objects).expect("pods");
    Inventory::build(&objects, OwnerRule::Infer).0
}

/// Each record has one more connection, a hundred seconds later. Every fifth is late: it is of the first hour.
fn batch(number: u64) -> FlowBatch {
    let late = number.is_multiple_of(5);
    let at = Timestamp::from_secs(START + if late { 0 } else { number as i64 * 100 });
    let record = FlowRecord {
        observers: Default::default(),
        told: None,
        client: "10.0.0.1".parse().expect("an address"),
        server: "10.0.0.2".parse().expect("an address"),
        port: 80,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        labels: None,
        connections: 1,
        datagrams: 0,
        bytes_to_server: 1,
        bytes_to_client: 1,
        first: at,
        last: at,
        windows: ActivityWindows::at(at),
    };
    FlowBatch {
        node: "n1".into(),
        instance: Instance([7; 16]),
        sequence: (number, number),
        span: (at, at),
        seen: Observations {
            records: vec![(Source::Conntrack, record)],
            ..Observations::default()
        },
    }
}

fn commit(number: u64) -> Commit {
    let id = WorkloadId {
        namespace: "shop".into(),
        name: "web".into(),
        kind: "Pod".into(),
    };
    Commit {
        reviews: vec![(id, format!("{{\"step\":{number}}}"))],
        decisions: vec![StoredDecision {
            uid: format!("u{number}"),
            namespace: "shop".into(),
            name: "approve".into(),
            at: Timestamp::from_secs(START),
            outcome: "approved".into(),
            body: "{}".into(),
        }],
        record_lines: vec![
            (2 * number - 1, format!("{{\"step\":{number}}}")),
            (2 * number, "{}".into()),
        ],
        ..Commit::default()
    }
}

fn say(word: &str, number: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word} {number}")
        .and_then(|()| out.flush())
        .expect("somebody listens");
}

fn write_batches(path: &Path) {
    let mut store = FlowStore::open(path).expect("the flow store");
    let applied = store.load().expect("content").applied().clone();
    let last = applied
        .values()
        .flat_map(|set| set.intervals())
        .map(|(_, last)| last)
        .max();
    for number in last.unwrap_or(0) + 1.. {
        // A record that was acknowledged may be sent again.
        let again = batch(number.saturating_sub(1).max(1));
        let group = [batch(number), again];
        let outcome = store.apply_all(&group).expect("room");
        assert_eq!(outcome[0], Applied::New);
        say("batch", number);
    }
}

fn write_reviews(path: &Path) {
    let mut store = ReviewStore::open(path).expect("the review store");
    let inventory = inventory();
    let head = store.load().expect("content").record_head;
    for number in head.map_or(0, |(sequence, _)| sequence / 2) + 1.. {
        store.commit(&commit(number)).expect("room");
        say("commit", number);
        if number.is_multiple_of(4) {
            let reader = FlowStore::open_read_only(path).expect("the flow store");
            let span = reader.load().expect("content").span();
            let Some((_, last)) = span else { continue };
            let fold = |records: &_| History::fold(records, &inventory);
            store.fold(last.plus_secs(-3600), fold).expect("room");
            say("fold", number);
        }
    }
}

/// The process that the parent starts. Without the variable it does nothing.
#[test]
fn a_writer_that_is_killed() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let path = Path::new(&state);
    let _lock = StateLock::acquire(path).expect("the last writer is dead, so its lock is free");
    std::thread::scope(|scope| {
        scope.spawn(|| write_batches(path));
        scope.spawn(|| write_reviews(path));
    });
}

/// The last numbers that a writer has acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    batch: u64,
    commit: u64,
    folds: u64,
}

/// Starts a writer, and kills it after the given number of acknowledgements.
fn write_and_kill(state: &Path, after: usize, known: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", CHILD, "--nocapture"])
        .env(STATE, state)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program again");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut seen = 0;
    for line in lines.map_while(Result::ok) {
        let mut words = line.split(' ').skip_while(|word| word.is_empty());
        let (Some(word), Some(Ok(number))) = (words.next(), words.next().map(str::parse)) else {
            continue;
        };
        match word {
            "batch" => known.batch = known.batch.max(number),
            "commit" => known.commit = known.commit.max(number),
            "fold" => known.folds += 1,
            _ => continue,
        }
        seen += 1;
        // Its output is read to the end, because later acknowledgements count too.
        if seen == after {
            child.kill().expect("SIGKILL");
        }
    }
    let status = child.wait().expect("its end");
    assert!(
        seen >= after && !status.success(),
        "it ended by itself: {status}"
    );
}

fn check(state: &Path, known: &Acknowledged) {
    let flows = FlowStore::open_read_only(state).expect("the flow store");
    let reviews = ReviewStore::open_read_only(state).expect("the review store");
    let hot = flows.load().expect("content");
    let applied: Vec<(u64, u64)> = hot.applied().values().flat_map(|s| s.intervals()).collect();
    let batches = match applied.as_slice() {
        [] => 0,
        [(1, last)] => *last,
        gaps => panic!("batches from 1 on without a gap: {gaps:?}"),
    };
    assert!(batches >= known.batch, "{batches} batches of {known:?}");
    let history = reviews.history().expect("content");
    let folded: u64 = history.edges().map(|(_, edge)| edge.connections()).sum();
    let unfolded: u64 = hot.records().map(|(_, record)| record.connections).sum();
    assert_eq!(folded + unfolded, batches, "each connection is there once");
    let loaded = reviews.load().expect("content");
    let commits = loaded.record_head.map_or(0, |(sequence, _)| sequence / 2);
    assert!(commits >= known.commit, "{commits} commits of {known:?}");
    assert_eq!(loaded.decisions.len() as u64, commits);
    if commits > 0 {
        assert_eq!(loaded.reviews, commit(commits).reviews);
    }
    let mut lines = Vec::new();
    reviews
        .record_lines(1, |sequence, line| {
            lines.push((sequence, line.to_owned()));
            true
        })
        .expect("content");
    let expected: Vec<_> = (1..=commits).flat_map(|n| commit(n).record_lines).collect();
    assert_eq!(lines, expected);
}

#[test]
fn a_crash_at_any_moment_loses_nothing_that_was_acknowledged_and_folds_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("nanoseg.sqlite");
    let mut known = Acknowledged::default();
    for _ in 0..KILLS {
        write_and_kill(&state, fastrand::usize(1..60), &mut known);
        check(&state, &known);
    }
    assert!(known.folds > 0, "it was killed around folds too");
}

//! What a leader keeps of ordinary traffic levels off (rule: bounded-memory): eighteen workloads for hours, with rollouts,
//! as agents tell it.

use super::*;
use nanoseg_flow::Verdict;
use nanoseg_flow::{
    Instance, IntakeBudget, IntakeLimits, NameEntry, NamedBy, Observations, Source,
};
use nanoseg_graph::testing::{START, cluster, record};

/// The pods of a workload change their addresses this often, in minutes.
const ROLLOUT: i64 = 10;
const WORKLOADS: u64 = 18;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(START + seconds)
}

/// Each workload calls two others and asks for two names, each window of ten seconds.
fn traffic(seconds: i64, number: u64) -> FlowBatch {
    let generation = seconds / 60 / ROLLOUT;
    let address = |workload: u64| {
        let host = (generation as u64 * WORKLOADS + workload) % 200 + 5;
        format!("10.244.1.{host}")
    };
    let mut seen = Observations::default();
    for client in 0..WORKLOADS {
        for server in [client + 1, client + 5] {
            let server = format!("{}:8080", address(server % WORKLOADS));
            let call = record(&address(client), &server, Verdict::Established);
            let call = FlowRecord {
                first: at(seconds),
                last: at(seconds + 5),
                ..call
            };
            seen.records.push((Source::Conntrack, call.clone()));
            seen.records.push((Source::Capture, call));
        }
        for name in ["shop.example", "db.example"] {
            let entry = NameEntry {
                name: name.into(),
                client: address(client).parse().unwrap(),
                by: NamedBy::Resolver("10.96.0.10".parse().unwrap()),
                from: at(seconds),
                until: at(seconds + 30),
            };
            let address = format!("203.0.113.{}", (seconds / 60) % 20 + 1);
            seen.names.push((address.parse().unwrap(), entry));
        }
    }
    FlowBatch {
        node: "n1".into(),
        instance: Instance([3; 16]),
        sequence: (number, number),
        span: (at(seconds), at(seconds + 10)),
        seen,
    }
}

#[test]
fn names_of_clients_that_are_gone_make_room_for_those_that_are_there() {
    let mut live = LiveGraph::default();
    live.apply(traffic(0, 1));
    let old = live.hot().names().listing().len();
    assert!(old > 0);
    let day = NAMES_KEPT + 60;
    live.apply(traffic(day, 2));
    live.tidy(&cluster(), at(day), at(-3600), 20_000);
    let kept = live.hot().names().listing().len();
    assert!(
        kept < 2 * old && kept > 0,
        "{kept} of {old} and as many new ones"
    );
    let all = live.hot().names().listing();
    assert!(all.iter().all(|(_, entry)| entry.from >= at(day)));
}

#[test]
fn what_is_kept_of_ordinary_traffic_levels_off_within_half_an_hour() {
    let inventory = Arc::new(cluster());
    let mut live = LiveGraph::default();
    let mut budget = IntakeBudget::new(IntakeLimits::default());
    let mut kept: Vec<(usize, usize, usize)> = Vec::new();
    for window in 0..6 * 110 {
        let seconds = window * 10;
        let mut batch = traffic(seconds, window as u64 + 1);
        budget
            .admit(&mut batch, at(seconds + 10))
            .expect("there is room");
        live.apply(batch);
        if window % 6 == 5 {
            live.tidy(&inventory, at(seconds + 10), at(-3600), 20_000);
        }
        if window % 3 == 2 {
            let built = live.build(&inventory, GraphOptions::default());
            drop(built);
        }
        if window % 60 == 59 {
            let hot = live.hot();
            let names = hot.names().listing().len();
            let used = budget.usage(at(seconds + 10));
            kept.push((hot.records().count(), names, used.fine));
        }
    }
    let (early, last) = (kept[2], kept[kept.len() - 1]);
    // Each rollout adds its own pairs of addresses until the hour is folded: one record each.
    let rollouts = 8 * 2 * 2 * WORKLOADS as usize;
    assert!(last.0 <= early.0 + rollouts, "records: {kept:?}");
    assert!(last.1 <= 20 * 64, "names: {kept:?}");
    assert!(
        last.2 <= early.2,
        "the budget's memory of records: {kept:?}"
    );
}

//! What a leader keeps of ordinary traffic levels off (rule: bounded-memory): eighteen workloads for hours, with rollouts,
//! as agents tell it.

use super::*;
use crate::flow::{Instance, IntakeBudget, IntakeLimits, NameEntry, NamedBy, Observations, Source};
use crate::graph::testing::{START, cluster, record};
use crate::flow::Verdict;

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

/// The resident memory of this process, in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|text| text.parse().ok()).unwrap_or(0)
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
        budget.admit(&mut batch, at(seconds + 10)).expect("there is room");
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
            let names = hot.names_kept();
            let used = budget.usage(at(seconds + 10));
            kept.push((hot.records().count(), names, used.fine));
            eprintln!(
                "{:3} min: {:?}, pairs {}, ends {}, RSS {} KiB",
                (seconds + 10) / 60,
                kept.last().unwrap(),
                used.pairs,
                live.ends.len(),
                resident()
            );
        }
    }
    let (half, last) = (kept[3], kept[kept.len() - 1]);
    eprintln!("{half:?} {last:?}");
}

use super::*;
use crate::{
    ActivityWindows, Instance, NameEntry, Opening, OtherKind, OtherTraffic, ScanSummary, Verdict,
};
use nanoseg_net::Protocol;
use std::net::Ipv4Addr;

const HOUR: i64 = 490_000;
const POD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

fn at(hour: i64, seconds: i64) -> Timestamp {
    Timestamp::from_hour(hour).plus_secs(seconds)
}

fn record(client: IpAddr, port: u16, at: Timestamp) -> FlowRecord {
    FlowRecord {
        client,
        server: POD,
        port,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        labels: None,
        observers: Default::default(),
        told: None,
        connections: 1,
        datagrams: 0,
        bytes_to_server: 1,
        bytes_to_client: 1,
        first: at,
        last: at,
        windows: ActivityWindows::at(at),
    }
}

fn public(i: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(
        0x0b00_0000 + i.wrapping_mul(2_654_435_761) % 0x5000_0000,
    ))
}

/// A receiver: what it takes in is applied, as the store does it.
struct Receiver {
    budget: IntakeBudget,
    all: Aggregate,
    sequence: u64,
}

impl Receiver {
    fn new(limits: IntakeLimits) -> Receiver {
        Receiver {
            budget: IntakeBudget::new(limits),
            all: Aggregate::default(),
            sequence: 0,
        }
    }

    fn take(&mut self, node: &str, seen: Observations, now: Timestamp) -> Result<(), Untaken> {
        self.sequence += 1;
        let mut batch = FlowBatch {
            node: Arc::from(node),
            instance: Instance([1; 16]),
            sequence: (self.sequence, self.sequence),
            span: (now, now),
            seen,
        };
        self.budget.admit(&mut batch, now)?;
        self.all.apply(batch);
        Ok(())
    }

    fn take_records(&mut self, node: &str, records: Vec<FlowRecord>, now: Timestamp) {
        let records = records.into_iter().map(|r| (Source::Conntrack, r));
        let seen = Observations {
            records: records.collect(),
            ..Observations::default()
        };
        self.take(node, seen, now).expect("it is taken");
    }

    fn records(&self) -> usize {
        self.all.records().count()
    }

    fn connections(&self) -> u64 {
        self.all
            .records()
            .map(|(_, record)| record.connections)
            .sum()
    }

    fn lost(&self, loss: Loss) -> u64 {
        self.all.losses().get(&loss).copied().unwrap_or(0)
    }
}

#[test]
fn three_hundred_thousand_clients_of_one_server_are_few_records_and_no_connection_is_lost() {
    let mut receiver = Receiver::new(IntakeLimits::default());
    for (i, chunk) in (0..300_000u32)
        .collect::<Vec<_>>()
        .chunks(20_000)
        .enumerate()
    {
        let now = at(HOUR, 60 * i as i64);
        let records = chunk.iter().map(|i| record(public(*i), 443, now));
        receiver.take_records("n1", records.collect(), now);
    }
    assert_eq!(receiver.connections(), 300_000);
    assert_eq!(receiver.lost(Loss::RecordOverBudget), 0);
    assert!(receiver.lost(Loss::AddressMerged) > 200_000);
    let singles = receiver
        .all
        .records()
        .filter(|(_, record)| record.labels.is_none());
    let singles: FxHashSet<IpAddr> = singles.map(|(_, record)| record.client).collect();
    // What came before others took its place stays: about 512 × ln(300 000 / 512) more.
    assert!(singles.len() < 5_000, "{}", singles.len());
    assert!(receiver.records() < 20_000, "{}", receiver.records());
}

#[test]
fn a_client_that_calls_many_servers_is_bounded_as_well() {
    let mut receiver = Receiver::new(IntakeLimits::default());
    let now = at(HOUR, 0);
    let calls = (0..20_000).map(|i| FlowRecord {
        server: public(i),
        ..record(POD, 443, now)
    });
    receiver.take_records("n1", calls.collect(), now);
    assert_eq!(receiver.connections(), 20_000);
    assert!(receiver.lost(Loss::AddressMerged) > 10_000);
}

#[test]
fn addresses_that_may_be_of_the_cluster_are_never_counted_by_block() {
    let mut receiver = Receiver::new(IntakeLimits::default());
    let now = at(HOUR, 0);
    let pods = (0..4000u32).map(|i| record(IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + i)), 53, now));
    receiver.take_records("n1", pods.collect(), now);
    assert_eq!(receiver.records(), 4000);
    assert_eq!(receiver.lost(Loss::AddressMerged), 0);
}

#[test]
fn what_is_beyond_the_records_of_a_minute_is_added_to_earlier_records_of_the_same_ends() {
    let mut receiver = Receiver::new(IntakeLimits {
        node_fine: 10,
        ..IntakeLimits::default()
    });
    let now = at(HOUR, 59);
    let one = (0..60).map(|second| record(public(1), 443, at(HOUR, second)));
    receiver.take_records("n1", one.collect(), now);
    assert_eq!(receiver.records(), 11);
    assert_eq!(
        receiver.connections(),
        60,
        "nothing is lost but when each began"
    );
    assert_eq!(receiver.lost(Loss::CountersMerged), 49);
}

#[test]
fn one_node_takes_its_share_and_leaves_that_of_others() {
    let limits = IntakeLimits {
        pairs: 1000,
        node_pairs: 100,
        ..IntakeLimits::default()
    };
    let mut receiver = Receiver::new(limits);
    let now = at(HOUR, 0);
    let flood = (0..5000u32).map(|i| record(IpAddr::V4(Ipv4Addr::from(0x0a01_0000 + i)), 80, now));
    receiver.take_records("n1", flood.collect(), now);
    assert_eq!(receiver.records(), 100);
    assert_eq!(receiver.lost(Loss::RecordOverBudget), 4900);
    receiver.take_records("n2", vec![record(POD, 80, now)], now);
    assert_eq!(receiver.records(), 101);
}

/// 50 MB as a valid token may send them: outside clients, names, hours, kinds of traffic and scanners without end.
#[test]
fn whatever_one_token_sends_stays_within_the_budget() {
    let limits = IntakeLimits::default();
    let mut receiver = Receiver::new(limits);
    let mut sent = 0u64;
    for round in 0..40u32 {
        let now = at(HOUR, i64::from(round));
        let id = |i: u32| round * 20_000 + i;
        let records = (0..12_000u32).map(|i| {
            // Over a year, at any port, from anybody.
            let hour = HOUR - i64::from(id(i) % 8760);
            let server = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + id(i) % 50_000));
            let one = record(public(id(i)), (id(i) % 60_000) as u16, at(hour, 1));
            (Source::ALL[(i % 4) as usize], FlowRecord { server, ..one })
        });
        let names = (0..10_000u32).map(|i| {
            let name = format!("{}.example", id(i)).into_boxed_str();
            let entry = NameEntry {
                name,
                client: POD,
                by: crate::NamedBy::Source,
                from: now,
                until: now,
            };
            (public(id(i) % 7), entry)
        });
        let other = (0..4_000u32).map(|i| OtherTraffic {
            source: public(id(i)),
            destination: POD,
            kind: OtherKind::Icmp,
            packets: 1,
        });
        let scans = (0..2_000u32).map(|i| ScanSummary {
            client: Some(public(id(i))),
            connections: 20,
            addresses: 20,
            ports: 1,
            samples: Vec::new(),
            first: now,
            last: now,
        });
        let seen = Observations {
            records: records.collect(),
            names: names.collect(),
            other: other.collect(),
            scans: scans.collect(),
            ..Observations::default()
        };
        sent += seen.records.len() as u64;
        receiver.take("n1", seen, now).expect("it is taken");
    }
    let hours: FxHashSet<i64> = receiver.all.records().map(|(_, r)| r.hour()).collect();
    assert!(
        hours.len() <= limits.late_hours + HOT_HOURS as usize + 1,
        "{} hours",
        hours.len()
    );
    assert!(
        receiver.records() <= limits.node_pairs * 4,
        "{} records",
        receiver.records()
    );
    let told = receiver.lost(Loss::RecordOverBudget) + receiver.connections();
    assert_eq!(told, sent, "each record is there or a loss");
    assert!(receiver.all.names().listing().len() <= limits.node_names);
    assert!(receiver.lost(Loss::NameDropped) > 300_000);
    let usage = receiver.budget.usage(at(HOUR, 40));
    assert!(
        usage.other <= limits.other && usage.scanners <= limits.scanners,
        "{usage:?}"
    );
    assert!(receiver.lost(Loss::OtherDropped) >= 40 * 4_000 - limits.other as u64);
}

#[test]
fn batches_of_more_nodes_than_a_cluster_has_are_not_taken() {
    let mut receiver = Receiver::new(IntakeLimits {
        nodes: 3,
        ..IntakeLimits::default()
    });
    let taken =
        (0..5).map(|i| receiver.take(&format!("n{i}"), Observations::default(), at(HOUR, 0)));
    let no = Err(Untaken::Nodes);
    assert_eq!(taken.collect::<Vec<_>>(), [Ok(()), Ok(()), Ok(()), no, no]);
    assert_eq!(receiver.all.views().len(), 3);
}

#[test]
fn a_receiver_that_starts_again_knows_what_is_in_its_store() {
    let mut receiver = Receiver::new(IntakeLimits::default());
    let now = at(HOUR, 0);
    let clients = (0..600).map(|i| record(public(i), 443, now));
    receiver.take_records("n1", clients.collect(), now);
    let mut again = IntakeBudget::new(IntakeLimits::default());
    again.note(&receiver.all, now);
    assert_eq!(again.usage(now).nodes, 1);
    assert_eq!(again.usage(now).pairs, receiver.budget.usage(now).pairs);
}

#[test]
fn runs_and_gaps_without_end_are_not_taken() {
    let mut budget = IntakeBudget::new(IntakeLimits::default());
    let now = at(HOUR, 0);
    let batch = |run: u8, sequence: u64| FlowBatch {
        node: Arc::from("n1"),
        instance: Instance([run; 16]),
        sequence: (sequence, sequence),
        span: (now, now),
        seen: Observations::default(),
    };
    let gaps = (0..1000).map(|i| budget.admit(&mut batch(1, 1 + 2 * i), now));
    assert_eq!(gaps.filter(Result::is_ok).count(), 256);
    assert_eq!(
        budget.admit(&mut batch(1, 2), now),
        Ok(()),
        "what was missing may come"
    );
    let runs = (2..=255).map(|run| budget.admit(&mut batch(run, 1), now));
    assert_eq!(runs.filter(Result::is_ok).count(), 59);
    assert_eq!(
        budget.admit(&mut batch(250, 1), at(HOUR + 1, 0)),
        Ok(()),
        "an hour later"
    );
}

#[test]
fn what_a_node_lost_counts_for_a_day_and_for_that_node() {
    let mut losses = NodeLosses::default();
    let lost = |count| {
        let mut seen = Observations::default();
        seen.records
            .push((Source::Capture, record(POD, 80, at(HOUR, 0))));
        seen.lose(Loss::RecordOverBudget, count);
        seen
    };
    losses.note(&Arc::from("n1"), &lost(3), at(HOUR, 0));
    losses.note(&Arc::from("n2"), &lost(0), at(HOUR, 0));
    assert!((losses.share("n1") - 0.75).abs() < 1e-9);
    assert_eq!(losses.share("n2"), 0.0);
    assert_eq!(losses.share("n3"), 0.0);
    losses.note(&Arc::from("n2"), &lost(0), at(HOUR + 25, 0));
    assert_eq!(losses.share("n1"), 0.0, "a day later");
}

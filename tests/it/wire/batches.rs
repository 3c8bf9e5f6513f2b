//! Batches, sent to a receiver as an agent sends them.

use nanoseg::flow::BatchId;
use nanoseg::flow::{
    ActivityWindows, Aggregate, FlowBatch, FlowRecord, Instance, Observations, Opening,
    SequenceSet, Source, Verdict,
};
use nanoseg::net::{Protocol, Timestamp};
use nanoseg::wire::{Delivery, DeliveryError, encode};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The timeout of every wait.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// When the first batch is of: an hour before the tests began, which any spool explains.
fn begin() -> Timestamp {
    static BEGIN: OnceLock<Timestamp> = OnceLock::new();
    *BEGIN.get_or_init(|| Timestamp::from(jiff::Timestamp::now()).plus_secs(-3600))
}

/// Returns batch `number` of an agent on `node`: a few edges that many batches share, and one unique edge.
pub fn batch(node: &str, number: u64) -> FlowBatch {
    let at = begin().plus_secs(number as i64);
    let record = |port: u16| FlowRecord {
        observers: Default::default(),
        told: None,
        client: "10.0.0.1".parse().expect("an address"),
        server: "10.0.0.2".parse().expect("an address"),
        port,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        labels: None,
        connections: 1,
        datagrams: 0,
        bytes_to_server: number,
        bytes_to_client: 1,
        first: at,
        last: at,
        windows: ActivityWindows::at(at),
    };
    let ports = [80, 443, 1000 + number as u16];
    FlowBatch {
        node: node.into(),
        instance: Instance([9; 16]),
        sequence: (number, number),
        span: (at, at.plus_secs(1)),
        seen: Observations {
            records: ports.map(|port| (Source::Conntrack, record(port))).to_vec(),
            ..Observations::default()
        },
    }
}

/// What must be there of batches, whatever the receiver thinks of their times: the numbers that were applied of each
/// node's run, and connections and bytes of each port of each node.
#[derive(Debug, PartialEq)]
pub struct Content {
    applied: BTreeMap<(Arc<str>, Instance), SequenceSet>,
    ports: BTreeMap<(Arc<str>, u16), (u64, u64)>,
}

/// Returns what a store holds.
pub fn content(all: &Aggregate) -> Content {
    let mut ports: BTreeMap<(Arc<str>, u16), (u64, u64)> = BTreeMap::new();
    for (observer, record) in all.records() {
        let port = ports
            .entry((observer.node.clone(), record.port))
            .or_default();
        port.0 += record.connections;
        port.1 += record.bytes_to_server;
    }
    Content {
        applied: all.applied().clone(),
        ports,
    }
}

/// Returns what a store must hold that got these batches, each once.
pub fn model(batches: &[FlowBatch]) -> Content {
    let mut model = Aggregate::default();
    for batch in batches {
        model.apply(batch.clone());
    }
    content(&model)
}

/// Delivers all batches, and sends unacknowledged ones again after each error. Calls `after` with the number of
/// acknowledgements after each one.
pub async fn deliver(delivery: &mut Delivery, batches: &[FlowBatch], mut after: impl FnMut(usize)) {
    let deadline = Instant::now() + PATIENCE;
    let mut left: Vec<&FlowBatch> = batches.iter().collect();
    while !left.is_empty() {
        assert!(
            Instant::now() < deadline,
            "{} batches never arrived",
            left.len()
        );
        let mut acknowledged = batches.len() - left.len();
        if let Err(error) = pass(delivery, &mut left, &mut |left| {
            acknowledged = batches.len() - left;
            after(acknowledged);
        })
        .await
        {
            assert!(!matches!(error, DeliveryError::Refused(..)), "{error}");
            // The backoff of agents; no result depends on it.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Sends everything once, a few batches at a time.
async fn pass(
    delivery: &mut Delivery,
    left: &mut Vec<&FlowBatch>,
    after: &mut impl FnMut(usize),
) -> Result<(), DeliveryError> {
    let mut unsent = left.clone().into_iter();
    let mut under_way = 0;
    while !left.is_empty() {
        if under_way < 8
            && let Some(batch) = unsent.next()
        {
            let id = BatchId::of(batch);
            let sent = tokio::time::timeout(PATIENCE, delivery.send(id, encode(batch))).await;
            sent.expect("sending ends")?;
            under_way += 1;
            continue;
        }
        let id = tokio::time::timeout(PATIENCE, delivery.acknowledged()).await;
        let id = id.expect("an answer")?;
        under_way -= 1;
        left.retain(|batch| BatchId::of(batch) != id);
        after(left.len());
    }
    Ok(())
}

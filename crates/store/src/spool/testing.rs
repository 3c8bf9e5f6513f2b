//! Batches for tests, and a way to write them down that needs no other room.

use super::BatchCodec;
use nanoseg_flow::{
    ActivityWindows, FlowBatch, FlowRecord, Instance, Loss, Observations, Opening, Source, Verdict,
};
use nanoseg_net::{Protocol, Timestamp};
use std::net::IpAddr;

pub fn record(client: u32, port: u16, at: i64) -> FlowRecord {
    let first = Timestamp::from_secs(at);
    FlowRecord {
        observers: Default::default(),
        told: None,
        client: IpAddr::from((0x0a00_0000 + client).to_be_bytes()),
        server: IpAddr::from([10, 255, 0, 1]),
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
        bytes_to_server: 100,
        bytes_to_client: 1000,
        first,
        last: first,
        windows: ActivityWindows::at(first),
    }
}

pub fn batch_of(instance: u8, sequence: u64, records: Vec<FlowRecord>) -> FlowBatch {
    let at = Timestamp::from_secs(sequence as i64 * 10);
    FlowBatch {
        node: "node-1".into(),
        instance: Instance([instance; 16]),
        sequence: (sequence, sequence),
        span: (at, at.plus_secs(10)),
        seen: Observations {
            records: records
                .into_iter()
                .map(|record| (Source::Conntrack, record))
                .collect(),
            ..Observations::default()
        },
    }
}

pub fn batch(sequence: u64, records: Vec<FlowRecord>) -> FlowBatch {
    batch_of(1, sequence, records)
}

/// JSON of what [`batch_of`] makes and spools change: enough to see what became of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct TestCodec;

type RecordFields = (u8, u32, u16, i64, Option<u16>, Verdict, u64);

impl BatchCodec for TestCodec {
    fn encode(&self, batch: &FlowBatch) -> Vec<u8> {
        let lines: Vec<RecordFields> = batch
            .seen
            .records
            .iter()
            .map(|(_, r)| {
                let IpAddr::V4(client) = r.client else {
                    panic!("only IPv4 here")
                };
                let client = u32::from(client) - 0x0a00_0000;
                let at = r.first.nanos() / 1_000_000_000;
                (
                    0,
                    client,
                    r.port,
                    at,
                    r.client_port,
                    r.verdict,
                    r.connections,
                )
            })
            .collect();
        let losses: Vec<(String, u64)> = batch
            .seen
            .losses
            .iter()
            .map(|(loss, count)| (loss.name().to_owned(), *count))
            .collect();
        let instance = batch.instance.to_string();
        serde_json::to_vec(&(instance, batch.sequence, lines, losses)).expect("JSON")
    }

    fn decode(&self, bytes: &[u8]) -> Result<FlowBatch, String> {
        type Parts = (String, (u64, u64), Vec<RecordFields>, Vec<(String, u64)>);
        let (instance, sequence, lines, losses): Parts =
            serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let records = lines
            .into_iter()
            .map(
                |(_, client, port, at, client_port, verdict, connections)| FlowRecord {
                    client_port,
                    verdict,
                    connections,
                    ..record(client, port, at)
                },
            )
            .collect();
        let instance = u128::from_str_radix(&instance, 16).map_err(|error| error.to_string())?;
        let mut batch = batch_of(0, sequence.0, records);
        batch.instance = Instance(instance.to_be_bytes());
        batch.sequence = sequence;
        for (name, count) in losses {
            let loss = Loss::ALL.iter().find(|loss| loss.name() == name);
            batch.seen.lose(*loss.expect("a loss"), count);
        }
        Ok(batch)
    }
}

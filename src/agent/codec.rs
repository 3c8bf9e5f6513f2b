//! How the spool encodes batches: as they are sent.

use crate::flow::FlowBatch;
use crate::store::BatchCodec;
use crate::wire;

/// The message schema.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireCodec;

impl BatchCodec for WireCodec {
    fn encode(&self, batch: &FlowBatch) -> Vec<u8> {
        wire::encode(batch)
    }

    fn decode(&self, bytes: &[u8]) -> Result<FlowBatch, String> {
        wire::decode(bytes).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{
        ActivityWindows, FlowRecord, Instance, Loss, MergedObservations, NameEntry,
        ObservationLimits, Observations, Opening, OtherKind, OtherTraffic, PeerLabel, PeerLabels,
        PodLabel, ScanSummary, Source, Verdict,
    };
    use crate::net::{Protocol, Timestamp};
    use std::net::{IpAddr, Ipv6Addr, SocketAddr};
    use std::sync::Arc;

    fn address(n: u32) -> IpAddr {
        Ipv6Addr::from(u128::MAX - u128::from(n)).into()
    }

    /// Returns a record whose fields all take as many bytes as they can.
    fn largest(n: u32) -> FlowRecord {
        let long = || "n".repeat(253);
        let pod = PeerLabel::Pod(PodLabel {
            namespace: long(),
            name: long(),
            owner: Some((long(), long())),
            labels: (0..9).map(|n| format!("{n}{}", long())).collect(),
            cluster: Some(long()),
        });
        let first = Timestamp::from_nanos(i64::MAX / 2);
        FlowRecord {
            observers: Default::default(),
            told: None,
            client: address(n),
            server: address(0),
            port: u16::MAX,
            protocol: Protocol::Sctp,
            via: Some(SocketAddr::new(address(1), u16::MAX)),
            seen_as: Some(address(2)),
            client_port: Some(u16::MAX),
            verdict: Verdict::Dropped,
            opening: Opening::Undecided,
            labels: n.is_multiple_of(2).then(|| {
                Arc::new(PeerLabels {
                    client: Some(pod.clone()),
                    server: Some(PeerLabel::Workload {
                        namespace: long(),
                        kind: long(),
                        name: long(),
                    }),
                    service: Some((long(), long())),
                })
            }),
            connections: u64::MAX,
            datagrams: u64::MAX,
            bytes_to_server: u64::MAX,
            bytes_to_client: u64::MAX,
            first,
            last: first,
            windows: ActivityWindows::at(first),
        }
    }

    #[test]
    fn no_batch_is_larger_than_a_receiver_takes_and_each_is_read_back() {
        let mut slice = Observations {
            records: (0..12_000).map(|n| (Source::FlowLog, largest(n))).collect(),
            ..Observations::default()
        };
        let time = Timestamp::from_nanos(i64::MAX / 2);
        for n in 0..20_000 {
            let entry = NameEntry {
                name: "x".repeat(255).into(),
                client: address(n),
                by: crate::flow::NamedBy::Resolver(address(n)),
                from: time,
                until: time,
            };
            slice.names.push((address(n), entry));
            slice.other.push(OtherTraffic {
                source: address(n),
                destination: address(0),
                kind: OtherKind::Protocol(255),
                packets: u64::MAX,
            });
            slice.scans.push(ScanSummary {
                client: Some(address(n)),
                connections: u64::MAX,
                addresses: 1 << 16,
                ports: 1 << 16,
                samples: vec![(SocketAddr::new(address(n), u16::MAX), Protocol::Sctp); 16],
                first: time,
                last: time,
            });
        }
        for loss in Loss::ALL {
            slice.lose(*loss, u64::MAX);
        }
        let mut merged = MergedObservations::default();
        merged.add(slice);
        let pieces = merged.into_chunks(ObservationLimits::default());
        assert!(pieces.len() > 3);
        for seen in pieces {
            let batch = FlowBatch {
                node: "n".repeat(253).into(),
                instance: Instance([255; 16]),
                sequence: (1 << 40, (1 << 40) + 1),
                span: (time, time),
                seen,
            };
            let bytes = WireCodec.encode(&batch);
            assert!(bytes.len() <= 4 << 20, "{}", bytes.len());
            assert_eq!(WireCodec.decode(&bytes).as_ref(), Ok(&batch));
        }
    }
}

//! Batches as an agent sends them.

use super::process::Controller;
use super::world::World;
use crate::support::kubernetes::{Cluster, PATIENCE, until};
use nanoseg::flow::BatchId;
use nanoseg::flow::{
    ActivityWindows, FlowBatch, FlowRecord, Instance, Observations, Opening, Source, Verdict,
};
use nanoseg::net::{Protocol, Timestamp};
use nanoseg::wire::{Delivery, GrpcSettings, encode};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// A simulated agent.
pub struct Agent {
    cluster: &'static Cluster,
    folder: tempfile::TempDir,
    endpoint: String,
    delivery: Option<Delivery>,
    sequence: u64,
    instance: Instance,
    node: &'static str,
    /// What it tells of its node's own addresses.
    addresses: BTreeSet<IpAddr>,
}

impl Agent {
    /// The agent of node n1.
    pub fn new(cluster: &'static Cluster, controller: &Controller) -> Agent {
        Agent::on("n1", cluster, controller)
    }

    pub fn on(node: &'static str, cluster: &'static Cluster, controller: &Controller) -> Agent {
        let folder = tempfile::tempdir().expect("a folder");
        let token = cluster.run(cluster.token("default", "default", &["nanoseg"]));
        std::fs::write(folder.path().join("token"), token).expect("a file");
        let mut instance = [0; 16];
        instance[..8].copy_from_slice(&u64::from(controller.listen.port()).to_le_bytes());
        instance[8..8 + node.len()].copy_from_slice(node.as_bytes());
        Agent {
            cluster,
            folder,
            endpoint: format!("http://{}", controller.listen),
            delivery: None,
            sequence: 0,
            instance: Instance(instance),
            node,
            addresses: BTreeSet::new(),
        }
    }

    /// Sends connections that succeeded, repeated over the last hour.
    pub fn learn(&mut self, world: &World, edges: &[(&str, &str, u16)]) {
        let now: Timestamp = jiff::Timestamp::now().into();
        for minute in (2..50).rev().step_by(2) {
            let at = now.plus_secs(-60 * minute);
            let records = edges.iter();
            let records = records
                .map(|edge| record(world, *edge, Verdict::Established, 5, at))
                .collect();
            self.send(at, records);
        }
    }

    /// Sends connections with the present time.
    pub fn see(
        &mut self,
        world: &World,
        edge: (&str, &str, u16),
        verdict: Verdict,
        connections: u64,
    ) {
        let now: Timestamp = jiff::Timestamp::now().into();
        self.send(now, vec![record(world, edge, verdict, connections, now)]);
    }

    /// Sends a connection of each edge with the present time.
    pub fn see_all(&mut self, world: &World, edges: &[(&str, &str, u16)]) {
        let now: Timestamp = jiff::Timestamp::now().into();
        let records = edges.iter();
        let records = records.map(|edge| record(world, *edge, Verdict::Established, 1, now));
        self.send(now, records.collect());
    }

    /// Sends a connection with a given start, and the given number of bytes to the client.
    pub fn carry(&mut self, world: &World, edge: (&str, &str, u16), at: Timestamp, bytes: u64) {
        let record = FlowRecord {
            bytes_to_client: bytes,
            ..record(world, edge, Verdict::Established, 1, at)
        };
        self.send(at, vec![record]);
    }

    /// Says which addresses its node's interfaces have, from now on.
    pub fn tell(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.addresses = addresses.into_iter().collect();
        self.silent();
    }

    /// Sends one connection that has been open for so many minutes until now: counted once, and alive every minute.
    pub fn pool(&mut self, world: &World, edge: (&str, &str, u16), minutes: i64) {
        let now: Timestamp = jiff::Timestamp::now().into();
        let first = now.plus_secs(-60 * minutes);
        for minute in 0..minutes {
            let from = first.plus_secs(60 * minute);
            let last = from.plus_secs(60);
            let record = FlowRecord {
                connections: u64::from(minute == 0),
                first,
                last,
                windows: ActivityWindows::span(from, last),
                ..record(world, edge, Verdict::Established, 1, first)
            };
            self.send_batch((from, last), vec![record]);
        }
    }

    /// Says that it observed until now, and saw nothing.
    pub fn silent(&mut self) {
        self.send(jiff::Timestamp::now().into(), Vec::new());
    }

    /// Says that it observed for so many seconds until now, and saw nothing.
    pub fn watched(&mut self, seconds: i64) {
        let now: Timestamp = jiff::Timestamp::now().into();
        self.send_batch((now.plus_secs(-seconds), now), Vec::new());
    }

    fn send(&mut self, at: Timestamp, records: Vec<FlowRecord>) {
        self.send_batch((at, at.plus_secs(1)), records);
    }

    fn send_batch(&mut self, span: (Timestamp, Timestamp), records: Vec<FlowRecord>) {
        self.sequence += 1;
        let batch = FlowBatch {
            node: self.node.into(),
            instance: self.instance,
            sequence: (self.sequence, self.sequence),
            span,
            seen: Observations {
                records: records
                    .into_iter()
                    .map(|r| (Source::Conntrack, r))
                    .collect(),
                node_addresses: self.addresses.clone(),
                ..Observations::default()
            },
        };
        let settings = GrpcSettings {
            endpoint: self.endpoint.clone(),
            insecure: true,
            ca: None,
            server_name: None,
            token: Some(self.folder.path().join("token")),
        };
        let id = BatchId::of(&batch);
        let delivery = &mut self.delivery;
        self.cluster
            .run(until(PATIENCE, "the batch is taken", async || {
                if delivery.is_none() {
                    *delivery = Some(Delivery::grpc(settings.clone()).map_err(|e| e.to_string())?);
                }
                let Some(link) = delivery.as_mut() else {
                    return Err("no link".to_owned());
                };
                let sent = async {
                    link.send(id, encode(&batch)).await?;
                    link.acknowledged().await
                };
                match tokio::time::timeout(Duration::from_secs(5), sent).await {
                    Ok(Ok(acknowledged)) if acknowledged == id => Ok(()),
                    Ok(Ok(_)) => Err("another one was".to_owned()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("no answer".to_owned()),
                }
            }));
    }
}

fn record(
    world: &World,
    (client, server, port): (&str, &str, u16),
    verdict: Verdict,
    connections: u64,
    at: Timestamp,
) -> FlowRecord {
    FlowRecord {
        observers: Default::default(),
        told: None,
        client: world.address(client),
        server: world.address(server),
        port,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict,
        opening: Opening::Handshake,
        labels: None,
        connections,
        datagrams: 0,
        bytes_to_server: 100,
        bytes_to_client: 100,
        first: at,
        last: at,
        windows: ActivityWindows::at(at),
    }
}

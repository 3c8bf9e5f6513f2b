//! The batches that agents would send.

use super::objects::World;
use crate::support::kubernetes::Cluster;
use nanoseg::flow::BatchId;
use nanoseg::flow::{
    ActivityWindows, FlowBatch, FlowRecord, Instance, Observations, Opening, Source, Verdict,
};
use nanoseg::net::{Protocol, Timestamp};
use nanoseg::wire::{Delivery, GrpcSettings, encode};
use std::net::{IpAddr, SocketAddr};

pub struct Feed {
    cluster: &'static Cluster,
    _folder: tempfile::TempDir,
    delivery: Delivery,
    instance: Instance,
    sequence: u64,
}

impl Feed {
    pub fn new(cluster: &'static Cluster, listen: SocketAddr) -> Feed {
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        let text = cluster.run(cluster.token("default", "default", &["nanoseg"]));
        std::fs::write(&token, text).expect("a file");
        let delivery = Delivery::grpc(GrpcSettings {
            endpoint: format!("http://{listen}"),
            insecure: true,
            ca: None,
            server_name: None,
            token: Some(token),
        });
        Feed {
            cluster,
            _folder: folder,
            delivery: delivery.expect("a way"),
            instance: Instance([7; 16]),
            sequence: 0,
        }
    }

    /// The agent of another run.
    #[must_use]
    pub fn of_run(mut self, run: u8) -> Feed {
        self.instance = Instance([run; 16]);
        self
    }

    /// Sends connections from the second workload to the first one in every namespace, repeated over the last minutes.
    pub fn learn(&mut self, world: &World) {
        let now: Timestamp = jiff::Timestamp::now().into();
        for minute in (2..42).rev().step_by(2) {
            let at = now.plus_secs(-60 * minute);
            let edges = world
                .namespaces()
                .flat_map(|namespace| namespace.calls(8080));
            let records = edges.map(|edge| record(edge, at)).collect();
            self.send(at, records);
        }
    }

    /// Sends one connection with the present time.
    pub fn see(&mut self, edge: (IpAddr, IpAddr, u16)) {
        let now: Timestamp = jiff::Timestamp::now().into();
        self.send(now, vec![record(edge, now)]);
    }

    fn send(&mut self, at: Timestamp, records: Vec<FlowRecord>) {
        let seen = Observations {
            records: records
                .into_iter()
                .map(|r| (Source::Conntrack, r))
                .collect(),
            ..Observations::default()
        };
        self.send_all(at, seen);
    }

    /// Sends observations as one batch. Returns its bytes.
    pub fn send_all(&mut self, at: Timestamp, seen: Observations) -> usize {
        self.sequence += 1;
        let batch = FlowBatch {
            node: "n1".into(),
            instance: self.instance,
            sequence: (self.sequence, self.sequence),
            span: (at, at.plus_secs(1)),
            seen,
        };
        let delivery = &mut self.delivery;
        let bytes = encode(&batch);
        let length = bytes.len();
        self.cluster.run(async {
            let id = BatchId::of(&batch);
            delivery.send(id, bytes).await.expect("it is sent");
            delivery.acknowledged().await.expect("it is taken");
        });
        length
    }
}

pub fn record((client, server, port): (IpAddr, IpAddr, u16), at: Timestamp) -> FlowRecord {
    FlowRecord {
        observers: Default::default(),
        told: None,
        client,
        server,
        port,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        labels: None,
        connections: 5,
        datagrams: 0,
        bytes_to_server: 100,
        bytes_to_client: 100,
        first: at,
        last: at,
        windows: ActivityWindows::at(at),
    }
}

//! NATS JetStream with the real server.

use super::batches::{batch, deliver, model};
use super::process::{NatsProcess, ReceiverProcess, wait_for};
use crate::support::free_port;
use nanoseg::flow::FlowBatch;
use nanoseg::store::FlowStore;
use nanoseg::wire::{Delivery, NatsAuth, NatsSettings};
use std::path::Path;

/// Returns true if the test can run.
pub fn has_nats() -> bool {
    let found = std::process::Command::new("nats-server")
        .arg("--version")
        .output()
        .is_ok();
    assert!(
        found || std::env::var_os("NANOSEG_REQUIRE_ALL").is_none(),
        "needs nats-server (apt-get install nats-server)"
    );
    if !found {
        eprintln!("skipped: needs nats-server (apt-get install nats-server)");
    }
    found
}

fn settings(nats: &NatsProcess) -> NatsSettings {
    NatsSettings {
        servers: nats.url(),
        auth: NatsAuth::None,
        ca: None,
        identity: None,
        inbox: None,
        insecure: false,
        stream: None,
    }
}

fn delivery(nats: &NatsProcess, node: &str) -> Delivery {
    Delivery::nats(settings(nats), node, None).expect("a delivery")
}

fn receiver(nats: &NatsProcess, store: &Path) -> ReceiverProcess {
    let url = nats.url();
    let args = ["--insecure-no-tls", "--insecure-no-auth", "--nats", &url];
    ReceiverProcess::start("127.0.0.1:0", store, &args)
}

/// How many batches are in the store.
pub fn applied(store: &Path) -> u64 {
    let store = FlowStore::open_read_only(store).expect("a store");
    let all = store.load().expect("content");
    let sets = all.applied().values();
    sets.flat_map(|set| set.intervals())
        .map(|(first, last)| last - first + 1)
        .sum()
}

#[tokio::test]
async fn a_killed_nats_server_and_receiver_lose_and_duplicate_nothing() {
    if !has_nats() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (port, data) = (free_port(), folder.path().join("nats"));
    let store = folder.path().join("flows.db");
    let mut nats = NatsProcess::start(port, &data);
    let batches: Vec<FlowBatch> = (1..=300)
        .map(|number| batch("node-1.example", number))
        .collect();
    let mut delivery = delivery(&nats, "node-1.example");
    let mut taker = receiver(&nats, &store);
    deliver(&mut delivery, &batches, |acknowledged| match acknowledged {
        100 => {
            nats.kill();
            nats = NatsProcess::start(port, &data);
        }
        200 => {
            taker.kill();
            taker = receiver(&nats, &store);
        }
        _ => {}
    })
    .await;
    wait_for("all batches", || (applied(&store) >= 300).then_some(()));
    let content = FlowStore::open_read_only(&store).expect("a store").load();
    assert!(super::batches::content(&content.expect("content")) == model(&batches));
    assert_eq!(taker.stop(), Some(0));
}

#[tokio::test]
async fn two_receivers_share_the_batches_and_each_batch_is_received_once() {
    if !has_nats() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let nats = NatsProcess::start(free_port(), &folder.path().join("nats"));
    let stores = ["a.db", "b.db"].map(|name| folder.path().join(name));
    let takers = stores.each_ref().map(|store| receiver(&nats, store));
    let batches: Vec<FlowBatch> = (1..=200).map(|number| batch("node-1", number)).collect();
    let mut delivery = delivery(&nats, "node-1");
    deliver(&mut delivery, &batches, |_| {}).await;
    wait_for("all batches", || {
        (stores.iter().map(|store| applied(store)).sum::<u64>() >= 200).then_some(())
    });
    let parts = stores.each_ref().map(|store| applied(store));
    assert_eq!(parts.iter().sum::<u64>(), 200, "{parts:?}");
    assert!(parts.iter().all(|part| *part > 0), "{parts:?}");
    for taker in takers {
        assert_eq!(taker.stop(), Some(0));
    }
}

#[tokio::test]
async fn invalid_messages_are_counted_and_do_not_block_the_others() {
    if !has_nats() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("flows.db");
    let nats = NatsProcess::start(free_port(), &folder.path().join("nats"));
    let taker = receiver(&nats, &store);
    let batches = [batch("node-1", 1)];
    // Sent as node-2, which is not the node of the batch.
    let mut stranger = delivery(&nats, "node-2");
    deliver(&mut stranger, &batches, |_| {}).await;
    let mut damaged = delivery(&nats, "node-1");
    let id = nanoseg::flow::BatchId::of(&batch("node-1", 7));
    damaged
        .send(id, vec![0x08, 0x01, 0xff])
        .await
        .expect("sent");
    damaged.acknowledged().await.expect("kept by the stream");
    let good = [batch("node-1", 2)];
    deliver(&mut damaged, &good, |_| {}).await;
    wait_for("the good batch", || (applied(&store) >= 1).then_some(()));
    assert!(
        super::batches::content(
            &FlowStore::open_read_only(&store)
                .expect("a store")
                .load()
                .expect("content")
        ) == model(&good)
    );
    let metrics = taker.get("/metrics");
    for reason in ["other-node", "malformed"] {
        let line = format!("nanoseg_receiver_refused_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn a_receiver_stops_on_sigterm_although_nats_is_down() {
    if !has_nats() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut nats = NatsProcess::start(free_port(), &folder.path().join("nats"));
    let taker = receiver(&nats, &folder.path().join("flows.db"));
    nats.kill();
    assert_eq!(taker.stop(), Some(0));
}

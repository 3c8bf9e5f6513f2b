//! The files of `deploy/nats` on the real server: what they let agents and receivers do, and what nobody else.

use super::batches::{PATIENCE, batch, deliver};
use super::jetstream::has_nats;
use super::nats_attacks::{NODE_1, batches, count};
use super::nats_place::Place;
use nanoseg::flow::BatchId;
use nanoseg::wire::encode;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn json_file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/nats")
        .join(name);
    let text = fs::read_to_string(path).expect(name);
    serde_json::from_str(&text).expect(name)
}

#[tokio::test]
async fn the_shipped_permissions_are_enough_for_agents_and_receivers() {
    if !has_nats() {
        return;
    }
    let place = Place::guarded();
    let taker = place.receiver(&[]);
    let (first, second) = (batches("node-1", 40), batches("node-2", 40));
    deliver(&mut place.delivery("node-1"), &first, |_| {}).await;
    deliver(&mut place.delivery("node-2"), &second, |_| {}).await;
    assert!(place.has_stored(&[first, second].concat()));
    assert!(taker.get("/readyz").contains("200 OK"));
    let metrics = taker.get("/metrics");
    assert_eq!(
        count(&metrics, "nanoseg_receiver_refused_total"),
        0,
        "{metrics}"
    );
    assert_eq!(taker.stop(), Some(0));
}

#[tokio::test]
async fn streams_made_from_the_shipped_files_are_those_that_a_receiver_accepts() {
    if !has_nats() {
        return;
    }
    let place = Place::guarded();
    let admin = place.client("ADMIN", "_INBOX").await;
    let make = async |subject: &str, payload: Value| {
        let payload = payload.to_string().into();
        let answer = admin.client.request(subject.to_owned(), payload).await;
        let answer: Value =
            serde_json::from_slice(&answer.expect("an answer").payload).expect("JSON");
        assert!(answer.get("error").is_none(), "{answer}");
    };
    make(
        "$JS.API.STREAM.CREATE.NANOSEG_FLOWS",
        json_file("stream.json"),
    )
    .await;
    make(
        "$JS.API.STREAM.CREATE.NANOSEG_REJECTED",
        json_file("rejected.json"),
    )
    .await;
    let consumer = json!({"stream_name": "NANOSEG_FLOWS", "config": json_file("consumer.json")});
    make(
        "$JS.API.CONSUMER.DURABLE.CREATE.NANOSEG_FLOWS.nanoseg-controller",
        consumer,
    )
    .await;
    let taker = place.receiver(&["--nats-no-create"]);
    let sent = batches("node-1", 3);
    deliver(&mut place.delivery("node-1"), &sent, |_| {}).await;
    assert!(place.has_stored(&sent));
    assert_eq!(taker.stop(), Some(0));
}

#[tokio::test]
async fn an_agent_can_publish_the_batches_of_its_node_and_do_nothing_else() {
    if !has_nats() {
        return;
    }
    let place = Place::guarded();
    let _taker = place.receiver(&[]);
    let mut agent = place.client("NODE_2", "_INBOX_nanoseg.agent.node-2").await;
    for subject in [
        NODE_1,
        "nanoseg.rejected.v1.node-1",
        "nanoseg.flows.v1.node-2.more",
        "_INBOX_nanoseg.agent.node-1.x",
        "_INBOX_nanoseg.receiver.x",
        "$JS.ACK.NANOSEG_FLOWS.nanoseg-controller.1.1.1.1.0",
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.NANOSEG_FLOWS",
        "$JS.API.STREAM.CREATE.NANOSEG_FLOWS",
        "$JS.API.STREAM.CREATE.OTHER",
        "$JS.API.STREAM.UPDATE.NANOSEG_FLOWS",
        "$JS.API.STREAM.PURGE.NANOSEG_FLOWS",
        "$JS.API.STREAM.DELETE.NANOSEG_FLOWS",
        "$JS.API.STREAM.MSG.GET.NANOSEG_FLOWS",
        "$JS.API.DIRECT.GET.NANOSEG_FLOWS",
        "$JS.API.CONSUMER.CREATE.NANOSEG_FLOWS",
        "$JS.API.CONSUMER.DURABLE.CREATE.NANOSEG_FLOWS.mine",
        "$JS.API.CONSUMER.DELETE.NANOSEG_FLOWS.nanoseg-controller",
        "$JS.API.CONSUMER.MSG.NEXT.NANOSEG_FLOWS.nanoseg-controller",
    ] {
        agent
            .client
            .publish(subject, "{}".into())
            .await
            .expect("sent");
        let why = agent.is_forbidden().await;
        assert!(
            why.to_lowercase().contains("publish to"),
            "{subject}: {why}"
        );
    }
    for subject in [
        ">",
        "_INBOX.>",
        "nanoseg.flows.v1.node-2",
        "nanoseg.>",
        "_INBOX_nanoseg.receiver.>",
        "_INBOX_nanoseg.agent.node-1.>",
        "_INBOX_nanoseg.agent.*.>",
    ] {
        let _subscriber = agent.client.subscribe(subject).await.expect("asked");
        let why = agent.is_forbidden().await;
        assert!(
            why.to_lowercase().contains("subscription to"),
            "{subject}: {why}"
        );
    }
    // The same by the delivery itself: another node's subject gets no answer.
    let mut forged = place.delivery_as("node-1", "NODE_2", Some("node-2"));
    let id = BatchId::of(&batch("node-1", 1));
    forged
        .send(id, encode(&batch("node-1", 1)))
        .await
        .expect("sent");
    let answer = tokio::time::timeout(PATIENCE, forged.acknowledged()).await;
    let error = answer.expect("an answer").expect_err("none");
    assert!(
        error.to_string().contains("must be allowed to publish"),
        "{error}"
    );
    let good = batches("node-1", 2);
    deliver(&mut place.delivery("node-1"), &good, |_| {}).await;
    assert!(place.has_stored(&good));
}

#[tokio::test]
async fn certificates_and_authorities_are_read_again() {
    if !has_nats() {
        return;
    }
    let mut place = Place::guarded();
    let taker = place.receiver(&[]);
    let mut delivery = place.delivery("node-1");
    let all = batches("node-1", 20);
    deliver(&mut delivery, &all[..10], |_| {}).await;
    assert!(place.has_stored(&all[..10]));
    place.renew_certificates();
    place.restart();
    deliver(&mut delivery, &all[10..], |_| {}).await;
    assert!(
        place.has_stored(&all),
        "the same processes, and another authority"
    );
    assert_eq!(taker.stop(), Some(0));
}

#[tokio::test]
async fn a_stranger_with_no_user_cannot_connect() {
    if !has_nats() {
        return;
    }
    let place = Place::guarded();
    let options = async_nats::ConnectOptions::new()
        .add_root_certificates(place.path("ca.pem"))
        .connection_timeout(Duration::from_secs(5));
    assert!(options.connect(place.url()).await.is_err());
}

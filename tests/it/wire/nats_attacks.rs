//! What somebody with a right to a NATS server can do to the batches that go through it: nothing. With the real
//! server; where it helps the attacker, one on which everybody may do everything.

use super::batches::{PATIENCE, batch, deliver};
use super::jetstream::has_nats;
use super::nats_place::{Place, of_run, of_unknown_schema};
use super::process::wait_for;
use crate::support::tokens::{TokenKey, content, now};
use async_nats::HeaderMap;
use futures_util::StreamExt;
use nanoseg::flow::{BatchId, FlowBatch};
use nanoseg::wire::{DeliveryError, encode};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};

pub const NODE_1: &str = "nanoseg.flows.v1.node-1";

/// The first batches of a node's agent.
pub fn batches(node: &str, count: u64) -> Vec<FlowBatch> {
    (1..=count).map(|number| batch(node, number)).collect()
}

/// The value of a metric of the receiver, by the begin of its line.
pub fn count(metrics: &str, line: &str) -> u64 {
    let found = metrics.lines().filter_map(|l| l.strip_prefix(line));
    found
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[tokio::test]
async fn another_nodes_run_does_not_make_its_batches_duplicates() {
    if !has_nats() {
        return;
    }
    let place = Place::guarded();
    let _taker = place.receiver(&[]);
    // node-2 knows the run of node-1 and has sent all its numbers, as its own.
    let forged = [FlowBatch {
        sequence: (1, 1_000_000),
        ..of_run(batch("node-2", 1), 9)
    }];
    deliver(&mut place.delivery("node-2"), &forged, |_| {}).await;
    assert!(place.has_stored(&forged));
    let honest: Vec<FlowBatch> = batches("node-1", 20);
    assert_eq!(honest[0].instance, forged[0].instance);
    deliver(&mut place.delivery("node-1"), &honest, |_| {}).await;
    let both = [honest, forged.to_vec()].concat();
    wait_for("the batches", || {
        let metrics = _taker.get("/metrics");
        (count(&metrics, "nanoseg_receiver_batches_total{result=\"new\"}") == 21).then_some(())
    });
    assert!(place.has_stored(&both));
}

#[tokio::test]
async fn junk_under_foreseeable_message_ids_takes_no_batchs_place() {
    if !has_nats() {
        return;
    }
    let place = Place::open();
    let taker = place.receiver(&[]);
    let stranger = place.client("", "_INBOX").await;
    let sent = batches("node-1", 50);
    for batch in &sent {
        for id in [
            BatchId::of(batch).to_string(),
            format!("{}-{}", batch.node, BatchId::of(batch)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", id.as_str());
            let published = stranger
                .client
                .publish_with_headers(NODE_1, headers, "junk".into());
            published.await.expect("sent");
        }
    }
    stranger.client.flush().await.expect("sent");
    deliver(&mut place.delivery("node-1"), &sent, |_| {}).await;
    assert!(place.has_stored(&sent));
    wait_for("the junk to go aside", || {
        let aside = count(
            &taker.get("/metrics"),
            "nanoseg_receiver_nats_set_aside_total",
        );
        (aside == 100).then_some(())
    });
}

#[tokio::test]
async fn three_hundred_messages_of_an_unknown_schema_stop_nobody_and_are_kept_aside() {
    if !has_nats() {
        return;
    }
    let place = Place::guarded();
    let taker = place.receiver(&[]);
    for node in ["node-1", "node-2"] {
        let mut delivery = place.delivery(node);
        for number in 1..=150 {
            let unknown = of_unknown_schema(&batch(node, number));
            let id = BatchId::of(&batch(node, number));
            loop {
                delivery.send(id, unknown.clone()).await.expect("sent");
                match delivery.acknowledged().await {
                    Ok(_) => break,
                    Err(DeliveryError::Unavailable { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    let good: Vec<FlowBatch> = (201..=210).map(|number| batch("node-1", number)).collect();
    deliver(&mut place.delivery("node-1"), &good, |_| {}).await;
    assert!(place.has_stored(&good));
    wait_for("all others to go aside", || {
        let aside = "nanoseg_receiver_nats_set_aside_total{reason=\"schema\",kept=\"yes\"}";
        (count(&taker.get("/metrics"), aside) == 300).then_some(())
    });
    let ready = taker.get("/readyz");
    assert!(
        ready.contains("200 OK"),
        "nobody can make it unready: {ready}"
    );
    assert!(ready.contains("schema (300)"), "{ready}");
    let admin = place.client("ADMIN", "_INBOX").await;
    let state = async |stream: &str| -> u64 {
        let subject = format!("$JS.API.STREAM.INFO.{stream}");
        let answer = admin
            .client
            .request(subject, "".into())
            .await
            .expect("an answer");
        let info: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        info["state"]["messages"].as_u64().expect("a number")
    };
    assert_eq!(state("NANOSEG_REJECTED").await, 300);
    let deadline = std::time::Instant::now() + PATIENCE;
    while state("NANOSEG_FLOWS").await > 0 {
        assert!(std::time::Instant::now() < deadline, "all have left");
        tokio::task::yield_now().await;
    }
    // A copy says why, and has no token.
    let asked = json!({"seq": 1}).to_string();
    let subject = "$JS.API.STREAM.MSG.GET.NANOSEG_REJECTED";
    let answer = admin
        .client
        .request(subject, asked.into())
        .await
        .expect("a copy");
    let copy: Value = serde_json::from_slice(&answer.payload).expect("JSON");
    let headers = base64(copy["message"]["hdrs"].as_str().expect("headers"));
    assert!(headers.contains("Nanoseg-Refused: schema"), "{headers}");
    assert!(!headers.contains("Nanoseg-Token"), "{headers}");
}

/// Decodes base64 to text.
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let digits = text
        .bytes()
        .filter_map(|b| DIGITS.iter().position(|d| *d == b));
    for chunk in digits.collect::<Vec<_>>().chunks(4) {
        let bits = chunk.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - chunk.len()));
        bytes.extend((0..chunk.len() - 1).map(|n| (bits >> (16 - 8 * n)) as u8));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_batch_without_the_token_of_its_node_is_set_aside() {
    if !has_nats() {
        return;
    }
    let place = Place::open();
    let taker = place.receiver(&[]);
    fs::write(
        place.path("forged"),
        TokenKey::new("first").sign(&content(now(), "node-1")),
    )
    .expect("a file");
    let mut unbound = content(now(), "node-1");
    unbound["kubernetes.io"] = json!({});
    fs::write(place.path("unbound"), place.key.sign(&unbound)).expect("a file");
    let mut elsewhere = content(now(), "node-1");
    elsewhere["aud"] = json!(["other"]);
    fs::write(place.path("elsewhere"), place.key.sign(&elsewhere)).expect("a file");
    let attempts = [
        // Its own token, for another node's subject and batch.
        ("node-1", Some("node-2"), "other-node"),
        ("node-1", None, "no-token"),
        ("node-1", Some("forged"), "bad-signature"),
        ("node-1", Some("unbound"), "no-node"),
        ("node-1", Some("elsewhere"), "other-audience"),
        // Its own token and subject, and another node's batch.
        ("node-2", Some("node-2"), "other-node"),
    ];
    for (number, (subject, token, _)) in (1..).zip(&attempts) {
        let mut delivery = place.delivery_as(subject, "", *token);
        deliver(&mut delivery, &[batch("node-1", number)], |_| {}).await;
    }
    let good = [batch("node-1", 100)];
    deliver(&mut place.delivery("node-1"), &good, |_| {}).await;
    assert!(place.has_stored(&good));
    for (.., kind) in attempts {
        let wanted = attempts.iter().filter(|(.., other)| *other == kind).count() as u64;
        let line = format!("nanoseg_receiver_nats_set_aside_total{{reason=\"{kind}\"");
        wait_for(kind, || {
            (count(&taker.get("/metrics"), &line) == wanted).then_some(())
        });
    }
}

#[tokio::test]
async fn a_stream_that_was_made_beforehand_with_one_message_in_memory_is_refused_with_its_remedy() {
    if !has_nats() {
        return;
    }
    let place = Place::open();
    let stranger = place.client("", "_INBOX").await;
    let config = json!({
        "name": "NANOSEG_FLOWS", "subjects": ["nanoseg.flows.v1.*"], "storage": "memory",
        "retention": "limits", "discard": "old", "max_msgs": 1, "num_replicas": 1
    });
    let subject = "$JS.API.STREAM.CREATE.NANOSEG_FLOWS";
    let made = stranger
        .client
        .request(subject, config.to_string().into())
        .await;
    made.expect("a stream");
    let ended = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args([
            "receive",
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
            "--store",
        ])
        .arg(place.store())
        .args(place.receiver_args(&[]))
        .stdin(Stdio::null())
        .output()
        .expect("nanoseg runs");
    assert_eq!(ended.status.code(), Some(2));
    let text = String::from_utf8_lossy(&ended.stderr);
    for part in [
        "storage is \"memory\"",
        "max_msgs is 1",
        "retention is",
        "nats stream rm NANOSEG_FLOWS",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_stream_that_is_changed_while_a_receiver_runs_makes_it_unready() {
    if !has_nats() {
        return;
    }
    let place = Place::open();
    let taker = place.receiver(&[]);
    assert!(taker.get("/readyz").contains("200 OK"));
    let stranger = place.client("", "_INBOX").await;
    let ask = async |subject: &str, payload: String| -> Value {
        let answer = stranger.client.request(subject.to_owned(), payload.into());
        let answer = answer.await.expect("an answer");
        serde_json::from_slice(&answer.payload).expect("JSON")
    };
    let info = ask("$JS.API.STREAM.INFO.NANOSEG_FLOWS", String::new()).await;
    let mut config = info["config"].clone();
    config["max_msgs"] = json!(1);
    let update = "$JS.API.STREAM.UPDATE.NANOSEG_FLOWS";
    let changed = ask(update, config.to_string()).await;
    assert!(changed.get("error").is_none(), "{changed}");
    // So that the receiver looks at once.
    let consumer = "$JS.API.CONSUMER.DELETE.NANOSEG_FLOWS.nanoseg-controller";
    ask(consumer, String::new()).await;
    wait_for("the receiver to notice", || {
        let ready = taker.get("/readyz");
        (ready.contains("503") && ready.contains("max_msgs is 1")).then_some(())
    });
    ask(update, info["config"].to_string()).await;
    wait_for("the receiver to be ready again", || {
        taker.get("/readyz").contains("200 OK").then_some(())
    });
    let sent = batches("node-1", 3);
    deliver(&mut place.delivery("node-1"), &sent, |_| {}).await;
    assert!(place.has_stored(&sent));
}

#[tokio::test]
async fn whoever_listens_to_the_default_inbox_hears_no_delivery() {
    if !has_nats() {
        return;
    }
    let place = Place::open();
    let stranger = place.client("", "_INBOX").await;
    let mut heard = stranger
        .client
        .subscribe("_INBOX.>")
        .await
        .expect("a subscription");
    stranger.client.flush().await.expect("sent");
    let _taker = place.receiver(&[]);
    let sent = batches("node-1", 20);
    deliver(&mut place.delivery("node-1"), &sent, |_| {}).await;
    assert!(place.has_stored(&sent));
    // What was delivered before this message would be heard before it.
    let mark = "_INBOX.mark";
    stranger
        .client
        .publish(mark, "".into())
        .await
        .expect("sent");
    let first = tokio::time::timeout(PATIENCE, heard.next())
        .await
        .expect("the mark");
    assert_eq!(first.expect("a message").subject.as_str(), mark);
}

#[tokio::test]
async fn one_node_cannot_fill_the_stream_for_the_others() {
    if !has_nats() {
        return;
    }
    let place = Place::open();
    let taker = place.receiver(&["--nats-max-per-node", "5"]);
    assert_eq!(taker.stop(), Some(0));
    let mut greedy = place.delivery("node-2");
    let mut refused = None;
    for number in 1..=6 {
        let one = batch("node-2", number);
        greedy
            .send(BatchId::of(&one), encode(&one))
            .await
            .expect("sent");
        refused = greedy.acknowledged().await.err();
    }
    assert!(
        matches!(refused, Some(DeliveryError::Unavailable { .. })),
        "{refused:?}"
    );
    let sent = batches("node-1", 3);
    deliver(&mut place.delivery("node-1"), &sent, |_| {}).await;
    let _taker = place.receiver(&[]);
    let all = [batches("node-2", 5), sent].concat();
    assert!(place.has_stored(&all));
}

#[test]
fn without_tokens_only_a_server_on_this_machine_is_used_and_beyond_it_only_with_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
            .args([
                "receive",
                "--listen",
                "127.0.0.1:0",
                "--metrics-listen",
                "127.0.0.1:0",
                "--insecure-no-tls",
            ])
            .arg("--store")
            .arg(folder.path().join("flows.db"))
            .args(args)
            .output()
            .expect("nanoseg runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let anybody = run(&["--insecure-no-auth", "--nats", "tls://nats.example:4222"]);
    assert!(anybody.contains("--token-jwks"), "{anybody}");
    let jwks = folder.path().join("jwks.json");
    fs::write(&jwks, TokenKey::new("first").jwks()).expect("a file");
    let jwks = jwks.to_str().expect("a path");
    let plain = run(&["--token-jwks", jwks, "--nats", "nats://nats.example:4222"]);
    assert!(
        plain.contains("without TLS") && plain.contains("--nats-ca"),
        "{plain}"
    );
}

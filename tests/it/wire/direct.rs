//! gRPC with a real certificate and real tokens.

use super::batches::{PATIENCE, batch, content as stored, deliver, model};
use super::process::ReceiverProcess;
use crate::support::free_port;
use crate::support::tokens::{TokenKey, content, now};
use nanoseg::flow::BatchId;
use nanoseg::flow::FlowBatch;
use nanoseg::store::FlowStore;
use nanoseg::wire::{Delivery, DeliveryError, GrpcSettings, encode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// A folder with a certificate authority, a receiver's certificate, token keys and a valid token for node-1.
struct Place {
    folder: tempfile::TempDir,
    key: TokenKey,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            folder: tempfile::tempdir().expect("a folder"),
            key: TokenKey::new("first"),
        };
        place.write_authority("ca.pem", Some(("tls.crt", "tls.key")));
        place.write("jwks.json", &place.key.jwks());
        place.write("token", &place.key.sign(&content(now(), "node-1")));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    fn write_authority(&self, ca: &str, certificate: Option<(&str, &str)>) {
        let mut params = CertificateParams::new([]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"))
            .expect("an authority");
        self.write(ca, &authority.pem());
        if let Some((certificate, key)) = certificate {
            let pair = KeyPair::generate().expect("a key");
            let params =
                CertificateParams::new(["receiver.nanoseg.svc".to_owned()]).expect("names");
            let signed = params.signed_by(&pair, &authority).expect("a certificate");
            self.write(certificate, &signed.pem());
            self.write(key, &pair.serialize_pem());
        }
    }

    fn receiver(&self, listen: &str) -> ReceiverProcess {
        self.receiver_with(listen, &[])
    }

    fn receiver_with(&self, listen: &str, more: &[&str]) -> ReceiverProcess {
        let [cert, key, jwks] = ["tls.crt", "tls.key", "jwks.json"]
            .map(|name| self.path(name).to_str().expect("a path").to_owned());
        let args = [
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--token-jwks",
            &jwks,
        ];
        let args = [&args[..], more].concat();
        ReceiverProcess::start(listen, &self.path("flows.db"), &args)
    }

    fn settings(&self, receiver: &ReceiverProcess) -> GrpcSettings {
        GrpcSettings {
            endpoint: format!("https://{}", receiver.address),
            insecure: false,
            ca: Some(self.path("ca.pem")),
            server_name: Some("receiver.nanoseg.svc".into()),
            token: Some(self.path("token")),
        }
    }

    fn delivery(&self, receiver: &ReceiverProcess) -> Delivery {
        Delivery::grpc(self.settings(receiver)).expect("settings")
    }

    fn store(&self) -> FlowStore {
        FlowStore::open_read_only(&self.path("flows.db")).expect("a store")
    }
}

/// Sends one message and returns the result.
async fn outcome(
    delivery: &mut Delivery,
    id: BatchId,
    bytes: Vec<u8>,
) -> Result<BatchId, DeliveryError> {
    let sent = tokio::time::timeout(PATIENCE, delivery.send(id, bytes)).await;
    sent.expect("sending ends")?;
    let answer = tokio::time::timeout(PATIENCE, delivery.acknowledged()).await;
    answer.expect("an answer")
}

async fn send(delivery: &mut Delivery, batch: &FlowBatch) -> Result<BatchId, DeliveryError> {
    outcome(delivery, BatchId::of(batch), encode(batch)).await
}

#[tokio::test]
async fn a_killed_receiver_loses_and_duplicates_nothing() {
    let place = Place::new();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut receiver = place.receiver(&listen);
    let batches: Vec<FlowBatch> = (1..=300).map(|number| batch("node-1", number)).collect();
    let mut delivery = place.delivery(&receiver);
    deliver(&mut delivery, &batches, |acknowledged| {
        if acknowledged == 100 || acknowledged == 200 {
            receiver.kill();
            receiver = place.receiver(&listen);
        }
    })
    .await;
    assert!(stored(&place.store().load().expect("content")) == model(&batches));
    // Sends all again, as an agent does that was killed before it stored the acknowledgements.
    deliver(&mut delivery, &batches, |_| {}).await;
    assert!(stored(&place.store().load().expect("content")) == model(&batches));
    let metrics = receiver.get("/metrics");
    let duplicates = "nanoseg_receiver_batches_total{result=\"duplicate\"} ";
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(duplicates));
    assert!(
        line.is_some_and(|count| count.parse::<u64>().is_ok_and(|n| n >= 300)),
        "{metrics}"
    );
    assert!(receiver.get("/readyz").contains("200 OK"));
    assert!(receiver.get("/healthz").contains("200 OK"));
    drop(delivery);
    assert_eq!(receiver.stop(), Some(0));
}

#[tokio::test]
async fn a_receiver_that_stops_acknowledges_received_batches_and_ends_streams() {
    let place = Place::new();
    let receiver = place.receiver("127.0.0.1:0");
    let mut delivery = place.delivery(&receiver);
    send(&mut delivery, &batch("node-1", 1))
        .await
        .expect("stored");
    let stopped = tokio::task::spawn_blocking(|| receiver.stop());
    let ended = tokio::time::timeout(PATIENCE, delivery.acknowledged()).await;
    assert!(
        matches!(ended, Ok(Err(DeliveryError::Unavailable { .. }))),
        "{ended:?}"
    );
    assert_eq!(
        stopped.await.expect("an end"),
        Some(0),
        "while the agent is still connected"
    );
}

#[tokio::test]
async fn an_agent_rejects_a_receiver_with_another_authority_or_name() {
    let place = Place::new();
    let receiver = place.receiver("127.0.0.1:0");
    place.write_authority("other.pem", None);
    let good = place.settings(&receiver);
    let wrong = [
        GrpcSettings {
            ca: Some(place.path("other.pem")),
            ..good.clone()
        },
        GrpcSettings {
            server_name: Some("elsewhere".into()),
            ..good.clone()
        },
    ];
    for settings in wrong {
        let mut delivery = Delivery::grpc(settings).expect("settings");
        let error = send(&mut delivery, &batch("node-1", 1))
            .await
            .expect_err("a refusal");
        let text = error.to_string();
        assert!(matches!(error, DeliveryError::Unavailable { .. }), "{text}");
        assert!(text.contains("certificate"), "{text}");
    }
    let plain = format!("http://{}", receiver.address);
    let insecure = Delivery::grpc(GrpcSettings {
        endpoint: plain,
        ..good
    });
    assert!(
        insecure.is_err_and(|e| e.to_string().contains("https://")),
        "only if asked for"
    );
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_a_new_one_in_the_file_is_used() {
    let place = Place::new();
    let receiver = place.receiver("127.0.0.1:0");
    let mut old = content(now(), "node-1");
    old["exp"] = json!(now() - 3600);
    let wrong = place.key.sign(&old);
    place.write("token", &wrong);
    let mut delivery = place.delivery(&receiver);
    let error = send(&mut delivery, &batch("node-1", 1))
        .await
        .expect_err("a refusal");
    assert!(
        matches!(error, DeliveryError::Unauthenticated { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("it has expired"), "{error}");
    place.write("token", &place.key.sign(&content(now(), "node-1")));
    send(&mut delivery, &batch("node-1", 1))
        .await
        .expect("stored");
    let error = send(&mut delivery, &batch("node-2", 1))
        .await
        .expect_err("a refusal");
    assert!(
        error
            .to_string()
            .contains("the token is of a pod on node node-1"),
        "{error}"
    );
    let metrics = receiver.get("/metrics");
    for reason in ["expired", "other-node"] {
        let line = format!("nanoseg_receiver_refused_total{{reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test]
async fn a_token_without_a_node_is_refused_unless_that_is_allowed_and_the_log_says_what_it_gives_away()
 {
    let place = Place::new();
    let mut unbound = content(now(), "node-1");
    unbound["kubernetes.io"] = json!({"pod": {"name": "agent-x", "uid": "1"}});
    place.write("token", &place.key.sign(&unbound));
    let strict = place.receiver("127.0.0.1:0");
    let mut delivery = place.delivery(&strict);
    let error = send(&mut delivery, &batch("node-1", 1)).await;
    let error = error.expect_err("a refusal").to_string();
    assert!(error.contains("it names no node"), "{error}");
    let refused = "nanoseg_receiver_refused_total{reason=\"no-node\"} 1";
    assert!(strict.get("/metrics").contains(refused));
    assert!(!strict.log().contains("--allow-unbound-agents"));
    assert_eq!(strict.stop(), Some(0));
    let lenient = place.receiver_with("127.0.0.1:0", &["--allow-unbound-agents"]);
    let log = lenient.log();
    assert!(
        log.contains("can report traffic for the whole cluster"),
        "{log}"
    );
    let mut delivery = place.delivery(&lenient);
    for node in ["node-1", "node-2"] {
        send(&mut delivery, &batch(node, 1)).await.expect("stored");
    }
}

#[tokio::test]
async fn an_invalid_batch_is_refused_by_name_and_the_others_are_stored() {
    let place = Place::new();
    let receiver = place.receiver("127.0.0.1:0");
    let mut delivery = place.delivery(&receiver);
    let (good, bad) = (batch("node-1", 1), batch("node-1", 2));
    let mut truncated = encode(&bad);
    truncated.pop();
    delivery
        .send(BatchId::of(&good), encode(&good))
        .await
        .expect("sent");
    delivery
        .send(BatchId::of(&bad), truncated)
        .await
        .expect("sent");
    assert_eq!(delivery.acknowledged().await, Ok(BatchId::of(&good)));
    let refused = delivery.acknowledged().await.expect_err("a refusal");
    assert!(
        matches!(&refused, DeliveryError::Refused(id, _) if *id == BatchId::of(&bad)),
        "{refused}"
    );
    // Field 1 is the schema. A later value of a field replaces an earlier one.
    let newer = [encode(&bad), vec![0x08, 0x02]].concat();
    let error = outcome(&mut delivery, BatchId::of(&bad), newer)
        .await
        .expect_err("a refusal");
    assert!(
        matches!(error, DeliveryError::Unsupported { .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains("upgrade the controller first"),
        "{error}"
    );
    send(&mut delivery, &bad).await.expect("stored");
    assert!(stored(&place.store().load().expect("content")) == model(&[good, bad]));
}

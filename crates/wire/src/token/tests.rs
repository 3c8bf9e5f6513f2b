#[path = "../../../../tests/support/tokens.rs"]
mod tokens;

use super::*;
use serde_json::{Value, json};
use std::fs;
use tokens::{AGENT, TokenKey, base64url, content, now, unsigned};

struct Place {
    folder: tempfile::TempDir,
    key: TokenKey,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            folder: tempfile::tempdir().unwrap(),
            key: TokenKey::new("first"),
        };
        fs::write(place.jwks(), place.key.jwks()).unwrap();
        place
    }

    fn jwks(&self) -> PathBuf {
        self.folder.path().join("jwks.json")
    }

    fn check(&self) -> TokenCheck {
        TokenCheck::new(TokenSettings {
            jwks: self.jwks(),
            issuer: Some("https://kubernetes.default.svc.cluster.local".into()),
            audience: "nanoseg".into(),
            subjects: [AGENT.to_owned()].into(),
        })
        .unwrap()
    }
}

fn kind_of(check: &TokenCheck, token: &str) -> &'static str {
    let refusal = check.check(Some(token)).expect_err("a refusal");
    assert!(
        !refusal.reason.contains(token),
        "a log must not hold tokens"
    );
    refusal.kind
}

#[test]
fn a_valid_token_gives_its_node_and_how_long_it_is_valid() {
    let place = Place::new();
    let token = place.key.sign(&content(now(), "node-1"));
    let peer = place.check().check(Some(&token)).unwrap();
    assert_eq!(peer.node.as_deref(), Some("node-1"));
    let left = peer.good_for.unwrap().as_secs();
    assert!((3600..=3600 + LEEWAY).contains(&left), "{left}");
}

#[test]
fn a_token_without_a_node_is_good_for_any() {
    let place = Place::new();
    let mut content = content(now(), "");
    content.as_object_mut().unwrap().remove("kubernetes.io");
    let peer = place
        .check()
        .check(Some(&place.key.sign(&content)))
        .unwrap();
    assert_eq!(peer.node, None);
}

#[test]
fn each_wrong_claim_is_refused_by_its_name() {
    let place = Place::new();
    let check = place.check();
    let cases: &[(&str, Value, &str)] = &[
        ("exp", json!(now() - LEEWAY - 5), "expired"),
        ("nbf", json!(now() + LEEWAY + 5), "not-yet-valid"),
        (
            "aud",
            json!(["https://kubernetes.default.svc"]),
            "other-audience",
        ),
        ("aud", json!("other"), "other-audience"),
        ("aud", json!([]), "other-audience"),
        ("iss", json!("https://elsewhere"), "other-issuer"),
        (
            "sub",
            json!("system:serviceaccount:shop:web"),
            "other-subject",
        ),
        ("exp", Value::Null, "bad-token"),
        ("aud", Value::Null, "bad-token"),
        ("sub", Value::Null, "bad-token"),
        ("iss", Value::Null, "bad-token"),
    ];
    for (claim, value, expected) in cases {
        let mut content = content(now(), "node-1");
        content[*claim] = value.clone();
        let kind = kind_of(&check, &place.key.sign(&content));
        assert_eq!(kind, *expected, "{claim} {value}");
    }
    let mut nearly = content(now(), "node-1");
    nearly["exp"] = json!(now() - LEEWAY + 10);
    assert!(
        check.check(Some(&place.key.sign(&nearly))).is_ok(),
        "clocks differ a little"
    );
}

#[test]
fn a_signature_of_another_key_is_refused() {
    let place = Place::new();
    let check = place.check();
    let good = content(now(), "node-1");
    assert_eq!(
        kind_of(&check, &TokenKey::new("first").sign(&good)),
        "bad-signature"
    );
    assert_eq!(
        kind_of(&check, &TokenKey::new("second").sign(&good)),
        "unknown-key"
    );
    let token = place.key.sign(&good);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let other = unsigned(
        &json!({"alg": "ES256", "kid": "first"}),
        &content(now(), "node-2"),
    );
    assert_eq!(
        kind_of(&check, &format!("{other}.{signature}")),
        "bad-signature"
    );
    assert_eq!(kind_of(&check, &format!("{message}.")), "bad-signature");
}

#[test]
fn a_token_without_a_signature_or_with_one_by_the_public_key_is_refused() {
    let place = Place::new();
    let check = place.check();
    let good = content(now(), "node-1");
    let none = unsigned(&json!({"alg": "none"}), &good);
    assert_eq!(kind_of(&check, &format!("{none}.")), "bad-token");
    // HS256 with the public key as the secret: a check that trusts the head would accept it.
    let message = unsigned(&json!({"alg": "HS256", "kid": "first"}), &good);
    let jwks = place.key.jwks();
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, jwks.as_bytes());
    let signature = ring::hmac::sign(&secret, message.as_bytes());
    let token = format!("{message}.{}", base64url(signature.as_ref()));
    assert_eq!(kind_of(&check, &token), "unknown-key");
    assert_eq!(check.check(None).unwrap_err().kind, "no-token");
    for garbage in ["", ".", "..", "a.b.c", "ü.ü.ü", &"x".repeat(MAX_TOKEN + 1)] {
        assert_eq!(
            check.check(Some(garbage)).unwrap_err().kind,
            "bad-token",
            "{garbage:.10}"
        );
    }
}

#[test]
fn keys_are_read_again_when_their_file_changes_and_kept_when_it_is_damaged() {
    let place = Place::new();
    let check = place.check();
    let second = TokenKey::new("second key");
    let good = content(now(), "node-1");
    assert_eq!(kind_of(&check, &second.sign(&good)), "unknown-key");
    let beside = place.folder.path().join("new");
    fs::write(&beside, second.jwks()).unwrap();
    fs::rename(&beside, place.jwks()).unwrap();
    assert!(check.check(Some(&second.sign(&good))).is_ok());
    fs::write(place.jwks(), "{").unwrap();
    assert!(check.check(Some(&second.sign(&good))).is_ok());
    let error = TokenCheck::new(check.settings.clone()).unwrap_err();
    assert!(error.contains("/openid/v1/jwks"), "{error}");
}

/// A key of the kind that kubeadm makes; ring makes no RSA keys.
fn rsa_key(folder: &std::path::Path) -> Option<ring::signature::RsaKeyPair> {
    let path = folder.join("rsa.der");
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-outform",
            "DER",
            "-out",
        ])
        .arg(&path)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        assert!(
            std::env::var_os("NANOSEG_REQUIRE_ALL").is_none(),
            "needs openssl"
        );
        eprintln!("skipped: needs openssl");
        return None;
    }
    ring::signature::RsaKeyPair::from_pkcs8(&fs::read(path).unwrap()).ok()
}

#[test]
fn rsa_signatures_are_checked_too() {
    let place = Place::new();
    let Some(pair) = rsa_key(place.folder.path()) else {
        return;
    };
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
    let key = json!({"use": "sig", "kty": "RSA", "kid": "rsa", "alg": "RS256",
                     "n": base64url(&public.n), "e": base64url(&public.e)});
    fs::write(place.jwks(), json!({"keys": [key]}).to_string()).unwrap();
    let check = place.check();
    let sign = |message: &str| {
        let mut signature = vec![0; pair.public().modulus_len()];
        let (kind, random) = (
            &ring::signature::RSA_PKCS1_SHA256,
            ring::rand::SystemRandom::new(),
        );
        pair.sign(kind, &random, message.as_bytes(), &mut signature)
            .unwrap();
        base64url(&signature)
    };
    let message = unsigned(
        &json!({"alg": "RS256", "kid": "rsa"}),
        &content(now(), "node-1"),
    );
    let token = format!("{message}.{}", sign(&message));
    assert_eq!(
        check.check(Some(&token)).unwrap().node.as_deref(),
        Some("node-1")
    );
    let other = format!("{message}.{}", sign("something else"));
    assert_eq!(kind_of(&check, &other), "bad-signature");
}

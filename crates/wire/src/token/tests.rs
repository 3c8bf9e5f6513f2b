#[path = "../../../../tests/support/tokens.rs"]
mod tokens;

use super::*;
use serde_json::{Value, json};
use std::fs;
use tokens::{AGENT, ISSUER, TokenKey, base64url, content, now, unsigned};

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
        TokenCheck::new(self.settings()).unwrap()
    }

    fn settings(&self) -> TokenSettings {
        TokenSettings {
            jwks: self.jwks(),
            rules: rules(),
        }
    }
}

fn rules() -> TokenRules {
    TokenRules {
        issuers: [ISSUER.to_owned()].into(),
        audience: "nanoseg".into(),
        subjects: [AGENT.to_owned()].into(),
        allow_unbound: false,
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
fn a_token_that_names_no_node_is_refused_unless_unbound_agents_are_allowed() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.rules.allow_unbound = true;
    let lenient = TokenCheck::new(settings).unwrap();
    for kubernetes in [
        Value::Null,
        json!({}),
        json!({"node": null}),
        json!({"node": {"name": ""}}),
        json!({"pod": {"name": "nanoseg-agent-x", "uid": "1"}}),
    ] {
        let mut content = content(now(), "");
        match &kubernetes {
            Value::Null => content.as_object_mut().unwrap().remove("kubernetes.io"),
            _ => content
                .as_object_mut()
                .unwrap()
                .insert("kubernetes.io".into(), kubernetes.clone()),
        };
        let token = place.key.sign(&content);
        assert_eq!(kind_of(&place.check(), &token), "no-node", "{kubernetes}");
        assert_eq!(lenient.check(Some(&token)).unwrap().node, None);
    }
}

#[test]
fn a_token_is_judged_by_the_time_at_which_its_message_was_queued() {
    let place = Place::new();
    let check = place.check();
    let token = place.key.sign(&content(now() - 7200, "node-1"));
    assert_eq!(kind_of(&check, &token), "expired", "an hour ago");
    let queued = SystemTime::now() - Duration::from_secs(5400);
    let agent = check.check_at(Some(&token), queued).unwrap();
    assert_eq!(agent.node.as_deref(), Some("node-1"));
    let before = SystemTime::now() - Duration::from_secs(9000);
    let refusal = check.check_at(Some(&token), before).unwrap_err();
    assert_eq!(refusal.kind, "not-yet-valid");
}

#[test]
fn a_check_without_keys_refuses_what_the_claims_show_and_accepts_nothing() {
    let place = Place::new();
    let mut rules = rules();
    rules.issuers.clear();
    let check = TokenCheck::without_keys(rules);
    let good = place.key.sign(&content(now(), "node-1"));
    assert!(!check.has_keys());
    assert_eq!(kind_of(&check, &good), "no-keys");
    let mut other = content(now(), "node-1");
    other["sub"] = json!("system:serviceaccount:shop:web");
    assert_eq!(kind_of(&check, &place.key.sign(&other)), "other-subject");
    assert!(check.learn("{}", None).is_err() && !check.has_keys());
    check
        .learn(&place.key.jwks(), Some("https://elsewhere".into()))
        .unwrap();
    assert_eq!(kind_of(&check, &good), "other-issuer");
    check.learn(&place.key.jwks(), Some(ISSUER.into())).unwrap();
    assert!(check.check(Some(&good)).is_ok());
    let forged = TokenKey::new("first").sign(&content(now(), "node-1"));
    assert_eq!(kind_of(&check, &forged), "bad-signature");
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
    for garbage in [".", "..", "a.b.c", "ü.ü.ü", &"x".repeat(MAX_TOKEN + 1)] {
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
    let error = TokenCheck::new(place.settings()).unwrap_err();
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

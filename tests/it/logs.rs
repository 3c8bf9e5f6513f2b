//! The first line of a service's log says what runs and how it was set up, without a secret
//! (rule: logs-tell-changes).

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Starts a service that logs JSON, and returns the first line of its log.
fn first_line(arguments: &[&str]) -> (Value, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .args(arguments)
        .env_remove("NANOSEG_LOG")
        .env_remove("KUBECONFIG")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    said.read_line(&mut line).unwrap();
    let _ = child.kill();
    let _ = child.wait();
    let read = serde_json::from_str(&line);
    (read.unwrap_or_else(|error| panic!("{error}: {line}")), line)
}

#[test]
fn a_service_begins_its_log_with_version_and_settings_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (token, store, kubeconfig) = (path("token"), path("store.sqlite"), path("kubeconfig"));
    std::fs::write(&token, "s3cret-token").unwrap();
    let cluster = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], \
         clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: u, user: {token: s3cret-user}}]}";
    std::fs::write(&kubeconfig, cluster).unwrap();
    let nats = "nats://olga:s3cret-password@127.0.0.1:1";
    let agent = [
        "agent",
        "--node",
        "node-1",
        "--nats",
        nats,
        "--token",
        &token,
        "--metrics-listen",
        "none",
        "--log",
        "json",
    ];
    let receive = [
        "receive",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
        "--insecure-no-tls",
        "--insecure-no-auth",
        "--store",
        &store,
        "--log",
        "json",
    ];
    let controller = [
        "controller",
        "--store",
        &store,
        "--kubeconfig",
        &kubeconfig,
        "--listen",
        "127.0.0.1:0",
        "--insecure-no-tls",
        "--metrics-listen",
        "127.0.0.1:0",
        "--nats",
        nats,
        "--log",
        "json",
    ];
    for (arguments, settings) in [
        (
            &agent[..],
            &[
                ("node", "node-1"),
                ("nats", "nats://127.0.0.1:1"),
                ("window", "10s"),
            ][..],
        ),
        (
            &receive[..],
            &[("store", store.as_str()), ("listen", "127.0.0.1:0")][..],
        ),
        (
            &controller[..],
            &[
                ("store", store.as_str()),
                ("lease", "nanoseg/nanoseg-controller"),
            ][..],
        ),
    ] {
        let (line, text) = first_line(arguments);
        let starts = format!("nanoseg {} starts", arguments[0]);
        assert_eq!(line["message"], starts, "{text}");
        assert_eq!(line["version"], env!("CARGO_PKG_VERSION"), "{text}");
        for (name, value) in settings {
            assert_eq!(line[name], *value, "{text}");
        }
        assert!(!text.contains("s3cret") && !text.contains("olga"), "{text}");
    }
}

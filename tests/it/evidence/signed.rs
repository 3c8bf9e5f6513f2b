//! Signatures of keys that ssh-agent holds.

use super::{KEY, nanoseg, sample, tool, verify, written};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An ssh-agent of this test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Agent {
    /// In the foreground, so that it ends with the test.
    fn start(folder: &Path) -> Agent {
        let mut command = Command::new("ssh-agent");
        command.args(["-D", "-a", "agent"]).current_dir(folder);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let agent = Agent(command.spawn().expect("it is installed"));
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(folder.join("agent")).is_err() {
            assert!(
                std::time::Instant::now() < until,
                "ssh-agent does not listen"
            );
            std::thread::yield_now();
        }
        agent
    }
}

#[test]
fn keys_of_an_agent_sign_and_their_signatures_are_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    if tool(here, "ssh-keygen -q -t rsa -b 2048 -N '' -f rsa").is_none() {
        return;
    }
    fs::write(here.join("ed"), KEY).expect("a file");
    let _agent = Agent::start(here);
    let add =
        "chmod 600 ed && ssh-keygen -y -f ed > ed.pub && SSH_AUTH_SOCK=agent ssh-add -q ed rsa";
    let added = tool(here, &format!("true && {add}")).expect("sh");
    assert!(added.status.success(), "{added:?}");
    // Only the agent has the private keys now.
    fs::remove_file(here.join("ed")).expect("a file");
    fs::remove_file(here.join("rsa")).expect("a file");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    for key in ["ed.pub", "rsa.pub"] {
        let sources = ["--generated", &policies, "--cluster", &cluster];
        let rest = ["--sign-key", key, "--out", "report"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
        command
            .arg("report")
            .args(sources)
            .args(rest)
            .current_dir(here);
        command.env("SSH_AUTH_SOCK", here.join("agent"));
        let signed = command.output().expect("nanoseg runs");
        assert!(signed.status.success(), "{key}: {signed:?}");
        let (code, said) = verify(here, &["--key", key]);
        assert_eq!(code, Some(0), "{key}: {said}");
        assert!(said.contains("signed by SHA256:"), "{key}: {said}");
        let manifest = here.join("report/manifest.json");
        let text = fs::read_to_string(&manifest).expect("a manifest");
        fs::write(&manifest, text.replace("\"bytes\"", " \"bytes\"")).expect("a manifest");
        let (code, said) = verify(here, &["--key", key]);
        assert_eq!(code, Some(1), "{key}: {said}");
        assert!(
            said.contains("the signature does not match it"),
            "{key}: {said}"
        );
        fs::write(&manifest, text).expect("a manifest");
        let other = if key == "ed.pub" { "rsa.pub" } else { "ed.pub" };
        let (code, said) = verify(here, &["--key", other]);
        assert_eq!(code, Some(1), "{key}: {said}");
        assert!(said.contains("signed by another key"), "{key}: {said}");
    }
}

#[test]
fn an_unusable_key_is_reported_before_the_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = folder.path();
    if tool(here, "ssh-keygen -q -t ed25519 -N secret -f locked").is_none() {
        return;
    }
    for make in [
        "rsa -b 2048 -f rsa",
        "ecdsa -b 521 -f p521",
        "rsa -b 2048 -m PEM -f pem",
    ] {
        let made = tool(here, &format!("ssh-keygen -q -N '' -t {make}")).expect("it is installed");
        assert!(made.status.success(), "{made:?}");
    }
    fs::write(here.join("notes"), "nothing").expect("a file");
    let (policies, cluster) = (sample("policies-out"), sample("samples/shop/cluster.yaml"));
    let sources = [
        "--generated",
        &policies,
        "--cluster",
        &cluster,
        "--out",
        "report",
    ];
    for (key, why) in [
        ("locked", "it has a passphrase; add it to ssh-agent"),
        ("none", "failed to read none"),
        (
            "rsa",
            "it is of type ssh-rsa; private keys that work are Ed25519",
        ),
        (
            "p521",
            "ssh-add p521, and give the public key, --sign-key p521.pub",
        ),
        (
            "pem",
            "a private key that nanoseg cannot read; private keys that work",
        ),
        (
            "notes",
            "it is not an SSH key; private keys that work are Ed25519",
        ),
    ] {
        let output = nanoseg(here, &[&sources, ["--sign-key", key].as_slice()].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
    assert!(!here.join("report").exists());
    written(here, &sources);
    let nowhere = nanoseg(here, &["verify", "nowhere"]);
    let said = String::from_utf8_lossy(&nowhere.stderr);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(
        said.contains("failed to find nowhere/manifest.json; is its folder that of a report?"),
        "{said}"
    );
    let (code, said) = verify(here, &["--key", "locked.pub"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "manifest.json: not signed\n")
    );
}

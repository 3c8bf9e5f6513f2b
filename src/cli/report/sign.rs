//! Signatures as `ssh-keygen -Y sign` makes them (OpenSSH's PROTOCOL.sshsig).

use anyhow::{Context, bail};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the signature is for, so that it cannot be passed off as one for something else.
pub const NAMESPACE: &str = "nanoseg-report";

/// Something that signs.
pub enum Signer {
    Key(Box<PrivateKey>),
    /// A public key, whose private one ssh-agent holds.
    Agent(PathBuf),
}

impl Signer {
    /// Takes a private key without a passphrase, or a public one.
    pub fn open(path: &Path) -> anyhow::Result<Signer> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| {
            format!("failed to read {name}; check the path and its permissions")
        })?;
        if PublicKey::from_openssh(&text).is_ok() {
            return Ok(Signer::Agent(path.to_owned()));
        }
        let key = PrivateKey::from_openssh(&text)
            .with_context(|| format!("failed to read {name}: it is no OpenSSH key that this can sign with (Ed25519, ECDSA)"))?;
        if key.is_encrypted() {
            bail!(
                "failed to use {name}: it has a passphrase; add it to ssh-agent and pass the public key, {name}.pub"
            );
        }
        Ok(Signer::Key(Box::new(key)))
    }

    /// The fingerprint of its public key, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> anyhow::Result<String> {
        let fingerprint = match self {
            Signer::Key(key) => key.fingerprint(HashAlg::Sha256),
            Signer::Agent(path) => PublicKey::read_openssh_file(path)
                .with_context(|| format!("failed to read {}", path.display()))?
                .fingerprint(HashAlg::Sha256),
        };
        Ok(fingerprint.to_string())
    }

    /// The signature of `message`, armoured.
    pub fn sign(&self, message: &[u8]) -> anyhow::Result<String> {
        match self {
            Signer::Key(key) => {
                let signature = key
                    .sign(NAMESPACE, HashAlg::Sha512, message)
                    .context("failed to sign: the key must be Ed25519 or ECDSA (P-256, P-384)")?;
                Ok(signature.to_pem(LineEnding::LF)?)
            }
            Signer::Agent(path) => ssh_keygen(path, message),
        }
    }
}

/// ssh-keygen asks the agent; it also knows hardware keys.
fn ssh_keygen(public: &Path, message: &[u8]) -> anyhow::Result<String> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-n", NAMESPACE, "-f"])
        .arg(public)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start ssh-keygen, which asks ssh-agent; install openssh-client")?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(message)
            .context("failed to sign with ssh-keygen")?;
    }
    let output = child
        .wait_with_output()
        .context("failed to sign with ssh-keygen")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "failed to sign with {}: {}; is its private key in ssh-agent (ssh-add -l)?",
            public.display(),
            said.trim()
        );
    }
    String::from_utf8(output.stdout).context("failed to read what ssh-keygen printed")
}

//! Signatures as `ssh-keygen -Y sign` makes them (OpenSSH's PROTOCOL.sshsig).

use anyhow::{Context, bail};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The namespace of the signature, so that it is not valid for anything else.
pub const NAMESPACE: &str = "nanoseg-report";

/// A key that signs.
pub enum Signer {
    Key(Box<PrivateKey>),
    /// A public key, whose private one ssh-agent holds.
    Agent(PathBuf),
}

impl Signer {
    /// Opens a private key without a passphrase, or a public key.
    pub fn open(path: &Path) -> anyhow::Result<Signer> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| {
            format!("failed to read {name}; check the path and its permissions")
        })?;
        if PublicKey::from_openssh(&text).is_ok() {
            return Ok(Signer::Agent(path.to_owned()));
        }
        let Ok(key) = PrivateKey::from_openssh(&text) else {
            let what = if text.contains("PRIVATE KEY-----") {
                "a private key that nanoseg cannot read"
            } else {
                "not an SSH key"
            };
            bail!("failed to use {name}: it is {what}; {}", other_keys(path));
        };
        if !signs(&key.algorithm()) {
            let algorithm = key.algorithm();
            bail!(
                "failed to use {name}: it is of type {algorithm}; {}",
                other_keys(path)
            );
        }
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

/// Returns true if nanoseg signs with private keys of this type.
fn signs(algorithm: &Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::Ed25519
            | Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384,
            }
    )
}

/// The advice for private keys that nanoseg does not sign with.
fn other_keys(path: &Path) -> String {
    let name = path.display();
    format!(
        "private keys that work are Ed25519 and ECDSA (P-256, P-384) in OpenSSH's format; RSA, P-521 and PEM keys sign \
         through ssh-agent: ssh-add {name}, and give the public key, --sign-key {name}.pub (ssh-keygen -y -f {name} \
         makes it)"
    )
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
        let error = String::from_utf8_lossy(&output.stderr);
        bail!(
            "failed to sign with {}: {}; is its private key in ssh-agent (ssh-add -l)?",
            public.display(),
            error.trim()
        );
    }
    String::from_utf8(output.stdout).context("failed to read what ssh-keygen printed")
}

//! `nanoseg report verify`: checks that a report is unchanged.

use super::sign::NAMESPACE;
use crate::cli::{exit, terminal};
use crate::report::escape;
use crate::store::evidence::{Checked, MANIFEST, SIGNATURE, check};
use anyhow::Context;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey, SshSig};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Check that a report is unchanged: every file, and the signature
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  Every file, and the signature if there is one:
    nanoseg report verify march

  Only if this key signed it:
    nanoseg report verify march --key ops.pub

Exit codes: 0 intact; 1 altered, or not signed by the key; 2 an error.

Without a signature the files are only compared with the manifest: somebody who changes both is not detected. \
Without --key the signature shows which key signed, not whose key it is.")]
pub struct Args {
    /// The report's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The public SSH key that must have signed it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let key = args.key.as_ref().map(|path| {
        PublicKey::read_openssh_file(path)
            .with_context(|| format!("failed to read {}; is it a public SSH key?", path.display()))
    });
    let key = key.transpose()?;
    let checked = check(&args.folder)?;
    let mut problems: Vec<String> = checked.wrong.iter().map(ToString::to_string).collect();
    let signed = match signed(&args.folder, &checked, key.as_ref()) {
        Ok(signed) => signed,
        Err(problem) => {
            problems.push(problem);
            String::new()
        }
    };
    if problems.is_empty() {
        terminal::print(&format!("intact: {} files, {signed}\n", checked.files))?;
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        terminal::print(&format!("{}\n", escape::terminal(problem)))?;
    }
    eprintln!("altered: do not rely on this report");
    Ok(ExitCode::from(exit::FINDINGS))
}

/// The key that signed it or `not signed`; or what is wrong.
fn signed(folder: &Path, checked: &Checked, key: Option<&PublicKey>) -> Result<String, String> {
    match (&checked.signature, &checked.signed_by) {
        (None, Some(by)) => Err(format!(
            "manifest.json.sig: missing; manifest.json names {by} as the signer"
        )),
        (None, None) if key.is_some() => Err("manifest.json: not signed".into()),
        (None, None) => Ok("not signed".into()),
        (Some(text), by) => {
            let fingerprint = signer(folder, text, &checked.manifest, key)?;
            // Reports of earlier versions do not name their signer.
            match by {
                Some(by) if *by != fingerprint => Err(format!(
                    "manifest.json.sig: signed by {fingerprint}; manifest.json names {by}"
                )),
                _ => Ok(format!("signed by {fingerprint}")),
            }
        }
    }
}

/// The fingerprint of the key that signed the manifest, or what is wrong.
fn signer(
    folder: &Path,
    text: &str,
    manifest: &[u8],
    wanted: Option<&PublicKey>,
) -> Result<String, String> {
    let broken = "manifest.json.sig: it is not an SSH signature, or it was changed";
    let signature = SshSig::from_pem(text).map_err(|_| broken.to_owned())?;
    // A signature that reads the same but is written differently was changed.
    let again = signature.to_pem(ssh_key::LineEnding::LF);
    if again.ok().as_deref() != Some(text) {
        return Err(broken.into());
    }
    let key = PublicKey::from(signature.public_key().clone());
    let fits = match key.algorithm() {
        Algorithm::Ed25519
        | Algorithm::SkEd25519
        | Algorithm::SkEcdsaSha2NistP256
        | Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP256 | EcdsaCurve::NistP384,
        } => key.verify(NAMESPACE, manifest, &signature).is_ok(),
        // RSA keys and the like, which an agent may hold.
        other => ssh_keygen(folder, manifest).map_err(|problem| {
            format!(
                "manifest.json.sig: {problem}, which checks {other} keys; install openssh-client"
            )
        })?,
    };
    if !fits {
        return Err(
            "manifest.json: the signature does not match it; one of the two was changed".into(),
        );
    }
    let fingerprint = key.fingerprint(HashAlg::Sha256);
    match wanted {
        Some(wanted) if wanted.key_data() != key.key_data() => Err(format!(
            "manifest.json.sig: signed by another key, {fingerprint}"
        )),
        _ => Ok(fingerprint.to_string()),
    }
}

/// Returns true if ssh-keygen accepts the signature.
fn ssh_keygen(folder: &Path, manifest: &[u8]) -> Result<bool, String> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "check-novalidate", "-n", NAMESPACE, "-s"])
        .arg(folder.join(format!("{MANIFEST}{SIGNATURE}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| "failed to start ssh-keygen".to_owned())?;
    if let Some(mut input) = child.stdin.take() {
        // It may end before it has read everything: then its exit status shows why.
        let _ = input.write_all(manifest);
    }
    let status = child.wait();
    status
        .map(|status| status.success())
        .map_err(|_| "failed to wait for ssh-keygen".to_owned())
}

//! How we prove who we are to the NATS server. The files are read at each connection: secrets are replaced.

use super::connect::{NatsAuth, read};
use async_nats::{Auth, AuthError};

/// Returns what the server asks for. `nonce`: what it has to see signed.
pub fn prove(auth: &NatsAuth, nonce: &[u8]) -> Result<Auth, AuthError> {
    let mut proof = Auth::new();
    match auth {
        NatsAuth::None => {}
        NatsAuth::Credentials(path) => {
            let text = read(path).map_err(AuthError::new)?;
            let malformed = || {
                AuthError::new(format!(
                    "failed to read {}: it is no credentials file",
                    path.display()
                ))
            };
            let (jwt, seed) = parts(&text).ok_or_else(malformed)?;
            proof.jwt = Some(jwt.to_owned());
            proof.signature = Some(sign(seed, nonce)?.1);
        }
        NatsAuth::Nkey(path) => {
            let text = read(path).map_err(AuthError::new)?;
            let seed = text
                .lines()
                .map(str::trim)
                .find(|line| line.starts_with("SU"));
            let seed = seed.ok_or_else(|| {
                AuthError::new(format!(
                    "failed to read {}: it holds no seed of a user (SU…)",
                    path.display()
                ))
            })?;
            let (public, signature) = sign(seed, nonce)?;
            proof.nkey = Some(public);
            proof.signature = Some(signature);
        }
        NatsAuth::Password { user, password } => {
            proof.username = Some(user.clone());
            proof.password = Some(read(password).map_err(AuthError::new)?);
        }
        NatsAuth::Token(path) => proof.token = Some(read(path).map_err(AuthError::new)?),
    }
    Ok(proof)
}

/// The public key of a seed, and its signature.
fn sign(seed: &str, nonce: &[u8]) -> Result<(String, Vec<u8>), AuthError> {
    // The error could hold the seed.
    let unusable = || AuthError::new("the nkey cannot be used; check its file");
    let pair = nkeys::KeyPair::from_seed(seed).map_err(|_| unusable())?;
    let signature = pair.sign(nonce).map_err(|_| unusable())?;
    Ok((pair.public_key(), signature))
}

/// The JWT and the seed of a `.creds` file: the first lines that are no ornament in its two blocks.
fn parts(text: &str) -> Option<(&str, &str)> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN NATS USER JWT"))?;
    let jwt = lines.next()?;
    lines.find(|line| line.starts_with("---") && line.contains("BEGIN USER NKEY SEED"))?;
    let seed = lines.next()?;
    (!jwt.is_empty() && seed.starts_with("SU")).then_some((jwt, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_has_a_jwt_and_a_seed() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ.x.y\n------END NATS USER JWT------\n\n\
                    ************* IMPORTANT *************\n\n\
                    -----BEGIN USER NKEY SEED-----\nSUAB\n------END USER NKEY SEED------\n";
        assert_eq!(parts(text), Some(("eyJ.x.y", "SUAB")));
        for bad in ["", "SUAB", "-----BEGIN NATS USER JWT-----\neyJ"] {
            assert_eq!(parts(bad), None);
        }
    }

    #[test]
    fn a_bad_seed_is_an_error_that_does_not_tell_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seed");
        std::fs::write(&path, "SUSECRET").unwrap();
        let error = prove(&NatsAuth::Nkey(path), b"nonce").err().unwrap();
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

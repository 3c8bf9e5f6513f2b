//! A server's certificate, read again when its files change (rule: certificates-are-read-again).
//!
//! The content is compared, and not times or names: a mounted Secret changes by a symbolic link to another folder, and
//! its files keep their names.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The files of a server's certificate, in PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, Error)]
pub enum CertificateError {
    #[error(
        "failed to read {path}: {source}; give the PEM files of the receiver's certificate and key"
    )]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "failed to use the certificate {certificate} and key {key}: {reason}; give the PEM files that belong together"
    )]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        reason: String,
    },
}

/// A certificate in use, and the files that it came from.
pub struct Certificate {
    files: ServerTls,
    /// The protocol that connections speak inside of TLS (RFC 7301).
    alpn: &'static [u8],
    used: Content,
    config: Arc<ServerConfig>,
    /// Why the files cannot be used now.
    problem: Option<String>,
}

/// The content of the two files.
#[derive(PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// What looking at the files found.
#[derive(Debug)]
pub enum Refreshed {
    /// The files are as they were.
    Unchanged,
    /// Their new content is in use.
    Changed,
}

impl Certificate {
    /// # Errors
    /// If the files cannot be read, or do not hold a certificate and its key.
    pub fn read(files: ServerTls, alpn: &'static [u8]) -> Result<Certificate, CertificateError> {
        let used = Content::read(&files)?;
        let config = used.config(&files, alpn)?;
        Ok(Certificate {
            files,
            alpn,
            used,
            config,
            problem: None,
        })
    }

    /// What new connections use.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Whether the files hold what is in use.
    pub fn is_current(&self) -> bool {
        self.problem.is_none()
    }

    /// Looks at the files. New content that can be used is used by connections from then on.
    ///
    /// # Errors
    /// If the files cannot be read, or have new content that cannot be used; once for each reason.
    pub fn refresh(&mut self) -> Result<Refreshed, CertificateError> {
        match self.look() {
            Ok(refreshed) => {
                self.problem = None;
                Ok(refreshed)
            }
            Err(error) => {
                let problem = Some(error.to_string());
                if self.problem == problem {
                    return Ok(Refreshed::Unchanged);
                }
                self.problem = problem;
                Err(error)
            }
        }
    }

    fn look(&mut self) -> Result<Refreshed, CertificateError> {
        let content = Content::read(&self.files)?;
        if content == self.used {
            return Ok(Refreshed::Unchanged);
        }
        self.config = content.config(&self.files, self.alpn)?;
        self.used = content;
        Ok(Refreshed::Changed)
    }
}

impl Content {
    fn read(files: &ServerTls) -> Result<Content, CertificateError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| CertificateError::File {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Content {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    fn config(
        &self,
        files: &ServerTls,
        alpn: &'static [u8],
    ) -> Result<Arc<ServerConfig>, CertificateError> {
        let unusable = |reason: String| CertificateError::Unusable {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            reason,
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| unusable(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        let key = key.map_err(|error| unusable(error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let mut config = config.map_err(|error| unusable(error.to_string()))?;
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Arc::new(config))
    }
}

/// Checks that a text in PEM holds certificates of authorities, and nothing that is no certificate. TLS libraries take
/// a text without any for an empty list, which no peer's certificate can be checked against.
///
/// # Errors
/// What is wrong with it.
pub fn check_authorities(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate in PEM".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use std::fs;

    fn write(folder: &Path) -> ServerTls {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = ServerTls {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        fs::write(&files.certificate, cert.pem()).unwrap();
        fs::write(&files.key, signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn new_files_are_used_and_broken_ones_leave_the_old_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let mut certificate = Certificate::read(write(folder.path()), b"h2").unwrap();
        let first = certificate.config();
        assert!(matches!(certificate.refresh(), Ok(Refreshed::Unchanged)));
        assert!(Arc::ptr_eq(&first, &certificate.config()));

        let files = write(folder.path());
        assert!(matches!(certificate.refresh(), Ok(Refreshed::Changed)));
        let second = certificate.config();
        assert!(!Arc::ptr_eq(&first, &second));

        for broken in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n"] {
            fs::write(&files.certificate, broken).unwrap();
            let _ = certificate.refresh();
            assert!(!certificate.is_current(), "{broken}");
            // A reason is reported once.
            assert!(matches!(certificate.refresh(), Ok(Refreshed::Unchanged)));
            assert!(!certificate.is_current(), "{broken}");
        }
        fs::remove_file(&files.certificate).unwrap();
        assert!(certificate.refresh().is_err());
        assert!(Arc::ptr_eq(&second, &certificate.config()));

        write(folder.path());
        assert!(matches!(certificate.refresh(), Ok(Refreshed::Changed)));
        assert!(certificate.is_current());
    }

    #[test]
    fn a_certificate_with_the_key_of_another_is_an_error_that_names_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let mut files = write(folder.path());
        files.key = write(other.path()).key;
        let error = Certificate::read(files, b"h2").err().unwrap().to_string();
        assert!(
            error.contains("tls.crt") && error.contains("tls.key"),
            "{error}"
        );
    }

    #[test]
    fn a_file_without_a_certificate_is_no_list_of_authorities() {
        let folder = tempfile::tempdir().unwrap();
        let good = fs::read(write(folder.path()).certificate).unwrap();
        assert_eq!(check_authorities(&good), Ok(()));
        assert_eq!(check_authorities(&[good.clone(), good].concat()), Ok(()));
        let key = fs::read(folder.path().join("tls.key")).unwrap();
        for wrong in [b"".as_slice(), b"no PEM", &key] {
            assert!(check_authorities(wrong).is_err());
        }
    }
}

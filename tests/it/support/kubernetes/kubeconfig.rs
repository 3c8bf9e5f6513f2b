//! kubeconfig files: one for programs of this machine, and one for programs in the cluster's network.

use super::certificates::Pair;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The address of the API server, and its certificate authority.
pub struct Server {
    /// `https://127.0.0.1:PORT`, for programs outside of the cluster's network.
    pub from_outside: String,
    /// `https://ADDRESS:6443`, for programs in the cluster's network.
    pub from_inside: String,
    /// The authority's certificate, PEM.
    pub authority: String,
}

/// The credentials of a user.
pub enum User<'a> {
    Certificate(&'a Pair),
    Token(&'a str),
}

impl Server {
    /// Writes `NAME.yaml` and `NAME-inside.yaml`, and returns the first.
    pub fn write(&self, folder: &Path, name: &str, user: &User<'_>) -> PathBuf {
        let path = folder.join(format!("{name}.yaml"));
        for (path, address) in [
            (path.clone(), &self.from_outside),
            (inside(&path), &self.from_inside),
        ] {
            let document = self.document(address, user);
            std::fs::write(&path, document.to_string()).expect("a file");
        }
        path
    }

    fn document(&self, address: &str, user: &User<'_>) -> Value {
        let user = match user {
            User::Certificate(pair) => json!({
                "client-certificate-data": base64(pair.certificate.as_bytes()),
                "client-key-data": base64(pair.key.as_bytes()),
            }),
            User::Token(token) => json!({"token": token}),
        };
        let cluster = json!({
            "server": address,
            "certificate-authority-data": base64(self.authority.as_bytes()),
        });
        // JSON is valid YAML.
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
    }
}

/// Returns the corresponding file for programs in the cluster's network.
pub fn inside(path: &Path) -> PathBuf {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}-inside.yaml"))
}

fn base64(bytes: &[u8]) -> String {
    let text = crate::support::tokens::base64url(bytes);
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    text.replace('-', "+").replace('_', "/") + &padding
}

//! The keys that the API server signs ServiceAccount tokens with, as it publishes them (KEP-1393). Every ServiceAccount
//! may read them, by the ClusterRole `system:service-account-issuer-discovery` of Kubernetes itself.

use super::super::connect::describe;
use super::LIMIT;
use kube::Client;
use std::time::Duration;

/// The longest answer that is read, in bytes; a key has less than 1 KiB.
const MAX_ANSWER: usize = 256 << 10;

/// What the API server says of its own tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeys {
    /// A set of keys (RFC 7517).
    pub jwks: String,
    /// The issuer in tokens; `None` if the API server does not say.
    pub issuer: Option<String>,
}

/// Fetches them.
///
/// # Errors
/// Why they cannot be had.
pub async fn signing_keys(client: &Client) -> Result<SigningKeys, String> {
    let jwks = fetch(client, "/openid/v1/jwks", LIMIT).await?;
    let discovery = fetch(client, "/.well-known/openid-configuration", LIMIT).await;
    let issuer = discovery.ok().and_then(|text| {
        let document: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(document.get("issuer")?.as_str()?.to_owned())
    });
    Ok(SigningKeys { jwks, issuer })
}

async fn fetch(client: &Client, path: &str, limit: Duration) -> Result<String, String> {
    let request = http_request(path)?;
    match tokio::time::timeout(limit, client.request_text(request)).await {
        Ok(Ok(text)) if text.len() <= MAX_ANSWER => Ok(text),
        Ok(Ok(_)) => Err(format!("failed to read {path}: the answer is too long")),
        Ok(Err(error)) => Err(format!("failed to read {path}: {}", describe(&error))),
        Err(_) => Err(format!(
            "failed to read {path}: no answer in {} s",
            limit.as_secs()
        )),
    }
}

fn http_request(path: &str) -> Result<axum::http::Request<Vec<u8>>, String> {
    axum::http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| error.to_string())
}

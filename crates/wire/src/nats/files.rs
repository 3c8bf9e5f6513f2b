//! Notices that certificates, authorities or credentials were replaced, and connects again with the new ones.

use async_nats::Client;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Whether a file changed: a mounted Secret changes by a new symbolic link, so the inode counts too.
type Stamp = (SystemTime, u64, u64);

/// Ends with what it belongs to.
#[derive(Debug)]
pub struct Renewal(tokio::task::AbortHandle);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Renewal {
    /// Watches these files for a connection that was made with them.
    pub fn start(client: Client, paths: Vec<PathBuf>) -> Renewal {
        let task = tokio::spawn(async move {
            let mut known = stamps(&paths);
            loop {
                tokio::time::sleep(LOOK).await;
                let now = stamps(&paths);
                // A file that is missing for a moment is one that is being replaced.
                if now == known || now.iter().any(Option::is_none) {
                    continue;
                }
                known = now;
                tracing::info!(
                    "connecting to NATS again: its certificates or credentials were replaced"
                );
                if let Err(error) = client.force_reconnect().await {
                    tracing::warn!("failed to connect to NATS again: {error}");
                }
            }
        });
        Renewal(task.abort_handle())
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let data = fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.ino(), data.len()))
    };
    paths.iter().map(stamp).collect()
}

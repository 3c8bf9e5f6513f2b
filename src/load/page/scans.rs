//! The scans of trivy-operator, read only when something of them changed.

use crate::cli::access::list_scans;
use crate::inventory::ImageScan;
use kube::Client;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The scans of trivy-operator as they were last read: there are many and large ones.
#[derive(Default)]
pub struct Scans(Mutex<KnownScans>);

#[derive(Default)]
struct KnownScans {
    found: Arc<Vec<ImageScan>>,
    /// How often others were found than before.
    generation: u64,
    /// They were read, and nothing of them changed since.
    is_current: bool,
}

impl Scans {
    fn known(&self) -> MutexGuard<'_, KnownScans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of them changed.
    pub fn changed(&self) {
        self.known().is_current = false;
    }

    /// As they are now, and how often others were found than before.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn read(&self, client: &Client) -> anyhow::Result<(Arc<Vec<ImageScan>>, u64)> {
        if self.known().is_current {
            let known = self.known();
            return Ok((known.found.clone(), known.generation));
        }
        let found = list_scans(client).await?;
        let mut known = self.known();
        known.is_current = true;
        if *known.found != found {
            known.found = Arc::new(found);
            known.generation += 1;
        }
        Ok((known.found.clone(), known.generation))
    }
}

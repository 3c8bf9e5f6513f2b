//! The scans of trivy-operator, read again only after one of them changed.

use crate::inventory::{ImageScan, ObjectRemark};
use crate::load::api_error::ApiError;
use crate::load::notice::NoticeSink;
use crate::load::objects::list_scans;
use kube::Client;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The scans of trivy-operator as they were last read: they are many and large.
#[derive(Default)]
pub struct Scans(Mutex<KnownScans>);

#[derive(Default)]
struct KnownScans {
    found: Arc<Vec<ImageScan>>,
    /// What is wrong with those that cannot be read.
    unread: Vec<ObjectRemark>,
    /// How often reading them found a difference.
    generation: u64,
    /// True if no scan changed since they were read.
    is_current: bool,
}

impl Scans {
    fn known(&self) -> MutexGuard<'_, KnownScans> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the scans as changed.
    pub fn changed(&self) {
        self.known().is_current = false;
    }

    /// What is wrong with scans that could not be read when they were last read.
    pub fn unread(&self) -> Vec<ObjectRemark> {
        self.known().unread.clone()
    }

    /// The scans as they are now, and a generation that grows whenever reading them finds a difference.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn read(
        &self,
        client: &Client,
        notices: &dyn NoticeSink,
    ) -> Result<(Arc<Vec<ImageScan>>, u64), ApiError> {
        if self.known().is_current {
            let known = self.known();
            return Ok((known.found.clone(), known.generation));
        }
        let (found, unread) = list_scans(client, notices).await?;
        let mut known = self.known();
        known.is_current = true;
        if *known.found != found || known.unread != unread {
            known.found = Arc::new(found);
            known.unread = unread;
            known.generation += 1;
        }
        Ok((known.found.clone(), known.generation))
    }
}

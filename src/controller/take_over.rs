//! Before a leader acts on the state in its store: does it continue the record that was published? A store that was
//! lost, emptied, cut or altered is not acted on, and what was published is not overwritten, until a person accepts
//! the state as it is (rule: lost-state-is-noticed).

use super::controller_metrics::ControllerMetrics;
use crate::cluster::live::{ConfigMapData, Writer};
use crate::net::{Outage, Timestamp};
use crate::record::{
    Actor, Audit, Audited, Discontinuity, Entry, Head, PUBLISHED, Rulings, Tail, Witness,
};
use crate::store::{ReviewStore, ReviewStoreError};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::watch;

/// How long to wait before the API server is asked again: doubled each time.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// What fails for so long at most is logged by nobody: the first lists of the cluster take their time.
const USUAL: Duration = Duration::from_secs(5);
/// The most time for one answer.
const LIMIT: Duration = Duration::from_secs(10);

/// The question and what it needs.
pub struct TakeOver<'a> {
    pub client: kube::Client,
    pub writer: &'a Writer,
    pub metrics: &'a ControllerMetrics,
    /// The SQLite file.
    pub path: &'a Path,
    /// The controller's own namespace.
    pub namespace: &'a str,
    /// A person accepts the state as it is.
    pub accept: bool,
}

/// A state that may be acted on.
pub struct TakenOver {
    /// What the next line of the record follows.
    pub head: Head,
    /// The line that says that a person accepted the state; the first one to be written.
    pub reset: Option<Entry>,
    /// What the record proves about the rest of the state.
    pub rulings: Rulings,
}

/// The answer.
pub enum Answer {
    Acts(Box<TakenOver>),
    /// The state is not acted on. It is logged, and readiness says so.
    Refuses,
    Stopped,
}

/// Why the question has no answer.
#[derive(Debug, Error)]
pub enum TakeOverError {
    #[error(transparent)]
    Store(#[from] ReviewStoreError),
    #[error(
        "failed to keep the published record that is to be replaced in {path}: {source}; make the store's folder writable"
    )]
    Keep {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What is published, as far as it can be read.
struct Found {
    witness: Witness,
    tail: Option<Tail>,
}

impl TakeOver<'_> {
    /// Asks until there is an answer, or `stop` turns true.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn run(
        &self,
        store: &ReviewStore,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Answer, TakeOverError> {
        let Some(found) = self.until(stop, async || self.read().await).await else {
            return Ok(Answer::Stopped);
        };
        let Found { witness, tail } = found;
        let is_first = witness == Witness::Absent;
        let (audited, rulings) = tokio::task::block_in_place(|| audit(store, witness))?;
        let reset = match audited.broken {
            Some(broken) if !self.accept => {
                self.refuse(&broken);
                return Ok(Answer::Refuses);
            }
            Some(broken) => Some(self.accept(&broken, tail.as_ref())?),
            None => {
                if self.accept {
                    tracing::warn!(
                        "--accept-new-state was given, and there is nothing to accept: remove it, so that a loss is noticed"
                    );
                }
                None
            }
        };
        // From now on a record without a published end is one whose end somebody deleted.
        if is_first && reset.is_none() {
            let began = self.until(stop, async || self.begin().await).await;
            if began.is_none() {
                return Ok(Answer::Stopped);
            }
        }
        Ok(Answer::Acts(Box::new(TakenOver {
            head: audited.head,
            reset,
            rulings,
        })))
    }

    /// Tries until it works. Returns `None` if `stop` turns true meanwhile.
    async fn until<T>(
        &self,
        stop: &mut watch::Receiver<bool>,
        mut attempt: impl AsyncFnMut() -> Result<T, String>,
    ) -> Option<T> {
        let (mut retry, mut outage) = (FIRST_RETRY, Outage::default());
        let begun = Instant::now();
        loop {
            match attempt().await {
                Ok(done) => {
                    if let Some(over) = outage.worked(now()) {
                        tracing::info!("goes on {over}");
                    }
                    self.metrics.not_acting(None);
                    return Some(done);
                }
                Err(why) => {
                    // (rule: logs-tell-changes)
                    if begun.elapsed() >= USUAL && outage.failed(&why, now()) {
                        tracing::warn!("waits before it acts: {why}");
                    }
                    self.metrics.not_acting(Some(why));
                }
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return None,
                () = tokio::time::sleep(retry) => {}
            }
            retry = (retry * 2).min(LAST_RETRY);
        }
    }

    /// Reads what is published. An error means that it is not known: that is not the same as nothing.
    async fn read(&self) -> Result<Found, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let place = format!("ConfigMap {}/{PUBLISHED}", self.namespace);
        let object = match tokio::time::timeout(LIMIT, api.get_opt(PUBLISHED)).await {
            Ok(Ok(object)) => object,
            Ok(Err(error)) => {
                return Err(format!(
                    "failed to read {place}: {error}; see that the ServiceAccount has the rights of deploy/"
                ));
            }
            Err(_) => return Err(format!("failed to read {place}: no answer")),
        };
        let Some(object) = object else {
            return Ok(Found {
                witness: Witness::Absent,
                tail: None,
            });
        };
        Ok(match Tail::from_data(&object.data.unwrap_or_default()) {
            Ok(tail) => Found {
                witness: Witness::Published(tail.head.clone()),
                tail: Some(tail),
            },
            Err(error) => Found {
                witness: Witness::Unreadable(error.to_string()),
                tail: None,
            },
        })
    }

    /// Publishes a record without lines.
    async fn begin(&self) -> Result<(), String> {
        let data = ConfigMapData {
            text: Tail::default().to_data(),
            ..ConfigMapData::default()
        };
        let written = self
            .writer
            .apply_config_map(self.namespace, PUBLISHED, &data);
        written.await.map(drop).map_err(|error| error.to_string())
    }

    fn refuse(&self, broken: &Discontinuity) {
        let why = format!(
            "does not act on the state in {}: {broken}. Policies in the cluster stay as they are, and nothing is overwritten. \
             Restore the state (docs/operate.md), or start once with --accept-new-state to go on with the state as it is",
            self.path.display()
        );
        tracing::error!("{why}");
        self.metrics.not_acting(Some(why));
    }

    /// Keeps the published lines beside the store, and returns the record's next line.
    fn accept(&self, broken: &Discontinuity, tail: Option<&Tail>) -> Result<Entry, TakeOverError> {
        tracing::warn!(
            "goes on with the state in {} as a person accepted it: {broken}. Remove --accept-new-state now",
            self.path.display()
        );
        if let Some(tail) = tail.filter(|tail| !tail.lines.is_empty()) {
            self.keep(tail)?;
        }
        // The flag does not say who set it.
        Ok(Entry::new(
            broken.accepted(),
            Actor::Unknown,
            self.namespace,
            PUBLISHED,
        ))
    }

    /// Writes the lines that are about to be replaced to a file beside the store.
    fn keep(&self, tail: &Tail) -> Result<(), TakeOverError> {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".published-{}.jsonl", tail.head.sequence));
        let path = PathBuf::from(name);
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| {
                for line in &tail.lines {
                    writeln!(file, "{line}")?;
                }
                file.sync_all()
            });
        match written {
            // An earlier start kept it.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            other => other.map_err(|source| TakeOverError::Keep { path, source }),
        }
    }
}

/// The clock: for logs alone.
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// Reads the whole record of the store.
fn audit(store: &ReviewStore, witness: Witness) -> Result<(Audited, Rulings), ReviewStoreError> {
    let (mut audit, mut rulings) = (Audit::new(witness), Rulings::default());
    store.record_lines(1, |number, text| {
        if let Some(line) = audit.take(number, text) {
            rulings.take(&line);
        }
        true
    })?;
    Ok((audit.finish(), rulings))
}

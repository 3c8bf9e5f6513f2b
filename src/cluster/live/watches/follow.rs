//! The loop of one kind: it lists everything, then asks for the version and watches, cycle after cycle.

use super::cache::Cache;
use super::freshness::Moment;
use super::ingest::{Ingest, everywhere, in_default};
use super::kinds::{EachKind, Kind, Scope, Watched, for_each_kind};
use crate::cluster::live::connect::describe;
use crate::net::Outage;
use futures_util::{Stream, StreamExt};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Objects per page of a list. An object may have 1.5 MiB (the limit of etcd), and anybody may make many of that size: a
/// page of them has to fit into memory.
const PAGE: u32 = 100;
/// The most time for one page.
const PAGE_TIME: Duration = Duration::from_secs(30);
/// How much longer than requested an API server may keep a watch open.
const MARGIN: Duration = Duration::from_secs(2);
/// How long a watch stays open while somebody waits for it to catch up: the shortest one in which an API server sends a
/// bookmark, which is 2 s before the end.
const CATCHING_UP: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// The name that is read only to learn the version. An object of that name may exist.
const PROBE: &str = "nanoseg-probe";

/// How long a watch lasts.
#[derive(Clone, Copy)]
enum Length {
    /// So long, or until more is asked for than is known.
    Usual(Duration),
    /// Until it has confirmed the last answer of the API server, or its time is over.
    CatchingUp,
}

impl Length {
    fn most(self) -> Duration {
        match self {
            Length::Usual(length) => length,
            Length::CatchingUp => CATCHING_UP,
        }
    }
}

/// The result of a watch.
enum End {
    /// It ended normally; continue from this version.
    Done(String),
    /// The version is too old to continue from.
    Expired,
    Failed(String, String),
}

/// Starts a task for each kind, which ends with `tasks`.
pub fn follow_all(client: &Client, cache: &Arc<Cache>, tasks: &mut JoinSet<()>) {
    for_each_kind(&mut Follow {
        client,
        cache,
        tasks,
    });
}

struct Follow<'a> {
    client: &'a Client,
    cache: &'a Arc<Cache>,
    tasks: &'a mut JoinSet<()>,
}

impl EachKind for Follow<'_> {
    fn kind<K: Watched>(&mut self, scope: Scope) {
        let ingest = Ingest::of::<K>(match scope {
            Scope::Namespaced => in_default::<K>,
            Scope::Cluster => everywhere::<K>,
        });
        let (client, cache) = (self.client.clone(), self.cache.clone());
        self.tasks.spawn(follow(client, cache, ingest));
    }
}

/// Follows one kind without end.
async fn follow(client: Client, cache: Arc<Cache>, ingest: Ingest) {
    let watch = Watch {
        api: (ingest.api)(&client),
        probe: (ingest.probe)(&client),
        kind: ingest.kind,
        ingest,
        cache: &cache,
    };
    let mut version: Option<String> = None;
    let (mut pause, mut outage) = (FIRST_PAUSE, Outage::default());
    let now = || jiff::Timestamp::now().into();
    loop {
        match watch.cycle(version.take()).await {
            Ok(next) => {
                version = next;
                pause = FIRST_PAUSE;
                if let Some(over) = outage.worked(now()) {
                    tracing::info!(kind = watch.kind.as_str(), "watches again {over}");
                }
            }
            Err((next, why)) => {
                // (rule: logs-tell-changes)
                if outage.failed(&why, now()) {
                    let kind = watch.kind.as_str();
                    tracing::warn!(kind, "failed to watch: {why}; it is tried again");
                }
                cache.failed(watch.kind, why);
                version = next;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// The watch of one kind.
struct Watch<'a> {
    kind: Kind,
    api: Api<DynamicObject>,
    probe: Api<DynamicObject>,
    ingest: Ingest,
    cache: &'a Cache,
}

enum Problem {
    Expired,
    Failed(String),
}

impl Watch<'_> {
    /// Lists if there is no version to continue from, and watches once. Returns the version to continue from.
    async fn cycle(
        &self,
        version: Option<String>,
    ) -> Result<Option<String>, (Option<String>, String)> {
        let asked = Moment::now();
        let version = match version {
            Some(version) => {
                let at = self.ask_version().await;
                let at = at.map_err(|why| (Some(version.clone()), why))?;
                self.cache.freshness(self.kind).probed(&at, asked);
                version
            }
            None => {
                let version = self.list().await.map_err(|why| (None, why))?;
                self.cache.freshness(self.kind).listed(&version, asked);
                version
            }
        };
        let length = if self.cache.is_wanted(self.kind) {
            Length::CatchingUp
        } else {
            Length::Usual(length(self.cache.limit(), self.kind as u64))
        };
        match self.watch(version, length).await {
            End::Done(version) => Ok(self.is_confirmed().then_some(version)),
            End::Expired => Ok(None),
            End::Failed(version, why) => Err((Some(version), why)),
        }
    }

    /// Returns false if no bookmark has confirmed the known state for a long time: an API server decides when
    /// it sends bookmarks. The whole list is then read again, before the state counts as stale.
    fn is_confirmed(&self) -> bool {
        let age = self.cache.freshness(self.kind).age(Moment::now().instant);
        age.is_some_and(|age| age < self.cache.limit().mul_f64(0.6))
    }

    /// Reads all pages into the cache and returns their version.
    async fn list(&self) -> Result<String, String> {
        let mut params = ListParams::default().limit(PAGE);
        let mut objects = (self.ingest.list)();
        loop {
            // Of all kinds together only so many pages are in memory at once.
            let _room = self.cache.pages().acquire().await;
            let page = tokio::time::timeout(PAGE_TIME, self.api.list(&params)).await;
            let page = page
                .map_err(|_| format!("no list in {} s", PAGE_TIME.as_secs()))?
                .map_err(|error| explain(self.kind, &error))?;
            objects.add(page.items);
            let version = page.metadata.resource_version.unwrap_or_default();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    objects.finish(self.cache);
                    return Ok(version);
                }
            }
        }
    }

    /// Returns the current version of the kind: a read of one key, which must be consistent (no resourceVersion
    /// given).
    async fn ask_version(&self) -> Result<String, String> {
        let limit = self.cache.limit() / 4;
        let params = ListParams::default().fields(&format!("metadata.name={PROBE}"));
        let page = tokio::time::timeout(limit, self.probe.list(&params)).await;
        let page = page
            .map_err(|_| format!("no answer in {} s", limit.as_secs()))?
            .map_err(|error| explain(self.kind, &error))?;
        Ok(page.metadata.resource_version.unwrap_or_default())
    }

    async fn watch(&self, mut version: String, length: Length) -> End {
        let params = WatchParams {
            timeout: u32::try_from(length.most().as_secs()).ok(),
            ..WatchParams::default()
        };
        let limit = self.cache.limit() / 4;
        let started = tokio::time::timeout(limit, self.api.watch(&params, &version)).await;
        let stream = match started {
            Ok(Ok(stream)) => stream,
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => return End::Expired,
            Ok(Err(error)) => return End::Failed(version, explain(self.kind, &error)),
            Err(_) => return End::Failed(version, "no watch was opened in time".into()),
        };
        self.cache.freshness(self.kind).watching();
        tokio::pin!(stream);
        let read = tokio::time::timeout(
            length.most() + MARGIN,
            self.read(&mut stream, &mut version, length),
        );
        let read = tokio::select! {
            read = read => read,
            () = self.until_wanted(length) => Ok(None),
        };
        match read {
            Ok(None) => End::Done(version),
            Ok(Some(Problem::Expired)) => End::Expired,
            Ok(Some(Problem::Failed(why))) => End::Failed(version, why),
            Err(_) => End::Failed(version, "the watch's connection is dead".into()),
        }
    }

    /// Waits until a watch of the usual length has to give way to one that catches up.
    async fn until_wanted(&self, length: Length) {
        match length {
            Length::Usual(_) => self.cache.until_wanted(self.kind).await,
            Length::CatchingUp => std::future::pending().await,
        }
    }

    /// Receives events until the watch ends; `version` is the last one that was received.
    async fn read(
        &self,
        stream: &mut (impl Stream<Item = Result<WatchEvent<DynamicObject>, kube::Error>> + Unpin),
        version: &mut String,
        length: Length,
    ) -> Option<Problem> {
        while let Some(event) = stream.next().await {
            let sent = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    let sent = object.metadata.resource_version.clone();
                    (self.ingest.put)(self.cache, object);
                    sent
                }
                Ok(WatchEvent::Deleted(object)) => {
                    let sent = object.metadata.resource_version.clone();
                    (self.ingest.remove)(self.cache, object);
                    sent
                }
                Ok(WatchEvent::Bookmark(bookmark)) => Some(bookmark.metadata.resource_version),
                Ok(WatchEvent::Error(status)) if status.code == 410 => {
                    return Some(Problem::Expired);
                }
                Ok(WatchEvent::Error(status)) => {
                    return Some(Problem::Failed(status.message.clone()));
                }
                Err(error) => return Some(Problem::Failed(describe(&error))),
            };
            if let Some(sent) = sent.filter(|sent| !sent.is_empty()) {
                let mut freshness = self.cache.freshness(self.kind);
                freshness.heard(&sent);
                *version = sent;
                if matches!(length, Length::CatchingUp) && freshness.is_confirmed() {
                    return None;
                }
            }
        }
        None
    }
}

/// How long one watch stays open: 0.4 × limit, so that two cycles and a response fit into the limit; up to a
/// second more or less by kind, so that not all kinds start at once. An API server sends a bookmark 2 s before
/// the end.
fn length(limit: Duration, kind: u64) -> Duration {
    let seconds = limit.as_secs() * 2 / 5;
    Duration::from_secs(seconds.saturating_sub(kind % 3).max(4))
}

fn explain(kind: Kind, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            format!("the API server does not know {kind}; apply the custom resources of deploy/")
        }
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "{}; give the ServiceAccount the rights of deploy/",
                status.message
            )
        }
        other => describe(other),
    }
}

//! One kind's loop: list everything, then ask for the version and watch, cycle after cycle.

use super::freshness::Moment;
use super::hub::Hub;
use super::kinds::Watched;
use crate::cluster::live::connect::describe;
use futures_util::{Stream, StreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use std::sync::Arc;
use std::time::Duration;

/// Objects per page of a list: what client-go takes.
const PAGE: u32 = 500;
/// How long one page may take.
const PAGE_TIME: Duration = Duration::from_secs(30);
/// How much longer than it was asked to an API server may hold a watch open.
const MARGIN: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A name that is asked for only to learn the version. It need not be free.
const PROBE: &str = "nanoseg-probe";

/// How a watch ended.
enum End {
    /// In order; watch on from there.
    Done(String),
    /// The version is too old to go on from.
    Expired,
    Failed(String, String),
}

/// Follows one kind for ever.
pub async fn follow<K: Watched>(client: Client, hub: Arc<Hub>) {
    let api: Api<K> = Api::all(client.clone());
    let probe = K::probe(&client);
    let mut version: Option<String> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        match cycle(&api, &probe, &hub, version.take()).await {
            Ok(next) => {
                version = next;
                pause = FIRST_PAUSE;
            }
            Err((next, why)) => {
                tracing::warn!(
                    kind = K::KIND.as_str(),
                    "failed to watch: {why}; trying again"
                );
                hub.failed(K::KIND, why);
                version = next;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Lists if there is no version to go on from, and watches once. Gives the version to go on from.
async fn cycle<K: Watched>(
    api: &Api<K>,
    probe: &Api<K>,
    hub: &Hub,
    version: Option<String>,
) -> Result<Option<String>, (Option<String>, String)> {
    let version = match version {
        Some(version) => {
            let asked = Moment::now();
            let at = ask_version(probe, hub.limit() / 4).await;
            let at = at.map_err(|why| (Some(version.clone()), why))?;
            hub.freshness(K::KIND).probed(&at, asked);
            version
        }
        None => {
            let asked = Moment::now();
            let (objects, version) = list(api).await.map_err(|why| (None, why))?;
            hub.replace(objects);
            hub.freshness(K::KIND).listed(&version, asked);
            version
        }
    };
    match watch(api, hub, version).await {
        End::Done(version) => Ok(still_good::<K>(hub).then_some(version)),
        End::Expired => Ok(None),
        End::Failed(version, why) => Err((Some(version), why)),
    }
}

/// Bookmarks come as they please. If none confirmed what the API server said for long, the whole list is
/// read again, before it counts as stale.
fn still_good<K: Watched>(hub: &Hub) -> bool {
    let age = hub.freshness(K::KIND).age(Moment::now().instant);
    age.is_some_and(|age| age < hub.limit().mul_f64(0.6))
}

async fn list<K: Watched>(api: &Api<K>) -> Result<(Vec<K>, String), String> {
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = tokio::time::timeout(PAGE_TIME, api.list(&params)).await;
        let page = page
            .map_err(|_| format!("no list in {} s", PAGE_TIME.as_secs()))?
            .map_err(|error| explain::<K>(&error))?;
        objects.extend(page.items.into_iter().map(|mut object| {
            object.trim();
            object
        }));
        let version = page.metadata.resource_version.unwrap_or_default();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok((objects, version)),
        }
    }
}

/// The version that the kind is at: a read of one key, which must be consistent (no resourceVersion given).
async fn ask_version<K: Watched>(probe: &Api<K>, limit: Duration) -> Result<String, String> {
    let params = ListParams::default().fields(&format!("metadata.name={PROBE}"));
    let page = tokio::time::timeout(limit, probe.list(&params)).await;
    let page = page
        .map_err(|_| format!("no answer in {} s", limit.as_secs()))?
        .map_err(|error| explain::<K>(&error))?;
    Ok(page.metadata.resource_version.unwrap_or_default())
}

async fn watch<K: Watched>(api: &Api<K>, hub: &Hub, mut version: String) -> End {
    let length = length(hub.limit(), K::KIND as u64);
    let params = WatchParams {
        timeout: u32::try_from(length.as_secs()).ok(),
        ..WatchParams::default()
    };
    let started = tokio::time::timeout(hub.limit() / 4, api.watch(&params, &version)).await;
    let stream = match started {
        Ok(Ok(stream)) => stream,
        Ok(Err(kube::Error::Api(status))) if status.code == 410 => return End::Expired,
        Ok(Err(error)) => return End::Failed(version, explain::<K>(&error)),
        Err(_) => return End::Failed(version, "no watch was opened in time".into()),
    };
    hub.freshness(K::KIND).watching();
    tokio::pin!(stream);
    // The whole watch ends in time, so a dead connection is noticed then at the latest.
    let read = read(&mut stream, hub, &mut version);
    match tokio::time::timeout(length + MARGIN, read).await {
        Ok(None) => End::Done(version),
        Ok(Some(Problem::Expired)) => End::Expired,
        Ok(Some(Problem::Failed(why))) => End::Failed(version, why),
        Err(_) => End::Failed(version, "the watch's connection is dead".into()),
    }
}

enum Problem {
    Expired,
    Failed(String),
}

/// Takes events until the watch ends; `version` is the last one told.
async fn read<K: Watched>(
    stream: &mut (impl Stream<Item = Result<WatchEvent<K>, kube::Error>> + Unpin),
    hub: &Hub,
    version: &mut String,
) -> Option<Problem> {
    while let Some(event) = stream.next().await {
        let told = match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                let told = object.meta().resource_version.clone();
                hub.put(object);
                told
            }
            Ok(WatchEvent::Deleted(object)) => {
                let told = object.meta().resource_version.clone();
                hub.remove(object);
                told
            }
            Ok(WatchEvent::Bookmark(bookmark)) => Some(bookmark.metadata.resource_version),
            Ok(WatchEvent::Error(status)) if status.code == 410 => return Some(Problem::Expired),
            Ok(WatchEvent::Error(status)) => return Some(Problem::Failed(status.message.clone())),
            Err(error) => return Some(Problem::Failed(describe(&error))),
        };
        if let Some(told) = told.filter(|told| !told.is_empty()) {
            hub.freshness(K::KIND).heard(&told);
            *version = told;
        }
    }
    None
}

/// How long one watch is held: 0.4 × limit, so that two cycles and an answer fit into the limit; a second
/// more or less by kind, so that not all come at once. An API server sends a bookmark 2 s before the end.
fn length(limit: Duration, kind: u64) -> Duration {
    let seconds = limit.as_secs() * 2 / 5;
    Duration::from_secs(seconds.saturating_sub(kind % 3).max(4))
}

fn explain<K: Watched>(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 404 => format!(
            "the API server does not know {}; apply the custom resources of deploy/",
            K::KIND
        ),
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "{}; give the ServiceAccount the rights of deploy/",
                status.message
            )
        }
        other => describe(other),
    }
}

//! Follows what changes after a snapshot: watches from the versions of its lists on, so that nothing lies between
//! (rule: history-without-gaps).
//!
//! A watch that breaks goes on from the last version that it got. Where the API server no longer has that version
//! (410 Gone), the kind is listed again and compared; what happened in between is a [`Gap`].

use super::changes::{Changes, Relisted};
use super::content::{Item, Listed, Snapshot, now};
use super::gap::Gap;
use super::kinds::SnapshotKind;
use super::list::{self, ListError};
use super::reduce::reduced;
use super::take::api;
use crate::cluster::live::connect::describe;
use futures_util::StreamExt;
use kube::api::{WatchEvent, WatchParams};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long one watch stays open. Less than the silence that a connection may have.
const LENGTH: Duration = Duration::from_secs(20);
/// How much longer an API server may keep it open.
const MARGIN: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Changes that wait to be written.
const WAITING: usize = 256;

/// What a history consists of.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A version of an object.
    Document(Value),
    Gap(Gap),
    /// A watch does not work now; it is tried again.
    Trouble {
        what: String,
        why: String,
    },
    /// The user may not watch the kind: no changes of it are known.
    Refused {
        what: String,
        message: String,
        is_pods: bool,
    },
}

/// What changes after a snapshot.
pub struct History {
    changes: Changes,
    followed: Vec<Arc<Followed>>,
    events: mpsc::Receiver<Event>,
    _tasks: JoinSet<()>,
}

struct Followed {
    kind: SnapshotKind,
    namespace: Option<String>,
    /// The last time at which everything was known, in milliseconds since the Unix epoch.
    certain: AtomicI64,
    is_in_trouble: AtomicBool,
}

enum Change {
    Seen(Value),
    Gone(Value),
    Relisted {
        objects: Vec<Value>,
        version: String,
        since: jiff::Timestamp,
    },
    Trouble(String),
    Refused(String),
}

struct Event {
    of: Arc<Followed>,
    at: jiff::Timestamp,
    change: Change,
}

impl Followed {
    fn what(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} in {namespace}", self.kind.name()),
            None => self.kind.name(),
        }
    }

    /// As [`Item::kind`].
    fn kind_name(&self) -> String {
        let resource = &self.kind.resource;
        format!("{}/{}", resource.api_version, resource.kind)
    }

    fn certain(&self) -> jiff::Timestamp {
        let at = self.certain.load(Ordering::Acquire);
        jiff::Timestamp::from_millisecond(at).unwrap_or_default()
    }

    fn is_certain(&self, at: jiff::Timestamp) {
        self.certain.store(at.as_millisecond(), Ordering::Release);
        self.is_in_trouble.store(false, Ordering::Release);
    }

    fn reduced(&self, object: DynamicObject) -> Result<Value, String> {
        let reduced = reduced(object, &self.kind.resource, self.kind.reduce);
        reduced.map_err(|error| format!("{}: {error}", self.what()))
    }
}

impl History {
    /// Starts to watch. Must be called inside of a tokio runtime.
    pub fn start(client: &Client, snapshot: &Snapshot) -> History {
        let (sender, events) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        let mut followed = Vec::new();
        for listed in snapshot.listed.iter().filter(|one| one.kind.is_watched) {
            let Listed {
                kind,
                namespace,
                version,
            } = listed.clone();
            let api = api(client, &kind, namespace.as_deref());
            let own = Arc::new(Followed {
                kind,
                namespace,
                certain: AtomicI64::new(snapshot.taken_at.as_millisecond()),
                is_in_trouble: AtomicBool::new(false),
            });
            followed.push(own.clone());
            let watch = Watch {
                of: own,
                api,
                events: sender.clone(),
            };
            tasks.spawn(watch.follow(version));
        }
        History {
            changes: Changes::of(snapshot),
            followed,
            events,
            _tasks: tasks,
        }
    }

    /// Waits for the next change. It may be dropped while it waits. Never returns where nothing may be watched.
    pub async fn next(&mut self) -> Vec<Record> {
        match self.events.recv().await {
            Some(event) => self.records(event),
            None => std::future::pending().await,
        }
    }

    fn records(&mut self, Event { of, at, change }: Event) -> Vec<Record> {
        let what = of.what();
        let documents = match change {
            Change::Seen(object) => self.changes.seen(object, at),
            Change::Gone(object) => vec![self.changes.gone(object, at)],
            Change::Relisted {
                objects,
                version,
                since,
            } => {
                let list = relisted(&of, objects, &version);
                let documents = self.changes.relisted(list, since);
                let gap = Gap {
                    what,
                    from: since,
                    to: at,
                    is_over: true,
                };
                let documents = documents.into_iter().map(Record::Document);
                return std::iter::once(Record::Gap(gap)).chain(documents).collect();
            }
            Change::Trouble(why) => return vec![Record::Trouble { what, why }],
            Change::Refused(message) => {
                let is_pods = of.kind.is("Pod", "");
                return vec![Record::Refused {
                    what,
                    message,
                    is_pods,
                }];
            }
        };
        documents.into_iter().map(Record::Document).collect()
    }

    /// Compares with the snapshot at the end: what a watch did not tell is a gap. Without one, what is not known at the
    /// end is.
    pub fn finish(mut self, end: Option<&Snapshot>) -> Vec<Record> {
        let mut records = Vec::new();
        for of in std::mem::take(&mut self.followed) {
            let (what, from) = (of.what(), of.certain());
            let Some(end) = end else {
                if of.is_in_trouble.load(Ordering::Acquire) {
                    records.push(Record::Gap(Gap {
                        what,
                        from,
                        to: now(),
                        is_over: false,
                    }));
                }
                continue;
            };
            let is_its =
                |one: &&Listed| one.kind.name() == of.kind.name() && one.namespace == of.namespace;
            let Some(listed) = end.listed.iter().find(is_its) else {
                continue;
            };
            let kind = of.kind_name();
            let is_its = |item: &&Item| {
                let namespace = of.namespace.as_ref();
                item.kind == kind && namespace.is_none_or(|namespace| item.namespace == *namespace)
            };
            let items = end.items.iter().filter(is_its);
            let objects = items.filter_map(|item| serde_json::from_str(&item.json).ok());
            let objects = objects.collect();
            let documents = self
                .changes
                .relisted(relisted(&of, objects, &listed.version), from);
            if !documents.is_empty() {
                records.push(Record::Gap(Gap {
                    what,
                    from,
                    to: end.taken_at,
                    is_over: true,
                }));
            }
            records.extend(documents.into_iter().map(Record::Document));
        }
        records
    }
}

fn relisted<'a>(of: &'a Followed, objects: Vec<Value>, version: &'a str) -> Relisted<'a> {
    Relisted {
        kind: of.kind_name(),
        namespace: of.namespace.as_deref(),
        objects,
        version,
    }
}

/// The watch of one kind.
struct Watch {
    of: Arc<Followed>,
    api: Api<DynamicObject>,
    events: mpsc::Sender<Event>,
}

/// How a watch ended.
enum End {
    /// Continue from this version.
    Done(String),
    /// The version is too old to continue from.
    Expired,
    Refused(String),
    Failed(String, String),
    /// Nobody wants to know any more.
    Unheard,
}

impl Watch {
    async fn follow(self, version: String) {
        let mut version = Some(version);
        let mut pause = FIRST_PAUSE;
        loop {
            let why = match version.take() {
                None => match self.list().await {
                    Ok(listed) => {
                        version = Some(listed);
                        continue;
                    }
                    Err(ListError::Forbidden(why) | ListError::Failed(why)) => why,
                    Err(ListError::Unknown) => "the API server does not have them any more".into(),
                },
                Some(from) => match self.watch(from).await {
                    End::Done(next) => {
                        version = Some(next);
                        pause = FIRST_PAUSE;
                        continue;
                    }
                    End::Expired => continue,
                    End::Unheard => return,
                    End::Refused(message) => {
                        self.tell(Change::Refused(message)).await;
                        return;
                    }
                    End::Failed(next, why) => {
                        version = Some(next);
                        why
                    }
                },
            };
            let was_in_trouble = self.of.is_in_trouble.swap(true, Ordering::AcqRel);
            if !was_in_trouble && !self.tell(Change::Trouble(why)).await {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Passes a change on; false if nobody wants to know.
    async fn tell(&self, change: Change) -> bool {
        let event = Event {
            of: self.of.clone(),
            at: now(),
            change,
        };
        self.events.send(event).await.is_ok()
    }

    /// Lists again after a gap, and returns the version.
    async fn list(&self) -> Result<String, ListError> {
        let (since, asked) = (self.of.certain(), now());
        let mut objects: Vec<Value> = Vec::new();
        let of = self.of.clone();
        let take = move |objects: &mut Vec<Value>, object: DynamicObject| {
            objects.push(of.reduced(object)?);
            Ok(())
        };
        let listed = list::list(&self.api, false, &mut objects, Vec::clear, take);
        let version = listed.await?;
        self.of.is_certain(asked);
        self.tell(Change::Relisted {
            objects,
            version: version.clone(),
            since,
        })
        .await;
        Ok(version)
    }

    async fn watch(&self, mut version: String) -> End {
        let params = WatchParams {
            timeout: u32::try_from(LENGTH.as_secs()).ok(),
            ..WatchParams::default()
        };
        let opened = tokio::time::timeout(MARGIN, self.api.watch(&params, &version)).await;
        let stream = match opened {
            Ok(Ok(stream)) => stream,
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => return End::Expired,
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
                return End::Refused(status.message.clone());
            }
            Ok(Err(error)) => return End::Failed(version, describe(&error)),
            Err(_) => return End::Failed(version, "no watch was opened in time".into()),
        };
        tokio::pin!(stream);
        let deadline = tokio::time::Instant::now() + LENGTH + MARGIN;
        loop {
            let event = match tokio::time::timeout_at(deadline, stream.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return End::Done(version),
                Err(_) => return End::Failed(version, "the watch's connection is dead".into()),
            };
            let at = now();
            let (sent, change) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    let sent = object.metadata.resource_version.clone();
                    (sent, self.of.reduced(object).map(Change::Seen))
                }
                Ok(WatchEvent::Deleted(object)) => {
                    let sent = object.metadata.resource_version.clone();
                    (sent, self.of.reduced(object).map(Change::Gone))
                }
                Ok(WatchEvent::Bookmark(mark)) => {
                    version = mark.metadata.resource_version;
                    self.of.is_certain(at);
                    continue;
                }
                Ok(WatchEvent::Error(status)) if status.code == 410 => return End::Expired,
                Ok(WatchEvent::Error(status)) => {
                    return End::Failed(version, status.message.clone());
                }
                Err(error) => return End::Failed(version, describe(&error)),
            };
            match change {
                Ok(change) => {
                    if !self.tell(change).await {
                        return End::Unheard;
                    }
                }
                Err(why) => return End::Failed(version, why),
            }
            self.of.is_certain(at);
            if let Some(sent) = sent.filter(|sent| !sent.is_empty()) {
                version = sent;
            }
        }
    }
}

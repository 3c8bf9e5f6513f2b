//! What is in the cluster now: all kinds that matter, listed and then watched, and whether that is still true.
//!
//! The promise of [`Watches::check`]: everything that was in the cluster `limit` ago is in here. It is kept by
//! asking, kind by kind and time after time, for the version that the API server is at (a consistent read of
//! one name that is not there), and by counting as known only what a watch has confirmed up to that version
//! since. So a dead connection, a hanging API server, one that lags behind etcd, and a right that was taken
//! away all look the same: no confirmation. kube's own `watcher` keeps bookmarks and reconnections to itself,
//! and would notice silence after 295 s; that is why there is a loop of our own (`follow`) on its `Api`.
//!
//! The price are two small reads per kind and cycle (0.4 × limit): about 2.5 a second at 30 s.
//!
//! Refused: keeping more of an object than somebody reads (`trim`), and telling of changes that nobody can see.

mod cache;
mod follow;
mod freshness;
mod ingest;
mod kinds;
mod settings;
mod store;
mod trim;

pub use freshness::Stale;
pub use kinds::{INVENTORY, Kind};
pub use settings::WatchSettings;

use super::departed::Departure;
use crate::inventory::Objects;
use crate::inventory::kubernetes::{Namespace, Pod};
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use cache::Cache;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kinds::Watched;
use kube::Client;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Everything that is watched. Ends when it is dropped.
pub struct Watches {
    cache: Arc<Cache>,
    _tasks: JoinSet<()>,
}

impl Watches {
    /// Starts to list and watch. Must be called inside of a tokio runtime; returns at once, and
    /// [`Self::check`] tells when everything is there.
    pub fn start(client: Client, settings: WatchSettings) -> Watches {
        let cache = Arc::new(Cache::new(&settings));
        cache.restore(settings.restored);
        let mut tasks = JoinSet::new();
        kinds::follow_all(&client, &cache, &mut tasks);
        let expiring = cache.clone();
        tasks.spawn(async move { expiring.expire_for_ever().await });
        Watches {
            cache,
            _tasks: tasks,
        }
    }

    /// A number that grows with every change of any kind that somebody could see.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.cache.subscribe()
    }

    /// What [`Self::changed`] said when that kind last changed; 0 if nothing of it was seen yet.
    pub fn generation_of(&self, kind: Kind) -> u64 {
        self.cache.generation_of(kind)
    }

    /// The latest of [`Self::generation_of`] all kinds of [`Self::objects`].
    pub fn inventory_generation(&self) -> u64 {
        self.cache.inventory_generation()
    }

    /// Whether everything that was in the cluster `limit` ago is in here.
    ///
    /// # Errors
    /// Which kind is not, why, and since when.
    pub fn check(&self) -> Result<(), Stale> {
        self.cache.check()
    }

    /// Everything that the inventory is built from, with the pods that are gone. Built anew after a change
    /// only; all callers get the same one.
    pub fn objects(&self) -> Arc<Objects> {
        self.cache.objects()
    }

    /// In the order of namespaces and names, as all of these.
    pub fn segmentations(&self) -> Vec<Arc<Segmentation>> {
        Segmentation::store(&self.cache.stores).all()
    }

    pub fn proposals(&self) -> Vec<Arc<PolicyProposal>> {
        PolicyProposal::store(&self.cache.stores).all()
    }

    pub fn decisions(&self) -> Vec<Arc<ProposalDecision>> {
        ProposalDecision::store(&self.cache.stores).all()
    }

    /// All NetworkPolicies, ours and those of others, with their managedFields.
    pub fn policies(&self) -> Vec<Arc<NetworkPolicy>> {
        NetworkPolicy::store(&self.cache.stores).all()
    }

    pub fn namespaces(&self) -> Vec<Arc<Namespace>> {
        Namespace::store(&self.cache.stores).all()
    }

    /// The pods that are there, without those that are gone.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        Pod::store(&self.cache.stores).all()
    }

    /// The pods that are gone and still kept, in the order in which they left. JSON keeps all of them.
    pub fn departed(&self) -> Vec<Pod> {
        self.cache.departed()
    }

    /// Those that left after departure `number` (0: all that are kept).
    pub fn departures_since(&self, number: u64) -> Vec<Departure> {
        self.cache.departures_since(number)
    }

    /// How many pods were dropped before their time because there were more than `most_departed`.
    pub fn forgotten(&self) -> u64 {
        self.cache.forgotten()
    }

    /// Takes back what [`Self::departed`] and [`Self::pods`] gave out in an earlier life. A pod that was
    /// there then and is not now left while nobody looked: it counts as gone since the first list.
    pub fn restore(&self, pods: Vec<Pod>) {
        self.cache.restore(pods);
    }
}

//! Lists and then watches all kinds that are used, and checks whether the known objects are still current.
//!
//! The guarantee of [`Watches::check`]: everything that was in the cluster `limit` ago is known here. For each
//! kind, again and again, the loop asks for the version that the API server is at (a consistent read of one
//! name that does not exist), and counts as known only what a watch has confirmed up to that version since. So
//! a dead connection, an API server that hangs or lags behind etcd, and a right that was removed all have the
//! same effect: no confirmation. kube's own `watcher` does not show bookmarks and reconnections to its caller,
//! and would notice silence after 295 s; therefore there is a loop of our own (`follow`) on its `Api`.
//!
//! The cost is two small reads per kind and cycle (0.4 × limit): about 2.5 a second at 30 s. While somebody waits
//! ([`Watches::catch_up`]) a cycle takes at most 3 s.
//!
//! An object that its type refuses stops nothing but itself: `malformed` has it by name, and what of it can be read, or
//! was known before, still counts.
//!
//! Refused: keeping fields of an object that are not used (`trim`), and reporting changes of such fields.

mod cache;
mod configuration;
mod follow;
mod freshness;
mod ingest;
mod kinds;
mod known_other_kinds;
mod malformed;
mod salvage;
mod settings;
mod store;
mod trim;

pub use configuration::plugin_config_maps;
pub use freshness::Stale;
pub use ingest::typed_parts;
pub use kinds::{INVENTORY, Kind};
pub use malformed::Malformed;
pub use settings::WatchSettings;

use super::departed::Departure;
use super::other_kinds::list_other_kinds;
use crate::inventory::kubernetes::{Namespace, Pod};
use crate::inventory::{Objects, UnlistedKind};
use crate::net::Timestamp;
use crate::review::resources::{PolicyProposal, ProposalDecision, Segmentation};
use cache::Cache;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kinds::Watched;
use kube::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is known of policies of other kinds when the API server does not answer.
fn no_answer() -> Objects {
    Objects {
        unlisted: vec![UnlistedKind {
            kind: "policies of other kinds".into(),
            reason: "the API server does not answer".into(),
        }],
        ..Objects::default()
    }
}

/// All watches. They end when this is dropped.
pub struct Watches {
    cache: Arc<Cache>,
    _tasks: JoinSet<()>,
}

impl Watches {
    /// Starts to list and watch. Must be called inside of a tokio runtime. Returns at once; [`Self::check`]
    /// shows when all kinds are known.
    pub fn start(client: Client, settings: WatchSettings) -> Watches {
        let cache = Arc::new(Cache::new(&settings));
        cache.restore(settings.restored);
        let mut tasks = JoinSet::new();
        follow::follow_all(&client, &cache, &mut tasks);
        let (lister, others, every) = (client.clone(), cache.clone(), cache.limit());
        tasks.spawn(async move {
            // There are few, and they change seldom: they are listed again and again.
            loop {
                // An API server that hangs tells nothing.
                let listed = tokio::time::timeout(every, list_other_kinds(&lister)).await;
                others.put_others(listed.unwrap_or_else(|_| no_answer()));
                tokio::time::sleep(every).await;
            }
        });
        let expiring = cache.clone();
        tasks.spawn(async move { expiring.expire_for_ever().await });
        tasks.spawn(configuration::follow(client, cache.clone()));
        Watches {
            cache,
            _tasks: tasks,
        }
    }

    /// A number that grows with every visible change of any kind.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.cache.subscribe()
    }

    /// The value of [`Self::changed`] when that kind last changed; 0 if no object of it was seen yet.
    pub fn generation_of(&self, kind: Kind) -> u64 {
        self.cache.generation_of(kind)
    }

    /// The highest [`Self::generation_of`] of the kinds of [`Self::objects`].
    pub fn inventory_generation(&self) -> u64 {
        self.cache.inventory_generation()
    }

    /// Checks that everything that was in the cluster `limit` ago is known here.
    ///
    /// # Errors
    /// Returns the kind that is not known, the reason, and since when.
    pub fn check(&self) -> Result<(), Stale> {
        self.cache.check()?;
        self.cache.check_others()
    }

    /// The time up to which everything of the kinds of [`Self::objects`] is known; `None`: not everything was listed yet.
    pub fn caught_up(&self) -> Option<Timestamp> {
        self.cache.caught_up()
    }

    /// Asks for what was in the cluster at `until`: [`Self::caught_up`] is that time or later within 3 s, if the API server
    /// answers and sends bookmarks as Kubernetes does (2 s before the end of a watch).
    pub fn catch_up(&self, until: Timestamp) {
        self.cache.catch_up(until);
    }

    /// All objects that the inventory is built from, with the pods that are gone. It is built again only after
    /// a change; all callers get the same value.
    pub fn objects(&self) -> Arc<Objects> {
        self.cache.objects()
    }

    /// Ordered by namespace and name, as all of these.
    pub fn segmentations(&self) -> Vec<Arc<Segmentation>> {
        Segmentation::store(&self.cache.stores).all()
    }

    pub fn proposals(&self) -> Vec<Arc<PolicyProposal>> {
        PolicyProposal::store(&self.cache.stores).all()
    }

    pub fn decisions(&self) -> Vec<Arc<ProposalDecision>> {
        ProposalDecision::store(&self.cache.stores).all()
    }

    /// All NetworkPolicies, ours and others', with their managedFields.
    pub fn policies(&self) -> Vec<Arc<NetworkPolicy>> {
        NetworkPolicy::store(&self.cache.stores).all()
    }

    pub fn namespaces(&self) -> Vec<Arc<Namespace>> {
        Namespace::store(&self.cache.stores).all()
    }

    /// The pods that exist, without those that are gone.
    pub fn pods(&self) -> Vec<Arc<Pod>> {
        Pod::store(&self.cache.stores).all()
    }

    /// The objects that are there and cannot be read, by kind, namespace and name.
    pub fn malformed(&self) -> Vec<Malformed> {
        self.cache.malformed()
    }

    /// How many of them there are, also of those that are not kept by name.
    pub fn malformed_counts(&self) -> BTreeMap<Kind, u64> {
        self.cache.malformed_counts()
    }

    /// The pods that are gone and still kept, in the order in which they left. JSON preserves all fields.
    pub fn departed(&self) -> Vec<Pod> {
        self.cache.departed()
    }

    /// The pods that left after departure `number` (0: all that are kept).
    pub fn departures_since(&self, number: u64) -> Vec<Departure> {
        self.cache.departures_since(number)
    }

    /// How many pods were dropped early because there were more than `most_departed`.
    pub fn forgotten(&self) -> u64 {
        self.cache.forgotten()
    }

    /// Restores what [`Self::departed`] and [`Self::pods`] returned in an earlier process. A pod that existed
    /// then and does not now left while no process watched: it counts as gone since the first list.
    pub fn restore(&self, pods: Vec<Pod>) {
        self.cache.restore(pods);
    }
}

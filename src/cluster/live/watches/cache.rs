//! The cache that the loops write and all callers read.

use super::WatchSettings;
use super::freshness::{Freshness, Moment, Stale};
use super::kinds::{INVENTORY, Kind, Stores, Watched};
use super::known_other_kinds::KnownOtherKinds;
use super::malformed::{Malformed, MalformedObjects};
use super::store::{Key, key};
use crate::cluster::live::departed::{Departed, Departure};
use crate::inventory::Objects;
use crate::inventory::kubernetes::{ConfigMap, Pod};
use crate::net::Timestamp;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// The shortest limit: a watch lasts at least 4 s, and two of them must fit.
const SHORTEST_LIMIT: Duration = Duration::from_secs(10);
/// How many pages of lists are in memory at once.
const PAGES: usize = 2;
/// How often pods whose time is over are dropped.
const EXPIRE_EVERY: Duration = Duration::from_secs(30);

/// The known objects.
pub struct Cache {
    limit: Duration,
    pub stores: Stores,
    freshness: BTreeMap<Kind, Mutex<Freshness>>,
    /// Always locked after the store of pods, never before.
    departed: Mutex<Departed>,
    generation: watch::Sender<u64>,
    generations: BTreeMap<Kind, AtomicU64>,
    objects: Mutex<Option<(u64, Arc<Objects>)>>,
    malformed: Mutex<MalformedObjects>,
    /// Policies of other kinds, as they were listed last.
    others: KnownOtherKinds,
    /// The configuration of the network plugin, which is read, not watched.
    config_maps: Mutex<Vec<ConfigMap>>,
    pages: Semaphore,
    /// Everything that was in the cluster then has to be known soon.
    wanted: watch::Sender<Timestamp>,
}

impl Moment {
    pub fn now() -> Moment {
        Moment {
            instant: Instant::now(),
            time: jiff::Timestamp::now().into(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    pub fn new(settings: &WatchSettings) -> Cache {
        let limit = settings.limit.max(SHORTEST_LIMIT);
        let now = Moment::now();
        let fresh = |kind: &Kind| (*kind, Mutex::new(Freshness::new(*kind, limit, now)));
        let retention = i64::try_from(settings.retention.as_nanos()).unwrap_or(i64::MAX);
        Cache {
            limit,
            stores: Stores::default(),
            freshness: Kind::ALL.iter().map(fresh).collect(),
            departed: Mutex::new(Departed::new(retention, settings.most_departed)),
            generation: watch::Sender::new(0),
            generations: Kind::ALL.iter().map(|k| (*k, AtomicU64::new(0))).collect(),
            objects: Mutex::new(None),
            malformed: Mutex::default(),
            others: KnownOtherKinds::new(now.time),
            config_maps: Mutex::default(),
            pages: Semaphore::new(PAGES),
            wanted: watch::Sender::new(Timestamp::MIN),
        }
    }

    /// A permit for each page of a list that is in memory.
    pub fn pages(&self) -> &Semaphore {
        &self.pages
    }

    pub fn limit(&self) -> Duration {
        self.limit
    }

    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    pub fn generation_of(&self, kind: Kind) -> u64 {
        let generation = self.generations.get(&kind);
        generation.map_or(0, |number| number.load(Ordering::Acquire))
    }

    pub fn inventory_generation(&self) -> u64 {
        let all = INVENTORY.iter().map(|kind| self.generation_of(*kind));
        all.max().unwrap_or(0)
    }

    pub fn caught_up(&self) -> Option<Timestamp> {
        let complete = INVENTORY
            .iter()
            .map(|kind| self.freshness(*kind).complete());
        complete.min().flatten()
    }

    /// Asks the watches of the inventory for what was in the cluster at `until`.
    pub fn catch_up(&self, until: Timestamp) {
        self.wanted.send_if_modified(|wanted| {
            let is_later = until > *wanted;
            *wanted = until.max(*wanted);
            is_later
        });
    }

    /// Returns true if more of a kind is asked for than is known.
    pub fn is_wanted(&self, kind: Kind) -> bool {
        let complete = self.freshness(kind).complete();
        let wanted = *self.wanted.borrow();
        INVENTORY.contains(&kind) && complete.is_none_or(|complete| complete < wanted)
    }

    /// Waits until more of a kind is asked for than is known.
    pub async fn until_wanted(&self, kind: Kind) {
        let mut asked = self.wanted.subscribe();
        while !self.is_wanted(kind) {
            if asked.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Called after the change is visible, so that every task that is notified of it sees it.
    fn bump(&self, kind: Kind) {
        self.generation.send_modify(|generation| {
            *generation += 1;
            if let Some(own) = self.generations.get(&kind) {
                own.store(*generation, Ordering::Release);
            }
        });
    }

    pub fn freshness(&self, kind: Kind) -> MutexGuard<'_, Freshness> {
        match self.freshness.get(&kind) {
            Some(freshness) => lock(freshness),
            None => unreachable!("there is one for each of Kind::ALL"),
        }
    }

    pub fn failed(&self, kind: Kind, why: String) {
        self.freshness(kind).failed(why, Moment::now());
    }

    pub fn check(&self) -> Result<(), Stale> {
        let now = Instant::now();
        self.freshness
            .values()
            .try_for_each(|freshness| lock(freshness).check(now))
    }

    /// Records a trimmed object, new or changed, as far as it could be read, and what is wrong with it. Where nothing of
    /// it could be read, what was known of it before still counts.
    pub fn put<K: Watched>(&self, object: Option<K>, malformed: Option<Malformed>) {
        let mut changed = false;
        if let (Some(object), None) = (&object, &malformed) {
            changed |= lock(&self.malformed).forget(K::KIND, &key(object));
        }
        if let Some(malformed) = malformed {
            changed |= lock(&self.malformed).add(malformed, Instant::now());
        }
        if let Some(object) = object {
            let mut store = K::store(&self.stores).lock();
            let key = key(&object);
            changed |= self.insert(&mut store, key, object);
        }
        if changed {
            self.bump(K::KIND);
        }
    }

    /// Records that an object is gone; `last` is its last known state, if it could be read.
    pub fn remove<K: Watched>(&self, key: &Key, last: Option<K>) {
        lock(&self.malformed).forget(K::KIND, key);
        let mut store = K::store(&self.stores).lock();
        let old = store.remove(key);
        let old = old.as_deref();
        if let Some(pod) = last.as_ref().or(old).and_then(as_pod) {
            let old = old.and_then(as_pod);
            lock(&self.departed).left(old, pod.clone(), now());
        }
        drop(store);
        self.bump(K::KIND);
    }

    /// Records these trimmed objects as the whole content, with what is wrong with those that could not be read. What was
    /// known of these before still counts.
    pub fn replace<K: Watched>(&self, objects: Vec<K>, malformed: Vec<Malformed>) {
        let unread: Vec<Key> = malformed
            .iter()
            .map(|one| (one.namespace.clone(), one.name.clone()))
            .collect();
        let mut changed = lock(&self.malformed).replace(K::KIND, malformed, Instant::now());
        let mut store = K::store(&self.stores).lock();
        let mut before = std::mem::take(&mut *store);
        for object in objects {
            let key = key(&object);
            if let Some(old) = before.remove(&key) {
                store.insert(key.clone(), old);
            }
            changed |= self.insert(&mut store, key, object);
        }
        for key in unread {
            if let Some(old) = before.remove(&key) {
                store.insert(key, old);
            }
        }
        changed |= !before.is_empty();
        self.note_gone(&before, &store);
        drop(store);
        // The first list counts as a change even if it is empty: before it nothing was known.
        if changed || self.generation_of(K::KIND) == 0 {
            self.bump(K::KIND);
        }
    }

    /// Keeps the pods that a complete list does not have any more.
    fn note_gone<K: Watched>(&self, gone: &BTreeMap<Key, Arc<K>>, store: &BTreeMap<Key, Arc<K>>) {
        // Whoever is gone since the last complete state went at any time since then: what came from its address
        // afterwards may be of another pod (rule: owner-at-that-time).
        let since = self.freshness(K::KIND).complete().unwrap_or_else(now);
        let mut departed = lock(&self.departed);
        for pod in gone.values().filter_map(|gone| as_pod(gone.as_ref())) {
            departed.left(None, pod.clone(), since.min(now()));
        }
        if K::KIND == Kind::Pod {
            let is_there = |pod: &Pod| {
                let there = store.get(&key(pod));
                there.is_some_and(|there| there.meta().uid == pod.metadata.uid)
            };
            departed.listed(is_there, now());
        }
    }

    pub fn malformed(&self) -> Vec<Malformed> {
        lock(&self.malformed).all()
    }

    pub fn malformed_counts(&self) -> BTreeMap<Kind, u64> {
        lock(&self.malformed).counts()
    }

    /// Returns true if the object differs from the earlier one.
    fn insert<K: Watched>(
        &self,
        store: &mut BTreeMap<Key, Arc<K>>,
        key: Key,
        mut object: K,
    ) -> bool {
        let old = store.get(&key);
        if let Some(pod) = as_pod_mut(&mut object) {
            let old = old.and_then(|old| as_pod(old.as_ref()));
            lock(&self.departed).arrived(old, pod, now());
        }
        if old.is_some_and(|old| **old == object) {
            return false;
        }
        store.insert(key, Arc::new(object));
        true
    }

    pub fn restore(&self, pods: Vec<Pod>) {
        let listed = self.generation_of(Kind::Pod) > 0;
        let store = Pod::store(&self.stores).lock();
        let mut departed = lock(&self.departed);
        departed.restore(pods);
        if listed {
            let is_there = |pod: &Pod| {
                let there = store.get(&key(pod));
                there.is_some_and(|there| there.metadata.uid == pod.metadata.uid)
            };
            departed.listed(is_there, now());
        }
        drop(departed);
        drop(store);
        if listed {
            self.bump(Kind::Pod);
        }
    }

    pub fn departed(&self) -> Vec<Pod> {
        let departed = lock(&self.departed);
        departed.pods().map(|pod| Pod::clone(pod)).collect()
    }

    pub fn departures_since(&self, number: u64) -> Vec<Departure> {
        lock(&self.departed).since(number)
    }

    pub fn forgotten(&self) -> u64 {
        lock(&self.departed).forgotten()
    }

    pub async fn expire_for_ever(&self) {
        loop {
            tokio::time::sleep(EXPIRE_EVERY).await;
            let dropped = lock(&self.departed).expire(now());
            if dropped {
                self.bump(Kind::Pod);
            }
        }
    }

    /// Checks that the policies of other kinds were asked for.
    pub fn check_others(&self) -> Result<(), Stale> {
        self.others.check()
    }

    /// Records the policies of other kinds as they were listed.
    pub fn put_others(&self, listed: Objects) {
        if self.others.put(listed) {
            // They stand beside the NetworkPolicies.
            self.bump(Kind::NetworkPolicy);
        }
    }

    /// Takes the configuration of the network plugin as it is now.
    pub fn take_config_maps(&self, maps: Vec<ConfigMap>) {
        let is_new = {
            let mut known = lock(&self.config_maps);
            let is_new = *known != maps;
            *known = maps;
            is_new
        };
        // Whose DaemonSet it configures.
        if is_new {
            self.bump(Kind::DaemonSet);
        }
    }

    pub fn objects(&self) -> Arc<Objects> {
        // Before the stores are read: what changes in between is read again next time.
        let generation = self.inventory_generation();
        let mut cached = lock(&self.objects);
        if let Some((of, objects)) = &*cached
            && *of == generation
        {
            return objects.clone();
        }
        let objects = Arc::new(self.build_objects());
        *cached = Some((generation, objects.clone()));
        objects
    }

    fn build_objects(&self) -> Objects {
        let stores = &self.stores;
        let others = self.others.known();
        let pods = {
            // Both locks at once: a pod that leaves at this moment is in exactly one of the two.
            let there = stores.pods.lock();
            let departed = lock(&self.departed);
            let all = departed.pods().chain(there.values());
            all.map(|pod| Pod::clone(pod)).collect()
        };
        Objects {
            other_kinds: others.other_kinds,
            not_judged: others.not_judged,
            unlisted: others.unlisted,
            gaps: Vec::new(),
            remarks: Vec::new(),
            scans: Vec::new(),
            namespaces: stores.namespaces.copies(),
            pods,
            services: stores.services.copies(),
            endpoint_slices: stores.endpoint_slices.copies(),
            nodes: stores.nodes.copies(),
            // Not watched: every Service has slices in a cluster that runs, all Services are known, and
            // CiliumNode exists only with Cilium, which writes the same addresses on the nodes.
            endpoints: Vec::new(),
            service_cidrs: Vec::new(),
            cilium_nodes: Vec::new(),
            config_maps: lock(&self.config_maps).clone(),
            deployments: stores.deployments.copies(),
            replica_sets: stores.replica_sets.copies(),
            replication_controllers: Vec::new(),
            stateful_sets: stores.stateful_sets.copies(),
            daemon_sets: stores.daemon_sets.copies(),
            jobs: stores.jobs.copies(),
            cron_jobs: stores.cron_jobs.copies(),
            network_policies: stores.network_policies.copies(),
            snapshots: 1,
            // Whoever leaves is known with the time: no pod is gone between two lists.
            lists: Vec::new(),
            heartbeat: None,
            skipped: BTreeMap::new(),
        }
    }
}

fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

fn as_pod<K: 'static>(object: &K) -> Option<&Pod> {
    (object as &dyn Any).downcast_ref()
}

fn as_pod_mut<K: 'static>(object: &mut K) -> Option<&mut Pod> {
    (object as &mut dyn Any).downcast_mut()
}

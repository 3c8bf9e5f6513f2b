//! The failed attempts that count as evidence (rule: rollback-needs-evidence): of clients that were there before the
//! change, to servers whose network has been up for a while, reported from both ends where both are observed, of
//! several pods and over some time.

use nanoseg_flow::{FlowRecord, Observer, Verdict};
use nanoseg_graph::{Edge, Peer, Views};
use nanoseg_inventory::{Inventory, Pod, WorkloadId};
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// For so many seconds after a pod's network is up its failures say nothing: "a newly created pod may have no network
/// connectivity at all when it is first started, if isolation rules were already applied, but no allow rules were
/// applied yet" (Kubernetes documentation, Network Policies, "Pod lifecycle"). It names no bound; plugins need a few
/// seconds.
pub(super) const NEW_POD: i64 = 30;
/// The attempts of at least so many pods of the client must fail, if it has as many...
pub(super) const FAILING_PODS: usize = 2;
/// ...for at least so many seconds...
pub(super) const FAILING_FOR: i64 = 30;
/// ...or for so many seconds, if the client has one pod only.
pub(super) const FAILING_ALONE_FOR: i64 = 60;
/// A node is observed if its agent observed within so many seconds before the change, or since.
const OBSERVED_WITHIN: i64 = 3600;
/// At least so many attempts of each pod count.
const FEWEST_ATTEMPTS: u64 = 3;

/// Where the attempts of one connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failing {
    pub pods: usize,
    /// From the first to the last attempt, in seconds.
    pub seconds: i64,
}

/// The records since a change, and what is known of who reported them.
pub(super) struct Reports<'a> {
    pub records: &'a [(&'a Observer, &'a FlowRecord)],
    pub inventory: &'a Inventory,
    /// When each node's agent observed.
    pub views: &'a Views,
    pub applied_at: Timestamp,
    /// For how many seconds a new pod's failures say nothing: [`NEW_POD`], or what the plugin needed lately.
    pub new_pod: i64,
    pub now: Timestamp,
}

/// One client's attempts to reach one server.
#[derive(Default)]
struct Pair<'a> {
    /// The nodes that reported them.
    reporters: BTreeSet<&'a str>,
    attempts: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl<'a> Reports<'a> {
    /// Returns the evidence that a connection fails; `None` if it is not enough.
    pub fn failing(&self, client: &WorkloadId, server: &Peer, edge: &Edge) -> Option<Failing> {
        let clients = self.pods_of(client);
        let servers = server.workload().map(|id| self.pods_of(id));
        let mut pairs: BTreeMap<(IpAddr, IpAddr), Pair<'a>> = BTreeMap::new();
        for (observer, record) in self.records.iter().filter(|(_, r)| is_attempt(r, edge)) {
            let from = owner(&clients, record.client, record.first);
            let is_counted = from.is_some_and(|pod| self.is_settled(pod, record.first))
                && record.first <= self.now
                && self.was_told_since(record)
                && self.is_server(server, servers.as_deref(), record);
            if is_counted {
                let pair = pairs.entry((record.client, record.server)).or_default();
                pair.note(observer, record);
            }
        }
        pairs
            .retain(|ends, pair| self.is_seen_from_both(pair, *ends, &clients, servers.as_deref()));
        self.budget(&clients, &pairs)
    }

    /// Returns the evidence if enough pods failed for long enough.
    fn budget(
        &self,
        clients: &[&Pod],
        pairs: &BTreeMap<(IpAddr, IpAddr), Pair<'_>>,
    ) -> Option<Failing> {
        let mut attempts: BTreeMap<IpAddr, u64> = BTreeMap::new();
        for ((client, _), pair) in pairs {
            *attempts.entry(*client).or_default() += pair.attempts;
        }
        attempts.retain(|_, attempts| *attempts >= FEWEST_ATTEMPTS);
        let counted = pairs
            .iter()
            .filter(|((client, _), _)| attempts.contains_key(client));
        let times = counted.flat_map(|(_, pair)| [pair.first, pair.last].into_iter().flatten());
        let (first, last) = times.fold((None, None), |(first, last), at| {
            (
                Some(first.map_or(at, |first: Timestamp| first.min(at))),
                last.max(Some(at)),
            )
        });
        let seconds = last?.secs_since(first?);
        let there = clients.iter().filter(|pod| self.was_there(pod)).count();
        let long_enough = match there {
            ..FAILING_PODS => seconds >= FAILING_ALONE_FOR,
            _ => attempts.len() >= FAILING_PODS && seconds >= FAILING_FOR,
        };
        long_enough.then_some(Failing {
            pods: attempts.len(),
            seconds,
        })
    }

    /// Returns true if an agent observed on the node lately: one that is silent for a moment makes nobody else a witness
    /// of its node.
    fn is_observed(&self, node: &str) -> bool {
        let since = self.applied_at.plus_secs(-OBSERVED_WITHIN);
        let view = self.views.get(node);
        view.is_some_and(|view| view.overlaps(since, self.now))
    }

    fn pods_of(&self, id: &WorkloadId) -> Vec<&'a Pod> {
        let pods = self.inventory.pods.iter();
        pods.filter(|pod| pod.workload == *id && !pod.template && !pod.host_network)
            .collect()
    }

    /// Returns true if the pod was there before the change, and is there still.
    fn was_there(&self, pod: &Pod) -> bool {
        let since = network_up(pod);
        since.is_some_and(|since| since < self.applied_at) && pod.owned.until.is_none()
    }

    /// Returns true if a client's failure at this time says something.
    fn is_settled(&self, pod: &Pod, at: Timestamp) -> bool {
        self.was_there(pod) && self.is_past_start(pod, at)
    }

    fn is_past_start(&self, pod: &Pod, at: Timestamp) -> bool {
        network_up(pod).is_some_and(|up| at >= up.plus_secs(self.new_pod))
    }

    /// Returns true if nobody told of it before the change: what was told before it happened did not happen.
    fn was_told_since(&self, record: &FlowRecord) -> bool {
        record.told().first >= self.applied_at
    }

    /// Returns true if the record is of the server, and a pod of it is not too new to say something.
    fn is_server(&self, server: &Peer, pods: Option<&[&Pod]>, record: &FlowRecord) -> bool {
        match (server, pods) {
            (_, Some(pods)) => owner(pods, record.server, record.first)
                .is_some_and(|pod| self.is_past_start(pod, record.first)),
            (Peer::Outside(address), _) => record.server == *address,
            (Peer::Node(name), _) => {
                let mut nodes = self.inventory.nodes.iter();
                nodes.any(|node| node.name == *name && node.addresses.contains(&record.server))
            }
            (Peer::ApiServer, _) => {
                let mut endpoints = self.inventory.api_server.iter();
                endpoints.any(|endpoint| endpoint.ip() == record.server)
            }
            (Peer::Workload(_) | Peer::Unattributed(_), None) => false,
        }
    }

    /// Returns true if the agent of each end's node reported the attempts, where there is one, and at least one did.
    /// What other nodes say of them does not count.
    fn is_seen_from_both(
        &self,
        pair: &Pair<'_>,
        (client, server): (IpAddr, IpAddr),
        clients: &[&'a Pod],
        servers: Option<&[&'a Pod]>,
    ) -> bool {
        let node = |pods: &[&'a Pod], address| {
            let pod = pods.iter().find(|pod| pod.addresses.contains(&address));
            pod.and_then(|pod| pod.node.as_deref())
        };
        let (Some(of_client), of_server) = (
            node(clients, client),
            servers.map(|pods| node(pods, server)),
        ) else {
            return false;
        };
        // A pod whose node nobody knows: nothing shows that its end was not observed.
        if of_server == Some(None) {
            return false;
        }
        let ends = [Some(of_client), of_server.flatten()];
        let mut observed = ends
            .into_iter()
            .flatten()
            .filter(|node| self.is_observed(node))
            .peekable();
        observed.peek().is_some() && observed.all(|node| pair.reporters.contains(node))
    }
}

impl<'a> Pair<'a> {
    fn note(&mut self, observer: &'a Observer, record: &FlowRecord) {
        self.reporters.insert(&observer.node);
        self.attempts = self.attempts.saturating_add(record.connections.max(1));
        self.first = Some(self.first.map_or(record.first, |at| at.min(record.first)));
        self.last = self.last.max(Some(record.first));
    }
}

/// Returns true if the record is a failed attempt of a connection like the edge's.
fn is_attempt(record: &FlowRecord, edge: &Edge) -> bool {
    let failed = matches!(
        record.verdict,
        Verdict::Unanswered | Verdict::Refused | Verdict::Dropped
    );
    failed && (record.protocol, record.port) == (edge.protocol, edge.port)
}

/// Returns the one pod that had the address then; `None` if it is not one.
fn owner<'a>(pods: &[&'a Pod], address: IpAddr, at: Timestamp) -> Option<&'a Pod> {
    let had = |pod: &&&Pod| {
        pod.addresses.contains(&address) && pod.owned.until.is_none_or(|until| at < until)
    };
    let mut owners = pods.iter().filter(had);
    let first = owners.next()?;
    owners.next().is_none().then_some(*first)
}

/// Returns when the pod's network was up for certain; `None` if that is not known, and then the pod is no witness.
fn network_up(pod: &Pod) -> Option<Timestamp> {
    pod.network_up.max(pod.owned.from)
}

//! Chooses the sample: as many allowed connections as denied ones where there are enough, each server and each client in
//! its turn, and denied ones first to servers that an allowed one shows to listen.

use super::clients::Client;
use super::listeners::Listener;
use super::plan::{PlanInputs, Probe, rank};
use super::question::{CheckedPort, Question};
use super::task::Expected;
use nanoseg_evaluate::{ClassId, PeerRef, Side};
use nanoseg_net::Direction;
use nanoseg_plugin::EnforcedPorts;
use std::collections::{BTreeMap, BTreeSet};

/// A connection that could be tried: the index of its client and of its server.
#[derive(Debug, Clone, Copy)]
struct Pair {
    client: usize,
    seen: bool,
}

/// What is allowed and what is denied at one server.
#[derive(Debug, Default)]
struct Pairs {
    allowed: Vec<Pair>,
    denied: Vec<Pair>,
}

/// Chooses the connections.
pub fn choose(
    inputs: &PlanInputs<'_>,
    classes: &BTreeMap<usize, ClassId>,
    listeners: &[Listener],
    clients: &[Client<'_>],
) -> Vec<Probe> {
    let pairs: Vec<Pairs> = listeners
        .iter()
        .map(|listener| pairs(inputs, classes, listener, clients))
        .collect();
    let mut chosen = Chosen {
        inputs,
        listeners,
        clients,
        probes: Vec::new(),
        of_pod: BTreeMap::new(),
        used: BTreeMap::new(),
    };
    let half = inputs.limits.sample.div_ceil(2);
    let denied: usize = pairs.iter().map(|one| one.denied.len()).sum();
    // Where little is denied, more of what is allowed is tried.
    let allowed = inputs.limits.sample - denied.min(inputs.limits.sample - half);
    let order: Vec<usize> = (0..listeners.len()).collect();
    chosen.rounds(&order, allowed, |at| &pairs[at].allowed);
    // First to servers that the sample shows to listen.
    let shown: BTreeSet<usize> = order
        .iter()
        .copied()
        .filter(|at| chosen.is_tried(*at))
        .collect();
    let mut order = order;
    order.sort_by_key(|at| (!shown.contains(at), *at));
    chosen.rounds(&order, inputs.limits.sample, |at| &pairs[at].denied);
    chosen.probes
}

/// The clients of one server, by whether policies allow them. Where no policy isolates either end, nothing is tried: there
/// is nothing to enforce.
fn pairs(
    inputs: &PlanInputs<'_>,
    classes: &BTreeMap<usize, ClassId>,
    listener: &Listener,
    clients: &[Client<'_>],
) -> Pairs {
    let isolated = |class: ClassId, way| inputs.evaluation.isolated(class, way);
    let server_class = match listener.end {
        PeerRef::Pod(pod) => classes.get(&pod).copied(),
        PeerRef::Address(_) => None,
    };
    let server_guarded = server_class.is_some_and(|class| isolated(class, Direction::Ingress));
    let mut found = Pairs::default();
    for (at, client) in clients.iter().enumerate() {
        let end = PeerRef::Pod(client.index);
        let same_family = |address: &std::net::IpAddr| address.is_ipv4() == listener.to.is_ipv4();
        if end == listener.end || !client.subject.addresses.iter().any(same_family) {
            continue;
        }
        let allowed = inputs.evaluation.allowed(end, listener.end);
        let is_allowed = allowed.contains(listener.protocol, listener.to.port());
        // A rule of another kind may deny without isolating.
        let is_guarded = server_guarded || isolated(client.class, Direction::Egress);
        if is_allowed && !is_guarded {
            continue;
        }
        let pair = Pair {
            client: at,
            seen: listener.seen_from.contains(&client.end.workload),
        };
        if is_allowed {
            found.allowed.push(pair);
        } else {
            found.denied.push(pair);
        }
    }
    found
}

struct Chosen<'a> {
    inputs: &'a PlanInputs<'a>,
    listeners: &'a [Listener],
    clients: &'a [Client<'a>],
    probes: Vec<Probe>,
    /// How many probes each client has.
    of_pod: BTreeMap<usize, usize>,
    /// Pairs that are chosen: server and client.
    used: BTreeMap<usize, BTreeSet<usize>>,
}

impl Chosen<'_> {
    /// Takes a connection of each server in turn until there are `most` in all.
    fn rounds<'p>(&mut self, order: &[usize], most: usize, of: impl Fn(usize) -> &'p [Pair]) {
        loop {
            let before = self.probes.len();
            for at in order {
                if self.probes.len() >= most {
                    return;
                }
                self.take(*at, of(*at), most);
            }
            if self.probes.len() == before {
                return;
            }
        }
    }

    fn is_tried(&self, listener: usize) -> bool {
        self.used.contains_key(&listener)
    }

    /// Takes the best connection of a server: one that was seen, of a client that has few.
    fn take(&mut self, at: usize, pairs: &[Pair], most: usize) {
        let listener = &self.listeners[at];
        let taken = self.used.get(&at);
        let may = |pair: &&Pair| {
            let count = self.of_pod.get(&pair.client).copied();
            let has_room = count.unwrap_or(0) < self.inputs.limits.per_pod;
            let is_new = !taken.is_some_and(|taken| taken.contains(&pair.client));
            is_new && has_room && (count.is_some() || self.of_pod.len() < self.inputs.limits.pods)
        };
        let key = |pair: &&Pair| {
            let count = self.of_pod.get(&pair.client).copied().unwrap_or(0);
            let name = format!("{} {}", self.clients[pair.client].end.pod, listener.rank);
            (!pair.seen, count, rank(self.inputs.seed, &name))
        };
        let Some(pair) = pairs.iter().filter(may).min_by_key(key).copied() else {
            return;
        };
        let client = &self.clients[pair.client];
        let direct = self.direct(listener, client, pair.seen);
        let through = self.through(listener, client, &direct);
        self.used.entry(at).or_default().insert(pair.client);
        let count = self.of_pod.entry(pair.client).or_default();
        *count += 1;
        self.probes.push(direct);
        // The way through the Service beside it: plugins differ in whether they check before or after translation.
        let is_first = self.used.get(&at).is_some_and(|all| all.len() == 1);
        if let Some(through) = through.filter(|_| is_first && self.probes.len() < most)
            && *count < self.inputs.limits.per_pod
        {
            *count += 1;
            self.probes.push(through);
        }
    }

    fn direct(&self, listener: &Listener, client: &Client<'_>, seen: bool) -> Probe {
        let why = self.inputs.evaluation.explain(
            PeerRef::Pod(client.index),
            listener.end,
            listener.protocol,
            listener.to.port(),
        );
        let sides = [
            (&why.egress, &client.end.node),
            (&why.ingress, &listener.server.node),
        ];
        let (mut allowed_by, mut denied_by) = (Vec::new(), Vec::new());
        let mut denied_on = BTreeSet::new();
        for (side, node) in sides {
            match side {
                Side::Allowed { rules } => allowed_by.extend(rules.iter().map(ToString::to_string)),
                Side::Denied { isolating, .. } => {
                    denied_by.extend(isolating.iter().cloned());
                    denied_on.extend(node.clone());
                }
                Side::NoSubject | Side::NotIsolated => {}
            }
        }
        Probe {
            client: client.end.clone(),
            server: listener.server.clone(),
            through: None,
            protocol: listener.protocol,
            to: listener.to,
            behind: listener.to,
            way: listener.way,
            expected: expected(why.allowed),
            asks: None,
            seen,
            allowed_by,
            denied_by,
            denied_on,
        }
    }

    /// The same by the Service's address, if all pods behind it are alike for this client. A plugin that checks before
    /// translation sees the Service's port; where it is not known which, and the policies tell them apart, the try does.
    fn through(&self, listener: &Listener, client: &Client<'_>, direct: &Probe) -> Option<Probe> {
        let front = listener.front.as_ref()?;
        let from = PeerRef::Pod(client.index);
        let is_allowed = |end: PeerRef, port: u16| {
            let allowed = self.inputs.evaluation.allowed(from, end);
            allowed.contains(listener.protocol, port)
        };
        let on_pod = direct.expected == Expected::Allowed;
        let service_port = front.at.port();
        let first = front.endpoints.first()?;
        let on_service = is_allowed(first.0, service_port);
        let is_alike = front.endpoints.iter().all(|(end, port)| {
            is_allowed(*end, *port) == on_pod && is_allowed(*end, service_port) == on_service
        });
        let (expected, asks) = match self.inputs.enforced_ports {
            EnforcedPorts::Either if on_pod != on_service => {
                let passes_if = if on_pod {
                    CheckedPort::Pod
                } else {
                    CheckedPort::Service
                };
                (Expected::Open, Some(Question { passes_if }))
            }
            EnforcedPorts::Either | EnforcedPorts::Pod => (direct.expected, None),
        };
        // A pod that comes back to itself through a Service is another question (hairpin).
        let is_itself = front.endpoints.iter().any(|(end, _)| *end == from);
        (is_alike && !is_itself).then(|| Probe {
            through: Some(front.service.clone()),
            to: front.at,
            expected,
            asks,
            ..direct.clone()
        })
    }
}

fn expected(is_allowed: bool) -> Expected {
    if is_allowed {
        Expected::Allowed
    } else {
        Expected::Denied
    }
}

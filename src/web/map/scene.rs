//! What the map shows before anything has a place: which nodes stand for whom, and what goes between them.

use super::Filter;
use crate::graph::{Edge, Graph, Lesson, Peer};
use crate::inventory::WorkloadId;
use crate::net::Protocol;
use crate::report::layout::{Input, Link as LayoutLink, Node as LayoutNode, Side};
use crate::report::words::{count, thousands};
use crate::web::edge;
use crate::web::view::View;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// So many workloads are shown one by one.
const MOST_WORKLOADS: usize = 60;
/// So many outside addresses are.
const MOST_OUTSIDE: usize = 12;
/// By the addresses of so many of its pods a workload is found,
const MOST_PODS: usize = 20;
/// and by so many words all that is outside.
const MOST_WORDS: usize = 500;
/// The sides of [`View::evaluations`]: by the policies in force, and with all proposals.
const NOW: usize = 0;
const PROPOSED: usize = 1;
/// What counts as new, before the last observation.
const NEW_SECS: i64 = 24 * 3600;
/// The link-local address at which clouds hand out credentials.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
/// Text widths are estimates on the safe side.
const LETTER: f64 = 7.4;
const HEIGHT: f64 = 44.0;

/// What a node stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Namespace(String),
    Workload(WorkloadId),
    ApiServer,
    Node(String),
    Address(IpAddr),
    /// All addresses outside.
    Outside,
    /// Addresses of the pod range that no known pod has.
    UnknownPods,
    Any,
}

impl End {
    /// As it stands in a URL.
    pub fn id(&self) -> String {
        match self {
            End::Namespace(name) => format!("namespace/{name}"),
            End::Workload(id) => format!("workload/{}/{}/{}", id.namespace, id.kind, id.name),
            End::ApiServer => "api-server".into(),
            End::Node(name) => format!("node/{name}"),
            End::Address(address) => format!("address/{address}"),
            End::Outside => "outside".into(),
            End::UnknownPods => "unknown-pods".into(),
            End::Any => "any".into(),
        }
    }

    /// Back from [`End::id`].
    pub fn parse(id: &str) -> Option<End> {
        let mut parts = id.splitn(4, '/');
        let end = match (parts.next()?, parts.next(), parts.next(), parts.next()) {
            ("namespace", Some(name), None, None) => End::Namespace(name.into()),
            ("workload", Some(namespace), Some(kind), Some(name)) => End::Workload(WorkloadId {
                namespace: namespace.into(),
                kind: kind.into(),
                name: name.into(),
            }),
            ("node", Some(name), None, None) => End::Node(name.into()),
            ("address", Some(address), None, None) => End::Address(address.parse().ok()?),
            ("api-server", None, None, None) => End::ApiServer,
            ("outside", None, None, None) => End::Outside,
            ("unknown-pods", None, None, None) => End::UnknownPods,
            ("any", None, None, None) => End::Any,
            _ => return None,
        };
        Some(end)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Namespace(name) => write!(f, "namespace {name}"),
            End::Workload(id) => write!(f, "{id}"),
            End::ApiServer => f.write_str("API server"),
            End::Node(name) => write!(f, "node {name}"),
            End::Address(address) => write!(f, "{address}"),
            End::Outside => f.write_str("outside"),
            End::UnknownPods => f.write_str("unknown pods"),
            End::Any => f.write_str("anything"),
        }
    }
}

/// Whether a node that stands for `end` stands for `peer`.
pub fn end_of(peer: &Peer, end: &End) -> bool {
    match (end, peer) {
        (End::Any, _) | (End::ApiServer, Peer::ApiServer) => true,
        (End::Namespace(name), Peer::Workload(id)) => id.namespace == *name,
        (End::Workload(own), Peer::Workload(id)) => own == id,
        (End::Node(own), Peer::Node(name)) => own == name,
        (End::Address(own), Peer::Outside(address)) => own == address,
        (End::Outside, Peer::Outside(_)) | (End::UnknownPods, Peer::UnknownPod(_)) => true,
        _ => false,
    }
}

/// One box.
#[derive(Debug)]
pub struct Node {
    pub end: End,
    pub label: String,
    pub sublabel: String,
    pub title: String,
    pub class: String,
    /// What a search finds it by, in small letters: names, addresses, the namespace; a namespace by its workloads
    /// too.
    pub search: String,
    /// It calls others, and nobody calls it.
    pub only_calls: bool,
    group: Option<usize>,
    side: Side,
}

/// One arrow: all edges between two boxes.
#[derive(Debug)]
pub struct Link {
    pub from: usize,
    pub to: usize,
    pub pin: usize,
    pub label: String,
    pub title: String,
    pub class: &'static str,
}

/// The whole map.
#[derive(Debug, Default)]
pub struct Scene {
    pub nodes: Vec<Node>,
    pub groups: Vec<String>,
    pub links: Vec<Link>,
    pub summary: String,
    /// Of namespaces, which call each other in circles.
    pub is_overview: bool,
}

/// How an arrow stands out; of several edges the last one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Implied,
    Learned,
    New,
    Risky,
    Blocked,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Implied => "implied",
            Kind::Learned => "learned",
            Kind::New => "new",
            Kind::Risky => "risky",
            Kind::Blocked => "blocked",
        }
    }

    /// As the legend calls it.
    fn word(self) -> &'static str {
        match self {
            Kind::Blocked => "violating",
            other => other.class(),
        }
    }
}

/// What makes a node stand out.
struct Mark {
    class: &'static str,
    word: &'static str,
}

/// What goes on inside of each namespace.
fn inner_kinds<'a>(
    edges: &[(&'a Peer, &'a Peer, &Edge, Kind)],
) -> BTreeMap<&'a str, BTreeSet<Kind>> {
    let mut inner: BTreeMap<&str, BTreeSet<Kind>> = BTreeMap::new();
    for (client, server, _, kind) in edges {
        if let (Some(client), Some(server)) = (client.workload(), server.workload())
            && client.namespace == server.namespace
        {
            inner.entry(&client.namespace).or_default().insert(*kind);
        }
    }
    inner
}

/// What makes a node stand out; a namespace has the marks of all that is in it. The gravest comes first.
fn marks(view: &View, end: &End, inner: &BTreeMap<&str, BTreeSet<Kind>>) -> Vec<Mark> {
    let inventory = &view.given.inventory;
    let is_host = |id: &WorkloadId| {
        let workload = inventory.workloads.get(id);
        workload.is_some_and(|workload| workload.host_network)
    };
    let none = BTreeSet::new();
    let (is_weak, on_host, kinds) = match end {
        End::Workload(id) => (view.urgent_of(id).is_some(), is_host(id), &none),
        End::Namespace(name) => {
            let mut weak = inventory.workloads_of(name);
            let mut host = inventory.workloads_of(name);
            (
                weak.any(|one| view.urgent_of(&one.id).is_some()),
                host.any(|one| one.host_network),
                inner.get(name.as_str()).unwrap_or(&none),
            )
        }
        _ => return Vec::new(),
    };
    [
        (is_weak, "weak", "exposed CVE"),
        (kinds.contains(&Kind::Blocked), "blocked", "violating"),
        (kinds.contains(&Kind::Risky), "risky", "risky"),
        (on_host, "host", "host network"),
        (kinds.contains(&Kind::New), "new", "new"),
    ]
    .into_iter()
    .filter(|(is_so, _, _)| *is_so)
    .map(|(_, class, word)| Mark { class, word })
    .collect()
}

#[derive(Default)]
struct Sum {
    ports: BTreeSet<(Protocol, u16)>,
    connections: u64,
    edges: u64,
    kind: Option<Kind>,
}

impl Scene {
    pub fn build(view: &View, filter: &Filter) -> Scene {
        let graph = &view.given.graph;
        let kinds = Kinds::of(view);
        let edges: Vec<(&Peer, &Peer, &Edge, Kind)> = graph
            .edges()
            .into_iter()
            .map(|(client, server, edge)| (client, server, edge, kinds.kind(client, server, edge)))
            .filter(|(client, server, edge, kind)| {
                is_wanted(view, filter, (client, server, edge, *kind))
            })
            .collect();
        let folding = Folding::of(view, filter, &edges);
        let mut sums: BTreeMap<(End, End), Sum> = BTreeMap::new();
        for (client, server, edge, kind) in &edges {
            let sum = sums
                .entry((folding.end(client), folding.end(server)))
                .or_default();
            sum.ports.insert((edge.protocol, edge.port));
            sum.connections += edge.connections();
            sum.edges += 1;
            sum.kind = sum.kind.max(Some(*kind));
        }
        let mut ends: BTreeSet<End> = sums
            .keys()
            .flat_map(|(a, b)| [a.clone(), b.clone()])
            .collect();
        // What was never seen is on the map as well, where the map is of workloads.
        if filter.port.is_none() && filter.verdict.is_none() && filter.hours.is_none() {
            let all = view.given.inventory.workloads.keys();
            let all = all.filter(|id| {
                filter
                    .namespace
                    .as_ref()
                    .is_none_or(|name| id.namespace == *name)
            });
            ends.extend(all.map(|id| folding.end(&Peer::Workload(id.clone()))));
        }
        let mut scene = Scene {
            is_overview: folding.by_namespace && filter.namespace.is_none(),
            summary: format!(
                "{} of {}, {}",
                thousands(edges.len() as u64),
                count(graph.edges().len() as u64, "edge"),
                count(view.given.inventory.workloads.len() as u64, "workload"),
            ),
            ..Scene::default()
        };
        let inner = inner_kinds(&edges);
        let places = scene.add_nodes(view, ends, &sums, &inner);
        scene.add_links(graph, &sums, &places);
        scene
    }

    fn add_nodes(
        &mut self,
        view: &View,
        ends: BTreeSet<End>,
        sums: &BTreeMap<(End, End), Sum>,
        inner: &BTreeMap<&str, BTreeSet<Kind>>,
    ) -> BTreeMap<End, usize> {
        let groups: BTreeSet<&str> = ends
            .iter()
            .filter_map(|end| match end {
                End::Workload(id) => Some(id.namespace.as_str()),
                _ => None,
            })
            .collect();
        self.groups = groups.into_iter().map(str::to_owned).collect();
        let calls: BTreeSet<&End> = sums.keys().map(|(client, _)| client).collect();
        let called: BTreeSet<&End> = sums.keys().map(|(_, server)| server).collect();
        let mut places = BTreeMap::new();
        for end in ends {
            let group = match &end {
                End::Workload(id) => self.groups.iter().position(|name| *name == id.namespace),
                _ => None,
            };
            let side = match &end {
                End::Workload(_) | End::Namespace(_) => Side::Any,
                other if calls.contains(other) => Side::First,
                _ => Side::Last,
            };
            let (label, sublabel, class) = describe(view, &end);
            let marks = marks(view, &end, inner);
            let search = search_words(view, &end, &label);
            // A workload's own words tell of its vulnerabilities.
            let told = marks
                .iter()
                .filter(|mark| mark.class != "weak" || matches!(end, End::Namespace(_)));
            let words: Vec<&str> = told.map(|mark| mark.word).collect();
            let name = edge::title(&view.given.graph, &end);
            // An address that has a name is in both.
            let mut title = match name.contains(&sublabel) {
                true => format!("{name}, outside"),
                false => format!("{name}, {sublabel}"),
            };
            let (mut sublabel, mut class) = (sublabel, class.to_owned());
            for mark in &marks {
                class.push(' ');
                class.push_str(mark.class);
            }
            if !words.is_empty() {
                title = format!("{title}, {}", words.join(", "));
            }
            if matches!(end, End::Namespace(_)) && !words.is_empty() {
                sublabel = format!("{sublabel}: {}", words.join(", "));
            }
            places.insert(end.clone(), self.nodes.len());
            self.nodes.push(Node {
                title,
                only_calls: calls.contains(&end) && !called.contains(&end),
                end,
                label,
                sublabel,
                class,
                search,
                group,
                side,
            });
        }
        places
    }

    fn add_links(
        &mut self,
        graph: &Graph,
        sums: &BTreeMap<(End, End), Sum>,
        places: &BTreeMap<End, usize>,
    ) {
        let mut pins: BTreeMap<(usize, String, &str), usize> = BTreeMap::new();
        for ((client, server), sum) in sums {
            let (Some(from), Some(to)) = (places.get(client), places.get(server)) else {
                continue;
            };
            let ports: Vec<String> = sum
                .ports
                .iter()
                .map(|(protocol, port)| format!("{port}/{protocol}"))
                .collect();
            let label = match ports.as_slice() {
                [] => String::new(),
                [one] => one.clone(),
                [one, two] => format!("{one}, {two}"),
                [one, rest @ ..] => format!("{one} +{}", rest.len()),
            };
            let class = sum.kind.unwrap_or(Kind::Learned).class();
            let next = pins.len();
            let pin = *pins.entry((*to, label.clone(), class)).or_insert(next);
            let shown: Vec<&str> = ports.iter().take(8).map(String::as_str).collect();
            self.links.push(Link {
                from: *from,
                to: *to,
                pin,
                title: format!(
                    "{} → {}: {}{}, {}, {}",
                    edge::title(graph, client),
                    edge::title(graph, server),
                    shown.join(", "),
                    if ports.len() > 8 { " …" } else { "" },
                    count(sum.connections, "connection"),
                    sum.kind.unwrap_or(Kind::Learned).word()
                ),
                label,
                class,
            });
        }
    }

    /// For the layout.
    pub fn input(&self) -> Input {
        let width = |node: &Node| {
            let letters = node
                .label
                .chars()
                .count()
                .max(node.sublabel.chars().count());
            (letters as f64 * LETTER + 22.0).max(90.0)
        };
        Input {
            nodes: self
                .nodes
                .iter()
                .map(|node| LayoutNode {
                    width: width(node),
                    height: HEIGHT,
                    group: node.group,
                    side: node.side,
                })
                .collect(),
            groups: self.groups.len(),
            links: self
                .links
                .iter()
                .map(|link| LayoutLink {
                    from: link.from,
                    to: link.to,
                    pin: link.pin,
                    label: link.label.chars().count() as f64 * 6.4,
                    light: link.class == "risky",
                })
                .collect(),
        }
    }
}

fn search_words(view: &View, end: &End, label: &str) -> String {
    let mut words = vec![label.to_owned()];
    let (inventory, graph) = (&view.given.inventory, &view.given.graph);
    match end {
        End::Namespace(name) => {
            let all = inventory.workloads_of(name);
            words.extend(all.map(|workload| workload.id.name.clone()));
        }
        End::Workload(id) => {
            words.push(id.to_string());
            let pods = inventory.workloads.get(id).into_iter();
            let pods = pods.flat_map(|workload| &workload.pods);
            let pods = pods
                .filter_map(|pod| inventory.pods.get(*pod))
                .take(MOST_PODS);
            words.extend(pods.flat_map(|pod| &pod.addresses).map(ToString::to_string));
        }
        End::Address(address) => words.push(edge::name(graph, &Peer::Outside(*address))),
        End::Outside => {
            for peer in graph.peers() {
                if let Peer::Outside(_) = peer
                    && words.len() < MOST_WORDS
                {
                    words.push(edge::name(graph, peer));
                }
            }
        }
        _ => {}
    }
    words.join(" ").to_lowercase()
}

fn describe(view: &View, end: &End) -> (String, String, &'static str) {
    let graph = &view.given.graph;
    match end {
        End::Namespace(name) => {
            let all = view.given.inventory.workloads.keys();
            let number = all.filter(|id| id.namespace == *name).count();
            (name.clone(), count(number as u64, "workload"), "namespace")
        }
        End::Workload(id) => {
            let radius = view.radii[0].get(id).copied().unwrap_or_default();
            let weakness = view.urgent_of(id);
            let said = match weakness {
                Some(weakness) => format!("{} CVE, internet in {}", weakness.grade, weakness.hops),
                None => format!("{}, reaches {}", id.kind, radius.all),
            };
            (id.name.clone(), said, "workload")
        }
        End::Address(address) => {
            let peer = Peer::Outside(*address);
            let names = graph.names.get(address).and_then(|names| names.first());
            match names {
                Some(name) => (name.clone(), address.to_string(), "outside"),
                None => (edge::name(graph, &peer), "outside".into(), "outside"),
            }
        }
        End::Outside => {
            let outside = graph
                .peers()
                .filter(|peer| matches!(peer, Peer::Outside(_)));
            (
                "outside".into(),
                count(outside.count() as u64, "address"),
                "outside",
            )
        }
        End::Node(name) => (name.clone(), "Node".into(), "machine"),
        End::ApiServer => ("API server".into(), "Kubernetes".into(), "machine"),
        End::UnknownPods => (
            "unknown pods".into(),
            "no known pod owned it".into(),
            "outside",
        ),
        End::Any => ("anything".into(), String::new(), "outside"),
    }
}

/// Which peers are one node together.
struct Folding<'a> {
    filter: &'a Filter,
    by_namespace: bool,
    outside_is_one: bool,
}

impl<'a> Folding<'a> {
    fn of(view: &View, filter: &'a Filter, edges: &[(&Peer, &Peer, &Edge, Kind)]) -> Self {
        let peers = edges
            .iter()
            .flat_map(|(client, server, _, _)| [*client, *server]);
        let outside: BTreeSet<&Peer> = peers
            .filter(|peer| matches!(peer, Peer::Outside(_)))
            .collect();
        Folding {
            filter,
            by_namespace: view.given.inventory.workloads.len() > MOST_WORKLOADS,
            outside_is_one: outside.len() > MOST_OUTSIDE,
        }
    }

    fn end(&self, peer: &Peer) -> End {
        match peer {
            Peer::Workload(id) => {
                let is_open = match &self.filter.namespace {
                    Some(name) => id.namespace == *name,
                    None => !self.by_namespace,
                };
                match is_open {
                    true => End::Workload(id.clone()),
                    false => End::Namespace(id.namespace.clone()),
                }
            }
            Peer::ApiServer => End::ApiServer,
            Peer::Node(name) => End::Node(name.clone()),
            Peer::Outside(_) if self.outside_is_one => End::Outside,
            Peer::Outside(address) => End::Address(*address),
            Peer::UnknownPod(_) => End::UnknownPods,
        }
    }
}

/// How edges stand out.
struct Kinds<'a> {
    view: &'a View,
    begin: Option<i64>,
}

impl<'a> Kinds<'a> {
    fn of(view: &'a View) -> Self {
        // Where nothing is older, nothing is new.
        let begin = match view.given.graph.span() {
            Some((first, last)) if last.secs_since(first) > NEW_SECS => {
                Some(last.plus_secs(-NEW_SECS).nanos())
            }
            _ => None,
        };
        Kinds { view, begin }
    }

    fn kind(&self, client: &Peer, server: &Peer, edge: &Edge) -> Kind {
        let is_new = match (self.begin, edge.first) {
            (Some(begin), Some(first)) => first.nanos() >= begin,
            _ => false,
        };
        let to_metadata = *server == Peer::Outside(METADATA);
        match &edge.lesson {
            Lesson::Review(_) | Lesson::Ignored(_)
                if self.is_blocked(NOW, client, server, edge) =>
            {
                Kind::Blocked
            }
            Lesson::Review(_) | Lesson::Ignored(_) => Kind::Risky,
            _ if to_metadata => Kind::Risky,
            _ if self.is_blocked(NOW, client, server, edge) => Kind::Blocked,
            _ if self.is_blocked(PROPOSED, client, server, edge) => Kind::Blocked,
            _ if is_new => Kind::New,
            Lesson::Implied(_) => Kind::Implied,
            Lesson::Learned => Kind::Learned,
        }
    }

    /// Whether policies close it, between workloads.
    fn is_blocked(&self, side: usize, client: &Peer, server: &Peer, edge: &Edge) -> bool {
        let (Some(client), Some(server)) = (client.workload(), server.workload()) else {
            return false;
        };
        let evaluation = &self.view.evaluations[side];
        let allows = |a, b| evaluation.between(a, b).contains(edge.protocol, edge.port);
        let (clients, servers) = (evaluation.classes_of(client), evaluation.classes_of(server));
        let mut pairs = clients
            .iter()
            .flat_map(|a| servers.iter().map(move |b| (*a, *b)));
        pairs.any(|(a, b)| !allows(a, b))
    }
}

fn is_wanted(
    view: &View,
    filter: &Filter,
    (client, server, edge, kind): (&Peer, &Peer, &Edge, Kind),
) -> bool {
    let is_outside = |peer: &Peer| matches!(peer, Peer::Outside(_) | Peer::UnknownPod(_));
    let is_in =
        |peer: &Peer, name: &String| peer.workload().is_some_and(|id| id.namespace == *name);
    let touches = |name: &String| is_in(client, name) || is_in(server, name);
    let is_recent = |hours: i64| match (edge.last, view.last_seen) {
        (Some(at), Some(last)) => last.secs_since(at) <= hours.saturating_mul(3600),
        _ => false,
    };
    filter.port.is_none_or(|port| edge.port == port)
        && filter.namespace.as_ref().is_none_or(touches)
        && !(filter.inside && (is_outside(client) || is_outside(server)))
        && filter.hours.is_none_or(is_recent)
        && filter
            .verdict
            .as_deref()
            .is_none_or(|verdict| match verdict {
                "learned" => edge.lesson.teaches(),
                other => kind.class() == other,
            })
}

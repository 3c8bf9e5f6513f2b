//! One box of the map: its texts, its marks, and the words a search finds it by.

use super::end::End;
use super::kind::{EdgeKind, MapEdge};
use crate::graph::Peer;
use crate::inventory::WorkloadId;
use crate::report::layout::{Node as LayoutNode, Side};
use crate::report::words::count;
use crate::web::edge;
use crate::web::view::View;
use std::collections::{BTreeMap, BTreeSet};

/// A search finds a workload by the addresses of at most this many of its pods,
const MOST_PODS: usize = 20;
/// and all that is outside by at most this many words.
const MOST_WORDS: usize = 500;
/// Estimated width of a letter and height of a box, in pixels, on the safe side.
const LETTER: f64 = 7.4;
const HEIGHT: f64 = 44.0;

/// One box.
#[derive(Debug)]
pub struct MapNode {
    pub end: End,
    pub label: String,
    pub sublabel: String,
    pub title: String,
    pub class: String,
    /// What a search finds it by, in lower case: names, addresses, the namespace; a namespace also by its workloads.
    pub search: String,
    /// It calls others, and nobody calls it.
    pub only_calls: bool,
    group: Option<usize>,
    side: Side,
}

/// The role of a node in the whole map.
pub struct Role {
    pub calls: bool,
    pub is_called: bool,
    /// The area that it is in.
    pub group: Option<usize>,
}

impl MapNode {
    pub fn new(view: &View, end: End, inner: &InnerKinds<'_>, role: &Role) -> MapNode {
        let (label, mut sublabel, class) = describe(view, &end);
        let marks = marks(view, &end, inner);
        let is_namespace = matches!(end, End::Namespace(_));
        // The texts of a workload have its vulnerabilities already.
        let named = marks
            .iter()
            .filter(|mark| mark.class != "weak" || is_namespace);
        let words: Vec<&str> = named.map(|mark| mark.word).collect();
        let name = edge::title(&view.given.graph, &end);
        // An address that has a name is in both.
        let mut title = if name.contains(&sublabel) {
            format!("{name}, outside")
        } else {
            format!("{name}, {sublabel}")
        };
        if !words.is_empty() {
            title = format!("{title}, {}", words.join(", "));
        }
        if is_namespace && !words.is_empty() {
            sublabel = format!("{sublabel}: {}", words.join(", "));
        }
        let classes: Vec<&str> = marks.iter().map(|mark| mark.class).collect();
        let side = match &end {
            End::Workload(_) | End::Namespace(_) => Side::Any,
            _ if role.calls => Side::First,
            _ => Side::Last,
        };
        MapNode {
            class: [&[class], classes.as_slice()].concat().join(" "),
            search: search_words(view, &end, &label),
            only_calls: role.calls && !role.is_called,
            end,
            label,
            sublabel,
            title,
            group: role.group,
            side,
        }
    }

    /// For the layout.
    pub fn input(&self) -> LayoutNode {
        let [label, sublabel] = [&self.label, &self.sublabel].map(|text| text.chars().count());
        LayoutNode {
            width: (label.max(sublabel) as f64 * LETTER + 22.0).max(90.0),
            height: HEIGHT,
            group: self.group,
            side: self.side,
        }
    }
}

/// What makes a node stand out.
struct Mark {
    class: &'static str,
    word: &'static str,
}

/// The kinds of the edges inside each namespace.
pub type InnerKinds<'a> = BTreeMap<&'a str, BTreeSet<EdgeKind>>;

pub fn inner_kinds<'a>(edges: &[MapEdge<'a>]) -> InnerKinds<'a> {
    let mut inner = InnerKinds::new();
    for one in edges {
        if let (Some(client), Some(server)) = (one.client.workload(), one.server.workload())
            && client.namespace == server.namespace
        {
            inner.entry(&client.namespace).or_default().insert(one.kind);
        }
    }
    inner
}

/// What makes a node stand out, the gravest first. A namespace has the marks of its workloads and inner edges.
fn marks(view: &View, end: &End, inner: &InnerKinds<'_>) -> Vec<Mark> {
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
        (kinds.contains(&EdgeKind::Blocked), "blocked", "violating"),
        (kinds.contains(&EdgeKind::Risky), "risky", "risky"),
        (on_host, "host", "host network"),
        (kinds.contains(&EdgeKind::New), "new", "new"),
    ]
    .into_iter()
    .filter(|(is_so, _, _)| *is_so)
    .map(|(_, class, word)| Mark { class, word })
    .collect()
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

/// Label, second line and class of a node.
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
            let line = match weakness {
                Some(weakness) => format!("{} CVE, internet in {}", weakness.grade, weakness.hops),
                None => format!("{}, reaches {}", id.kind, radius.all),
            };
            (id.name.clone(), line, "workload")
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
        End::Unattributed => (
            "unnamed peers".into(),
            "nobody can name them".into(),
            "outside",
        ),
        End::Any => ("anything".into(), String::new(), "outside"),
    }
}

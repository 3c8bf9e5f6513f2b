//! How an edge stands out on the map, and whether the filter wants it.

use super::Filter;
use crate::graph::{Edge, Lesson, Peer};
use crate::web::view::View;
use std::net::{IpAddr, Ipv4Addr};

/// The sides of [`View::evaluations`]: by the policies in force, and with all proposals.
const NOW: usize = 0;
const PROPOSED: usize = 1;
/// An edge is new if it was first seen in this time before the last observation.
const NEW_SECS: i64 = 24 * 3600;
/// The link-local address at which clouds hand out credentials.
const METADATA: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));

/// How an arrow stands out; of several edges the last one in this order wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    Implied,
    Learned,
    New,
    Risky,
    Blocked,
}

impl EdgeKind {
    pub fn class(self) -> &'static str {
        match self {
            EdgeKind::Implied => "implied",
            EdgeKind::Learned => "learned",
            EdgeKind::New => "new",
            EdgeKind::Risky => "risky",
            EdgeKind::Blocked => "blocked",
        }
    }

    /// As the legend calls it.
    pub fn word(self) -> &'static str {
        match self {
            EdgeKind::Blocked => "violating",
            other => other.class(),
        }
    }
}

/// An edge of the graph with its kind.
#[derive(Debug, Clone, Copy)]
pub struct MapEdge<'a> {
    pub client: &'a Peer,
    pub server: &'a Peer,
    pub edge: &'a Edge,
    pub kind: EdgeKind,
}

impl MapEdge<'_> {
    /// Returns true if the filter lets it through.
    fn is_wanted(&self, view: &View, filter: &Filter) -> bool {
        let ends = [self.client, self.server];
        let is_outside = |peer: &&Peer| matches!(peer, Peer::Outside(_) | Peer::Unattributed(_));
        let touches = |name: &String| {
            let mut ids = ends.iter().filter_map(|peer| peer.workload());
            ids.any(|id| id.namespace == *name)
        };
        let is_recent = |hours: i64| match (self.edge.last, view.last_seen) {
            (Some(at), Some(last)) => last.secs_since(at) <= hours.saturating_mul(3600),
            _ => false,
        };
        let has_verdict = |verdict: &str| match verdict {
            "learned" => self.edge.lesson.teaches(),
            other => self.kind.class() == other,
        };
        filter.port.is_none_or(|port| self.edge.port == port)
            && filter.namespace.as_ref().is_none_or(touches)
            && !(filter.inside && ends.iter().any(is_outside))
            && filter.hours.is_none_or(is_recent)
            && filter.verdict.as_deref().is_none_or(has_verdict)
    }
}

/// The edges that the filter lets through.
pub fn wanted_edges<'a>(view: &'a View, filter: &Filter) -> Vec<MapEdge<'a>> {
    let kinds = Kinds::of(view);
    let edges = view.given.graph.edges().into_iter();
    let edges = edges.map(|(client, server, edge)| MapEdge {
        client,
        server,
        edge,
        kind: kinds.kind(client, server, edge),
    });
    edges.filter(|one| one.is_wanted(view, filter)).collect()
}

/// Finds the kinds of edges.
struct Kinds<'a> {
    view: &'a View,
    /// Edges first seen from here on are new, in nanoseconds.
    begin: Option<i64>,
}

impl<'a> Kinds<'a> {
    fn of(view: &'a View) -> Self {
        // If nothing is older, nothing is new.
        let begin = match view.given.graph.span() {
            Some((first, last)) if last.secs_since(first) > NEW_SECS => {
                Some(last.plus_secs(-NEW_SECS).nanos())
            }
            _ => None,
        };
        Kinds { view, begin }
    }

    fn kind(&self, client: &Peer, server: &Peer, edge: &Edge) -> EdgeKind {
        let is_new = match (self.begin, edge.first) {
            (Some(begin), Some(first)) => first.nanos() >= begin,
            _ => false,
        };
        let to_metadata = *server == Peer::Outside(METADATA);
        match &edge.lesson {
            Lesson::Review(_) | Lesson::Ignored(_)
                if self.is_blocked(NOW, client, server, edge) =>
            {
                EdgeKind::Blocked
            }
            Lesson::Review(_) | Lesson::Ignored(_) => EdgeKind::Risky,
            _ if to_metadata => EdgeKind::Risky,
            _ if self.is_blocked(NOW, client, server, edge) => EdgeKind::Blocked,
            _ if self.is_blocked(PROPOSED, client, server, edge) => EdgeKind::Blocked,
            _ if is_new => EdgeKind::New,
            Lesson::Implied(_) => EdgeKind::Implied,
            Lesson::Learned => EdgeKind::Learned,
        }
    }

    /// Returns true if policies block it, between workloads.
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

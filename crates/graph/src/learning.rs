//! "Have we learned long enough?" (rule: learning-estimate): how many edges are still unseen, estimated from
//! how often the seen ones were seen. Pure arithmetic over counts; no timer, no threshold.
//!
//! How often an edge was seen: in how many time windows it was open, by how many clients, in how many connections. One
//! connection that stays open for a day is seen in every window of the day.

use super::{Edge, Graph, Lesson, Peer};
use nanoseg_flow::ActivityWindows;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{SECOND, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// At most this many time windows are the samples of an estimate.
const MAX_WINDOWS: i64 = 64;
/// With fewer windows the estimate means little.
pub(super) const FEW_WINDOWS: u32 = 8;
/// Where so large a part of the traffic is of edges seen once, the number of unseen ones cannot be estimated.
const MUCH_MISSING: f64 = 0.5;
/// An edge is in use for so long after its last packet, in nanoseconds: agents look once a minute what is open.
const IN_USE: i64 = 150 * SECOND;
/// The 97.5 % quantile of the normal distribution.
const Z95: f64 = 1.96;

/// An estimate over a set of edges.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Learned edges (implied ones are not observations).
    pub edges_seen: usize,
    pub connections: u64,
    /// The clients, by address: of each edge at most [`Edge::MAX_CLIENTS`] count.
    pub clients: usize,
    /// Edges that were seen in one time window and of one client only.
    pub seen_once: usize,
    /// Those of them that were in use when the observation ended: they will be seen again if they stay open.
    pub once_in_use: usize,
    /// When the first of them was seen.
    pub first: Option<Timestamp>,
    /// When the observation ended.
    pub end: Timestamp,
    /// The share of records that were lost, 0–1.
    pub lost: f64,
    /// Good–Turing: the share of future connections that would use an unseen edge, 0–1. `None`
    /// without connections.
    pub missing_mass: Option<f64>,
    /// Chao2: how many edges are still unseen (point estimate), with its 95 % interval.
    pub unseen: f64,
    pub unseen_low: f64,
    pub unseen_high: f64,
    /// The estimated share of edges seen, 0–1, the more careful of two: seen edges among seen and
    /// estimated unseen ones (Chao2), and connections of edges seen more than once (Good–Turing).
    pub coverage: f64,
    /// How many time windows were compared, and how long each is.
    pub windows: u32,
    pub window_secs: u64,
    /// When the newest edge was first seen.
    pub last_new_edge: Option<Timestamp>,
    /// From the last new edge to the end of the observation, in seconds.
    pub secs_since_new_edge: Option<i64>,
    /// How far the figures can be trusted, in words.
    pub confidence: String,
}

impl Estimate {
    /// Returns true if there was enough traffic for the figures to mean anything.
    pub fn is_meaningful(&self) -> bool {
        self.windows >= FEW_WINDOWS && self.missing_mass.is_some_and(|m| m < MUCH_MISSING)
    }
}

impl Estimate {
    /// Takes into account that this share of what should have been seen was lost, 0 to 1 (rule: loss-is-counted): the
    /// coverage is of the rest.
    pub fn note_lost(&mut self, share: f64) {
        if share > 0.0 {
            self.lost = share.min(1.0);
            self.coverage *= 1.0 - share.min(1.0);
            let percent = share * 100.0;
            self.confidence = format!(
                "{percent:.1} % of the records were lost; {}",
                self.confidence
            );
        }
    }
}

/// The estimate overall and for each workload (edges with the workload at either end).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Learning {
    pub overall: Estimate,
    #[serde(serialize_with = "by_name")]
    pub workloads: BTreeMap<WorkloadId, Estimate>,
}

fn by_name<S: serde::Serializer>(
    workloads: &BTreeMap<WorkloadId, Estimate>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        workloads
            .iter()
            .map(|(id, e)| (format!("{id} ({})", id.kind), e)),
    )
}

/// Estimates from the learned edges of `graph`, observed from `begin` to `end`.
pub fn estimate(graph: &Graph, begin: Timestamp, end: Timestamp) -> Learning {
    let edges = graph.edges();
    let learned: Vec<_> = edges
        .iter()
        // What only one of two observed ends tells of takes learning to no goal (rule: edge-has-two-observers).
        .filter(|(_, _, e)| e.lesson == Lesson::Learned && e.is_corroborated())
        .collect();
    let grid = Grid::over(begin, end, learned.iter().map(|(_, _, edge)| &edge.windows));
    let mut workloads: BTreeMap<WorkloadId, Vec<&Edge>> = BTreeMap::new();
    for (client, server, edge) in &learned {
        let ends = [
            Some(client),
            Some(server).filter(|server| *server != client),
        ];
        for id in ends
            .into_iter()
            .flatten()
            .filter_map(|peer: &&Peer| peer.workload())
        {
            workloads.entry(id.clone()).or_default().push(edge);
        }
    }
    Learning {
        overall: grid.estimate(learned.iter().map(|(_, _, edge)| *edge), end),
        workloads: workloads
            .into_iter()
            .map(|(id, edges)| (id, grid.estimate(edges.into_iter(), end)))
            .collect(),
    }
}

/// The time windows that serve as samples: all of one length.
struct Grid {
    scale: u8,
    windows: u32,
}

impl Grid {
    fn over<'a>(
        begin: Timestamp,
        end: Timestamp,
        seen: impl Iterator<Item = &'a ActivityWindows>,
    ) -> Grid {
        let (first, last) = (
            begin.nanos().div_euclid(SECOND),
            end.nanos().div_euclid(SECOND),
        );
        let mut scale = seen.map(ActivityWindows::scale).max().unwrap_or(0);
        while (last >> scale) - (first >> scale) >= MAX_WINDOWS {
            scale += 1;
        }
        let windows = ((last >> scale) - (first >> scale) + 1).max(1);
        Grid {
            scale,
            windows: u32::try_from(windows).unwrap_or(1),
        }
    }

    fn estimate<'a>(&self, edges: impl Iterator<Item = &'a Edge>, end: Timestamp) -> Estimate {
        let mut sum = Sum::default();
        for edge in edges {
            sum.add(edge, self.scale, end);
        }
        // A connection that stays open counts once for each window.
        let missing = sum.single as f64 / sum.samples.max(1) as f64;
        let windows = f64::from(self.windows);
        let (unseen, low, high) = chao2(sum.in_one as f64, sum.in_two as f64, windows);
        let seen = sum.edges;
        Estimate {
            edges_seen: seen,
            connections: sum.connections,
            clients: sum.clients.len(),
            seen_once: sum.in_one,
            once_in_use: sum.once_in_use,
            first: sum.first,
            end,
            lost: 0.0,
            missing_mass: (sum.connections > 0).then_some(missing),
            unseen,
            unseen_low: low,
            unseen_high: high,
            coverage: (seen as f64 / (seen as f64 + unseen).max(1.0)).min(1.0 - missing),
            windows: self.windows,
            window_secs: 1 << self.scale,
            last_new_edge: sum.last_new_edge,
            secs_since_new_edge: sum.last_new_edge.map(|at| end.since(at) / SECOND),
            confidence: confidence(seen, self.windows, missing),
        }
    }
}

/// What the edges of an estimate add up to.
#[derive(Default)]
struct Sum<'a> {
    edges: usize,
    connections: u64,
    clients: BTreeSet<&'a IpAddr>,
    /// How often all of them were seen, and how many were seen once: Good–Turing's N and f1.
    samples: u64,
    single: u64,
    /// Chao2's Q1 and Q2: edges that were seen in just one and in just two windows, or by so many clients.
    in_one: usize,
    in_two: usize,
    once_in_use: usize,
    first: Option<Timestamp>,
    last_new_edge: Option<Timestamp>,
}

impl<'a> Sum<'a> {
    fn add(&mut self, edge: &'a Edge, scale: u8, end: Timestamp) {
        self.edges += 1;
        let taught = edge.conversations();
        self.connections = self.connections.saturating_add(taught);
        self.clients.extend(&edge.clients);
        let clients = u32::try_from(edge.clients.len()).unwrap_or(u32::MAX);
        let sightings = edge.windows.count_at(scale).max(clients);
        let seen = taught.max(sightings.into());
        self.samples = self.samples.saturating_add(seen);
        self.single += u64::from(seen == 1);
        match sightings {
            1 => {
                self.in_one += 1;
                let in_use = |last| end.since(last) <= IN_USE;
                self.once_in_use += usize::from(edge.last.is_some_and(in_use));
            }
            2 => self.in_two += 1,
            _ => {}
        }
        self.first = self.first.into_iter().chain(edge.first).min();
        // Who tells of an edge cannot make it older than it is known.
        self.last_new_edge = self.last_new_edge.max(edge.known_since());
    }
}

fn confidence(seen: usize, windows: u32, missing: f64) -> String {
    match (seen, windows) {
        (0, _) => "none: no edge was learned".into(),
        (_, w) if w < FEW_WINDOWS => {
            format!("low: only {w} time windows; observe for longer")
        }
        _ if missing >= MUCH_MISSING => {
            "low: most connections were the only one of their edge; observe for longer".into()
        }
        _ => "95 % interval; rarer work (nightly jobs, fail-overs) counts only once it is seen"
            .into(),
    }
}

/// Chao2, bias-corrected, with the log-normal 95 % interval (Chao 1987; Colwell 2013, EstimateS,
/// appendix B): how many kinds are unseen, given how many were in one and in two of `m` samples.
fn chao2(q1: f64, q2: f64, m: f64) -> (f64, f64, f64) {
    let a = (m - 1.0) / m;
    let unseen = a * q1 * (q1 - 1.0) / (2.0 * (q2 + 1.0));
    if unseen <= 0.0 {
        return (0.0, 0.0, 0.0);
    }
    let variance = if q2 > 0.0 {
        a * q1 * (q1 - 1.0) / (2.0 * (q2 + 1.0))
            + a * a * q1 * (2.0 * q1 - 1.0).powi(2) / (4.0 * (q2 + 1.0).powi(2))
            + a * a * q1 * q1 * q2 * (q1 - 1.0).powi(2) / (4.0 * (q2 + 1.0).powi(4))
    } else {
        // In the paper S_chao2 stands here for seen + unseen; the unseen part dominates and keeps
        // the interval on the wide side.
        a * q1 * (q1 - 1.0) / 2.0 + a * a * q1 * (2.0 * q1 - 1.0).powi(2) / 4.0
    };
    let k = (Z95 * (1.0 + variance / (unseen * unseen)).ln().sqrt()).exp();
    (unseen, unseen / k, unseen * k)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_unseen_when_every_edge_was_in_many_windows() {
        assert_eq!(chao2(0.0, 0.0, 20.0), (0.0, 0.0, 0.0));
        assert_eq!(chao2(1.0, 3.0, 20.0), (0.0, 0.0, 0.0));
    }

    #[test]
    fn chao2_matches_the_worked_formula() {
        // Q1 = 10, Q2 = 4, m = 20: (19/20) · 10·9 / (2·5) = 8.55
        let (unseen, low, high) = chao2(10.0, 4.0, 20.0);
        assert!((unseen - 8.55).abs() < 1e-9);
        assert!(low > 0.0 && low < unseen && unseen < high);
    }

    #[test]
    fn more_windows_in_which_edges_return_mean_fewer_unseen() {
        let few = chao2(10.0, 2.0, 20.0).0;
        let many = chao2(10.0, 9.0, 20.0).0;
        assert!(many < few);
    }
}

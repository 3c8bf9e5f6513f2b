//! DOT for Graphviz: a cluster per namespace, an edge per pair of peers and lesson.

use super::links::{Link, links};
use super::{Approvals, Options, names};
use crate::escape;
use nanoseg_graph::{Graph, Lesson, Peer};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const HEAD: &str = "digraph nanoseg {
  rankdir=LR;
  node [shape=box, style=rounded, fontname=\"sans-serif\"];
  edge [fontname=\"sans-serif\", fontsize=10];
";

/// The graph in the DOT language.
///
/// If approvals are known, a tooltip shows how often and when an edge was seen, and who approved it.
pub fn dot(graph: &Graph, options: Options, approvals: Option<&Approvals>) -> String {
    let edges = names::shown(graph, options);
    let peers = names::shown_peers(graph, &edges, options);
    let mut namespaces: BTreeMap<Option<&str>, Vec<&Peer>> = BTreeMap::new();
    for peer in peers {
        let namespace = peer.workload().map(|w| w.namespace.as_str());
        namespaces.entry(namespace).or_default().push(peer);
    }
    let mut out = String::from(HEAD);
    for (namespace, peers) in namespaces {
        let indent = if namespace.is_some() { "    " } else { "  " };
        if let Some(name) = namespace {
            let cluster = escape::dot(&format!("cluster_{name}"));
            let _ = writeln!(
                out,
                "  subgraph {cluster} {{\n    label={};",
                escape::dot(name)
            );
        }
        for peer in peers {
            let _ = writeln!(out, "{indent}{}", node(graph, peer));
        }
        if namespace.is_some() {
            out.push_str("  }\n");
        }
    }
    for link in links(&edges) {
        let _ = writeln!(
            out,
            "  {} -> {} [label={}{}{}];",
            escape::dot(&names::id(link.client)),
            escape::dot(&names::id(link.server)),
            escape::dot(&link.ports_in_full()),
            style(link.lesson),
            tooltip(&link, approvals),
        );
    }
    out.push_str("}\n");
    out
}

fn node(graph: &Graph, peer: &Peer) -> String {
    // `\n` is DOT's own line break, so it goes in after escaping.
    let label = escape::dot(&names::label(graph, peer));
    let second = escape::dot(&names::sublabel(graph, peer));
    let label = format!(
        "{}\\n{}",
        label.trim_end_matches('"'),
        second.trim_start_matches('"')
    );
    let shape = match peer {
        Peer::Workload(_) => "",
        Peer::ApiServer => ", shape=hexagon, style=solid",
        Peer::Node(_) => ", shape=box3d, style=solid",
        Peer::Outside(_) => ", shape=ellipse, style=solid",
        Peer::Unattributed(_) => ", style=\"rounded,dashed\", color=\"#b45309\"",
    };
    format!("{} [label={label}{shape}];", escape::dot(&names::id(peer)))
}

fn tooltip(link: &Link<'_>, approvals: Option<&Approvals>) -> String {
    let Some(approvals) = approvals else {
        return String::new();
    };
    let text = escape::dot(&link.history(approvals).join("; "));
    format!(", tooltip={text}, labeltooltip={text}")
}

fn style(lesson: &Lesson) -> &'static str {
    match lesson {
        Lesson::Learned => "",
        Lesson::Implied(_) => ", style=dashed",
        Lesson::Review(_) => ", style=dotted, color=\"#b45309\", constraint=false",
        Lesson::Ignored(_) => ", style=dotted, color=\"#b91c1c\", constraint=false",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    #[test]
    fn the_shop_is_written_with_clusters_and_joined_ports() {
        let text = dot(&fixture::shop(false), Options::default(), None);
        let expected = r##"digraph nanoseg {
  rankdir=LR;
  node [shape=box, style=rounded, fontname="sans-serif"];
  edge [fontname="sans-serif", fontsize=10];
  "outside:203.0.113.9" [label="api.pay.example\noutside · 203.0.113.9", shape=ellipse, style=solid];
  "unknown-pod:10.1.9.9" [label="10.1.9.9\nunknown pod", style="rounded,dashed", color="#b45309"];
  subgraph "cluster_monitoring" {
    label="monitoring";
    "monitoring/prometheus[Deployment]" [label="prometheus\nDeployment"];
  }
  subgraph "cluster_shop" {
    label="shop";
    "shop/app[Deployment]" [label="app\nDeployment"];
    "shop/redis[StatefulSet]" [label="redis\nStatefulSet"];
    "shop/web[Deployment]" [label="web\nDeployment"];
  }
  "monitoring/prometheus[Deployment]" -> "shop/web[Deployment]" [label="9090/TCP"];
  "shop/app[Deployment]" -> "shop/app[Deployment]" [label="7000/TCP"];
  "shop/app[Deployment]" -> "shop/redis[StatefulSet]" [label="6379, 6380/TCP"];
  "shop/app[Deployment]" -> "outside:203.0.113.9" [label="443/TCP"];
  "shop/web[Deployment]" -> "shop/app[Deployment]" [label="8080/TCP"];
  "shop/web[Deployment]" -> "shop/redis[StatefulSet]" [label="22/TCP", style=dotted, color="#b91c1c", constraint=false];
  "shop/web[Deployment]" -> "unknown-pod:10.1.9.9" [label="53/TCP", style=dashed];
}
"##;
        assert_eq!(text, expected);
    }

    #[test]
    fn hostile_names_stay_inside_their_quotes() {
        let text = dot(&fixture::hostile(), Options::default(), None);
        for line in text.lines() {
            let unescaped = line.replace("\\\\", "").replace("\\\"", "");
            assert_eq!(unescaped.matches('"').count() % 2, 0, "{line}");
        }
    }

    #[test]
    fn only_learned_leaves_out_what_was_not() {
        let text = dot(&fixture::shop(false), Options { only_learned: true }, None);
        assert!(!text.contains("22/TCP") && text.contains("53/TCP"));
    }
}

//! Mermaid: a flowchart that GitHub and many wikis draw from a code block.

use super::links::{Link, links};
use super::{Approvals, Options, names};
use crate::escape;
use nanoseg_graph::{Graph, Lesson, Peer};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The graph as a Mermaid flowchart.
///
/// If approvals are known, labels show how often and when an edge was seen, and who approved it.
pub fn mermaid(graph: &Graph, options: Options, approvals: Option<&Approvals>) -> String {
    let edges = names::shown(graph, options);
    let peers = names::shown_peers(graph, &edges, options);
    let ids: BTreeMap<&Peer, usize> = peers
        .iter()
        .enumerate()
        .map(|(i, peer)| (*peer, i))
        .collect();
    let mut namespaces: BTreeMap<Option<&str>, Vec<&Peer>> = BTreeMap::new();
    for peer in &peers {
        let namespace = peer.workload().map(|w| w.namespace.as_str());
        namespaces.entry(namespace).or_default().push(peer);
    }
    let mut out = String::from("flowchart LR\n");
    for (number, (namespace, peers)) in namespaces.iter().enumerate() {
        if let Some(name) = namespace {
            let _ = writeln!(out, "  subgraph ns{number}[{}]", escape::mermaid(name));
        }
        for peer in peers {
            let indent = if namespace.is_some() { "    " } else { "  " };
            let id = ids.get(peer).copied().unwrap_or_default();
            let _ = writeln!(out, "{indent}n{id}{}", node(graph, peer));
        }
        if namespace.is_some() {
            out.push_str("  end\n");
        }
    }
    let mut unlearned = Vec::new();
    for (number, link) in links(&edges).iter().enumerate() {
        let id = |peer| ids.get(peer).copied().unwrap_or_default();
        let (from, to) = (id(link.client), id(link.server));
        let arrow = match link.lesson {
            Lesson::Learned => "-->",
            Lesson::Implied(_) => "-.->",
            Lesson::Review(_) | Lesson::Ignored(_) => {
                unlearned.push(number.to_string());
                "-.-x"
            }
        };
        let _ = writeln!(out, "  n{from} {arrow}|{}| n{to}", label(link, approvals));
    }
    if !unlearned.is_empty() {
        let _ = writeln!(
            out,
            "  linkStyle {} stroke:#b91c1c,stroke-width:1px",
            unlearned.join(",")
        );
    }
    out
}

/// The ports, and below them the history and approvals.
fn label(link: &Link<'_>, approvals: Option<&Approvals>) -> String {
    let mut lines = vec![link.ports_in_full()];
    lines.extend(approvals.into_iter().flat_map(|all| link.history(all)));
    let lines = lines.iter().map(|line| escape::mermaid(line));
    let lines: Vec<String> = lines
        .map(|line| line.trim_matches('"').to_owned())
        .collect();
    format!("\"{}\"", lines.join("<br>"))
}

fn node(graph: &Graph, peer: &Peer) -> String {
    let first = escape::mermaid(&names::label(graph, peer));
    let second = escape::mermaid(&names::sublabel(graph, peer));
    let text = format!(
        "{}<br>{}",
        first.trim_end_matches('"'),
        second.trim_start_matches('"')
    );
    match peer {
        Peer::Workload(_) => format!("[{text}]"),
        Peer::ApiServer => format!("{{{{{text}}}}}"),
        Peer::Node(_) => format!("[[{text}]]"),
        Peer::Outside(_) => format!("([{text}])"),
        Peer::Unattributed(_) => format!(">{text}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    #[test]
    fn the_shop_is_written_with_subgraphs_and_joined_ports() {
        let text = mermaid(&fixture::shop(false), Options::default(), None);
        let expected = r##"flowchart LR
  n4(["api.pay.example<br>outside · 203.0.113.9"])
  n5>"10.1.9.9<br>unknown pod"]
  subgraph ns1["monitoring"]
    n0["prometheus<br>Deployment"]
  end
  subgraph ns2["shop"]
    n1["app<br>Deployment"]
    n2["redis<br>StatefulSet"]
    n3["web<br>Deployment"]
  end
  n0 -->|"9090/TCP"| n3
  n1 -->|"7000/TCP"| n1
  n1 -->|"6379, 6380/TCP"| n2
  n1 -->|"443/TCP"| n4
  n3 -->|"8080/TCP"| n1
  n3 -.-x|"22/TCP"| n2
  n3 -.->|"53/TCP"| n5
  linkStyle 5 stroke:#b91c1c,stroke-width:1px
"##;
        assert_eq!(text, expected);
    }

    #[test]
    fn hostile_names_cannot_open_tags_or_close_brackets() {
        let text = mermaid(&fixture::hostile(), Options::default(), None);
        assert!(!text.replace("<br>", "").contains('<'), "{text}");
        assert!(
            text.lines().all(|line| line.matches('"').count() % 2 == 0),
            "{text}"
        );
    }
}

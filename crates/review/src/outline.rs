//! A proposal in short, for people: what its policy allows and what it closes, one line for each group of ends.

use super::resources::{ClosedGroup, EvidenceLine, Impact};
use std::collections::{BTreeMap, BTreeSet};

/// How many ends a line names.
const NAMED: usize = 6;

/// One line of an outline: `in`, `from shop/web, shop/cron`, `8080/TCP`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutlineLine {
    /// `in` or `out`, as seen from the workload.
    pub direction: &'static str,
    pub ends: String,
    pub ports: String,
}

/// Returns what the policy of a proposal allows, by the evidence that the proposal lists. `own`: the workload as
/// `namespace/name`.
pub fn allowed(own: &str, evidence: &[EvidenceLine]) -> Vec<OutlineLine> {
    let mut ports: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for one in evidence {
        let is_called = one.server == own && one.client != own;
        let (direction, end) = if is_called {
            ("in", one.client.as_str())
        } else {
            ("out", one.server.as_str())
        };
        ports.entry((direction, end)).or_default().insert(&one.port);
    }
    let mut ends: BTreeMap<(&str, BTreeSet<&str>), Vec<&str>> = BTreeMap::new();
    for ((direction, end), ports) in ports {
        ends.entry((direction, ports)).or_default().push(end);
    }
    let line = |((direction, ports), ends): ((&str, BTreeSet<&str>), Vec<&str>)| {
        let (direction, word) = words(direction);
        OutlineLine {
            direction,
            ends: format!("{word} {}", named(&ends)),
            ports: ports.into_iter().collect::<Vec<&str>>().join(", "),
        }
    };
    ends.into_iter().map(line).collect()
}

/// Returns what the policy of a proposal closes, by namespace and kind.
pub fn closed(review: &Impact) -> Vec<OutlineLine> {
    let mut places: Vec<(&str, Option<&str>, bool, Vec<String>)> = Vec::new();
    for group in &review.closed_groups {
        let place = (
            group.direction.as_str(),
            group.namespace.as_deref(),
            group.all_ports,
        );
        let known = places.iter_mut().find(|one| (one.0, one.1, one.2) == place);
        match known {
            Some((_, _, _, ends)) => ends.push(ends_of(group)),
            None => places.push((place.0, place.1, place.2, vec![ends_of(group)])),
        }
    }
    let line =
        |(direction, namespace, all_ports, ends): (&str, Option<&str>, bool, Vec<String>)| {
            let (direction, word) = words(direction);
            let place = namespace.map_or(String::new(), |name| format!(" in {name}"));
            OutlineLine {
                direction,
                ends: format!("{word} {}{place}", ends.join(", ")),
                ports: if all_ports {
                    "all ports".to_owned()
                } else {
                    "the ports that it does not allow".to_owned()
                },
            }
        };
    places.into_iter().map(line).collect()
}

fn words(direction: &str) -> (&'static str, &'static str) {
    match direction {
        "in" => ("in", "from"),
        _ => ("out", "to"),
    }
}

fn named(ends: &[&str]) -> String {
    let named = ends
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<&str>>()
        .join(", ");
    match ends.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// `3 Deployments`, `1 CronJob`, `other addresses`.
fn ends_of(group: &ClosedGroup) -> String {
    match (group.kind.as_str(), group.count) {
        ("anything", _) => "anything else".into(),
        ("addresses", _) => "addresses outside of the cluster's pods".into(),
        (kind, 1) => format!("1 {kind}"),
        (kind, count) => format!("{count} {kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(client: &str, server: &str, port: &str) -> EvidenceLine {
        EvidenceLine {
            client: client.into(),
            server: server.into(),
            port: port.into(),
            ..EvidenceLine::default()
        }
    }

    fn text(lines: &[OutlineLine]) -> Vec<String> {
        let text = |one: &OutlineLine| format!("{} {} {}", one.direction, one.ends, one.ports);
        lines.iter().map(text).collect()
    }

    #[test]
    fn ends_with_the_same_ports_share_a_line() {
        let evidence = [
            line("shop/web", "shop/api", "8080/TCP"),
            line("shop/cron", "shop/api", "8080/TCP"),
            line("shop/api", "shop/db", "5432/TCP"),
            line("shop/api", "kube-system/coredns", "53/UDP"),
            line("shop/api", "kube-system/coredns", "53/TCP"),
        ];
        let found = text(&allowed("shop/api", &evidence));
        let wanted = [
            "in from shop/cron, shop/web 8080/TCP",
            "out to kube-system/coredns 53/TCP, 53/UDP",
            "out to shop/db 5432/TCP",
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_closed_has_one_line_for_each_namespace() {
        let group = |direction: &str, namespace: Option<&str>, kind: &str, count| ClosedGroup {
            direction: direction.into(),
            namespace: namespace.map(str::to_owned),
            kind: kind.into(),
            count,
            all_ports: true,
        };
        let review = Impact {
            closed_groups: vec![
                group("in", Some("shop"), "CronJob", 1),
                group("in", Some("shop"), "Deployment", 12),
                group("in", Some("ops"), "DaemonSet", 2),
                group("in", None, "addresses", 3),
                group("out", Some("shop"), "Deployment", 12),
            ],
            ..Impact::default()
        };
        let wanted = [
            "in from 1 CronJob, 12 Deployments in shop all ports",
            "in from 2 DaemonSets in ops all ports",
            "in from addresses outside of the cluster's pods all ports",
            "out to 12 Deployments in shop all ports",
        ];
        assert_eq!(text(&closed(&review)), wanted);
    }
}

//! The text of a policy as a person would write it (rule: policy-reads-as-written-by-hand).

mod native;

use super::ports::port_text;
use super::rule::{PeerOrigin, RuleOrigin};
use super::synthesis::WorkloadPolicy;
use super::yaml::{Yaml, comment};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::Direction;
use native::write_native;
pub(super) use native::write_object;
use std::collections::{BTreeMap, BTreeSet};

/// The longest comment line, in characters. A single longer name is not broken.
const LINE_WIDTH: usize = 100;

/// The most names of peers that the head comment of a policy lists for one rule.
const NAMES_PER_RULE: usize = 24;

/// The longest list of ports in the head comment, in characters. Of longer lists only the count is written.
const PORTS_WIDTH: usize = 60;

/// Returns the YAML document of a policy, in its dialect, with comments: its workload, which peers may connect on which ports, and
/// the names behind each ipBlock. The text depends on the policy and its origins only: the same traffic gives the
/// same bytes.
pub fn render(policy: &WorkloadPolicy) -> String {
    let mut out = String::new();
    if let Some(native) = &policy.native {
        write_native(&mut out, policy, native);
        return out;
    }
    write_names(&mut out, policy);
    let spec = policy.policy.spec.as_ref();
    let ingress = spec.and_then(|s| s.ingress.as_deref()).unwrap_or_default();
    let egress = spec.and_then(|s| s.egress.as_deref()).unwrap_or_default();
    let ingress: Vec<_> = ingress.iter().map(|r| r.ports.as_deref()).collect();
    let egress: Vec<_> = egress.iter().map(|r| r.ports.as_deref()).collect();
    let origins = &policy.rules;
    write_direction(&mut out, policy, (Direction::Ingress, origins), &ingress);
    write_direction(&mut out, policy, (Direction::Egress, origins), &egress);
    document(&policy.policy, policy).write(&mut out);
    out
}

/// Returns the `kustomization.yaml` that lists `files` (paths relative to it), for `kubectl apply -k`.
pub fn render_kustomization<S: AsRef<str>>(files: &[S]) -> String {
    let files: BTreeSet<&str> = files.iter().map(AsRef::as_ref).collect();
    let resources = files.into_iter().map(Yaml::text).collect();
    // The next run recognises by this line that nanoseg wrote the files of the folder.
    let mut out = String::from("# Written by nanoseg generate\n");
    Yaml::map([
        (
            "apiVersion",
            Some(Yaml::text("kustomize.config.k8s.io/v1beta1")),
        ),
        ("kind", Some(Yaml::text("Kustomization"))),
        ("resources", Some(Yaml::List(resources))),
    ])
    .write(&mut out);
    out
}

/// Writes the comment that names the workload, and others that the policy selects.
fn write_names(out: &mut String, policy: &WorkloadPolicy) {
    let id = &policy.workload;
    write_comment(out, &comment(&format!("{id} ({})", id.kind)));
    if let Some(reach) = &policy.reach {
        let others = reach.iter().filter(|other| *other != id);
        let mut also: Vec<String> = others
            .take(NAMES_PER_RULE)
            .map(|other| comment(&other.to_string()))
            .collect();
        if reach.len() > NAMES_PER_RULE + 1 {
            also.push("and more".to_string());
        }
        write_comment(out, "also selects, since no labels tell them apart:");
        write_wrapped(out, &also);
    }
}

/// Writes one entry per rule: `in   a, b → 80/TCP`, on several lines if it is too long.
fn write_direction(
    out: &mut String,
    policy: &WorkloadPolicy,
    (direction, origins): (Direction, &[RuleOrigin]),
    rules: &[Option<&[NetworkPolicyPort]>],
) {
    let word = match direction {
        Direction::Ingress => "in ",
        Direction::Egress => "out",
    };
    let open = policy.open.iter().find(|(open, _)| *open == direction);
    if let Some((_, reasons)) = open {
        write_comment(
            out,
            &format!("{word}  anything: this direction stays open, since"),
        );
        for reason in reasons {
            write_comment(out, &comment(&format!("       {reason}")));
        }
    } else if rules.is_empty() {
        write_comment(out, &format!("{word}  nothing"));
    }
    for (rule, ports) in rules.iter().enumerate() {
        let ports = ports.unwrap_or_default();
        let mut seen = BTreeSet::new();
        let mut names: Vec<String> = Vec::new();
        for name in peers(origins, direction, rule)
            .iter()
            .flat_map(|p| &p.names)
        {
            let name = comment(name);
            if seen.insert(name.clone()) {
                names.push(name);
            }
        }
        let mut port_list: String = ports.iter().map(port_text).collect::<Vec<_>>().join(", ");
        if port_list.chars().count() > PORTS_WIDTH {
            port_list = format!("{} ports and ranges", ports.len());
        }
        let line = format!("{word}  {} → {}", names.join(", "), comment(&port_list));
        let count = names.len();
        if count < 2 || line.chars().count() + 2 <= LINE_WIDTH {
            write_comment(out, &line);
            continue;
        }
        write_comment(
            out,
            &format!("{word}  {count} peers → {}:", comment(&port_list)),
        );
        if count > NAMES_PER_RULE {
            names.truncate(NAMES_PER_RULE);
            names.push(format!("and {} more", count - NAMES_PER_RULE));
        }
        write_wrapped(out, &names);
    }
}

fn write_comment(out: &mut String, text: &str) {
    out.push_str("# ");
    out.push_str(text);
    out.push('\n');
}

/// Writes names separated by commas, wrapped into lines.
fn write_wrapped(out: &mut String, names: &[String]) {
    const INDENT: &str = "       ";
    let mut line = String::new();
    for (place, name) in names.iter().enumerate() {
        let comma = if place + 1 < names.len() { "," } else { "" };
        let width = line.chars().count() + name.chars().count() + INDENT.len() + 4;
        if !line.is_empty() && width > LINE_WIDTH {
            write_comment(out, &format!("{INDENT}{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(name);
        line.push_str(comma);
    }
    write_comment(out, &format!("{INDENT}{line}"));
}

fn peers(origins: &[RuleOrigin], direction: Direction, rule: usize) -> &[PeerOrigin] {
    origins
        .iter()
        .find(|origin| origin.direction == direction && origin.rule == rule)
        .map_or(&[], |origin| &origin.peers)
}

fn document(api: &NetworkPolicy, policy: &WorkloadPolicy) -> Yaml {
    let metadata = &api.metadata;
    let labels = metadata.labels.as_ref().map(text_map);
    Yaml::map([
        ("apiVersion", Some(Yaml::text("networking.k8s.io/v1"))),
        ("kind", Some(Yaml::text("NetworkPolicy"))),
        (
            "metadata",
            Some(Yaml::map([
                ("name", metadata.name.clone().map(Yaml::Text)),
                ("namespace", metadata.namespace.clone().map(Yaml::Text)),
                ("labels", labels),
            ])),
        ),
        ("spec", api.spec.as_ref().map(|s| spec(s, policy))),
    ])
}

fn spec(spec: &NetworkPolicySpec, policy: &WorkloadPolicy) -> Yaml {
    let rules = |direction, list: Vec<(Option<&Vec<_>>, Option<&Vec<_>>)>| {
        let rule = |(place, (far, ports)): (usize, (Option<&Vec<_>>, Option<&Vec<_>>))| {
            let origins = peers(&policy.rules, direction, place);
            rule(direction, far, ports, origins)
        };
        Yaml::List(list.into_iter().enumerate().map(rule).collect())
    };
    let ingress = spec.ingress.as_ref().map(|list| {
        let parts = list.iter().map(|r| (r.from.as_ref(), r.ports.as_ref()));
        rules(Direction::Ingress, parts.collect())
    });
    let egress = spec.egress.as_ref().map(|list| {
        let parts = list.iter().map(|r| (r.to.as_ref(), r.ports.as_ref()));
        rules(Direction::Egress, parts.collect())
    });
    let types = spec.policy_types.as_ref().map(|types| text_list(types));
    Yaml::map([
        ("podSelector", spec.pod_selector.as_ref().map(selector)),
        ("policyTypes", types),
        ("ingress", ingress),
        ("egress", egress),
    ])
}

fn rule(
    direction: Direction,
    far: Option<&Vec<NetworkPolicyPeer>>,
    ports: Option<&Vec<NetworkPolicyPort>>,
    origins: &[PeerOrigin],
) -> Yaml {
    let word = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let far = far.map(|peers| {
        let peer = |(place, written)| peer(written, origins.get(place));
        Yaml::List(peers.iter().enumerate().map(peer).collect())
    });
    let ports = ports.map(|ports| Yaml::List(ports.iter().map(port).collect()));
    Yaml::map([(word, far), ("ports", ports)])
}

fn peer(peer: &NetworkPolicyPeer, origin: Option<&PeerOrigin>) -> Yaml {
    let note = origin.and_then(|origin| origin.comment.as_deref());
    Yaml::map([
        (
            "namespaceSelector",
            peer.namespace_selector.as_ref().map(selector),
        ),
        ("podSelector", peer.pod_selector.as_ref().map(selector)),
        ("ipBlock", peer.ip_block.as_ref().map(|b| ip_block(b, note))),
    ])
}

fn ip_block(block: &IPBlock, note: Option<&str>) -> Yaml {
    let cidr = match note {
        Some(note) => Yaml::Noted(block.cidr.clone(), note.to_string()),
        None => Yaml::text(&block.cidr),
    };
    let except = block.except.as_ref().map(|list| text_list(list));
    Yaml::map([("cidr", Some(cidr)), ("except", except)])
}

fn port(port: &NetworkPolicyPort) -> Yaml {
    let number = port.port.as_ref().map(|port| match port {
        IntOrString::Int(number) => Yaml::Number(*number),
        IntOrString::String(name) => Yaml::text(name),
    });
    Yaml::map([
        ("protocol", port.protocol.clone().map(Yaml::Text)),
        ("port", number),
        ("endPort", port.end_port.map(Yaml::Number)),
    ])
}

fn selector(selector: &LabelSelector) -> Yaml {
    let expressions = selector.match_expressions.as_ref().map(|list| {
        let expression = list.iter().map(|e| {
            Yaml::map([
                ("key", Some(Yaml::text(&e.key))),
                ("operator", Some(Yaml::text(&e.operator))),
                ("values", e.values.as_ref().map(|values| text_list(values))),
            ])
        });
        Yaml::List(expression.collect())
    });
    Yaml::map([
        ("matchLabels", selector.match_labels.as_ref().map(text_map)),
        ("matchExpressions", expressions),
    ])
}

fn text_map(map: &BTreeMap<String, String>) -> Yaml {
    let entries = map.iter().map(|(k, v)| (k.clone(), Yaml::text(v)));
    Yaml::Map(entries.collect())
}

fn text_list(list: &[String]) -> Yaml {
    Yaml::List(list.iter().map(Yaml::text).collect())
}

#[cfg(test)]
mod tests;

//! What is not judged of Cilium's policies.

use crate::cilium::{
    CiliumAuthentication, CiliumCidr, CiliumEgress, CiliumIngress, CiliumPolicy, CiliumPorts,
    CiliumRule,
};
use crate::limit::Limit;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// The entities that are judged.
const ENTITIES: [&str; 9] = [
    "all",
    "cluster",
    "host",
    "remote-node",
    "kube-apiserver",
    "ingress",
    "world",
    "world-ipv4",
    "world-ipv6",
];

/// The labels that Cilium gives to pods from what snapshots do not have: the pod's ServiceAccount, its cluster.
const OF_OTHERS: [&str; 2] = [
    "io.cilium.k8s.policy.serviceaccount",
    "io.cilium.k8s.policy.cluster",
];

pub(crate) fn limits(policy: &CiliumPolicy) -> Vec<Limit> {
    let mut found = Vec::new();
    for (path, rule) in policy.rules() {
        of_rule(rule, &path, &mut found);
    }
    found
}

fn of_rule(rule: &CiliumRule, path: &str, found: &mut Vec<Limit>) {
    if rule.node_selector.is_some() {
        found.push(Limit::not_judged(format!("{path}.nodeSelector")));
        return;
    }
    of_selector(
        rule.endpoint_selector.as_ref(),
        &format!("{path}.endpointSelector"),
        found,
    );
    for (list, name) in [
        (&rule.ingress, "ingress"),
        (&rule.ingress_deny, "ingressDeny"),
    ] {
        for (index, rule) in list.iter().flatten().enumerate() {
            of_ingress(rule, &format!("{path}.{name}[{index}]"), found);
        }
    }
    for (list, name) in [(&rule.egress, "egress"), (&rule.egress_deny, "egressDeny")] {
        for (index, rule) in list.iter().flatten().enumerate() {
            of_egress(rule, &format!("{path}.{name}[{index}]"), found);
        }
    }
}

fn of_ingress(rule: &CiliumIngress, path: &str, found: &mut Vec<Limit>) {
    for (is_there, name) in [
        (rule.from_requires.is_some(), "fromRequires"),
        (rule.from_groups.is_some(), "fromGroups"),
        (rule.from_nodes.is_some(), "fromNodes"),
    ] {
        if is_there {
            found.push(Limit::not_judged(format!("{path}.{name}")));
        }
    }
    of_selectors(
        rule.from_endpoints.as_deref(),
        &format!("{path}.fromEndpoints"),
        found,
    );
    of_entities(
        rule.from_entities.as_deref(),
        &format!("{path}.fromEntities"),
        found,
    );
    of_cidrs(
        rule.from_cidr_set.as_deref(),
        &format!("{path}.fromCIDRSet"),
        found,
    );
    of_ports(rule.to_ports.as_deref(), path, found);
    of_authentication(rule.authentication.as_ref(), path, found);
}

fn of_egress(rule: &CiliumEgress, path: &str, found: &mut Vec<Limit>) {
    for (is_there, name) in [
        (rule.to_requires.is_some(), "toRequires"),
        (rule.to_groups.is_some(), "toGroups"),
        (rule.to_nodes.is_some(), "toNodes"),
    ] {
        if is_there {
            found.push(Limit::not_judged(format!("{path}.{name}")));
        }
    }
    if rule.to_fqdns.is_some() {
        found.push(Limit::seen_names(format!("{path}.toFQDNs")));
    }
    for (index, service) in rule.to_services.iter().flatten().enumerate() {
        if service.k8s_service_selector.is_some() {
            let field = format!("{path}.toServices[{index}].k8sServiceSelector");
            found.push(Limit::not_judged(field));
        }
    }
    of_selectors(
        rule.to_endpoints.as_deref(),
        &format!("{path}.toEndpoints"),
        found,
    );
    of_entities(
        rule.to_entities.as_deref(),
        &format!("{path}.toEntities"),
        found,
    );
    of_cidrs(
        rule.to_cidr_set.as_deref(),
        &format!("{path}.toCIDRSet"),
        found,
    );
    of_ports(rule.to_ports.as_deref(), path, found);
    of_authentication(rule.authentication.as_ref(), path, found);
}

fn of_selectors(list: Option<&[LabelSelector]>, path: &str, found: &mut Vec<Limit>) {
    for (index, selector) in list.into_iter().flatten().enumerate() {
        of_selector(Some(selector), &format!("{path}[{index}]"), found);
    }
}

/// A label of a selector says its source before a colon: `k8s:app`, `any:app`, `reserved:host`.
fn of_selector(selector: Option<&LabelSelector>, path: &str, found: &mut Vec<Limit>) {
    let Some(selector) = selector else { return };
    let labels = selector.match_labels.iter().flatten().map(|(key, _)| key);
    let expressions = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|one| &one.key);
    let is_single = labels.clone().count() + expressions.clone().count() == 1;
    for key in labels.chain(expressions) {
        let (source, name) = key.split_once(':').unwrap_or(("any", key));
        let is_known = match source {
            "any" | "k8s" => !OF_OTHERS.contains(&name),
            "reserved" => ENTITIES.contains(&name) && is_single,
            _ => false,
        };
        if !is_known {
            found.push(Limit::not_judged(format!("{path} ({key})")));
        }
    }
}

fn of_entities(list: Option<&[String]>, path: &str, found: &mut Vec<Limit>) {
    for (index, entity) in list.into_iter().flatten().enumerate() {
        if !ENTITIES.contains(&entity.as_str()) && entity != "none" {
            found.push(Limit::not_judged(format!("{path}[{index}] ({entity})")));
        }
    }
}

fn of_cidrs(list: Option<&[CiliumCidr]>, path: &str, found: &mut Vec<Limit>) {
    for (index, block) in list.into_iter().flatten().enumerate() {
        for (is_there, name) in [
            (block.cidr_group_ref.is_some(), "cidrGroupRef"),
            (block.cidr_group_selector.is_some(), "cidrGroupSelector"),
        ] {
            if is_there {
                found.push(Limit::not_judged(format!("{path}[{index}].{name}")));
            }
        }
    }
}

fn of_ports(list: Option<&[CiliumPorts]>, path: &str, found: &mut Vec<Limit>) {
    for (index, ports) in list.into_iter().flatten().enumerate() {
        let path = format!("{path}.toPorts[{index}]");
        let asks_requests = ports.rules.as_ref().is_some_and(|rules| {
            // Rules for DNS let the proxy learn addresses, and restrain names only.
            rules.http.is_some()
                || rules.kafka.is_some()
                || rules.l7.is_some()
                || rules.dns.is_some()
        });
        for (is_there, name) in [
            (asks_requests, "rules"),
            (ports.server_names.is_some(), "serverNames"),
            (ports.terminating_tls.is_some(), "terminatingTLS"),
            (ports.originating_tls.is_some(), "originatingTLS"),
            (ports.listener.is_some(), "listener"),
        ] {
            if is_there {
                found.push(Limit::layer4(format!("{path}.{name}")));
            }
        }
    }
}

fn of_authentication(mode: Option<&CiliumAuthentication>, path: &str, found: &mut Vec<Limit>) {
    let mode = mode.and_then(|one| one.mode.as_deref());
    if mode.is_some_and(|mode| mode != "disabled") {
        found.push(Limit::layer4(format!("{path}.authentication")));
    }
}

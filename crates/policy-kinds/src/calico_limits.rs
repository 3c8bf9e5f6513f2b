//! What is not judged of Calico's policies.

use crate::calico::{CalicoEntity, CalicoPolicy, CalicoRule};
use crate::calico_selector::CalicoSelector;
use crate::limit::Limit;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The label that Calico gives to pods from their ServiceAccount, which snapshots do not have.
const SERVICE_ACCOUNT: &str = "projectcalico.org/serviceaccount";

/// The prefix of labels that pods get from their ServiceAccount.
const OF_SERVICE_ACCOUNT: &str = "pcsa.";

pub(crate) fn limits(policy: &CalicoPolicy, is_global: bool) -> Vec<Limit> {
    let spec = &policy.spec;
    let mut found = Vec::new();
    for (is_there, name) in [
        (
            is_said(spec.service_account_selector.as_deref()),
            "serviceAccountSelector",
        ),
        (spec.do_not_track == Some(true), "doNotTrack"),
        (spec.pre_dnat == Some(true), "preDNAT"),
        (
            !is_global && is_said(spec.namespace_selector.as_deref()),
            "namespaceSelector",
        ),
    ] {
        if is_there {
            found.push(Limit::not_judged(format!("spec.{name}")));
        }
    }
    of_selector(spec.selector.as_deref(), "spec.selector".into(), &mut found);
    let namespaces = spec.namespace_selector.as_deref();
    of_selector(namespaces, "spec.namespaceSelector".into(), &mut found);
    let is_type = |name: &String| name == "Ingress" || name == "Egress";
    if !spec.types.iter().flatten().all(is_type) {
        found.push(Limit::not_judged("spec.types"));
    }
    for (index, rule) in spec.ingress.iter().flatten().enumerate() {
        let path = format!("spec.ingress[{index}]");
        of_rule(rule, &path, &mut found);
        of_peer(rule.source.as_ref(), &format!("{path}.source"), &mut found);
        of_own(
            rule.destination.as_ref(),
            &format!("{path}.destination"),
            &mut found,
        );
        of_client_ports(rule, &path, &mut found);
    }
    for (index, rule) in spec.egress.iter().flatten().enumerate() {
        let path = format!("spec.egress[{index}]");
        of_rule(rule, &path, &mut found);
        of_peer(
            rule.destination.as_ref(),
            &format!("{path}.destination"),
            &mut found,
        );
        of_own(rule.source.as_ref(), &format!("{path}.source"), &mut found);
        of_client_ports(rule, &path, &mut found);
    }
    found
}

fn is_said(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn is_filled<T>(list: Option<&Vec<T>>) -> bool {
    list.is_some_and(|list| !list.is_empty())
}

/// Returns true if it is a port by its name.
fn is_name(port: &IntOrString) -> bool {
    match port {
        IntOrString::Int(_) => false,
        IntOrString::String(text) => text.split(':').any(|part| part.parse::<u16>().is_err()),
    }
}

fn of_rule(rule: &CalicoRule, path: &str, found: &mut Vec<Limit>) {
    let server = rule.destination.iter();
    let mut negated = server.flat_map(|server| server.not_ports.iter().flatten());
    if negated.any(is_name) {
        found.push(Limit::not_judged(format!("{path}.destination.notPorts")));
    }
    if rule.http.is_some() {
        found.push(Limit::layer4(format!("{path}.http")));
    }
}

/// What a rule says of the other end.
fn of_peer(entity: Option<&CalicoEntity>, path: &str, found: &mut Vec<Limit>) {
    let Some(entity) = entity else { return };
    for (is_there, name) in [
        (entity.services.is_some(), "services"),
        (entity.service_accounts.is_some(), "serviceAccounts"),
    ] {
        if is_there {
            found.push(Limit::not_judged(format!("{path}.{name}")));
        }
    }
    for (text, name) in [
        (&entity.selector, "selector"),
        (&entity.not_selector, "notSelector"),
        (&entity.namespace_selector, "namespaceSelector"),
    ] {
        of_selector(text.as_deref(), format!("{path}.{name}"), found);
    }
}

/// What a rule says of the pod that the policy is about, beside its ports.
fn of_own(entity: Option<&CalicoEntity>, path: &str, found: &mut Vec<Limit>) {
    let Some(entity) = entity else { return };
    for (is_there, name) in [
        (is_filled(entity.nets.as_ref()), "nets"),
        (is_filled(entity.not_nets.as_ref()), "notNets"),
        (is_said(entity.selector.as_deref()), "selector"),
        (is_said(entity.not_selector.as_deref()), "notSelector"),
        (
            is_said(entity.namespace_selector.as_deref()),
            "namespaceSelector",
        ),
        (entity.services.is_some(), "services"),
        (entity.service_accounts.is_some(), "serviceAccounts"),
    ] {
        if is_there {
            found.push(Limit::not_judged(format!("{path}.{name}")));
        }
    }
}

/// Ports of the client: connections are known by the server's port.
fn of_client_ports(rule: &CalicoRule, path: &str, found: &mut Vec<Limit>) {
    let Some(source) = &rule.source else { return };
    for (list, name) in [(&source.ports, "ports"), (&source.not_ports, "notPorts")] {
        if is_filled(list.as_ref()) {
            found.push(Limit::not_judged(format!("{path}.source.{name}")));
        }
    }
}

fn of_selector(text: Option<&str>, field: String, found: &mut Vec<Limit>) {
    let Some(text) = text else { return };
    let is_known = match CalicoSelector::parse(text) {
        Ok(selector) => selector
            .keys()
            .iter()
            .all(|key| *key != SERVICE_ACCOUNT && !key.starts_with(OF_SERVICE_ACCOUNT)),
        Err(_) => false,
    };
    if !is_known {
        found.push(Limit::not_judged(field));
    }
}

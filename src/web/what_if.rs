//! What if: policies that are pasted or drawn, or one that is deleted, against the policies and the recorded traffic.

use super::html::{Frame, NavEntry, moment, more, part, ports, table, text};
use super::view::View;
use crate::cluster::parse_objects;
use crate::evaluate::{Comparison, HostNetwork};
use crate::inventory::{Objects, WorkloadId};
use crate::pipeline::verify::verify;
use crate::report::changes::{Changes, Explained};
use crate::report::verification::Blocked;
use crate::report::words::count;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// At most this many rows of each list are shown.
const MOST: usize = 200;

/// The page; if the form was sent, with the answer.
pub fn page(frame: &Frame, view: &View, asked: &BTreeMap<String, String>) -> String {
    let word = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let drawn = match word("verb") {
        "draw" => draw(view, word("client"), word("server"), word("port")),
        _ => Ok(word("yaml").to_owned()),
    };
    let yaml = drawn.as_deref().unwrap_or(word("yaml"));
    let has_question = !yaml.trim().is_empty() || !word("delete").is_empty();
    let found = match &drawn {
        Err(problem) => Err(problem.clone()),
        Ok(_) if has_question => answer(view, yaml, word("delete"), word("against")),
        Ok(_) => Ok(html! {}),
    };
    let body = html! {
        (form(frame, view, asked, yaml))
        @match found {
            Ok(found) => { (found) }
            Err(problem) => {
                p.problem role="alert" { (problem) } "\n"
            }
        }
    };
    frame.page(NavEntry::WhatIf, "What if", &body)
}

fn form(frame: &Frame, view: &View, asked: &BTreeMap<String, String>, yaml: &str) -> Markup {
    let word = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let workloads = view.given.inventory.workloads.keys();
    html! {
        form #what-if method="post" action={ (frame.root) "what-if" } {
            "\n"
            p { (choices(view, word("against"), word("delete"))) }
            "\n"
            fieldset {
                legend { "Draw" }
                label { "Let " (workload_field("client", word("client"))) } " "
                label { "reach " (workload_field("server", word("server"))) } " "
                label {
                    "on port "
                    input name="port" size="9" value=(word("port")) placeholder="8080/TCP";
                }
                " "
                button name="verb" value="draw" { "Draw" } " "
                span.dim { "Without a client: deny all that is not allowed elsewhere." }
            }
            "\n"
            datalist #workloads {
                @for id in workloads { option value={ (id.namespace) "/" (id.name) } {} }
            }
            "\n"
            p {
                label for="yaml" { "NetworkPolicies, which replace those of the same name" } br;
                textarea #yaml name="yaml" rows="14" spellcheck="false" {
                    @for line in yaml.lines() { (line) "\n" }
                }
            }
            "\n"
            p { button name="verb" value="ask" { "What if" } } "\n"
        }
        "\n"
    }
}

/// The policies to compare with, and the policy to delete.
fn choices(view: &View, against: &str, delete: &str) -> Markup {
    let policies = view.given.now.iter().chain(&view.given.proposed);
    let names: BTreeSet<String> = policies.map(name).collect();
    html! {
        label {
            "Against "
            select name="against" {
                option value="now" { "the policies in force" }
                option value="proposed" selected[against != "now"] { "those with all proposals" }
            }
        }
        "\n"
        label {
            "Delete "
            select name="delete" {
                option value="" { "nothing" }
                @for name in &names { option selected[name == delete] { (name) } }
            }
        }
    }
}

fn workload_field(name: &str, value: &str) -> Markup {
    html! { input name=(name) list="workloads" value=(value) placeholder="namespace/name"; }
}

fn name(policy: &NetworkPolicy) -> String {
    let metadata = &policy.metadata;
    format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or("default"),
        metadata.name.as_deref().unwrap_or_default()
    )
}

/// The answer.
///
/// # Errors
/// What is wrong with the question.
fn answer(view: &View, yaml: &str, delete: &str, against: &str) -> Result<Markup, String> {
    let before = match against {
        "now" => &view.given.now,
        _ => &view.given.proposed,
    };
    let mut objects = Objects::default();
    if !yaml.trim().is_empty() {
        parse_objects(yaml.as_bytes(), "what was pasted", &mut objects)
            .map_err(|error| error.to_string())?;
        if objects.network_policies.is_empty() {
            return Err("there is no NetworkPolicy in what was pasted".into());
        }
    }
    let mut after: BTreeMap<String, NetworkPolicy> = before
        .iter()
        .map(|policy| (name(policy), policy.clone()))
        .collect();
    if !delete.is_empty() && after.remove(delete).is_none() {
        return Err(format!("there is no policy {delete} to delete"));
    }
    after.extend(
        objects
            .network_policies
            .into_iter()
            .map(|policy| (name(&policy), policy)),
    );
    let after: Vec<NetworkPolicy> = after.into_values().collect();
    let inventory = &view.given.inventory;
    let comparison = Comparison::new(inventory, before, &after, HostNetwork::Exact)
        .map_err(|error| error.to_string())?;
    let changes = Changes::of(&comparison);
    let judge = |policies: &[NetworkPolicy]| {
        let found = verify(
            &view.given.graph,
            inventory,
            &view.given.enforcement,
            policies,
            &[],
        );
        found
            .map(|found| found.would_block)
            .map_err(|error| error.to_string())
    };
    let key = |one: &Blocked| (one.client.clone(), one.server.clone(), one.ports.clone());
    let was: BTreeSet<_> = judge(before)?.iter().map(key).collect();
    let mut broken = judge(&after)?;
    broken.retain(|one| !was.contains(&key(one)));
    Ok(render(&changes, &broken))
}

fn render(changes: &Changes, broken: &[Blocked]) -> Markup {
    // Implied connections were never seen, but are expected beside seen ones, such as DNS beside a call by name.
    let (recorded, implied): (Vec<&Blocked>, Vec<&Blocked>) =
        broken.iter().partition(|one| one.last_seen.is_some());
    let noun = match recorded.len() {
        1 => "connection",
        _ => "connections",
    };
    html! {
        section #answer aria-live="polite" {
            h2 { "Answer" } "\n"
            p {
                "Breaks " b { (recorded.len()) } " recorded " (noun)
                ", opens " b { (changes.opened.len()) } ", closes " b { (changes.closed.len()) } "."
                @if !implied.is_empty() {
                    " Breaks " b { (implied.len()) } " more that are implied and were never recorded."
                }
            }
            "\n"
            (breaks("Recorded flows that would break", &recorded))
            (breaks("Implied, never recorded, and would break", &implied))
            (changed("Opens", &changes.opened))
            (changed("Closes", &changes.closed))
        }
        "\n"
    }
}

fn breaks(title: &str, list: &[&Blocked]) -> Markup {
    let row = |one: &&Blocked| {
        let seen = html! {
            @if let Some(last) = one.last_seen {
                (count(one.connections, "connection")) ", the last at " (moment(last))
            } @else {
                "never"
            }
        };
        vec![
            text(&one.client),
            text(&one.server),
            text(&one.ports),
            seen,
            text(&one.by),
        ]
    };
    let rows: Vec<Vec<Markup>> = list.iter().take(MOST).map(row).collect();
    titled(
        title,
        &["client", "server", "ports", "seen", "why"],
        &rows,
        list.len(),
    )
}

fn changed(title: &str, list: &[Explained]) -> Markup {
    let row = |one: &Explained| {
        let causes: Vec<String> = one.causes.iter().map(ToString::to_string).collect();
        vec![
            text(one.change.client.to_string()),
            text(one.change.server.to_string()),
            text(ports(&one.change.connections)),
            text(causes.join("; ")),
        ]
    };
    let rows: Vec<Vec<Markup>> = list.iter().take(MOST).map(row).collect();
    titled(
        title,
        &["client", "server", "ports", "why"],
        &rows,
        list.len(),
    )
}

/// A table with a title, cut to `rows` of `total`; empty if there are no rows.
fn titled(title: &str, header: &[&str], rows: &[Vec<Markup>], total: usize) -> Markup {
    html! {
        @if !rows.is_empty() {
            h3 { (title) } "\n"
            (table(header, rows))
            (more(rows.len(), total))
        }
    }
}

/// A policy for the server that allows the client; without a client, one that allows nobody.
fn draw(view: &View, client: &str, server: &str, port: &str) -> Result<String, String> {
    let labels = |name: &str| -> Result<(WorkloadId, BTreeMap<String, String>), String> {
        let workloads = &view.given.inventory.workloads;
        let found = workloads
            .values()
            .find(|one| format!("{}/{}", one.id.namespace, one.id.name) == name)
            .ok_or_else(|| format!("there is no workload {name:?}; write namespace/name"))?;
        let pod = found
            .pods
            .first()
            .and_then(|pod| view.given.inventory.pods.get(*pod));
        let labels = match (found.match_labels.is_empty(), pod) {
            (true, Some(pod)) => pod.labels.clone(),
            _ => found.match_labels.clone(),
        };
        Ok((found.id.clone(), labels))
    };
    let (server, selector) = labels(server)?;
    let mut spec = serde_json::json!({
        "podSelector": {"matchLabels": selector},
        "policyTypes": ["Ingress"],
    });
    if !client.is_empty() {
        let (client, selector) = labels(client)?;
        let mut rule = serde_json::json!({"from": [{
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": client.namespace}},
            "podSelector": {"matchLabels": selector},
        }]});
        if !port.is_empty() {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "TCP"));
            let number: u16 = number
                .parse()
                .map_err(|_| format!("{port:?} is no port; write 8080/TCP"))?;
            rule["ports"] =
                serde_json::json!([{"port": number, "protocol": protocol.to_uppercase()}]);
        }
        spec["ingress"] = serde_json::json!([rule]);
    }
    let policy = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": format!("what-if-{}", part(&server.name)), "namespace": server.namespace},
        "spec": spec,
    });
    serde_yaml::to_string(&policy).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Timestamp;

    #[test]
    fn implied_connections_are_counted_apart_and_a_cut_list_shows_how_many_more() {
        let one = |last_seen| Blocked {
            client: "shop/web".into(),
            server: "shop/db".into(),
            ports: "TCP 53".into(),
            connections: 0,
            last_seen,
            by: "shop/db".into(),
            policies: Vec::new(),
        };
        let mut broken = vec![one(None); 3];
        broken.extend(vec![one(Some(Timestamp::from_secs(0))); 205]);
        let changes = Changes::default();
        let page = render(&changes, &broken).into_string();
        assert!(
            page.contains("Breaks <b>205</b> recorded connections,"),
            "{page}"
        );
        assert!(
            page.contains("Breaks <b>3</b> more that are implied"),
            "{page}"
        );
        assert!(page.contains("… and 5 more."), "{page}");
        let page = render(&changes, &broken[2..4]).into_string();
        assert!(
            page.contains("Breaks <b>1</b> recorded connection,"),
            "{page}"
        );
        assert!(!page.contains("… and"), "{page}");
    }
}

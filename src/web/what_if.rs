//! What if: a policy that is pasted or drawn, or one that is deleted, against the policies and the recorded
//! traffic.

use super::html::{Frame, Place, moment, more, part, ports, table, text};
use super::view::View;
use crate::cluster::parse_objects;
use crate::evaluate::{Comparison, HostNetwork};
use crate::inventory::{Objects, WorkloadId};
use crate::pipeline::verify::verify;
use crate::report::changes::{Changes, Explained};
use crate::report::verdict::Blocked;
use crate::report::words::count;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// So many lines of each list are shown.
const MOST: usize = 200;

/// The page; with what was asked, also the answer.
pub fn page(frame: &Frame, view: &View, asked: &BTreeMap<String, String>) -> String {
    let word = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let drawn = word("verb") == "draw";
    let (mut yaml, mut problem) = (word("yaml").to_owned(), None);
    if drawn {
        match draw(view, word("client"), word("server"), word("port")) {
            Ok(text) => yaml = text,
            Err(why) => problem = Some(why),
        }
    }
    let mut body = form(frame, view, asked, &yaml);
    let has_question = !yaml.trim().is_empty() || !word("delete").is_empty();
    if let Some(problem) = problem {
        let _ = writeln!(
            body,
            "<p role=\"alert\" class=\"problem\">{}</p>",
            text(problem)
        );
    } else if has_question {
        match answer(view, &yaml, word("delete"), word("against")) {
            Ok(found) => body.push_str(&found),
            Err(problem) => {
                let _ = writeln!(
                    body,
                    "<p role=\"alert\" class=\"problem\">{}</p>",
                    text(problem)
                );
            }
        }
    }
    frame.page(Place::WhatIf, "What if", &body)
}

fn form(frame: &Frame, view: &View, asked: &BTreeMap<String, String>, yaml: &str) -> String {
    let word = |name: &str| text(asked.get(name).map(String::as_str).unwrap_or_default());
    let mut names: BTreeSet<String> = BTreeSet::new();
    names.extend(view.given.now.iter().map(name));
    names.extend(view.given.proposed.iter().map(name));
    let mut options = String::from("<option value=\"\">nothing</option>");
    for name in &names {
        let chosen = if text(name) == word("delete") {
            " selected"
        } else {
            ""
        };
        let _ = write!(options, "<option{chosen}>{}</option>", text(name));
    }
    let mut workloads = String::new();
    for id in view.given.inventory.workloads.keys() {
        let _ = write!(
            workloads,
            "<option value=\"{}\">",
            text(format!("{}/{}", id.namespace, id.name))
        );
    }
    let proposed = if word("against") == "now" {
        ""
    } else {
        " selected"
    };
    format!(
        "<form method=\"post\" action=\"{}what-if\" id=\"what-if\">\n\
         <p><label>Against <select name=\"against\"><option value=\"now\">the policies in force</option>\
         <option value=\"proposed\"{proposed}>those with all proposals</option></select></label>\n\
         <label>Delete <select name=\"delete\">{options}</select></label></p>\n\
         <fieldset><legend>Draw</legend>\
         <label>Let <input name=\"client\" list=\"workloads\" value=\"{}\" placeholder=\"namespace/name\"></label> \
         <label>reach <input name=\"server\" list=\"workloads\" value=\"{}\" placeholder=\"namespace/name\"></label> \
         <label>on port <input name=\"port\" size=\"9\" value=\"{}\" placeholder=\"8080/TCP\"></label> \
         <button name=\"verb\" value=\"draw\">Draw</button> <span class=\"dim\">Without a client: deny all that is not \
         allowed elsewhere.</span></fieldset>\n<datalist id=\"workloads\">{workloads}</datalist>\n\
         <p><label for=\"yaml\">NetworkPolicies, which replace those of the same name</label><br>\
         <textarea id=\"yaml\" name=\"yaml\" rows=\"14\" spellcheck=\"false\">{}</textarea></p>\n\
         <p><button name=\"verb\" value=\"ask\">What if</button></p>\n</form>\n",
        text(&frame.root),
        word("client"),
        word("server"),
        word("port"),
        lines(yaml),
    )
}

/// Text of several lines, each made harmless.
fn lines(yaml: &str) -> String {
    yaml.lines().map(|line| text(line) + "\n").collect()
}

fn name(policy: &NetworkPolicy) -> String {
    let metadata = &policy.metadata;
    format!(
        "{}/{}",
        metadata.namespace.as_deref().unwrap_or("default"),
        metadata.name.as_deref().unwrap_or_default()
    )
}

fn answer(view: &View, yaml: &str, delete: &str, against: &str) -> Result<String, String> {
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
        let verdict = verify(
            &view.given.graph,
            inventory,
            &view.given.enforcement,
            policies,
            &[],
        );
        verdict
            .map(|verdict| verdict.would_block)
            .map_err(|error| error.to_string())
    };
    let key = |one: &Blocked| (one.client.clone(), one.server.clone(), one.ports.clone());
    let was: BTreeSet<_> = judge(before)?.iter().map(key).collect();
    let mut broken = judge(&after)?;
    broken.retain(|one| !was.contains(&key(one)));
    Ok(render(&changes, &broken))
}

fn render(changes: &Changes, broken: &[Blocked]) -> String {
    // What was never seen is taken to be there beside what was, such as DNS beside a call by name.
    let (recorded, implied): (Vec<&Blocked>, Vec<&Blocked>) =
        broken.iter().partition(|one| one.last_seen.is_some());
    let mut out = format!(
        "<section id=\"answer\" aria-live=\"polite\"><h2>Answer</h2>\n<p>Breaks <b>{}</b> recorded {}, opens <b>{}</b>, closes <b>{}</b>.{}</p>\n",
        recorded.len(),
        match recorded.len() {
            1 => "connection",
            _ => "connections",
        },
        changes.opened.len(),
        changes.closed.len(),
        match implied.len() {
            0 => String::new(),
            some => format!(" Breaks <b>{some}</b> more that are implied and were never recorded."),
        }
    );
    out.push_str(&breaks("Recorded flows that would break", &recorded));
    out.push_str(&breaks(
        "Implied, never recorded, and would break",
        &implied,
    ));
    out.push_str(&changed("Opens", &changes.opened));
    out.push_str(&changed("Closes", &changes.closed));
    out.push_str("</section>\n");
    out
}

fn breaks(title: &str, list: &[&Blocked]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let row = |one: &&Blocked| {
        let seen = match one.last_seen {
            Some(last) => format!(
                "{}, the last at {}",
                count(one.connections, "connection"),
                moment(last)
            ),
            None => "never".into(),
        };
        vec![
            text(&one.client),
            text(&one.server),
            text(&one.ports),
            seen,
            text(&one.by),
        ]
    };
    let rows: Vec<Vec<String>> = list.iter().take(MOST).map(row).collect();
    format!(
        "<h3>{title}</h3>\n{}{}",
        table(&["client", "server", "ports", "seen", "why"], &rows),
        more(rows.len(), list.len())
    )
}

fn changed(title: &str, list: &[Explained]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let row = |one: &Explained| {
        let causes: Vec<String> = one.causes.iter().map(ToString::to_string).collect();
        vec![
            text(one.change.client.to_string()),
            text(one.change.server.to_string()),
            text(ports(&one.change.connections)),
            text(causes.join("; ")),
        ]
    };
    let rows: Vec<Vec<String>> = list.iter().take(MOST).map(row).collect();
    format!(
        "<h3>{title}</h3>\n{}{}",
        table(&["client", "server", "ports", "why"], &rows),
        more(rows.len(), list.len())
    )
}

/// A policy for the server that lets the client in; without a client one that lets nobody in.
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
    fn implied_connections_are_counted_apart_and_what_is_cut_is_told() {
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
        let said = render(&changes, &broken);
        assert!(
            said.contains("Breaks <b>205</b> recorded connections,"),
            "{said}"
        );
        assert!(
            said.contains("Breaks <b>3</b> more that are implied"),
            "{said}"
        );
        assert!(said.contains("… and 5 more."), "{said}");
        let said = render(&changes, &broken[2..4]);
        assert!(
            said.contains("Breaks <b>1</b> recorded connection,"),
            "{said}"
        );
        assert!(!said.contains("… and"), "{said}");
    }
}

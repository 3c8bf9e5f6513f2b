//! Objects that cannot be read (rule: malformed-object-is-a-finding): which namespaces are not known because of them, and
//! what the owners of Segmentations are told.

use super::publish::Published;
use crate::cluster::live::{INVENTORY, Kind, Malformed, WriteError, Writer};
use crate::finding::Finding;
use crate::inventory::Inventory;
use crate::net::Timestamp;
use crate::review::resources::to_time;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The most objects that a message names.
const MOST_NAMED: usize = 10;

/// Why the pods of a namespace are not fully known, by namespace. No policy is proposed there meanwhile: it could select
/// the wrong pods.
pub fn not_known(malformed: &[Malformed]) -> BTreeMap<String, String> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in malformed.iter().filter(|one| INVENTORY.contains(&one.kind)) {
        let namespace = match one.kind {
            Kind::Namespace => &one.name,
            _ => &one.namespace,
        };
        if !namespace.is_empty() {
            let named = reasons.entry(namespace.clone()).or_default();
            named.push(sentence(&one.finding()));
        }
    }
    let joined = reasons.into_iter();
    joined
        .map(|(namespace, all)| (namespace, format!("not all is known: {}", named(all))))
        .collect()
}

fn sentence(finding: &Finding) -> String {
    format!("{} {}", finding.subject, finding.message)
}

fn named(all: Vec<String>) -> String {
    let more = all.len().saturating_sub(MOST_NAMED);
    let mut text = all
        .into_iter()
        .take(MOST_NAMED)
        .collect::<Vec<_>>()
        .join(". ");
    if more > 0 {
        text.push_str(&format!(". And {more} more"));
    }
    text
}

/// A finding for each object, and one for each workload that has a malformed pod.
pub fn findings(malformed: &[Malformed], inventory: &Inventory) -> Vec<Finding> {
    let mut findings: Vec<Finding> = malformed.iter().map(Malformed::finding).collect();
    let pods: BTreeMap<(&str, &str), &Malformed> = malformed
        .iter()
        .filter(|one| one.kind == Kind::Pod)
        .map(|one| ((one.namespace.as_str(), one.name.as_str()), one))
        .collect();
    if pods.is_empty() {
        return findings;
    }
    for workload in inventory.workloads.values() {
        let theirs = workload
            .pods
            .iter()
            .filter_map(|index| inventory.pods.get(*index));
        let malformed = theirs.filter_map(|pod| pods.get(&(&*pod.namespace, &*pod.name)));
        findings.extend(malformed.map(|one| {
            let of_pod = one.finding();
            let message = format!("has a pod that is not known: {}", sentence(&of_pod));
            Finding::new(of_pod.code, workload.id.to_string(), message)
        }));
    }
    findings
}

/// What is said of a namespace's malformed objects of any kind; empty if there are none.
pub fn of_namespace(malformed: &[Malformed], namespace: &str) -> String {
    let theirs = malformed.iter().filter(|one| one.namespace == namespace);
    named(theirs.map(|one| sentence(&one.finding())).collect())
}

/// Tells the owners of Segmentations that cannot be read, once for each thing that is wrong. `told` is what they were
/// told, by namespace.
pub async fn tell(
    malformed: &[Malformed],
    told: &mut BTreeMap<String, String>,
    writer: &Writer,
    now: Timestamp,
) -> Published {
    let mut published = Published::default();
    let theirs = malformed
        .iter()
        .filter(|one| one.kind == Kind::Segmentation);
    let theirs: Vec<&Malformed> = theirs.collect();
    let namespaces: BTreeSet<&str> = theirs.iter().map(|one| one.namespace.as_str()).collect();
    told.retain(|namespace, _| namespaces.contains(namespace.as_str()));
    for one in theirs {
        let message = sentence(&one.finding());
        if told.get(&one.namespace) == Some(&message) {
            continue;
        }
        let condition = Condition {
            type_: "Ready".into(),
            status: "False".into(),
            reason: "Malformed".into(),
            message: message.clone(),
            observed_generation: None,
            last_transition_time: to_time(now),
        };
        let status = json!({"conditions": [condition]});
        // Where the API server refuses it for what is wrong there anyway, the log says so once.
        if let Err(error) = writer.tell_malformed(one, &status).await {
            if !matches!(error, WriteError::Api { .. }) {
                published.failed(one.namespace.clone(), error);
                continue;
            }
            tracing::warn!("{error}");
        }
        told.insert(one.namespace.clone(), message);
    }
    published
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(kind: Kind, namespace: &str, name: &str) -> Malformed {
        Malformed {
            kind,
            namespace: namespace.into(),
            name: name.into(),
            uid: None,
            is_ours: false,
            field: "spec".into(),
            problem: "expected a struct".into(),
        }
    }

    #[test]
    fn a_namespace_with_a_malformed_object_is_not_known() {
        let all = [
            malformed(Kind::Pod, "shop", "web-1"),
            malformed(Kind::Namespace, "", "ops"),
            malformed(Kind::Node, "", "n1"),
            malformed(Kind::ProposalDecision, "bank", "yes"),
        ];
        let reasons = not_known(&all);
        assert_eq!(reasons.keys().collect::<Vec<_>>(), ["ops", "shop"]);
        assert!(reasons["shop"].contains("Pod shop/web-1"), "{reasons:?}");
        assert!(of_namespace(&all, "bank").contains("delete it and decide again"));
        assert_eq!(of_namespace(&all, "hr"), "");
    }

    #[test]
    fn a_message_names_a_bounded_number_of_objects() {
        let all: Vec<Malformed> = (0..50)
            .map(|number| malformed(Kind::Pod, "shop", &format!("web-{number}")))
            .collect();
        let text = &not_known(&all)["shop"];
        assert_eq!(text.matches("Pod shop/").count(), MOST_NAMED);
        assert!(text.ends_with("And 40 more"), "{text}");
    }
}

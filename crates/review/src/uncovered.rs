//! Pods that no NetworkPolicy selects (rule: uncovered-is-said): new ones that nothing was approved for yet, and those
//! whose labels were changed.

use super::SegmentationSettings;
use super::selector::Selector;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::{Inventory, Pod};

/// The most pods that a message names.
const MOST_NAMED: usize = 10;

/// The pods of a namespace that no policy selects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uncovered {
    pub namespace: String,
    /// Their names, in order.
    pub pods: Vec<String>,
    /// How many of them `spec.exclude` leaves out: a pod gets there by its labels alone.
    pub excluded: usize,
}

/// Returns the running pods of a namespace that no policy of the cluster selects; `settings` are those of its
/// Segmentation, if they are known. A policy whose selector cannot be read selects none, and pods on the node's network
/// have no policies.
pub fn uncovered<'p>(
    inventory: &Inventory,
    policies: impl IntoIterator<Item = &'p NetworkPolicy>,
    namespace: &str,
    settings: Option<&SegmentationSettings>,
) -> Uncovered {
    let theirs = policies
        .into_iter()
        .filter(|policy| policy.metadata.namespace.as_deref().unwrap_or("default") == namespace);
    let selectors: Vec<Selector> = theirs.filter_map(selector).collect();
    let is_open = |pod: &&Pod| {
        pod.namespace == namespace
            && !pod.template
            && !pod.host_network
            && pod.owned.until.is_none()
            && !selectors.iter().any(|one| one.matches(&pod.labels))
    };
    let open: Vec<&Pod> = inventory.pods.iter().filter(is_open).collect();
    let mut pods: Vec<String> = open.iter().map(|pod| pod.name.clone()).collect();
    pods.sort();
    let is_excluded = |pod: &&&Pod| settings.is_some_and(|one| one.excludes(&pod.labels));
    Uncovered {
        namespace: namespace.to_owned(),
        pods,
        excluded: open.iter().filter(is_excluded).count(),
    }
}

/// The selector of a policy; one that is not given selects all pods.
fn selector(policy: &NetworkPolicy) -> Option<Selector> {
    let spec = policy.spec.as_ref();
    match spec.and_then(|spec| spec.pod_selector.as_ref()) {
        Some(selector) => Selector::parse(selector).ok(),
        None => Some(Selector::default()),
    }
}

impl Uncovered {
    /// What is said of them; empty if there are none.
    pub fn sentence(&self) -> String {
        if self.pods.is_empty() {
            return String::new();
        }
        let named: Vec<&str> = self
            .pods
            .iter()
            .map(String::as_str)
            .take(MOST_NAMED)
            .collect();
        let more = match self.pods.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let excluded = match self.excluded {
            0 => String::new(),
            count => format!("; spec.exclude leaves out {count} of them"),
        };
        let pods = self.pods.len();
        format!(
            "pods that no policy selects: {pods} ({}{more}){excluded}",
            named.join(", ")
        )
    }

    /// A finding for the namespace, and one for each workload with such pods.
    pub fn findings(&self, inventory: &Inventory) -> Vec<Finding> {
        if self.pods.is_empty() {
            return Vec::new();
        }
        let of_namespace = format!("has {}", self.sentence());
        let mut findings = vec![Finding::new(
            Code::UncoveredPods,
            &self.namespace,
            of_namespace,
        )];
        for workload in inventory.workloads_of(&self.namespace) {
            let pods = workload
                .pods
                .iter()
                .filter_map(|index| inventory.pods.get(*index));
            let is_open = |pod: &&Pod| !pod.template && self.pods.binary_search(&pod.name).is_ok();
            let count = pods.filter(is_open).count();
            if count > 0 {
                let message = format!("has pods that no policy selects: {count}");
                findings.push(Finding::new(
                    Code::UncoveredPods,
                    workload.id.to_string(),
                    message,
                ));
            }
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Segmentation;
    use nanoseg_inventory::testing;

    fn policy(selector: &str) -> NetworkPolicy {
        let text = format!(
            "metadata: {{namespace: shop, name: p}}\nspec: {{podSelector: {selector}, policyTypes: [Ingress]}}"
        );
        serde_yaml::from_str(&text).expect("a policy")
    }

    fn inventory() -> Inventory {
        let pod = |namespace: &str, name: &str, labels: &str, more: &str| {
            format!(
                "kind: Pod\nmetadata: {{namespace: {namespace}, name: {name}, labels: {labels}}}\n\
                 spec: {{nodeName: n1, containers: [{{name: a}}]{more}}}\n\
                 status: {{phase: Running, startTime: '2026-01-01T00:00:00Z', podIP: 10.0.0.{}}}",
                name.len()
            )
        };
        let pods = [
            pod("shop", "web", "{app: web}", ""),
            pod("shop", "renamed", "{app: other}", ""),
            pod("shop", "left-out", "{debug: x}", ""),
            pod("shop", "on-the-node", "{app: n}", ", hostNetwork: true"),
            pod("bank", "elsewhere", "{app: b}", ""),
        ];
        testing::inventory(&pods.join("\n---\n")).0
    }

    #[test]
    fn a_pod_that_no_selector_matches_is_uncovered_also_if_it_is_excluded() {
        let text = "metadata: {name: default, namespace: shop}\nspec: {exclude: [{matchExpressions: [{key: debug, operator: Exists}]}]}";
        let segmentation: Segmentation = serde_yaml::from_str(text).expect("a Segmentation");
        let settings = SegmentationSettings::parse(&segmentation).expect("settings");
        let inventory = inventory();
        let web = policy("{matchLabels: {app: web}}");
        let found = uncovered(&inventory, [&web], "shop", Some(&settings));
        assert_eq!(found.pods, ["left-out", "renamed"]);
        assert_eq!(found.excluded, 1);
        let codes = found.findings(&inventory);
        let subjects: Vec<&str> = codes.iter().map(|one| one.subject.as_str()).collect();
        assert_eq!(subjects[0], "shop");
        assert!(subjects.contains(&"shop/renamed"), "{subjects:?}");
        // A default deny selects all.
        let deny = policy("{}");
        let none = uncovered(&inventory, [&web, &deny], "shop", Some(&settings));
        assert_eq!((none.pods.len(), none.sentence().as_str()), (0, ""));
        // A selector that nobody can read selects nobody.
        let odd = policy("{matchExpressions: [{key: app, operator: Near}]}");
        assert_eq!(uncovered(&inventory, [&odd], "shop", None).pods.len(), 3);
    }
}

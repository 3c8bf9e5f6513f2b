//! The policy of `spec.defaultDeny` (rule: default-deny-is-proposed): it selects all pods of a namespace that are not
//! excluded and allows nothing, so that a pod that no other policy selects is closed. It is reviewed as a workload's
//! policy is, under an identity of its own.

use super::digest::policy_digest;
use super::resources::{ChangeLine, FindingLine, Impact, WouldBlock};
use super::{SegmentationSettings, subset};
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use nanoseg_evaluate::{ConnectionChange, EvaluateError, Evaluation, HostNetwork, difference};
use nanoseg_finding::{Code, Finding};
use nanoseg_graph::{Edge, Graph, Peer, Requiring, ServiceEnforcements};
use nanoseg_inventory::{Inventory, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// The name of the policy. Those of workloads begin with `nanoseg-`, so it is nobody else's.
pub const DEFAULT_DENY: &str = "nanoseg.default-deny";
/// The kind of its identity.
const KIND: &str = "Namespace";
const NAME: &str = "default-deny";
/// The longest list in a proposal; the totals are listed as well.
const MOST_LINES: usize = 50;

/// The identity of the policy's review, in the place of a workload.
pub fn default_deny_of(namespace: &str) -> WorkloadId {
    WorkloadId {
        namespace: namespace.to_owned(),
        kind: KIND.to_owned(),
        name: NAME.to_owned(),
    }
}

/// Returns true if this is the identity of a namespace's default deny.
pub fn is_default_deny(id: &WorkloadId) -> bool {
    id.kind == KIND && id.name == NAME
}

/// Returns true if a workload has a name by which its review would be taken for that of the default deny. Anybody may
/// write such an owner on a pod; it gets no policy of its own.
pub fn is_reserved(id: &WorkloadId) -> bool {
    is_default_deny(id) || id.name == DEFAULT_DENY
}

/// The policy of a namespace.
///
/// # Errors
/// A selector of `spec.exclude` has more than one condition: a NetworkPolicy cannot leave its pods out.
pub fn default_deny_policy(settings: &SegmentationSettings) -> Result<NetworkPolicySpec, String> {
    let mut expressions: Vec<LabelSelectorRequirement> = Vec::new();
    for (index, selector) in settings.excluded().iter().enumerate() {
        let opposite = selector.negated().ok_or_else(|| {
            format!(
                "no default deny can leave out the pods of spec.exclude[{index}]: it has not exactly one condition; \
                 write it with one label"
            )
        })?;
        if !expressions.contains(&opposite) {
            expressions.push(opposite);
        }
    }
    Ok(NetworkPolicySpec {
        pod_selector: Some(LabelSelector {
            match_expressions: Some(expressions).filter(|all| !all.is_empty()),
            match_labels: None,
        }),
        policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
        ingress: None,
        egress: None,
    })
}

/// What the impact of a default deny depends on.
#[derive(Debug, Clone, Copy)]
pub struct DefaultDenyInputs<'a> {
    pub inventory: &'a Inventory,
    pub graph: &'a Graph,
    pub enforcement: &'a ServiceEnforcements,
    pub namespace: &'a str,
    /// The approved policy.
    pub base: Option<&'a NetworkPolicySpec>,
    /// The proposed policy.
    pub policy: &'a NetworkPolicySpec,
    /// All other policies in force.
    pub others: &'a [NetworkPolicy],
    /// The findings of the inventory and the graph.
    pub findings: &'a [Finding],
    /// The smallest estimated share of the edges of a workload of the namespace, 0–1; `None`: of some it is not known.
    pub coverage: Option<f64>,
    pub reason: &'a str,
}

/// Computes what the policy opens and closes, and which recorded flows it would block.
///
/// # Errors
/// Returns an error if the API server would refuse a policy, such as one that a person edited.
pub fn assess_default_deny(inputs: &DefaultDenyInputs<'_>) -> Result<Impact, EvaluateError> {
    let of_namespace = |policy: &&NetworkPolicy| {
        policy.metadata.namespace.as_deref().unwrap_or("default") == inputs.namespace
    };
    let others: Vec<NetworkPolicy> = inputs.others.iter().filter(of_namespace).cloned().collect();
    let with = |spec: Option<&NetworkPolicySpec>| -> Vec<NetworkPolicy> {
        let own = spec.map(|spec| as_policy(inputs.namespace, spec));
        own.into_iter().chain(others.iter().cloned()).collect()
    };
    let (before, after) = (with(inputs.base), with(Some(inputs.policy)));
    let changes = difference(inputs.inventory, &before, &after, HostNetwork::Exact)?;
    let blocked = blocked(inputs, &before, &after)?;
    let mut findings = findings(inputs, &blocked);
    findings.sort();
    findings.dedup();
    let worst = findings.iter().map(|line| line.severity.as_str());
    let risk = match worst.min() {
        Some("error") => "high",
        _ if !blocked.is_empty() => "high",
        _ => "medium",
    };
    findings.truncate(MOST_LINES);
    let (gained, gained_total) = lines(changes.opened);
    let (lost, lost_total) = lines(changes.closed);
    let would_block_total = number(blocked.len());
    Ok(Impact {
        revision: policy_digest(inputs.policy).to_string(),
        reason: inputs.reason.to_owned(),
        risk: risk.to_owned(),
        gained,
        gained_total,
        lost,
        lost_total,
        findings,
        would_block: blocked.into_iter().take(MOST_LINES).collect(),
        would_block_total,
        // Rounded down, so that the coverage is never overstated.
        coverage: inputs
            .coverage
            .map(|share| (share.clamp(0.0, 1.0) * 100.0) as u8),
        ..Impact::default()
    })
}

fn as_policy(namespace: &str, spec: &NetworkPolicySpec) -> NetworkPolicy {
    NetworkPolicy {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            name: Some(DEFAULT_DENY.to_owned()),
            ..ObjectMeta::default()
        },
        spec: Some(spec.clone()),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn lines(changes: Vec<ConnectionChange>) -> (Vec<ChangeLine>, u32) {
    let total = number(changes.len());
    let line = |found: ConnectionChange| ChangeLine {
        client: found.client.to_string(),
        server: found.server.to_string(),
        ports: found.connections.to_string(),
    };
    (
        changes.into_iter().take(MOST_LINES).map(line).collect(),
        total,
    )
}

/// The edges of `O` with an end in the namespace that are allowed before and not after.
fn blocked(
    inputs: &DefaultDenyInputs<'_>,
    before: &[NetworkPolicy],
    after: &[NetworkPolicy],
) -> Result<Vec<WouldBlock>, EvaluateError> {
    let mut edges: BTreeMap<(&Peer, &Peer, u16, String), &Edge> = BTreeMap::new();
    let mut workloads: BTreeSet<&WorkloadId> = BTreeSet::new();
    for workload in inputs.inventory.workloads_of(inputs.namespace) {
        workloads.insert(&workload.id);
        let own = Peer::Workload(workload.id.clone());
        for (client, server, edge) in inputs.graph.edges_of(&own) {
            if edge.lesson.teaches() {
                workloads.extend(client.workload());
                workloads.extend(server.workload());
                edges.insert((client, server, edge.port, edge.protocol.to_string()), edge);
            }
        }
    }
    let small = subset::of_workloads(inputs.inventory, &workloads);
    let evaluation = |policies| Evaluation::new(&small, policies, HostNetwork::Exact);
    let (before, after) = (evaluation(before)?, evaluation(after)?);
    let requiring = Requiring {
        graph: inputs.graph,
        inventory: inputs.inventory,
        enforcement: inputs.enforcement,
    };
    let mut blocked = Vec::new();
    for ((client, server, _, _), edge) in edges {
        let needed = requiring.of(client, server, edge, Requiring::NOT_TAUGHT);
        let is_blocked = |of: &Evaluation| needed.iter().any(|one| !of.blocked(one).is_empty());
        if is_blocked(&after) && !is_blocked(&before) {
            let count = |verdict: &u64| *verdict;
            blocked.push(WouldBlock {
                client: client.to_string(),
                server: server.to_string(),
                port: format!("{}/{}", edge.port, edge.protocol),
                connections: edge.verdicts.values().map(count).sum(),
                last_seen: edge.last.map(|at| at.to_string()).unwrap_or_default(),
            });
        }
    }
    Ok(blocked)
}

fn findings(inputs: &DefaultDenyInputs<'_>, blocked: &[WouldBlock]) -> Vec<FindingLine> {
    let line = |finding: &Finding| FindingLine {
        severity: finding.severity.to_string(),
        code: finding.code.name().to_owned(),
        subject: finding.subject.clone(),
        message: finding.message.clone(),
        shared: false,
    };
    let prefix = format!("{}/", inputs.namespace);
    let concerns = |finding: &&Finding| {
        finding.code == Code::UncoveredPods && finding.subject == inputs.namespace
            || finding.code == Code::MalformedObject && finding.subject.contains(&prefix)
    };
    let mut lines: Vec<FindingLine> = inputs.findings.iter().filter(concerns).map(line).collect();
    lines.extend(blocked.iter().take(MOST_LINES).map(|one| {
        let subject = format!("{} → {} {}", one.client, one.server, one.port);
        let message = "was used by recorded flows, and would be blocked";
        line(&Finding::new(Code::WouldBlock, subject, message))
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Segmentation;
    use crate::testing::{cluster, graph, of};
    use nanoseg_flow::Verdict::Established;

    fn settings(exclude: &str) -> SegmentationSettings {
        let text = format!(
            "metadata: {{name: default, namespace: shop}}\nspec: {{defaultDeny: true, exclude: {exclude}}}"
        );
        let segmentation: Segmentation = serde_yaml::from_str(&text).expect("a Segmentation");
        SegmentationSettings::parse(&segmentation).expect("settings")
    }

    #[test]
    fn it_leaves_out_what_is_excluded_and_is_refused_where_no_policy_can() {
        let spec = default_deny_policy(&settings("[]")).expect("a policy");
        assert_eq!(spec.pod_selector, Some(LabelSelector::default()));
        assert_eq!((spec.ingress, spec.egress), (None, None));
        let exclude =
            "[{matchLabels: {app: legacy}}, {matchExpressions: [{key: debug, operator: Exists}]}]";
        let spec = default_deny_policy(&settings(exclude)).expect("a policy");
        let selector = spec.pod_selector.expect("a selector");
        let text = serde_json::to_string(&selector).expect("JSON");
        assert_eq!(
            text,
            r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["legacy"]},{"key":"debug","operator":"DoesNotExist"}]}"#
        );
        for both in ["[{matchLabels: {app: a, tier: b}}]", "[{}]"] {
            let refused = default_deny_policy(&settings(both)).expect_err("it is refused");
            assert!(refused.contains("spec.exclude[0]"), "{refused}");
        }
    }

    #[test]
    fn it_shows_what_it_closes_and_what_it_would_block() {
        let inventory = cluster();
        let graph = graph(&[("shop/web shop/api 8080", &[(Established, 7)], -600, -60)]);
        let policy = default_deny_policy(&settings("[]")).expect("a policy");
        let assess = |others: &[NetworkPolicy]| {
            assess_default_deny(&DefaultDenyInputs {
                inventory: &inventory,
                graph: &graph,
                enforcement: &ServiceEnforcements::default(),
                namespace: "shop",
                base: None,
                policy: &policy,
                others,
                findings: &[],
                coverage: Some(0.999),
                reason: "asked for",
            })
            .expect("it is judged")
        };
        let alone = assess(&[]);
        assert_eq!(alone.would_block_total, 1);
        assert_eq!(alone.would_block[0].server, "shop/api");
        assert_eq!((alone.risk.as_str(), alone.coverage), ("high", Some(99)));
        let rule = |end: &str, app: &str| {
            format!("{end}: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}]")
        };
        let egress = rule("to", "api");
        let ingress = rule("from", "web");
        let others = [
            of("shop/web", &format!("egress: [{{{egress}}}]")),
            of("shop/api", &format!("ingress: [{{{ingress}}}]")),
        ];
        let with = assess(&others);
        assert_eq!(with.would_block_total, 0, "{:?}", with.would_block);
        assert!(
            with.lost.iter().any(|one| one.server == "shop/db"),
            "{:?}",
            with.lost
        );
        // What is isolated already loses nothing.
        let into_api = with.lost.iter().find(|one| one.server == "shop/api");
        assert_eq!(into_api.filter(|one| one.client == "ops/probe"), None);
        assert_eq!(with.gained_total, 0);
    }

    #[test]
    fn nobody_else_has_its_identity() {
        assert!(is_default_deny(&default_deny_of("shop")));
        let forged = WorkloadId {
            namespace: "shop".into(),
            kind: "Deployment".into(),
            name: DEFAULT_DENY.into(),
        };
        assert!(is_reserved(&forged) && !is_default_deny(&forged));
        assert!(is_reserved(&default_deny_of("shop")));
    }
}

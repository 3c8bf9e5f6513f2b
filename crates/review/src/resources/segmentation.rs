//! `Segmentation`: the settings of an operator for one namespace.

use super::{SharedFindingLine, WaitingWorkload};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube_derive::CustomResource;
use nanoseg_graph::EnforcedPorts;
use nanoseg_record::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one namespace is segmented. There is one per namespace, named `default`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    crates(kube = "::kube_derive", kube_core = "::kube_core"),
    attr = "x_kube(crates(kube_core = \"::kube_core\"))",
    group = "nanoseg.dev",
    version = "v1alpha1",
    kind = "Segmentation",
    plural = "segmentations",
    shortname = "seg",
    category = "nanoseg",
    namespaced,
    status = "SegmentationStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name == 'default'").message("there is one Segmentation per namespace; name it default"),
    printcolumn = r#"{"name":"Mode","type":"string","jsonPath":".spec.mode"}"#,
    printcolumn = r#"{"name":"Workloads","type":"integer","jsonPath":".status.counts.workloads"}"#,
    printcolumn = r#"{"name":"Enforced","type":"integer","jsonPath":".status.counts.enforced"}"#,
    printcolumn = r#"{"name":"Open","type":"integer","jsonPath":".status.counts.openProposals"}"#,
    printcolumn = r#"{"name":"Uncovered","type":"integer","jsonPath":".status.counts.uncovered"}"#,
    printcolumn = r#"{"name":"Coverage","type":"string","jsonPath":".status.coverage"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct SegmentationSpec {
    /// Observe only observes. Propose makes proposals, which can be decided; no policy is written. Enforce writes
    /// approved policies and repairs changes to them.
    #[serde(default)]
    pub mode: Mode,
    /// Pods that match any of these selectors get no policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<LabelSelector>,
    #[serde(default)]
    pub learning: LearningCriteria,
    #[serde(default)]
    pub approval: Approval,
    /// Propose one more policy, nanoseg.default-deny: it selects all pods of the namespace that no selector of exclude
    /// matches, and allows nothing, so that a pod that no other policy selects is closed. It is proposed once it would
    /// block nothing that was observed, and decided as any proposal.
    #[serde(default)]
    pub default_deny: bool,
    /// The most outside addresses per rule before they are summarised to CIDRs.
    #[serde(default = "default_max_addresses")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_outside_addresses: u32,
    /// What happens to the policies when this object or a workload is deleted.
    #[serde(default)]
    pub on_delete: OnDelete,
    /// Where the network plugin checks connections through a Service. Not set: as the controller's option
    /// --service-enforcement says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_enforcement: Option<ServiceEnforcementMode>,
    /// The images that may run, in addition to those in the controller's options. A proposal for a workload that runs
    /// other images is never approved automatically.
    #[serde(default, skip_serializing_if = "ApprovedImages::is_empty")]
    pub images: ApprovedImages,
    /// The user who last changed this spec, as the API server authenticates them (kubectl auth whoami). The record
    /// names them. An admission policy of nanoseg refuses another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub changed_by: Option<String>,
}

/// Approved images. Without any entry images are not checked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedImages {
    /// Registries, as `ghcr.io`, or with a path, as `ghcr.io/team`; `docker.io` for images without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 512)))]
    pub approved_registries: Vec<String>,
    /// Images, as `ghcr.io/team/app`; with a tag or digest if only that one is approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 512)))]
    pub approved_images: Vec<String>,
}

impl ApprovedImages {
    fn is_empty(&self) -> bool {
        self.approved_registries.is_empty() && self.approved_images.is_empty()
    }
}

fn default_max_addresses() -> u32 {
    16
}

impl Default for SegmentationSpec {
    fn default() -> Self {
        SegmentationSpec {
            mode: Mode::default(),
            exclude: Vec::new(),
            learning: LearningCriteria::default(),
            approval: Approval::default(),
            default_deny: false,
            max_outside_addresses: default_max_addresses(),
            on_delete: OnDelete::default(),
            service_enforcement: None,
            images: ApprovedImages::default(),
            changed_by: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum OnDelete {
    /// The policies stay in the cluster, and nanoseg no longer manages them.
    #[default]
    Retain,
    /// The policies that nanoseg wrote are deleted.
    Remove,
}

/// Where the network plugin checks connections through a Service; if not set, as --service-enforcement of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceEnforcementMode {
    /// On the pod's port: most network plugins.
    AfterTranslation,
    /// On the Service's port as well: policies name both ports.
    BeforeTranslation,
}

impl From<ServiceEnforcementMode> for EnforcedPorts {
    fn from(mode: ServiceEnforcementMode) -> Self {
        match mode {
            ServiceEnforcementMode::AfterTranslation => EnforcedPorts::Pod,
            ServiceEnforcementMode::BeforeTranslation => EnforcedPorts::Either,
        }
    }
}

/// When a workload has been observed for long enough for a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearningCriteria {
    /// The minimum duration of the observation of a namespace, as `90s`, `15m`, `24h` or `7d`.
    #[serde(default = "default_duration")]
    #[schemars(regex(pattern = r"^[0-9]+(s|m|h|d)$"))]
    pub minimum_duration: String,
    /// The minimum estimated share of a workload's edges that were observed, in percent (Good–Turing, Chao2).
    #[serde(default = "default_coverage")]
    #[schemars(range(min = 0, max = 100))]
    pub minimum_coverage: u8,
}

fn default_duration() -> String {
    "24h".into()
}

fn default_coverage() -> u8 {
    95
}

impl Default for LearningCriteria {
    fn default() -> Self {
        LearningCriteria {
            minimum_duration: default_duration(),
            minimum_coverage: default_coverage(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    #[serde(default)]
    pub mode: ApprovalMode,
    /// What automatic approval may approve. Everything else needs a person.
    #[serde(default)]
    pub automatic: AutomaticRules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalMode {
    #[default]
    Manual,
    Automatic,
}

/// The limits of automatic approval. A proposal with a finding of severity error, or one whose reason is blocked
/// traffic, is never approved automatically. The controller's options --automatic-… and an admission policy of nanoseg
/// set ceilings for all namespaces: what is beyond them counts as the ceiling, and the condition WithinCeilings says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AutomaticRules {
    /// May open connections to addresses outside the cluster.
    #[serde(default)]
    pub allow_internet_egress: bool,
    /// May open connections with other namespaces.
    #[serde(default)]
    pub allow_cross_namespace: bool,
    /// May close connections that recorded flows used.
    #[serde(default)]
    pub allow_would_block: bool,
    /// May approve the policy of defaultDeny.
    #[serde(default)]
    pub allow_default_deny: bool,
    /// The most connections that a proposal may open.
    #[serde(default = "default_max_gained")]
    pub max_gained: u32,
}

fn default_max_gained() -> u32 {
    100
}

// Not derived: an absent field must have the same default, whichever level is absent.
impl Default for AutomaticRules {
    fn default() -> Self {
        AutomaticRules {
            allow_internet_egress: false,
            allow_cross_namespace: false,
            allow_would_block: false,
            allow_default_deny: false,
            max_gained: default_max_gained(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SegmentationStatus {
    /// Of types Ready, Learning, Enforcing, Drifted, Degraded, Observed, Covered, WellFormed,
    /// WithinCeilings, Adopted, Judged and Trusted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The start of the observation of the namespace for this Segmentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observing_since: Option<Time>,
    #[serde(default)]
    pub counts: SegmentationCounts,
    /// The estimated share of its workloads' edges that were observed, as `97 % (16 of 17 workloads)`: the
    /// mean of those with enough traffic for an estimate. Empty if there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub coverage: String,
    /// The workloads without a proposal, the first 50, with what was seen of each and what it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingWorkload>,
    /// Warnings that nearly all workloads of the cluster have: they raise the risk of no proposal. The same in all
    /// Segmentations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_findings: Vec<SharedFindingLine>,
    /// Nodes with pods of the namespace whose agent is not connected, the first 50: workloads with pods there are not
    /// isolated by new proposals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes_without_agent: Vec<String>,
    /// Pods that no policy selects while the namespace is enforced, the first 50: everything may reach them, and they may
    /// reach everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered_pods: Vec<String>,
    /// What is open for a time only, the first 50, the one that ends first before the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub temporary_openings: Vec<OpeningStatus>,
    /// The network plugin for which policies are judged, with what told of it. The same in all Segmentations.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network_plugin: String,
    /// When an edge, a proposal or a policy last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Time>,
}

/// A temporary opening.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpeningStatus {
    /// `Kind/name`.
    pub workload: String,
    /// The proposal that was approved for a time.
    pub proposal: String,
    /// The person who approved it.
    pub by: String,
    /// When it is closed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// What is closed then, the first 10.
    pub connections: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SegmentationCounts {
    /// Workloads that can have a policy.
    #[serde(default)]
    pub workloads: u32,
    /// Workloads with enough traffic for an estimate of how much of it is still unseen.
    #[serde(default)]
    pub learned: u32,
    /// Workloads whose approved policy is in the cluster.
    #[serde(default)]
    pub enforced: u32,
    /// Proposals that need a decision.
    #[serde(default)]
    pub open_proposals: u32,
    /// Learned edges with a workload of the namespace at either end.
    #[serde(default)]
    pub edges: u32,
    /// Kinds of connections (workload, direction, kind of peer, port) that the approved policies did not allow.
    #[serde(default)]
    pub violations: u32,
    /// Denied connections that are not judged yet: an address may belong to a pod that has just started or ended.
    #[serde(default)]
    pub pending_violations: u32,
    /// Pods that no policy selects while the namespace is enforced.
    #[serde(default)]
    pub uncovered: u32,
}

//! Findings about what was read: policies and objects, and captures.

use crate::finding::{Code, Finding};
use crate::inventory::{
    Inventory, Objects, PodBlocks, UnlistedKind, judged_policy_findings, other_policy_findings,
    pod_blocks,
};
use crate::observe::CaptureSummary;
use k8s_openapi::api::networking::v1::NetworkPolicy;

/// What the proof does not include of the policies in force, and what is odd about objects.
pub fn of_objects(
    objects: &Objects,
    policies: &[NetworkPolicy],
    inventory: &Inventory,
) -> Vec<Finding> {
    let mut findings = other_policy_findings(&objects.not_judged);
    findings.extend(judged_policy_findings(&inventory.other_kinds.policies));
    findings.extend(objects.unlisted.iter().map(UnlistedKind::finding));
    let blocks = pod_blocks(policies, inventory);
    findings.extend(blocks.iter().map(PodBlocks::finding));
    findings.extend(objects.remarks.iter().map(|remark| {
        let message = format!("in {}: {}", remark.file, remark.problem);
        Finding::new(Code::PartlyReadObject, &remark.object, message)
    }));
    findings
}

/// Which captures could not be decoded, and why.
pub fn undecodable(summary: &CaptureSummary) -> String {
    let of_captures = summary.findings().into_iter();
    let each: Vec<String> = of_captures
        .filter(|finding| finding.code == Code::UndecodableCapture)
        .map(|finding| format!("{}: {}", finding.subject, finding.message))
        .collect();
    each.join("; ")
}

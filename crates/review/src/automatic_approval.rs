//! The rules of automatic approval. A rule can only refuse: a proposal that is not known to be harmless waits for a
//! person.

use super::SegmentationSettings;
use super::resources::{ApprovalMode, Impact};
use super::segmentation_settings::share;
use nanoseg_finding::{Code, Severity};
use nanoseg_risk::UNAPPROVED;

/// Whoever may write pods or Services in a namespace may have made these, to get what is others'.
const FORGED: [Code; 3] = [
    Code::SelectedByForeignPods,
    Code::FalseOwner,
    Code::ForeignEndpoint,
];

/// Checks a proposal against the Segmentation's rules of automatic approval.
///
/// # Errors
/// Returns the first rule that refuses it, as text for the proposal's status.
pub fn may_approve(
    segment: &SegmentationSettings,
    impact: &Impact,
    asked_by_blocked: bool,
) -> Result<(), String> {
    let rules = &segment.approval.automatic;
    let has = |code: Code| impact.findings.iter().any(|line| line.code == code.name());
    if segment.approval.mode != ApprovalMode::Automatic {
        return Err("the Segmentation wants a person to decide".into());
    }
    if asked_by_blocked || has(Code::BlockedTraffic) {
        return Err("blocked traffic asked for it".into());
    }
    if has(Code::FqdnDrift) {
        return Err("it follows a name to new addresses: who owns the name decides these".into());
    }
    if has(Code::ClosedOnPurpose) {
        return Err("it opens what was closed on purpose".into());
    }
    if has(Code::SeenUnguarded) {
        return Err("nothing guarded an end of a connection when it was first seen".into());
    }
    if has(Code::RefusedBefore) {
        return Err("it opens what a person refused before".into());
    }
    if let Some(code) = UNAPPROVED.into_iter().find(|code| has(*code)) {
        return Err(format!(
            "it is for a workload whose images are not approved: {code}"
        ));
    }
    if has(Code::OneSided) {
        return Err("only one of two observed ends tells of a connection that it opens".into());
    }
    let error = Severity::Error.to_string();
    if let Some(line) = impact.findings.iter().find(|line| line.severity == error) {
        return Err(format!("there is an error: {}", line.code));
    }
    if let Some(code) = FORGED.into_iter().find(|code| has(*code)) {
        return Err(format!("pods may want to be taken for others: {code}"));
    }
    if has(Code::PublicEntry) {
        return Err("who may call the public entry is a decision".into());
    }
    // Both are outside of the cluster, and the metadata service returns credentials.
    if !rules.allow_internet_egress && (has(Code::InternetEgress) || has(Code::MetadataService)) {
        return Err("it has to do with addresses outside of the cluster".into());
    }
    if !rules.allow_cross_namespace && has(Code::CrossNamespace) {
        return Err("it opens connections with other namespaces".into());
    }
    let would_block = impact.would_block_total > 0 || has(Code::WouldBlock);
    if !rules.allow_would_block && would_block {
        return Err(format!(
            "it would block {} connections that recorded flows used",
            impact.would_block_total
        ));
    }
    if impact.gained_total > rules.max_gained {
        return Err(format!(
            "it opens {} connections, more than {}",
            impact.gained_total, rules.max_gained
        ));
    }
    match impact.coverage {
        None => Err("it is not known how much of the traffic was seen".into()),
        Some(percent) if share(percent) < segment.minimum_coverage => Err(format!(
            "about {percent} % of the traffic was seen, less than {:.0} %",
            segment.minimum_coverage * 100.0
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{FindingLine, Segmentation};

    fn segment(automatic: &str) -> SegmentationSettings {
        let text = format!(
            "metadata: {{name: default, namespace: shop}}\n\
             spec: {{mode: Enforce, approval: {{mode: Automatic, automatic: {automatic}}}}}"
        );
        let segmentation: Segmentation = serde_yaml::from_str(&text).expect("a Segmentation");
        SegmentationSettings::parse(&segmentation).expect("a segment")
    }

    fn impact(codes: &[Code]) -> Impact {
        let line = |code: &Code| FindingLine {
            severity: code.severity().to_string(),
            code: code.name().into(),
            ..FindingLine::default()
        };
        Impact {
            gained_total: 3,
            coverage: Some(95),
            findings: codes.iter().map(line).collect(),
            ..Impact::default()
        }
    }

    #[test]
    fn a_harmless_proposal_with_enough_coverage_is_approved() {
        assert_eq!(may_approve(&segment("{}"), &impact(&[]), false), Ok(()));
        let notes = impact(&[Code::FirstSeenToday, Code::InferredDirection]);
        assert_eq!(may_approve(&segment("{}"), &notes, false), Ok(()));
    }

    #[test]
    fn pods_and_services_that_may_be_forged_are_never_approved() {
        let all = segment(
            "{allowInternetEgress: true, allowCrossNamespace: true, allowWouldBlock: true}",
        );
        for code in FORGED {
            let refused = may_approve(&all, &impact(&[code]), false);
            assert!(
                refused.is_err_and(|why| why.contains(code.name())),
                "{code}"
            );
        }
    }

    #[test]
    fn each_rule_refuses_its_case_and_can_be_switched_off_if_it_has_a_switch() {
        let mut blocking = impact(&[]);
        blocking.would_block_total = 1;
        let mut many = impact(&[]);
        many.gained_total = 101;
        let cases = [
            (
                impact(&[Code::InternetEgress]),
                "{allowInternetEgress: true}",
            ),
            (
                impact(&[Code::MetadataService]),
                "{allowInternetEgress: true}",
            ),
            (
                impact(&[Code::CrossNamespace]),
                "{allowCrossNamespace: true}",
            ),
            (impact(&[Code::WouldBlock]), "{allowWouldBlock: true}"),
            (blocking, "{allowWouldBlock: true}"),
            (many, "{maxGained: 101}"),
        ];
        for (impact, switch) in cases {
            assert!(
                may_approve(&segment("{}"), &impact, false).is_err(),
                "{switch}"
            );
            let allowed = may_approve(&segment(switch), &impact, false);
            assert_eq!(allowed, Ok(()), "{switch}");
        }
    }

    #[test]
    fn errors_blocked_traffic_and_unknown_coverage_are_never_approved() {
        let all = "{allowInternetEgress: true, allowCrossNamespace: true, allowWouldBlock: true, maxGained: 1000}";
        let segment = segment(all);
        let check = |impact: &Impact, blocked| may_approve(&segment, impact, blocked);
        assert!(check(&impact(&[Code::PortScan]), false).is_err());
        assert!(check(&impact(&[Code::PublicEntry]), false).is_err());
        assert!(check(&impact(&[Code::OneSided]), false).is_err());
        assert!(check(&impact(&[Code::BlockedTraffic]), false).is_err());
        assert!(check(&impact(&[Code::ClosedOnPurpose]), false).is_err());
        assert!(check(&impact(&[Code::SeenUnguarded]), false).is_err());
        assert!(check(&impact(&[Code::RefusedBefore]), false).is_err());
        assert!(check(&impact(&[]), true).is_err());
        let coverage = |percent| Impact {
            coverage: percent,
            ..impact(&[])
        };
        assert!(check(&coverage(None), false).is_err());
        assert!(check(&coverage(Some(94)), false).is_err());
        assert_eq!(check(&coverage(Some(95)), false), Ok(()));
    }

    #[test]
    fn a_name_that_moved_is_a_person_s_decision() {
        let all = segment("{allowInternetEgress: true, allowCrossNamespace: true}");
        let refused = may_approve(&all, &impact(&[Code::FqdnDrift]), false);
        assert!(refused.is_err_and(|why| why.contains("new addresses")));
    }

    #[test]
    fn unapproved_images_always_need_a_person() {
        let all = "{allowInternetEgress: true, allowCrossNamespace: true, allowWouldBlock: true, maxGained: 1000}";
        for code in UNAPPROVED {
            let refusal = may_approve(&segment(all), &impact(&[code]), false);
            let why = refusal.expect_err("a person must decide");
            assert!(why.contains(code.name()), "{why}");
        }
    }

    #[test]
    fn without_automatic_mode_nothing_is_approved() {
        let mut segment = segment("{}");
        segment.approval.mode = ApprovalMode::Manual;
        assert!(may_approve(&segment, &impact(&[]), false).is_err());
    }
}

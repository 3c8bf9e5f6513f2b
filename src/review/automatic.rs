//! What may be approved without a person. Everything here can only say no: whatever is not known to be
//! harmless waits for somebody.

use super::Segment;
use super::resources::{ApprovalMode, Material};
use super::segment::share;
use crate::finding::{Code, Severity};
use crate::risk::UNAPPROVED;

/// Whether the Segmentation's rules approve a proposal.
///
/// # Errors
/// The first rule that is against it, in words that go into the proposal's status.
pub fn may_approve(
    segment: &Segment,
    material: &Material,
    asked_by_blocked: bool,
) -> Result<(), String> {
    let rules = &segment.approval.automatic;
    let has = |code: Code| {
        material
            .findings
            .iter()
            .any(|line| line.code == code.name())
    };
    if segment.approval.mode != ApprovalMode::Automatic {
        return Err("the Segmentation wants a person to decide".into());
    }
    if asked_by_blocked || has(Code::BlockedTraffic) {
        return Err("blocked traffic asked for it".into());
    }
    if let Some(code) = UNAPPROVED.into_iter().find(|code| has(*code)) {
        return Err(format!(
            "it is for a workload whose images are not approved: {code}"
        ));
    }
    let error = Severity::Error.to_string();
    if let Some(line) = material.findings.iter().find(|line| line.severity == error) {
        return Err(format!("there is an error: {}", line.code));
    }
    // Both are outside of the cluster, and the metadata service hands out credentials.
    if !rules.allow_internet_egress && (has(Code::InternetEgress) || has(Code::MetadataService)) {
        return Err("it has to do with addresses outside of the cluster".into());
    }
    if !rules.allow_cross_namespace && has(Code::CrossNamespace) {
        return Err("it opens connections with other namespaces".into());
    }
    let would_block = material.would_block_total > 0 || has(Code::WouldBlock);
    if !rules.allow_would_block && would_block {
        return Err(format!(
            "it would block {} connections that recorded flows used",
            material.would_block_total
        ));
    }
    if material.gained_total > rules.max_gained {
        return Err(format!(
            "it opens {} connections, more than {}",
            material.gained_total, rules.max_gained
        ));
    }
    match material.coverage {
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
    use crate::review::resources::{FindingLine, Segmentation};

    fn segment(automatic: &str) -> Segment {
        let text = format!(
            "metadata: {{name: default, namespace: shop}}\n\
             spec: {{mode: Enforce, approval: {{mode: Automatic, automatic: {automatic}}}}}"
        );
        let segmentation: Segmentation = serde_yaml::from_str(&text).expect("a Segmentation");
        Segment::parse(&segmentation).expect("a segment")
    }

    fn material(codes: &[Code]) -> Material {
        let line = |code: &Code| FindingLine {
            severity: code.severity().to_string(),
            code: code.name().into(),
            ..FindingLine::default()
        };
        Material {
            gained_total: 3,
            coverage: Some(95),
            findings: codes.iter().map(line).collect(),
            ..Material::default()
        }
    }

    #[test]
    fn what_is_harmless_and_well_known_is_approved() {
        assert_eq!(may_approve(&segment("{}"), &material(&[]), false), Ok(()));
        let notes = material(&[Code::FirstSeenToday, Code::InferredDirection]);
        assert_eq!(may_approve(&segment("{}"), &notes, false), Ok(()));
    }

    #[test]
    fn each_rule_is_against_what_it_names_and_can_be_switched_off_where_it_has_a_switch() {
        let mut blocking = material(&[]);
        blocking.would_block_total = 1;
        let mut many = material(&[]);
        many.gained_total = 101;
        let cases = [
            (
                material(&[Code::InternetEgress]),
                "{allowInternetEgress: true}",
            ),
            (
                material(&[Code::MetadataService]),
                "{allowInternetEgress: true}",
            ),
            (
                material(&[Code::CrossNamespace]),
                "{allowCrossNamespace: true}",
            ),
            (material(&[Code::WouldBlock]), "{allowWouldBlock: true}"),
            (blocking, "{allowWouldBlock: true}"),
            (many, "{maxGained: 101}"),
        ];
        for (material, switch) in cases {
            assert!(
                may_approve(&segment("{}"), &material, false).is_err(),
                "{switch}"
            );
            let allowed = may_approve(&segment(switch), &material, false);
            assert_eq!(allowed, Ok(()), "{switch}");
        }
    }

    #[test]
    fn errors_blocked_traffic_and_unknown_coverage_are_never_approved() {
        let all = "{allowInternetEgress: true, allowCrossNamespace: true, allowWouldBlock: true, maxGained: 1000}";
        let segment = segment(all);
        let says = |material: &Material, blocked| may_approve(&segment, material, blocked);
        assert!(says(&material(&[Code::PortScan]), false).is_err());
        assert!(says(&material(&[Code::BlockedTraffic]), false).is_err());
        assert!(says(&material(&[]), true).is_err());
        let coverage = |percent| Material {
            coverage: percent,
            ..material(&[])
        };
        assert!(says(&coverage(None), false).is_err());
        assert!(says(&coverage(Some(94)), false).is_err());
        assert_eq!(says(&coverage(Some(95)), false), Ok(()));
    }

    #[test]
    fn images_that_nobody_approved_wait_for_a_person_whatever_else_is_allowed() {
        let all = "{allowInternetEgress: true, allowCrossNamespace: true, allowWouldBlock: true, maxGained: 1000}";
        for code in UNAPPROVED {
            let said = may_approve(&segment(all), &material(&[code]), false);
            let why = said.expect_err("a person must look");
            assert!(why.contains(code.name()), "{why}");
        }
    }

    #[test]
    fn without_automatic_mode_nothing_is_approved() {
        let mut segment = segment("{}");
        segment.approval.mode = ApprovalMode::Manual;
        assert!(may_approve(&segment, &material(&[]), false).is_err());
    }
}

//! The validated settings of a [`Segmentation`], for the controller, the CLI and the checks before something is
//! written.

use super::ceilings::BeyondCeiling;
use super::resources::{Approval, Mode, OnDelete, Segmentation};
use super::selector::Selector;
use nanoseg_graph::{EnforcedPorts, ServiceEnforcements};
use nanoseg_policy::SynthesisOptions;
use nanoseg_risk::Approved;
use std::collections::BTreeMap;

/// How one namespace is segmented. Every field is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentationSettings {
    pub namespace: String,
    pub mode: Mode,
    /// The minimum duration of the observation of the namespace, in seconds.
    pub minimum_duration: i64,
    /// The minimum estimated share of a workload's edges that were observed, 0–1.
    pub minimum_coverage: f64,
    pub approval: Approval,
    /// One more policy selects all pods and allows nothing.
    pub default_deny: bool,
    /// What the Segmentation asks for beyond the ceilings of automatic approval; the settings are within them.
    pub beyond_ceilings: Vec<BeyondCeiling>,
    pub synthesis: SynthesisOptions,
    pub on_delete: OnDelete,
    /// Where the network plugin checks connections through Services; `None`: as in namespaces that are not
    /// segmented.
    pub service_enforcement: Option<EnforcedPorts>,
    /// Images that may run, in addition to those that are approved in every namespace.
    pub approved: Approved,
    exclude: Vec<Selector>,
}

/// An invalid Segmentation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read Segmentation {object}: {field}: {problem}; {remedy}")]
pub struct SegmentationError {
    /// `namespace/name`.
    pub object: String,
    /// The path of the invalid field, such as `spec.exclude[0].matchExpressions[1].operator`.
    pub field: String,
    pub problem: String,
    /// What the operator can do.
    pub remedy: String,
}

impl SegmentationSettings {
    /// Validates a Segmentation. The schema of the resource refuses most of what is refused here; these checks are
    /// for objects that were created before the schema or without it.
    ///
    /// # Errors
    /// Returns the first invalid field, with a remedy.
    pub fn parse(segmentation: &Segmentation) -> Result<SegmentationSettings, SegmentationError> {
        let metadata = &segmentation.metadata;
        let namespace = metadata.namespace.clone().unwrap_or_default();
        let name = metadata.name.clone().unwrap_or_default();
        let bad = |field: String, problem: String, remedy: &str| SegmentationError {
            object: format!("{namespace}/{name}"),
            field,
            problem,
            remedy: remedy.into(),
        };
        if namespace.is_empty() {
            let field = "metadata.namespace".into();
            return Err(bad(field, "is missing".into(), "create it in a namespace"));
        }
        let spec = &segmentation.spec;
        let mut exclude = Vec::with_capacity(spec.exclude.len());
        for (index, selector) in spec.exclude.iter().enumerate() {
            let selector = Selector::parse(selector).map_err(|wrong| {
                let field = format!("spec.exclude[{index}].{}", wrong.field);
                bad(
                    field,
                    wrong.problem,
                    "see kubectl explain segmentation.spec.exclude",
                )
            })?;
            exclude.push(selector);
        }
        let text = &spec.learning.minimum_duration;
        let minimum_duration = parse_duration(text).ok_or_else(|| {
            let field = "spec.learning.minimumDuration".into();
            let problem = format!("{text:?} is not a duration");
            bad(field, problem, "write it as 90s, 15m, 24h or 7d")
        })?;
        let percent = spec.learning.minimum_coverage;
        if percent > 100 {
            let field = "spec.learning.minimumCoverage".into();
            return Err(bad(
                field,
                format!("{percent} is more than 100"),
                "write a percentage",
            ));
        }
        let max_addresses = spec.max_outside_addresses;
        if max_addresses == 0 {
            let field = "spec.maxOutsideAddresses".into();
            return Err(bad(field, "is 0".into(), "write at least 1"));
        }
        Ok(SegmentationSettings {
            mode: spec.mode,
            minimum_duration,
            minimum_coverage: share(percent),
            approval: spec.approval.clone(),
            default_deny: spec.default_deny,
            beyond_ceilings: Vec::new(),
            synthesis: SynthesisOptions {
                max_addresses: max_addresses as usize,
                ..SynthesisOptions::default()
            },
            on_delete: spec.on_delete,
            service_enforcement: spec.service_enforcement.map(Into::into),
            approved: Approved {
                registries: spec.images.approved_registries.clone(),
                images: spec.images.approved_images.clone(),
            },
            exclude,
            namespace,
        })
    }

    /// The selectors of pods that get no policy.
    pub(super) fn excluded(&self) -> &[Selector] {
        &self.exclude
    }

    /// Returns true if pods with these labels get no policy.
    pub fn excludes(&self, labels: &BTreeMap<String, String>) -> bool {
        self.exclude.iter().any(|selector| selector.matches(labels))
    }
}

/// Returns the service enforcement of the namespaces of `segments`, with `default` where a namespace sets none; `None`: as
/// the network plugin does.
pub fn service_enforcements<'a>(
    default: Option<EnforcedPorts>,
    segments: impl IntoIterator<Item = &'a SegmentationSettings>,
) -> ServiceEnforcements {
    let set = segments.into_iter().filter_map(|segment| {
        let enforcement = segment.service_enforcement?;
        Some((segment.namespace.clone(), enforcement))
    });
    ServiceEnforcements {
        default,
        namespaces: set.collect(),
    }
}

/// Converts a percentage to a share, 0–1.
pub(super) fn share(percent: u8) -> f64 {
    f64::from(percent) / 100.0
}

/// Parses `90s`, `15m`, `24h` or `7d`. Returns seconds, or `None` if the text is not a duration.
fn parse_duration(text: &str) -> Option<i64> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number = text.get(..text.len() - 1)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_inventory::WorkloadId;

    fn parse(spec: &str) -> Result<SegmentationSettings, SegmentationError> {
        let text = format!("metadata: {{name: default, namespace: shop}}\nspec: {spec}");
        SegmentationSettings::parse(&serde_yaml::from_str(&text).expect("a Segmentation"))
    }

    fn labels(text: &str) -> BTreeMap<String, String> {
        serde_yaml::from_str(text).unwrap()
    }

    #[test]
    fn absent_fields_have_the_defaults_of_the_schema() {
        let segment = parse("{}").unwrap();
        assert_eq!(segment.mode, Mode::Observe);
        assert_eq!(segment.minimum_duration, 24 * 3600);
        assert_eq!(segment.minimum_coverage, 0.95);
        assert_eq!(segment.synthesis, SynthesisOptions::default());
        assert_eq!(segment.service_enforcement, None);
        assert!(!segment.excludes(&labels("{app: a}")));
    }

    #[test]
    fn the_service_enforcement_of_a_namespace_counts_where_one_is_set() {
        let set = parse("{serviceEnforcement: BeforeTranslation}").unwrap();
        let (after, before) = (EnforcedPorts::Pod, EnforcedPorts::Either);
        assert_eq!(set.service_enforcement, Some(before));
        let all = service_enforcements(Some(after), [&set]);
        let peer = |namespace: &str| {
            nanoseg_graph::Peer::Workload(WorkloadId {
                namespace: namespace.into(),
                name: "web".into(),
                kind: "Deployment".into(),
            })
        };
        assert_eq!(all.between(&peer("shop"), &peer("shop"), after), before);
        assert_eq!(all.between(&peer("ops"), &peer("shop"), after), before);
        assert_eq!(all.between(&peer("ops"), &peer("ops"), after), after);
        let unset = parse("{}").unwrap();
        let all = service_enforcements(Some(before), [&unset]);
        assert_eq!(all.between(&peer("shop"), &peer("shop"), after), before);
        assert_eq!(all.between(&peer("ops"), &peer("ops"), after), before);
    }

    #[test]
    fn pods_that_any_selector_matches_are_excluded() {
        let segment = parse(
            "{exclude: [{matchLabels: {app: a}}, {matchExpressions: [{key: job, operator: Exists}]}]}",
        )
        .unwrap();
        assert!(segment.excludes(&labels("{app: a}")));
        assert!(segment.excludes(&labels("{app: b, job: x}")));
        assert!(!segment.excludes(&labels("{app: b}")));
    }

    #[test]
    fn durations_are_parsed_in_every_unit_and_never_overflow() {
        for (text, secs) in [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(parse_duration(text), Some(secs));
        }
        for text in [
            "",
            "h",
            "1.5h",
            "-1h",
            "+1h",
            "1w",
            "10",
            "99999999999999999d",
            "1ü",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn an_error_has_the_field_and_a_remedy() {
        let cases = [
            (
                "{exclude: [{}, {matchExpressions: [{key: a, operator: Near}]}]}",
                "spec.exclude[1].matchExpressions[0].operator",
            ),
            (
                "{learning: {minimumDuration: 1w}}",
                "spec.learning.minimumDuration",
            ),
            (
                "{learning: {minimumCoverage: 101}}",
                "spec.learning.minimumCoverage",
            ),
            ("{maxOutsideAddresses: 0}", "spec.maxOutsideAddresses"),
        ];
        for (spec, field) in cases {
            let error = parse(spec).unwrap_err();
            assert_eq!(error.field, field);
            assert!(!error.remedy.is_empty());
            assert!(
                error
                    .to_string()
                    .starts_with("failed to read Segmentation shop/default")
            );
        }
    }

    #[test]
    fn the_settings_are_for_the_namespace_of_the_object() {
        let id = WorkloadId {
            namespace: "shop".into(),
            name: "web".into(),
            kind: "Deployment".into(),
        };
        assert_eq!(parse("{}").unwrap().namespace, id.namespace);
        let bare: Segmentation =
            serde_yaml::from_str("metadata: {name: default}\nspec: {}").unwrap();
        assert_eq!(
            SegmentationSettings::parse(&bare).unwrap_err().field,
            "metadata.namespace"
        );
    }
}

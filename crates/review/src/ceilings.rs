//! The ceilings of automatic approval for the whole cluster (rule: automatic-approval-has-ceilings): what the
//! Segmentation of a namespace asks for beyond them does not count.

use super::SegmentationSettings;
use super::resources::ApprovalMode;
use super::segmentation_settings::share;
use std::collections::BTreeSet;
use std::fmt;

/// A kind of change that a namespace may let automatic approval make, if the cluster allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AutomaticChange {
    /// Connections to addresses outside the cluster.
    InternetEgress,
    /// Connections with other namespaces.
    CrossNamespace,
    /// What closes connections that recorded flows used.
    WouldBlock,
    /// The policy of `spec.defaultDeny`.
    DefaultDeny,
}

impl AutomaticChange {
    /// The field of `spec.approval.automatic`.
    fn field(self) -> &'static str {
        match self {
            AutomaticChange::InternetEgress => "allowInternetEgress",
            AutomaticChange::CrossNamespace => "allowCrossNamespace",
            AutomaticChange::WouldBlock => "allowWouldBlock",
            AutomaticChange::DefaultDeny => "allowDefaultDeny",
        }
    }
}

/// What automatic approval may do at most in any namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceilings {
    /// The shortest observation of a namespace, in seconds.
    pub minimum_duration: i64,
    /// The smallest estimated share of a workload's edges, in percent.
    pub minimum_coverage: u8,
    /// The most connections that a proposal may open.
    pub max_gained: u32,
    /// What a Segmentation may allow.
    pub allow: BTreeSet<AutomaticChange>,
}

/// What a Segmentation without any settings asks for, with a lower coverage: whoever changes nothing is within them, and
/// what leaves the namespace or blocks something is for a person.
impl Default for Ceilings {
    fn default() -> Self {
        Ceilings {
            minimum_duration: 24 * 3600,
            minimum_coverage: 80,
            max_gained: 100,
            allow: BTreeSet::new(),
        }
    }
}

/// A setting beyond a ceiling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeyondCeiling {
    /// The path of the field.
    pub field: String,
    /// What counts instead.
    pub counts_as: String,
    /// The option of the controller.
    pub option: &'static str,
}

impl fmt::Display for BeyondCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BeyondCeiling {
            field,
            counts_as,
            option,
        } = self;
        write!(
            f,
            "{field} counts as {counts_as} (the controller's {option})"
        )
    }
}

impl Ceilings {
    /// Returns the settings within the ceilings, with a note of each that was beyond them. Where a person approves, there
    /// are no ceilings.
    #[must_use]
    pub fn clamp(&self, mut settings: SegmentationSettings) -> SegmentationSettings {
        settings.beyond_ceilings.clear();
        if settings.approval.mode != ApprovalMode::Automatic {
            return settings;
        }
        let mut beyond = Vec::new();
        let mut note = |field: &str, counts_as: String, option| {
            beyond.push(BeyondCeiling {
                field: field.to_owned(),
                counts_as,
                option,
            });
        };
        if settings.minimum_duration < self.minimum_duration {
            settings.minimum_duration = self.minimum_duration;
            note(
                "spec.learning.minimumDuration",
                format!("{}s", self.minimum_duration),
                "--automatic-minimum-duration",
            );
        }
        let minimum_coverage = share(self.minimum_coverage);
        if settings.minimum_coverage < minimum_coverage {
            settings.minimum_coverage = minimum_coverage;
            note(
                "spec.learning.minimumCoverage",
                self.minimum_coverage.to_string(),
                "--automatic-minimum-coverage",
            );
        }
        let rules = &mut settings.approval.automatic;
        if rules.max_gained > self.max_gained {
            rules.max_gained = self.max_gained;
            note(
                "spec.approval.automatic.maxGained",
                self.max_gained.to_string(),
                "--automatic-max-gained",
            );
        }
        let allowed = [
            (
                AutomaticChange::InternetEgress,
                &mut rules.allow_internet_egress,
            ),
            (
                AutomaticChange::CrossNamespace,
                &mut rules.allow_cross_namespace,
            ),
            (AutomaticChange::WouldBlock, &mut rules.allow_would_block),
            (AutomaticChange::DefaultDeny, &mut rules.allow_default_deny),
        ];
        for (change, is_allowed) in allowed {
            if *is_allowed && !self.allow.contains(&change) {
                *is_allowed = false;
                let field = format!("spec.approval.automatic.{}", change.field());
                note(&field, "false".into(), "--automatic-allow");
            }
        }
        settings.beyond_ceilings = beyond;
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Segmentation;

    fn settings(spec: &str) -> SegmentationSettings {
        let text = format!("metadata: {{name: default, namespace: shop}}\nspec: {spec}");
        let segmentation: Segmentation = serde_yaml::from_str(&text).expect("a Segmentation");
        SegmentationSettings::parse(&segmentation).expect("settings")
    }

    const ALL: &str = "{mode: Enforce, learning: {minimumDuration: 0s, minimumCoverage: 0}, approval: {mode: MODE, \
         automatic: {allowInternetEgress: true, allowCrossNamespace: true, allowWouldBlock: true, \
         allowDefaultDeny: true, maxGained: 1000000}}}";

    #[test]
    fn a_namespace_cannot_go_beyond_the_ceilings_and_is_told_so() {
        let ceilings = Ceilings::default();
        let clamped = ceilings.clamp(settings(&ALL.replace("MODE", "Automatic")));
        assert_eq!(clamped.minimum_duration, 24 * 3600);
        assert_eq!(clamped.minimum_coverage, 0.8);
        let rules = &clamped.approval.automatic;
        assert_eq!(rules.max_gained, 100);
        assert!(!rules.allow_internet_egress && !rules.allow_cross_namespace);
        assert!(!rules.allow_would_block && !rules.allow_default_deny);
        let said: Vec<String> = clamped
            .beyond_ceilings
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(said.len(), 7, "{said:?}");
        assert_eq!(
            said[0],
            "spec.learning.minimumDuration counts as 86400s (the controller's --automatic-minimum-duration)"
        );
        assert_eq!(ceilings.clamp(clamped.clone()).approval, clamped.approval);
    }

    #[test]
    fn what_the_cluster_allows_stays_as_the_namespace_has_it() {
        let open = Ceilings {
            minimum_duration: 0,
            minimum_coverage: 0,
            max_gained: 1_000_000,
            allow: BTreeSet::from([
                AutomaticChange::InternetEgress,
                AutomaticChange::CrossNamespace,
                AutomaticChange::WouldBlock,
                AutomaticChange::DefaultDeny,
            ]),
        };
        let asked = settings(&ALL.replace("MODE", "Automatic"));
        assert_eq!(open.clamp(asked.clone()), asked);
        let usual = settings("{mode: Enforce, approval: {mode: Automatic}}");
        assert_eq!(Ceilings::default().clamp(usual.clone()), usual);
    }

    #[test]
    fn where_people_approve_there_are_no_ceilings() {
        let asked = settings(&ALL.replace("MODE", "Manual"));
        assert_eq!(Ceilings::default().clamp(asked.clone()), asked);
    }
}

//! Vulnerability scans, mapped to the workloads that run the images, with the distance of each workload from the
//! internet.

use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::{Container, Grade, Image, ImageScan, Inventory, Vulnerability, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// The most identifiers in a finding.
const SHOWN: usize = 5;

/// The vulnerabilities of images, by the names that scans use for the images.
#[derive(Debug, Clone, Default)]
pub struct Vulnerabilities {
    /// By digest (`sha256:…`), of a manifest or of the configuration.
    by_digest: BTreeMap<String, BTreeSet<Vulnerability>>,
    /// By name and tag.
    by_tag: BTreeMap<(String, String), BTreeSet<Vulnerability>>,
}

impl Vulnerabilities {
    pub fn of<'a>(scans: impl IntoIterator<Item = &'a ImageScan>) -> Vulnerabilities {
        let mut known = Vulnerabilities::default();
        for scan in scans {
            let found = &scan.vulnerabilities;
            let digests = scan.images.iter().filter_map(|image| image.digest.as_ref());
            for digest in digests.chain(&scan.config) {
                let all = known.by_digest.entry(digest.clone()).or_default();
                all.extend(found.iter().cloned());
            }
            for image in &scan.images {
                if image.tag.is_some() || image.digest.is_none() {
                    let all = known.by_tag.entry((image.name(), tag(image))).or_default();
                    all.extend(found.iter().cloned());
                }
            }
        }
        known
    }

    pub fn is_empty(&self) -> bool {
        self.by_digest.is_empty() && self.by_tag.is_empty()
    }

    /// Returns the vulnerabilities of a container: by the running digest, else by the digest of its image reference,
    /// else by its tag. Returns `None` if no scan covers it.
    pub fn of_container(&self, container: &Container) -> Option<&BTreeSet<Vulnerability>> {
        let image = &container.image;
        let digests = [container.running.as_ref(), image.digest.as_ref()];
        let mut digests = digests.into_iter().flatten();
        let by_digest = digests.find_map(|one| self.by_digest.get(one));
        by_digest.or_else(|| self.by_tag.get(&(image.name(), tag(image))))
    }
}

/// Returns the tag of an image; the default is `latest`.
fn tag(image: &Image) -> String {
    image.tag.clone().unwrap_or_else(|| "latest".into())
}

/// A workload whose images have known vulnerabilities, with its distance from the internet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weakness {
    /// The highest severity. It is the first field, so that weaknesses are sorted by severity.
    pub grade: Grade,
    /// The number of connections from the internet to the workload that the policies in force allow: 1 is direct.
    /// [`Weakness::UNREACHABLE`] if there is no path.
    pub hops: usize,
    pub workload: WorkloadId,
    /// The highest severity first.
    pub vulnerabilities: BTreeSet<Vulnerability>,
}

impl Weakness {
    /// The number of hops of an unreachable workload.
    pub const UNREACHABLE: usize = usize::MAX;

    /// Returns the count per severity: `2 critical, 1 low`.
    pub fn counts(&self) -> String {
        let mut counts: BTreeMap<Grade, usize> = BTreeMap::new();
        for one in &self.vulnerabilities {
            *counts.entry(one.grade).or_default() += 1;
        }
        let words = counts
            .iter()
            .map(|(grade, count)| format!("{count} {grade}"));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Returns the distance as text: `reachable from the internet through 2 hops`.
    pub fn way(&self) -> String {
        match self.hops {
            Weakness::UNREACHABLE => "not reachable from the internet".into(),
            1 => "reachable from the internet directly".into(),
            hops => format!("reachable from the internet through {hops} hops"),
        }
    }

    /// Returns the severity and the distance as text: `critical CVE, reachable from the internet through 2 hops`.
    pub fn headline(&self) -> String {
        format!("{} CVE, {}", self.grade, self.way())
    }

    /// Returns true if the highest severity is high or critical.
    pub fn is_grave(&self) -> bool {
        self.grade <= Grade::High
    }

    /// Returns the finding, if the severity is [high or critical](Weakness::is_grave).
    pub fn finding(&self) -> Option<Finding> {
        let grave = self.vulnerabilities.iter();
        let grave = grave.filter(|one| one.grade == self.grade);
        let ids: BTreeSet<&str> = grave.map(|one| one.id.as_str()).collect();
        let more = ids.len().saturating_sub(SHOWN);
        let mut shown: Vec<String> = ids.iter().take(SHOWN).map(|id| (*id).to_owned()).collect();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        let message = format!("{} ({})", self.headline(), shown.join(", "));
        self.is_grave()
            .then(|| Finding::new(Code::KnownVulnerability, self.workload.to_string(), message))
    }
}

/// Returns the workloads with known vulnerabilities, the highest severity and shortest distance first. `hops` is the
/// number of connections from the internet to each workload.
pub fn weaknesses(
    inventory: &Inventory,
    known: &Vulnerabilities,
    hops: &BTreeMap<WorkloadId, usize>,
) -> Vec<Weakness> {
    let mut found = Vec::new();
    for workload in inventory.workloads.values() {
        let scanned = workload.containers.iter();
        let scanned = scanned.filter_map(|one| known.of_container(one));
        let all: BTreeSet<Vulnerability> = scanned.flatten().cloned().collect();
        let Some(gravest) = all.first() else { continue };
        found.push(Weakness {
            grade: gravest.grade,
            hops: hops
                .get(&workload.id)
                .copied()
                .unwrap_or(Weakness::UNREACHABLE),
            workload: workload.id.clone(),
            vulnerabilities: all,
        });
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::{inventory, workload};
    use super::*;

    fn scan(image: &str, found: &[(Grade, &str)]) -> ImageScan {
        let vulnerability = |(grade, id): &(Grade, &str)| Vulnerability {
            grade: *grade,
            id: (*id).into(),
            package: "p".into(),
            fixed_in: None,
        };
        ImageScan {
            images: vec![Image::parse(image)],
            config: None,
            vulnerabilities: found.iter().map(vulnerability).collect(),
        }
    }

    #[test]
    fn the_running_digest_has_priority_over_the_image_reference() {
        let known = Vulnerabilities::of(&[
            scan("app@sha256:aa", &[(Grade::Low, "CVE-digest")]),
            scan("app:1", &[(Grade::High, "CVE-tag")]),
        ]);
        let mut app = workload("shop/app", "app:1").containers.remove(0);
        let first = |container: &Container| {
            let found = known.of_container(container)?;
            found.first().map(|one| one.id.clone())
        };
        assert_eq!(first(&app).as_deref(), Some("CVE-tag"));
        app.running = Some("sha256:aa".into());
        assert_eq!(first(&app).as_deref(), Some("CVE-digest"));
        app.running = Some("sha256:unknown".into());
        assert_eq!(first(&app).as_deref(), Some("CVE-tag"));
        app.image = Image::parse("app:2");
        assert_eq!(first(&app), None);
    }

    #[test]
    fn an_image_without_a_tag_is_latest_and_one_without_names_is_identified_by_its_configuration() {
        let mut by_config = scan("x@sha256:cc", &[(Grade::High, "CVE-1")]);
        by_config.images.clear();
        by_config.config = Some("sha256:cfg".into());
        let known = Vulnerabilities::of(&[by_config, scan("app:latest", &[(Grade::Low, "CVE-2")])]);
        let mut app = workload("shop/app", "app").containers.remove(0);
        assert!(known.of_container(&app).is_some());
        app.image = Image::parse("other");
        assert!(known.of_container(&app).is_none());
        app.running = Some("sha256:cfg".into());
        assert!(known.of_container(&app).is_some());
    }

    #[test]
    fn the_highest_severity_and_the_shortest_distance_come_first() {
        let cluster = inventory([
            workload("shop/a", "high"),
            workload("shop/b", "critical"),
            workload("shop/c", "critical"),
            workload("shop/d", "clean"),
            workload("shop/e", "unknown"),
        ]);
        let known = Vulnerabilities::of(&[
            scan("high", &[(Grade::High, "CVE-1")]),
            scan(
                "critical",
                &[
                    (Grade::Critical, "CVE-2"),
                    (Grade::Critical, "CVE-3"),
                    (Grade::Low, "CVE-4"),
                ],
            ),
            scan("clean", &[]),
        ]);
        let id = |name: &str| workload(name, "x").id;
        let hops = BTreeMap::from([(id("shop/a"), 1), (id("shop/c"), 2)]);
        let found = weaknesses(&cluster, &known, &hops);
        let words: Vec<String> = found
            .iter()
            .map(|one| format!("{}: {}", one.workload, one.headline()))
            .collect();
        assert_eq!(
            words,
            [
                "shop/c: critical CVE, reachable from the internet through 2 hops",
                "shop/b: critical CVE, not reachable from the internet",
                "shop/a: high CVE, reachable from the internet directly",
            ]
        );
        assert_eq!(found[0].counts(), "2 critical, 1 low");
        let finding = found[0].finding().expect("a finding");
        assert_eq!(finding.code, Code::KnownVulnerability);
        assert_eq!(
            finding.message,
            "critical CVE, reachable from the internet through 2 hops (CVE-2, CVE-3)"
        );
    }

    #[test]
    fn a_medium_severity_is_no_finding() {
        let cluster = inventory([workload("shop/a", "a")]);
        let known = Vulnerabilities::of(&[scan("a", &[(Grade::Medium, "CVE-1")])]);
        let found = weaknesses(&cluster, &known, &BTreeMap::new());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].finding(), None);
    }
}

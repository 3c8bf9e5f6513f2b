//! Approved images and registries. Without a list nothing is reported, because nobody has decided yet.

use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::{Image, Workload};
use std::collections::BTreeSet;

/// The registries and images that an operator approved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approved {
    /// Registries, such as `ghcr.io`, or with a path, such as `ghcr.io/team`.
    pub registries: Vec<String>,
    /// Images: `ghcr.io/team/app`, with a tag or digest if only that one is approved.
    pub images: Vec<String>,
}

/// The findings that make an automatic approval impossible.
pub const UNAPPROVED: [Code; 3] = [
    Code::UnapprovedRegistry,
    Code::UnapprovedImage,
    Code::MutableTag,
];

impl Approved {
    pub fn is_empty(&self) -> bool {
        self.registries.is_empty() && self.images.is_empty()
    }

    /// Returns the union of two lists.
    #[must_use]
    pub fn and(&self, other: &Approved) -> Approved {
        Approved {
            registries: [self.registries.clone(), other.registries.clone()].concat(),
            images: [self.images.clone(), other.images.clone()].concat(),
        }
    }

    fn registry(&self, image: &Image) -> bool {
        let name = image.name();
        self.registries.iter().any(|one| {
            let one = one.trim_end_matches('/');
            // Whole segments of the path: ghcr.io/team does not match ghcr.io/team-evil.
            let rest = name.strip_prefix(one);
            rest.is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// Returns true if an approved image matches. `running` is the digest that the kubelet reports: it shows that the
    /// running image is one that was approved by digest, and proves nothing about a tag.
    fn image(&self, image: &Image, running: Option<&str>) -> bool {
        self.images.iter().any(|one| {
            let wanted = Image::parse(one);
            let digest = image.digest.as_deref().or(running);
            wanted.name() == image.name()
                && (wanted.tag.is_none() || wanted.tag == image.tag)
                && (wanted.digest.is_none() || wanted.digest.as_deref() == digest)
        })
    }

    /// Returns findings about the images of a workload that are not approved. An image that is approved by name needs no
    /// approved registry.
    pub fn findings(&self, workload: &Workload) -> Vec<Finding> {
        let mut unapproved: BTreeSet<(Code, String)> = BTreeSet::new();
        if self.is_empty() {
            return Vec::new();
        }
        for container in &workload.containers {
            let image = &container.image;
            let by_name = self.image(image, container.running.as_deref());
            if !self.registries.is_empty() && !by_name && !self.registry(image) {
                let message = format!("runs {image}: {} is not approved", image.registry);
                unapproved.insert((Code::UnapprovedRegistry, message));
            }
            // Every image of an approved registry is approved.
            if !self.images.is_empty() && !by_name && !self.registry(image) {
                let message = format!("runs {image}, which is not approved");
                unapproved.insert((Code::UnapprovedImage, message));
            }
            if image.is_mutable() {
                let message = format!("runs {image} without a digest");
                unapproved.insert((Code::MutableTag, message));
            }
        }
        let subject = workload.id.to_string();
        let finding = |(code, message)| Finding::new(code, subject.clone(), message);
        unapproved.into_iter().map(finding).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::workload;
    use super::*;

    fn approved(registries: &[&str], images: &[&str]) -> Approved {
        let owned = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        Approved {
            registries: owned(registries),
            images: owned(images),
        }
    }

    /// Returns the codes of the findings about a workload with one container of this image.
    fn codes(approved: &Approved, image: &str) -> Vec<&'static str> {
        let found = approved.findings(&workload("shop/app", image));
        found.iter().map(|one| one.code.name()).collect()
    }

    #[test]
    fn without_a_list_there_are_no_findings() {
        assert!(codes(&Approved::default(), "evil.example/app:latest").is_empty());
    }

    #[test]
    fn a_registry_is_matched_by_whole_segments_of_its_path() {
        let list = approved(&["ghcr.io/team/", "r.example:5000"], &[]);
        assert!(codes(&list, "ghcr.io/team/app@sha256:aa").is_empty());
        assert!(codes(&list, "r.example:5000/any/app@sha256:aa").is_empty());
        for other in [
            "ghcr.io/team-evil/app@sha256:aa",
            "ghcr.io/app@sha256:aa",
            "nginx@sha256:aa",
            "r.example/app@sha256:aa",
        ] {
            assert_eq!(codes(&list, other), ["unapproved-registry"], "{other}");
        }
    }

    #[test]
    fn an_image_without_a_registry_is_from_docker_hub() {
        assert!(codes(&approved(&["docker.io"], &[]), "nginx@sha256:aa").is_empty());
        assert!(codes(&approved(&["docker.io/library"], &[]), "nginx@sha256:aa").is_empty());
        let team = codes(&approved(&["docker.io/library"], &[]), "team/app@sha256:aa");
        assert_eq!(team, ["unapproved-registry"]);
    }

    #[test]
    fn an_image_is_approved_by_name_tag_or_digest() {
        let by_name = approved(&[], &["ghcr.io/team/app"]);
        assert!(codes(&by_name, "ghcr.io/team/app@sha256:aa").is_empty());
        assert_eq!(
            codes(&by_name, "ghcr.io/team/other@sha256:aa"),
            ["unapproved-image"]
        );
        let by_tag = approved(&[], &["ghcr.io/team/app:1"]);
        assert_eq!(
            codes(&by_tag, "ghcr.io/team/app:2@sha256:aa"),
            ["unapproved-image"]
        );
        let by_digest = approved(&[], &["ghcr.io/team/app@sha256:aa"]);
        assert!(codes(&by_digest, "ghcr.io/team/app:2@sha256:aa").is_empty());
        assert_eq!(
            codes(&by_digest, "ghcr.io/team/app:2@sha256:bb"),
            ["unapproved-image"]
        );
    }

    #[test]
    fn an_image_that_is_approved_by_name_needs_no_registry_and_vice_versa() {
        let both = approved(&["ghcr.io/team"], &["quay.io/prometheus/prometheus"]);
        assert!(codes(&both, "quay.io/prometheus/prometheus@sha256:aa").is_empty());
        assert!(codes(&both, "ghcr.io/team/any@sha256:aa").is_empty());
        assert_eq!(
            codes(&both, "quay.io/other/app@sha256:aa"),
            ["unapproved-registry", "unapproved-image"]
        );
    }

    #[test]
    fn an_approved_image_with_a_mutable_tag_is_still_a_finding() {
        let list = approved(&["docker.io"], &["nginx:1.27"]);
        assert_eq!(codes(&list, "nginx:1.27"), ["mutable-tag"]);
        assert_eq!(codes(&list, "nginx"), ["mutable-tag"]);
    }

    #[test]
    fn the_running_digest_can_be_the_approved_one_although_the_tag_is_mutable() {
        let list = approved(&[], &["nginx@sha256:aa"]);
        let mut app = workload("shop/app", "nginx:1.27");
        app.containers[0].running = Some("sha256:aa".into());
        let found = list.findings(&app);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, Code::MutableTag);
    }

    #[test]
    fn the_same_finding_in_several_containers_is_reported_once() {
        let mut app = workload("shop/app", "nginx");
        app.containers.push(app.containers[0].clone());
        let found = approved(&["ghcr.io"], &[]).findings(&app);
        assert_eq!(found.len(), 2);
    }
}

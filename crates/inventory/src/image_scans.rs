//! Reports of vulnerability scanners about images: Trivy's JSON (`trivy image -f json`, `trivy k8s -f json`) and
//! trivy-operator's `VulnerabilityReport` objects (aquasecurity.github.io/v1alpha1).

use super::Image;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// The severity of a vulnerability, the most severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Grade {
    Critical,
    High,
    Medium,
    Low,
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Grade::Critical => "critical",
            Grade::High => "high",
            Grade::Medium => "medium",
            Grade::Low => "low",
            Grade::Unknown => "unknown",
        })
    }
}

/// One vulnerability of one package in one image. Sorted by grade, the most severe first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Vulnerability {
    pub grade: Grade,
    /// `CVE-2024-1234`.
    pub id: String,
    pub package: String,
    /// The version without it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_in: Option<String>,
}

/// One scan of one image. An image without vulnerabilities was scanned as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageScan {
    /// The references of the image: with a tag, with a digest, or both.
    pub images: Vec<Image>,
    /// The digest of the image's configuration, which runtimes name where the image has no other.
    pub config: Option<String>,
    pub vulnerabilities: BTreeSet<Vulnerability>,
}

/// Why a text is no scan.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error("it is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is neither Trivy's JSON nor VulnerabilityReport objects of trivy-operator")]
    Unknown,
}

/// Reads one file of Trivy's, or of `kubectl get vulnerabilityreports -A -o json`.
///
/// # Errors
/// A text that is no report of a known scanner.
pub fn parse_scans(text: &str) -> Result<Vec<ImageScan>, ScanError> {
    let document: Value = serde_json::from_str(text)?;
    let is_report = |object: &Value| object["kind"] == "VulnerabilityReport";
    if is_report(&document) {
        return Ok(ImageScan::of_object(&document).into_iter().collect());
    }
    if let Some(items) = document["items"].as_array()
        && items.iter().all(is_report)
    {
        return Ok(items.iter().filter_map(ImageScan::of_object).collect());
    }
    if let Some(resources) = document["Resources"].as_array() {
        // `trivy k8s`: a report for each image of each resource.
        return Ok(resources.iter().flat_map(ImageScan::of_trivy).collect());
    }
    if document["ArtifactName"].is_string() {
        return Ok(ImageScan::of_trivy(&document));
    }
    Err(ScanError::Unknown)
}

impl ImageScan {
    /// The first field of a `VulnerabilityReport` object that is missing or has another type than trivy-operator gives
    /// it. What it should say is not known, which is not the same as nothing.
    pub fn wrong_field(object: &Value) -> Option<String> {
        let report = &object["report"];
        if !report["artifact"]["repository"].is_string() {
            return Some("report.artifact.repository".to_owned());
        }
        let Some(all) = report["vulnerabilities"].as_array() else {
            return Some("report.vulnerabilities".to_owned());
        };
        let wrong = all
            .iter()
            .position(|one| !one["vulnerabilityID"].is_string())?;
        Some(format!("report.vulnerabilities[{wrong}].vulnerabilityID"))
    }

    /// Reads a `VulnerabilityReport` object; `None` if it names no image, or says nothing of its vulnerabilities.
    pub fn of_object(object: &Value) -> Option<ImageScan> {
        let report = &object["report"];
        let artifact = &report["artifact"];
        let repository = artifact["repository"].as_str()?;
        report["vulnerabilities"].as_array()?;
        let server = report["registry"]["server"].as_str().unwrap_or("docker.io");
        let mut image = Image::parse(&format!("{server}/{repository}"));
        image.tag = words(&artifact["tag"]);
        image.digest = words(&artifact["digest"]);
        let found = list(&report["vulnerabilities"]).filter_map(|one| {
            Some(Vulnerability {
                grade: grade(&one["severity"]),
                id: words(&one["vulnerabilityID"])?,
                package: words(&one["resource"]).unwrap_or_default(),
                fixed_in: words(&one["fixedVersion"]),
            })
        });
        Some(ImageScan {
            images: vec![image],
            config: None,
            vulnerabilities: found.collect(),
        })
    }

    /// Reads a report of Trivy; it may contain several images.
    fn of_trivy(report: &Value) -> Vec<ImageScan> {
        let results = list(&report["Results"]);
        let found = results.flat_map(|result| list(&result["Vulnerabilities"]));
        let vulnerabilities: BTreeSet<Vulnerability> = found
            .filter_map(|one| {
                Some(Vulnerability {
                    grade: grade(&one["Severity"]),
                    id: words(&one["VulnerabilityID"])?,
                    package: words(&one["PkgName"]).unwrap_or_default(),
                    fixed_in: words(&one["FixedVersion"]),
                })
            })
            .collect();
        // One object, or since Trivy 0.50 for a resource of a cluster a list of them.
        let metadata: Vec<&Value> = match &report["Metadata"] {
            Value::Array(several) => several.iter().collect(),
            one => vec![one],
        };
        let named = report["ArtifactName"].as_str();
        let scan = |metadata: &Value| {
            let digests = list(&metadata["RepoDigests"]).filter_map(Value::as_str);
            let tags = list(&metadata["RepoTags"]).filter_map(Value::as_str);
            ImageScan {
                images: digests.chain(tags).chain(named).map(Image::parse).collect(),
                config: words(&metadata["ImageID"]),
                vulnerabilities: vulnerabilities.clone(),
            }
        };
        metadata.into_iter().map(scan).collect()
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn grade(value: &Value) -> Grade {
    Grade::deserialize(value).unwrap_or(Grade::Unknown)
}

fn words(value: &Value) -> Option<String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_trivy_speaks_of_all_names_of_its_image() {
        let scans = parse_scans(
            r#"{"SchemaVersion": 2, "ArtifactName": "nginx:1.27", "ArtifactType": "container_image",
                "Metadata": {"ImageID": "sha256:cc", "RepoTags": ["nginx:1.27"], "RepoDigests": ["nginx@sha256:aa"]},
                "Results": [
                  {"Target": "nginx (debian 12)", "Class": "os-pkgs", "Vulnerabilities": [
                    {"VulnerabilityID": "CVE-2", "PkgName": "libc6", "Severity": "LOW"},
                    {"VulnerabilityID": "CVE-1", "PkgName": "openssl", "Severity": "CRITICAL", "FixedVersion": "3.0.2"}]},
                  {"Target": "Java", "Class": "lang-pkgs"}]}"#,
        );
        let scans = scans.expect("a report");
        assert_eq!(scans.len(), 1);
        let names: Vec<String> = scans[0].images.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "docker.io/library/nginx@sha256:aa",
                "docker.io/library/nginx:1.27",
                "docker.io/library/nginx:1.27"
            ]
        );
        assert_eq!(scans[0].config.as_deref(), Some("sha256:cc"));
        let found: Vec<(Grade, &str)> = scans[0]
            .vulnerabilities
            .iter()
            .map(|one| (one.grade, one.id.as_str()))
            .collect();
        assert_eq!(found, [(Grade::Critical, "CVE-1"), (Grade::Low, "CVE-2")]);
    }

    #[test]
    fn a_summary_of_a_cluster_has_a_report_for_each_image() {
        let scans = parse_scans(
            r#"{"ClusterName": "c", "Resources": [
                {"Namespace": "shop", "Kind": "Deployment", "Name": "web",
                 "Metadata": [{"RepoDigests": ["r.example/web@sha256:aa"]}],
                 "Results": [{"Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "p", "Severity": "HIGH"}]}]},
                {"Namespace": "shop", "Kind": "Deployment", "Name": "db",
                 "Metadata": {"RepoTags": ["r.example/db:2"]}, "Results": []}]}"#,
        );
        let scans = scans.expect("a summary");
        let names: Vec<String> = scans
            .iter()
            .map(|scan| scan.images[0].to_string())
            .collect();
        assert_eq!(names, ["r.example/web@sha256:aa", "r.example/db:2"]);
        assert!(scans[1].vulnerabilities.is_empty());
    }

    const OBJECT: &str = r#"{"apiVersion": "aquasecurity.github.io/v1alpha1", "kind": "VulnerabilityReport",
        "metadata": {"name": "replicaset-nginx-6d4cf56db6-nginx", "namespace": "default"},
        "report": {"artifact": {"repository": "library/nginx", "tag": "1.16", "digest": "sha256:aa"},
          "registry": {"server": "index.docker.io"},
          "vulnerabilities": [{"vulnerabilityID": "CVE-1", "resource": "openssl", "severity": "CRITICAL",
            "installedVersion": "1", "fixedVersion": ""}, {"severity": "HIGH"}, {"vulnerabilityID": "X", "severity": "ODD"}]}}"#;

    #[test]
    fn objects_of_the_operator_are_read_one_by_one_and_as_a_list() {
        let one = parse_scans(OBJECT).expect("an object");
        assert_eq!(
            one[0].images[0].to_string(),
            "docker.io/library/nginx:1.16@sha256:aa"
        );
        let found: Vec<&Vulnerability> = one[0].vulnerabilities.iter().collect();
        assert_eq!(found.len(), 2, "one without an identifier is ignored");
        assert_eq!(found[0].fixed_in, None);
        assert_eq!(found[1].grade, Grade::Unknown);
        let list = format!(r#"{{"kind": "List", "items": [{OBJECT}, {OBJECT}]}}"#);
        assert_eq!(parse_scans(&list).expect("a list").len(), 2);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "[]", "{}", r#"{"items": [{"kind": "Pod"}]}"#, "null"] {
            assert!(parse_scans(text).is_err(), "{text}");
        }
    }
}

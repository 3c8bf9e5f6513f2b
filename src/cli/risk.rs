//! What is known of images: lists of approved ones, and vulnerability scans.

use crate::inventory::{ImageScan, parse_scans};
use crate::pipeline::RiskChoices;
use crate::risk::{Approved, Vulnerabilities};
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Which images may run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ApprovedArgs {
    /// A registry whose images may run, such as ghcr.io or ghcr.io/team (repeatable). With such a list, images
    /// of others are findings, and so is a tag without a digest
    #[arg(long, value_name = "REGISTRY", value_parser = parse_name, env = "NANOSEG_APPROVED_REGISTRIES", value_delimiter = ',')]
    approved_registry: Vec<String>,
    /// An image that may run, such as ghcr.io/team/app; with a tag or digest only that one (repeatable)
    #[arg(long, value_name = "IMAGE", value_parser = parse_name, env = "NANOSEG_APPROVED_IMAGES", value_delimiter = ',')]
    approved_image: Vec<String>,
}

impl ApprovedArgs {
    pub fn approved(&self) -> Approved {
        Approved {
            registries: self.approved_registry.clone(),
            images: self.approved_image.clone(),
        }
    }
}

/// Everything that is known of images.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RiskArgs {
    #[command(flatten)]
    approved: ApprovedArgs,
    /// Vulnerability scans: JSON of trivy image, trivy k8s, or kubectl get vulnerabilityreports; files or
    /// folders of *.json
    #[arg(long, value_name = "FILE|DIR", num_args = 1..)]
    vulnerabilities: Vec<PathBuf>,
}

impl RiskArgs {
    /// Reads the scans. `known` are those that a cluster or snapshot has itself.
    pub fn read(&self, known: &[ImageScan]) -> anyhow::Result<RiskChoices> {
        let mut scans = Vec::new();
        for path in &self.vulnerabilities {
            for file in files(path)? {
                scans.extend(read_file(&file)?);
            }
        }
        Ok(RiskChoices {
            approved: self.approved.approved(),
            vulnerabilities: Vulnerabilities::of(scans.iter().chain(known)),
            ..RiskChoices::default()
        })
    }
}

/// A registry or image as it is written in a pod: one word, without a scheme.
fn parse_name(text: &str) -> Result<String, String> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    match text {
        "" => Err("it is empty".into()),
        url if url.contains("://") => Err("write it as pods do, without https://".into()),
        odd if odd.contains(is_odd) => Err("it is one word".into()),
        name => Ok(name.to_owned()),
    }
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let failed = || format!("failed to read {}", path.display());
    if !fs::metadata(path).with_context(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(failed)? {
        let file = entry.with_context(failed)?.path();
        if file.extension().is_some_and(|end| end == "json") {
            found.push(file);
        }
    }
    found.sort();
    anyhow::ensure!(
        !found.is_empty(),
        "no *.json in {}: make scans with trivy image -f json -o scan.json IMAGE",
        path.display()
    );
    Ok(found)
}

fn read_file(path: &Path) -> anyhow::Result<Vec<ImageScan>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    parse_scans(&text).with_context(|| {
        format!(
            "failed to read {}; make scans with trivy image -f json, trivy k8s -f json, or kubectl get \
             vulnerabilityreports -A -o json",
            path.display()
        )
    })
}

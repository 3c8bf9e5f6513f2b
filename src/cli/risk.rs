//! Options about images: which may run, and vulnerability scans of them.

use crate::load::RiskSource;
use crate::risk::Approved;
use std::path::PathBuf;

/// Which images may run.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ApprovedArgs {
    /// A registry whose images may run, such as ghcr.io or ghcr.io/team (repeatable). With such a list, every
    /// other image is a finding, and so is a tag without a digest
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

/// Approved images, and vulnerability scans.
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
    pub fn source(&self) -> RiskSource {
        RiskSource {
            approved: self.approved.approved(),
            vulnerabilities: self.vulnerabilities.clone(),
        }
    }
}

/// A registry or image as it is written in a pod: one word, without a scheme.
fn parse_name(text: &str) -> Result<String, String> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    match text {
        "" => Err("it is empty".into()),
        url if url.contains("://") => Err("write it without https://, as pods do".into()),
        odd if odd.contains(is_odd) => Err("it must be one word".into()),
        name => Ok(name.to_owned()),
    }
}

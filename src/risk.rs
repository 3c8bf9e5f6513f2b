//! Room 2a: what is known of a workload beside its traffic, and what that means for who decides: images that
//! nobody approved, privileges that step around network policy, known vulnerabilities and how far they are
//! from the internet, and who sends more than before.
//!
//! It judges nothing that policies allow: how far one workload is from another comes from `evaluate`, as an
//! argument.

mod exposure;
mod images;
mod privileges;
#[cfg(test)]
mod testing;
mod volume;
mod vulnerabilities;

pub use exposure::{Exposure, exposed};
pub use images::{Approved, UNAPPROVED};
pub use volume::{Amount, Talker, VOLUME, VolumeChange, VolumeReport, Volumes, talkers};
pub use vulnerabilities::{Vulnerabilities, Weakness, weaknesses};

use crate::finding::Finding;
use crate::inventory::Workload;

/// What is found of a workload's images and privileges.
pub fn findings(workload: &Workload, approved: &Approved) -> Vec<Finding> {
    let mut found = approved.findings(workload);
    found.extend(privileges::privileges(workload));
    found
}

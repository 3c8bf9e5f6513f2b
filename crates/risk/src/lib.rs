//! Room 2a: risks of workloads, as findings for the person who decides: images that nobody approved, privileges
//! that bypass network policies, known vulnerabilities and their distance from the internet, and sudden changes
//! of traffic volume.
//!
//! It does not evaluate policies: the distance from one workload to another is an argument, computed by
//! `evaluate`.

mod exposure;
mod images;
mod privileges;
mod shared;
#[cfg(test)]
mod testing;
mod volume;
mod vulnerabilities;

pub use exposure::{Exposure, exposed};
pub use images::{Approved, UNAPPROVED};
pub use shared::{SharedFinding, SharedFindings, standing_warnings};
pub use volume::{Amount, Talker, VOLUME, VolumeChange, VolumeReport, Volumes, talkers};
pub use vulnerabilities::{Vulnerabilities, Weakness, weaknesses};

use nanoseg_finding::Finding;
use nanoseg_inventory::Workload;

/// Returns the findings about a workload's images and privileges.
pub fn findings(workload: &Workload, approved: &Approved) -> Vec<Finding> {
    let mut found = approved.findings(workload);
    found.extend(privileges::privileges(workload));
    found
}

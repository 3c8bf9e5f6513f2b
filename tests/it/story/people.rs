//! Rosa, who operates the shop and decides; Vera, who may read everything and decide nothing. Both use the nanoseg
//! command line as the users of their certificates.

use super::shop::Shop;
use crate::support::kubernetes::Cluster;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct People {
    pub rosa: PathBuf,
    pub vera: PathBuf,
}

/// The output of a command.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl People {
    /// Creates both users, with the roles of deploy/ in the shop's namespaces.
    pub fn make(cluster: &Cluster) -> People {
        People {
            rosa: cluster.kubeconfig_as("rosa", &["story-operators"]),
            vera: cluster.kubeconfig_as("vera", &["story-viewers"]),
        }
    }

    /// Gives them their roles in a shop.
    pub fn employ(cluster: &Cluster, shop: &Shop) {
        for namespace in shop.namespaces() {
            for (group, role) in [
                ("story-operators", "nanoseg-operator"),
                ("story-viewers", "nanoseg-viewer"),
            ] {
                let binding = json!({
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "RoleBinding",
                    "metadata": {"name": role},
                    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
                });
                cluster.apply(&namespace, &binding.to_string());
            }
        }
    }
}

/// The nanoseg command line with the rights of a user.
pub fn nanoseg(who: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nanoseg"));
    let output = command.env("KUBECONFIG", who).args(arguments).output();
    let output = output.expect("nanoseg starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

//! Privileges that bypass network policies: a container that controls its node controls the network of every pod on
//! it.

use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::Workload;
use std::collections::BTreeSet;

/// Capabilities that give access to the network or the node and that an ordinary server does not need
/// (capabilities(7)).
const GRAVE: [&str; 12] = [
    "ALL",
    "NET_ADMIN",
    "NET_RAW",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "DAC_READ_SEARCH",
    "BPF",
    "PERFMON",
    "MKNOD",
];

/// Returns findings about a workload's containers. (The graph reports the host network: `host-network-workload`.)
pub fn privileges(workload: &Workload) -> Vec<Finding> {
    let subject = workload.id.to_string();
    let mut privileged = BTreeSet::new();
    let mut findings = Vec::new();
    for container in &workload.containers {
        let name = &container.name;
        if container.privileged {
            privileged.insert(name.as_str());
        }
        let grave: Vec<&str> = container
            .capabilities
            .iter()
            .map(String::as_str)
            .filter(|one| GRAVE.contains(one))
            .collect();
        if !grave.is_empty() {
            let message = format!("container {name} adds {}", grave.join(", "));
            findings.push(Finding::new(Code::AddedCapability, &subject, message));
        }
        if !container.host_ports.is_empty() {
            let ports: Vec<String> = container.host_ports.iter().map(u16::to_string).collect();
            let message = format!(
                "container {name} is reached at {} {} of its node; a policy sees these clients with their own addresses",
                if ports.len() == 1 { "port" } else { "ports" },
                ports.join(", ")
            );
            findings.push(Finding::new(Code::HostPort, &subject, message));
        }
    }
    if !privileged.is_empty() {
        let names: Vec<&str> = privileged.into_iter().collect();
        let message = format!(
            "{} {} privileged",
            names.join(", "),
            if names.len() == 1 { "is" } else { "are" }
        );
        findings.push(Finding::new(Code::PrivilegedContainer, &subject, message));
    }
    // Replicas of two versions give the same finding twice.
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::super::testing::workload;
    use super::*;

    #[test]
    fn an_ordinary_container_has_none() {
        let mut app = workload("shop/app", "app");
        app.containers[0].capabilities = BTreeSet::from(["NET_BIND_SERVICE".into()]);
        assert!(privileges(&app).is_empty());
    }

    #[test]
    fn each_privilege_that_bypasses_network_policies_is_found() {
        let mut app = workload("shop/app", "app");
        let own = &mut app.containers[0];
        own.privileged = true;
        own.capabilities = BTreeSet::from(["CHOWN".into(), "NET_RAW".into(), "SYS_ADMIN".into()]);
        own.host_ports = BTreeSet::from([80, 443]);
        let mut other = own.clone();
        other.name = "side".into();
        other.host_ports.clear();
        other.capabilities.clear();
        app.containers.push(other);
        let found: Vec<(&str, String)> = privileges(&app)
            .into_iter()
            .map(|one| (one.code.name(), one.message))
            .collect();
        let expected = [
            (
                "privileged-container",
                "main, side are privileged".to_owned(),
            ),
            (
                "host-port",
                "container main is reached at ports 80, 443 of its node; a policy sees these clients with their own addresses".to_owned(),
            ),
            (
                "added-capability",
                "container main adds NET_RAW, SYS_ADMIN".to_owned(),
            ),
        ];
        assert_eq!(found, expected);
    }
}

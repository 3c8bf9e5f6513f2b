//! A day on a real cluster: kubelet, containerd, bridge CNI, kube-proxy, CoreDNS and kube-router
//! (`tests/cluster/node`), nanoseg from `deploy/` as it is shipped, and a shop whose connections are known. After `approve`
//! nothing that belongs to a day raises an alarm or breaks anything.

mod cluster;
mod day;
mod helm;
mod install;
mod life;
mod long;
mod probe;
mod shop;

use cluster::RealCluster;

#[test]
fn a_day_after_approve_is_uneventful() {
    let Some(cluster) = RealCluster::start("ipv4") else {
        return;
    };
    day::run(&cluster);
}

#[test]
fn what_policies_say_is_tried_with_the_enforcer_on_and_off() {
    let Some(cluster) = RealCluster::start("ipv4") else {
        return;
    };
    probe::run(&cluster);
}

#[test]
fn policies_of_ipv6_and_of_both_families_are_enforced() {
    for family in ["ipv6", "dual"] {
        let Some(cluster) = RealCluster::start(family) else {
            return;
        };
        day::until_enforced(&cluster);
        cluster.say(family);
    }
}

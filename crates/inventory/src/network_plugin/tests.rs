use super::network_plugin;
use crate::testing::objects;
use nanoseg_plugin::{ClusterPlugin, NetworkPlugin};

fn daemon_set(namespace: &str, name: &str, containers: &[(&str, &str, &str)]) -> String {
    let containers: Vec<String> = containers
        .iter()
        .map(|(name, image, args)| format!("{{name: {name}, image: {image}, args: [{args}]}}"))
        .collect();
    format!(
        "kind: DaemonSet\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{template: {{spec: {{containers: [{}]}}}}}}",
        containers.join(", ")
    )
}

fn system(name: &str, containers: &[(&str, &str, &str)]) -> String {
    daemon_set("kube-system", name, containers)
}

fn of(documents: &[String]) -> ClusterPlugin {
    network_plugin(&objects(&documents.join("\n---\n")))
}

fn plugin(documents: &[String]) -> NetworkPlugin {
    of(documents).profile.plugin
}

fn cilium() -> String {
    system(
        "cilium",
        &[("cilium-agent", "quay.io/cilium/cilium:v1.16.5", "")],
    )
}

fn flannel() -> String {
    daemon_set(
        "kube-flannel",
        "kube-flannel-ds",
        &[("kube-flannel", "ghcr.io/flannel-io/flannel:v0.26.1", "")],
    )
}

fn proxy() -> String {
    system(
        "kube-proxy",
        &[("kube-proxy", "registry.k8s.io/kube-proxy:v1.31.0", "")],
    )
}

#[test]
fn each_plugin_is_known_by_its_daemon_set_and_the_object_is_named() {
    let cases = [
        ("cilium", "cilium-agent", "quay.io/cilium/cilium:v1.16.5"),
        ("calico", "calico-node", "docker.io/calico/node:v3.29.1"),
        (
            "azure-npm",
            "azure-npm",
            "mcr.microsoft.com/containernetworking/azure-npm:v1.5.37",
        ),
        (
            "antrea",
            "antrea-agent",
            "antrea/antrea-agent-ubuntu:v2.2.0",
        ),
        (
            "ovn-kubernetes",
            "ovnkube-controller",
            "quay.io/openshift-release-dev/x@sha256:0",
        ),
        (
            "kube-router",
            "kube-router",
            "docker.io/cloudnativelabs/kube-router:v2.4.0",
        ),
        (
            "kube-network-policies",
            "knp",
            "registry.k8s.io/networking/kube-network-policies:v0.7.0",
        ),
        (
            "kube-network-policies",
            "kindnet-cni",
            "docker.io/kindest/kindnetd:v20240813-c6f155d6",
        ),
        (
            "aws-vpc-cni",
            "aws-eks-nodeagent",
            "602401143452.dkr.ecr.us-west-2.amazonaws.com/amazon/aws-network-policy-agent:v1.1.5",
        ),
    ];
    for (wanted, container, image) in cases {
        let found = of(&[system("agent", &[(container, image, "")])]);
        assert_eq!(found.profile.plugin.name(), wanted, "{container} {image}");
        assert!(
            found.to_string().contains("DaemonSet kube-system/agent"),
            "{found}"
        );
    }
}

#[test]
fn flannel_alone_enforces_nothing_and_beside_an_enforcer_the_enforcer_counts() {
    assert_eq!(plugin(&[flannel(), proxy()]), NetworkPlugin::None);
    let canal = system(
        "canal",
        &[
            ("calico-node", "rancher/hardened-calico:v3.29.1", ""),
            ("kube-flannel", "rancher/hardened-flannel:v0.26.1", ""),
        ],
    );
    assert_eq!(plugin(&[canal]), NetworkPlugin::Calico);
    let beside = system(
        "kube-network-policies",
        &[(
            "x",
            "registry.k8s.io/networking/kube-network-policies:v0.7.0",
            "",
        )],
    );
    assert_eq!(
        plugin(&[flannel(), beside]),
        NetworkPlugin::KubeNetworkPolicies
    );
    // Where kube-system is not in the snapshot, an enforcer may be there.
    assert!(of(&[flannel()]).is_unknown());
}

#[test]
fn an_old_kindnetd_enforces_nothing() {
    let kindnetd = |tag: &str| {
        let image = format!("docker.io/kindest/kindnetd:{tag}");
        plugin(&[system("kindnet", &[("kindnet-cni", &image, "")])])
    };
    assert_eq!(kindnetd("v20240202-8f1494ea"), NetworkPlugin::None);
    assert_eq!(
        kindnetd("v20241212-9f82dd49"),
        NetworkPlugin::KubeNetworkPolicies
    );
    assert_eq!(kindnetd("latest"), NetworkPlugin::KubeNetworkPolicies);
}

#[test]
fn the_vpc_cni_enforces_where_its_agent_is_told_to() {
    let aws = |args: &str| {
        system(
            "aws-node",
            &[
                ("aws-node", "x/amazon-k8s-cni:v1.19.2", ""),
                (
                    "aws-eks-nodeagent",
                    "x/amazon/aws-network-policy-agent:v1.1.5",
                    args,
                ),
            ],
        )
    };
    let off = of(&[aws("--enable-ipv6=false, --enable-network-policy=false")]);
    assert_eq!(
        off.profile.to_string(),
        "aws-vpc-cni,enable-network-policy=false"
    );
    assert!(!off.behaviour().enforces);
    assert!(
        of(&[aws("--enable-network-policy=true")])
            .behaviour()
            .enforces
    );
    let map = "kind: ConfigMap\nmetadata: {name: amazon-vpc-cni, namespace: kube-system}\n\
               data: {enable-network-policy-controller: 'true', branch-eni-cooldown: '60'}";
    let told = of(&[aws("--enable-network-policy=false"), map.to_owned()]);
    assert!(told.behaviour().enforces, "{told}");
    // Another enforcer beside the agent that is off.
    let calico = system("calico-node", &[("calico-node", "calico/node:v3.29.1", "")]);
    let beside = plugin(&[aws("--enable-network-policy=false"), calico]);
    assert_eq!(beside, NetworkPlugin::Calico);
    let alone = system("aws-node", &[("aws-node", "x/amazon-k8s-cni:v1.12.0", "")]);
    assert_eq!(plugin(&[alone]), NetworkPlugin::None);
}

#[test]
fn an_enforcer_that_is_switched_off_does_not_hide_another_one() {
    let router = system(
        "kube-router",
        &[(
            "kube-router",
            "cloudnativelabs/kube-router:v2",
            "--run-router=true, --run-firewall=false",
        )],
    );
    assert!(!of(std::slice::from_ref(&router)).behaviour().enforces);
    let other = system("knp", &[("knp", "x/kube-network-policies:v0.7.0", "")]);
    assert_eq!(plugin(&[router, other]), NetworkPlugin::KubeNetworkPolicies);
}

#[test]
fn the_options_of_cilium_come_from_its_config_map_and_its_arguments() {
    assert!(!of(&[cilium()]).behaviour().ip_block.nodes);
    let map = "kind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\n\
               data: {policy-cidr-match-mode: nodes, kube-proxy-replacement: 'true', cluster-name: prod}";
    let found = of(&[cilium(), map.to_owned()]);
    assert!(found.behaviour().ip_block.nodes);
    assert_eq!(
        found.to_string(),
        "cilium,policy-cidr-match-mode=nodes,kube-proxy-replacement=true (by DaemonSet kube-system/cilium, \
         ConfigMap kube-system/cilium-config)"
    );
    let argument = system(
        "cilium",
        &[(
            "cilium-agent",
            "quay.io/cilium/cilium:v1.16.5",
            "--policy-cidr-match-mode=nodes",
        )],
    );
    assert!(of(&[argument]).behaviour().ip_block.nodes);
}

#[test]
fn cilium_is_known_under_the_name_of_its_provider() {
    let gke = system(
        "anetd",
        &[("cilium-agent", "gke.gcr.io/cilium/cilium:v1.14.4", "")],
    );
    assert_eq!(plugin(&[gke]), NetworkPlugin::GkeDataplaneV2);
    let aks = system(
        "cilium",
        &[(
            "cilium-agent",
            "mcr.microsoft.com/containernetworking/cilium/cilium:v1.17.0",
            "",
        )],
    );
    assert_eq!(plugin(&[aks]), NetworkPlugin::AzureCilium);
    assert_eq!(plugin(&[cilium()]), NetworkPlugin::Cilium);
}

#[test]
fn k3s_has_kube_router_built_in_unless_it_is_told_not_to() {
    let node = |args: &str| {
        format!(
            "kind: Node\nmetadata: {{name: n1, annotations: {{k3s.io/hostname: n1, k3s.io/node-args: '[{args}]'}}}}"
        )
    };
    assert_eq!(
        plugin(&[node("\"server\""), proxy()]),
        NetworkPlugin::KubeRouter
    );
    assert_eq!(
        plugin(&[node("\"server\",\"--disable-network-policy\""), proxy()]),
        NetworkPlugin::None
    );
    assert_eq!(
        plugin(&[node("\"server\""), cilium()]),
        NetworkPlugin::Cilium
    );
}

#[test]
fn what_a_tenant_runs_under_the_name_of_a_plugin_counts_for_nothing() {
    let tenants = daemon_set(
        "shop",
        "cilium",
        &[("cilium-agent", "quay.io/cilium/cilium:v1.16.5", "")],
    );
    let map = "kind: ConfigMap\nmetadata: {name: cilium-config, namespace: shop}\n\
               data: {policy-cidr-match-mode: nodes}";
    assert!(of(&[tenants, map.to_owned()]).is_unknown());
    assert!(!of(&[cilium(), map.to_owned()]).behaviour().ip_block.nodes);
}

#[test]
fn objects_that_a_plugin_left_behind_count_only_where_nothing_that_runs_shows_another() {
    let node = "kind: CiliumNode\nmetadata: {name: n1}".to_owned();
    assert_eq!(plugin(std::slice::from_ref(&node)), NetworkPlugin::Cilium);
    assert_eq!(plugin(&[node, flannel(), proxy()]), NetworkPlugin::None);
}

#[test]
fn without_any_sign_the_plugin_is_unknown_and_the_specification_counts() {
    let found = of(&[proxy()]);
    assert!(found.is_unknown());
    assert_eq!(found.profile.plugin, NetworkPlugin::Spec);
}

#[test]
fn a_cilium_before_1_16_honours_no_ranges_of_ports() {
    let of_tag = |tag: &str| {
        let image = format!("quay.io/cilium/cilium:{tag}");
        of(&[system("cilium", &[("cilium-agent", &image, "")])])
    };
    assert!(!of_tag("v1.14.20").behaviour().end_port);
    assert!(!of_tag("v1.15.0-rc.1").behaviour().end_port);
    assert!(of_tag("v1.16.5").behaviour().end_port);
    assert!(of_tag("latest").behaviour().end_port);
}

#[test]
fn a_nodes_static_pods_count_for_nothing_and_pods_of_a_daemon_set_name_it_once() {
    let pod = |name: &str, owner: &str| {
        format!(
            "kind: Pod\nmetadata: {{name: {name}, namespace: kube-system, ownerReferences: [{{apiVersion: v1, kind: {owner}, \
             name: agents, uid: u}}]}}\nspec: {{containers: [{{name: calico-node, image: calico/node}}]}}"
        )
    };
    assert!(of(&[pod("a-n1", "Node")]).is_unknown());
    let found = of(&[pod("a", "DaemonSet"), pod("b", "DaemonSet")]);
    assert_eq!(
        found.to_string(),
        "calico (by DaemonSet kube-system/agents)"
    );
}

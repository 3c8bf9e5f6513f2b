//! Lookups that nobody saw, since they are older than the observation (rule: dns-not-observed).

use super::super::testing::{cluster_with, record, udp};
use super::super::{Built, GraphOptions, build};
use super::{codes, edges};
use nanoseg_finding::Code;
use nanoseg_flow::{FlowRecord, FlowResult, Verdict};
use nanoseg_net::{TimeSpans, Timestamp};

const CACHE: &str = "apiVersion: v1\nkind: Pod\nmetadata: {namespace: kube-system, name: node-local-dns-x, \
    labels: {k8s-app: node-local-dns}}\nspec: {nodeName: n1, hostNetwork: true, containers: [{name: c, image: i}]}\n\
    status: {phase: Running, podIP: 172.18.0.2, startTime: '2026-01-01T00:00:00Z'}";

/// A pod `shop/job` on n1 at 10.244.1.20 with more in its spec; it began at `start`.
fn pod(name: &str, address: &str, start: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: shop, name: {name}, labels: {{app: {name}}}}}\n\
         spec: {{nodeName: n1, {spec} containers: [{{name: c, image: i}}]}}\n\
         status: {{phase: Running, podIP: {address}, startTime: '{start}'}}"
    )
}

const OLD: &str = "2026-01-01T00:00:00Z";
/// While the agents observed.
const NEW: &str = "2027-01-15T08:00:00Z";

/// Job's pooled connection to a Service, seen by agents that began to observe twenty minutes before it.
fn call(address: &str) -> FlowRecord {
    FlowRecord {
        via: Some("10.96.0.20:80".parse().expect("valid")),
        ..record(address, "10.244.2.6:8080", Verdict::Established)
    }
}

fn observed(objects: &[String], records: &[FlowRecord]) -> Built {
    let mut view = TimeSpans::default();
    let begin = Timestamp::from_secs(1_799_998_800);
    view.insert(begin, begin.plus_secs(3600));
    let seen = FlowResult {
        records: records.to_vec(),
        views: [("n1".into(), view.clone()), ("n2".into(), view)].into(),
        ..FlowResult::default()
    };
    build(&seen, &cluster_with(objects), GraphOptions::default())
}

/// The implied edges of `shop/job`.
fn implied(built: &Built) -> Vec<String> {
    let all = edges(built).into_iter();
    all.filter_map(|text| Some(text.strip_prefix("implied shop/job → ")?.to_owned()))
        .collect()
}

#[test]
fn a_pod_that_is_older_than_the_observation_may_ask_the_cluster_s_dns() {
    let old = observed(
        &[pod("job", "10.244.1.20", OLD, "")],
        &[call("10.244.1.20")],
    );
    assert_eq!(
        implied(&old),
        ["kube-system/dns 5353/TCP", "kube-system/dns 5353/UDP"],
        "nobody was seen to ask, so it is the Service that the cluster declares"
    );
    assert!(codes(&old).contains(&Code::DnsNotObserved));
    let new = observed(
        &[pod("job", "10.244.1.20", NEW, "")],
        &[call("10.244.1.20")],
    );
    assert_eq!(
        implied(&new),
        Vec::<String>::new(),
        "its lookup would have been seen"
    );
    assert!(codes(&new).contains(&Code::DnsNotObserved));
}

#[test]
fn once_a_lookup_was_seen_nothing_is_implied() {
    let asked = udp("10.244.1.20", "10.96.0.10:53", Verdict::Established, 1);
    let built = observed(
        &[pod("job", "10.244.1.20", OLD, "")],
        &[call("10.244.1.20"), asked],
    );
    assert!(!codes(&built).contains(&Code::DnsNotObserved));
    assert_eq!(implied(&built), ["kube-system/dns 5353/TCP"], "RFC 7766");
}

#[test]
fn a_resolver_that_the_spec_names_is_allowed_and_with_policy_none_no_other() {
    let config = "dnsConfig: {nameservers: [192.0.2.53]},";
    let none = pod(
        "job",
        "10.244.1.20",
        OLD,
        &format!("dnsPolicy: None, {config}"),
    );
    assert_eq!(
        implied(&observed(&[none], &[call("10.244.1.20")])),
        ["outside:192.0.2.53 53/TCP", "outside:192.0.2.53 53/UDP"]
    );
    let both = pod("job", "10.244.1.20", OLD, config);
    assert_eq!(implied(&observed(&[both], &[call("10.244.1.20")])).len(), 4);
}

#[test]
fn a_pod_that_asks_its_node_s_resolver_may_ask_whom_others_of_this_kind_ask() {
    let own = "dnsPolicy: Default,";
    let job = pod("job", "10.244.1.20", OLD, own);
    let other = pod("other", "10.244.1.21", OLD, own);
    let asked = udp("10.244.1.21", "192.0.2.1:53", Verdict::Established, 1);
    // Web asks the cluster, which says nothing of job.
    let web = udp("10.244.1.5", "10.96.0.10:53", Verdict::Established, 1);
    let built = observed(
        &[job.clone(), other],
        &[call("10.244.1.20"), asked, web.clone()],
    );
    assert_eq!(
        implied(&built),
        ["outside:192.0.2.1 53/TCP", "outside:192.0.2.1 53/UDP"]
    );
    let alone = observed(&[job], &[call("10.244.1.20"), web]);
    assert_eq!(implied(&alone), Vec::<String>::new());
    let said = alone
        .findings
        .iter()
        .find(|one| one.code == Code::DnsNotObserved);
    assert!(
        said.is_some_and(|one| one.message.contains("whom its node asks")),
        "{said:?}"
    );
}

#[test]
fn cluster_first_with_host_net_is_the_cluster_s_dns_off_the_host_network() {
    let spec = "dnsPolicy: ClusterFirstWithHostNet,";
    let job = pod("job", "10.244.1.20", OLD, spec);
    assert_eq!(implied(&observed(&[job], &[call("10.244.1.20")])).len(), 2);
}

#[test]
fn every_dns_service_of_the_cluster_and_the_cache_on_the_node_may_be_the_one() {
    let second = [
        "apiVersion: v1\nkind: Pod\nmetadata: {namespace: kube-system, name: dns-two, labels: {app: dns-two}}\n\
         spec: {nodeName: n2, containers: [{name: c, image: i}]}\n\
         status: {phase: Running, podIP: 10.244.2.54, startTime: '2026-01-01T00:00:00Z'}",
        "apiVersion: v1\nkind: Service\nmetadata: {namespace: kube-system, name: dns-two}\n\
         spec: {clusterIP: 10.96.0.11, clusterIPs: [10.96.0.11], ports: [{port: 53, protocol: UDP}]}",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: kube-system, name: dns-two-0, \
         labels: {kubernetes.io/service-name: dns-two}}\naddressType: IPv4\nports: [{port: 53, protocol: UDP}]\n\
         endpoints: [{addresses: [10.244.2.54]}]",
        CACHE,
    ];
    let mut objects: Vec<String> = second.map(str::to_owned).into();
    objects.push(pod("job", "10.244.1.20", OLD, ""));
    assert_eq!(
        implied(&observed(&objects, &[call("10.244.1.20")])),
        [
            "kube-system/dns 5353/TCP",
            "kube-system/dns 5353/UDP",
            "kube-system/dns-two 53/TCP",
            "kube-system/dns-two 53/UDP",
            "outside:169.254.20.10 53/TCP",
            "outside:169.254.20.10 53/UDP",
        ]
    );
    // What a neighbour was seen to ask goes before what is declared: all pods have one resolv.conf.
    let web = udp("10.244.1.5", "169.254.20.10:53", Verdict::Established, 1);
    assert_eq!(
        implied(&observed(&objects, &[call("10.244.1.20"), web])),
        [
            "outside:169.254.20.10 53/TCP",
            "outside:169.254.20.10 53/UDP"
        ]
    );
}

#[test]
fn who_is_called_at_its_own_address_may_have_a_name_too() {
    let headless = [
        "apiVersion: v1\nkind: Service\nmetadata: {namespace: shop, name: members}\n\
         spec: {clusterIP: None, ports: [{port: 8080, protocol: TCP}]}",
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {namespace: shop, name: members-0, \
         labels: {kubernetes.io/service-name: members}}\naddressType: IPv4\nports: [{port: 8080, protocol: TCP}]\n\
         endpoints: [{addresses: [10.244.2.6]}]",
    ];
    let mut objects: Vec<String> = headless.map(str::to_owned).into();
    objects.push(pod("job", "10.244.1.20", OLD, ""));
    for server in ["10.244.2.6:8080", "192.0.2.7:443"] {
        let called = record("10.244.1.20", server, Verdict::Established);
        assert_eq!(implied(&observed(&objects, &[called])).len(), 2, "{server}");
    }
    // The API server's address is in its environment, the metadata service has none but an address.
    for server in ["172.18.0.9:6443", "169.254.169.254:80"] {
        let called = record("10.244.1.20", server, Verdict::Established);
        assert_eq!(
            implied(&observed(&objects, &[called])),
            Vec::<String>::new(),
            "{server}"
        );
    }
}

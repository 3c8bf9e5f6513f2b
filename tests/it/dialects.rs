//! The same requirements in each dialect: sound and tight by the evaluator of that kind
//! (rule: same-requirements-in-each-dialect).

use crate::binary::nanoseg;
use nanoseg::evaluate::{PolicySets, Proof, prove};
use nanoseg::graph::{DnsEvidence, End, OpenDirections, Requirement};
use nanoseg::inventory::testing;
use nanoseg::inventory::{Inventory, OtherKinds, WorkloadId};
use nanoseg::net::Protocol;
use nanoseg::policy::{Dialect, SynthesisOptions, synthesise};
use nanoseg::policy_kinds::OtherKindPolicy;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const DIALECTS: [&str; 3] = ["kubernetes", "cilium", "calico"];
const NAME: &str = "api.payments.example";
const BANK: &str = "203.0.113.10";

#[test]
fn the_sample_is_sound_and_tight_in_each_dialect() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop");
    for dialect in DIALECTS {
        let args = ["generate", "--output", "json", "--dialect", dialect];
        let more = [
            "--capture".into(),
            sample.clone().into_os_string(),
            "--cluster".into(),
            sample.join("cluster.yaml").into_os_string(),
        ];
        let run = nanoseg(args.map(Into::into).into_iter().chain(more));
        let proof = &run.json["proof"];
        assert_eq!(proof["observed"], 26, "{dialect}: {}", run.stderr);
        assert_eq!(proof["observed_allowed"], 26, "{dialect}: {proof}");
        assert_eq!(proof["excess_connections"], 0, "{dialect}: {proof}");
    }
}

#[test]
fn verify_counts_what_policies_of_another_kind_would_block() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("out");
    let run = |command: &[&str], with: &Path| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_nanoseg"))
            .args(command)
            .arg(with)
            .arg("--capture")
            .arg(&sample)
            .arg("--cluster")
            .arg(sample.join("cluster.yaml"))
            .output()
            .expect("nanoseg runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["generate", "--dialect", "cilium", "--out"], &out);
    let text = run(&["verify", "--policies"], &out);
    assert!(text.contains("26 of 26 observed edges"), "{text}");
    let pay = out.join("shop/pay.yaml");
    let policy = std::fs::read_to_string(&pay).expect("a policy");
    std::fs::write(&pay, policy.replace(NAME, "api.other.example")).expect("it can be written");
    let text = run(&["verify", "--policies"], &out);
    assert!(
        text.contains("25 of 26 observed edges") && text.contains("shop/pay"),
        "{text}"
    );
}

/// Four workloads on two nodes; the API server is on the first.
fn cluster() -> Inventory {
    let documents = [
        testing::node("n1", "10.244.1.0/24", "172.18.0.2"),
        testing::node("n2", "10.244.2.0/24", "172.18.0.3"),
        testing::pod("shop", "web", "10.244.1.5", "n1", "app: web"),
        testing::pod("shop", "app", "10.244.2.6", "n2", "app: app"),
        testing::pod("ops", "web", "10.244.1.7", "n1", "app: web"),
        testing::pod(
            "kube-system",
            "dns",
            "10.244.2.8",
            "n2",
            "k8s-app: kube-dns",
        ),
    ];
    let mut inventory = testing::inventory(&documents.join("\n---\n")).0;
    inventory.api_server = ["172.18.0.2:6443".parse().expect("an address")].into();
    inventory
}

fn id(text: &str) -> WorkloadId {
    let (namespace, name) = text.split_once('/').expect("namespace/name");
    WorkloadId {
        namespace: namespace.into(),
        name: name.into(),
        kind: "Pod".into(),
    }
}

/// `client > server`: workloads, or addresses of nodes (`any`, `api`) and of the outside.
fn requirement(client: &str, server: &str, port: u16, edge: usize) -> Requirement {
    let end = |text: &str| match text {
        "any" => End::Addresses(
            ["172.18.0.2", "172.18.0.3"]
                .map(|a| a.parse().expect("an address"))
                .into(),
        ),
        "api" => End::Addresses(["172.18.0.2".parse().expect("an address")].into()),
        text => match text.parse() {
            Ok(address) => End::Addresses([address].into()),
            Err(_) => End::Workload(id(text)),
        },
    };
    Requirement {
        client: end(client),
        server: end(server),
        protocol: if port == 53 {
            Protocol::Udp
        } else {
            Protocol::Tcp
        },
        port,
        label: None,
        outside: [client, server]
            .iter()
            .any(|one| one.parse::<std::net::IpAddr>().is_ok()),
        edge,
    }
}

fn written(dialect: Dialect, needs: &[Requirement], dns: &DnsEvidence) -> Vec<OtherKindPolicy> {
    let inventory = cluster();
    let options = SynthesisOptions {
        dialect,
        ..SynthesisOptions::default()
    };
    let managed: Vec<WorkloadId> = inventory.workloads.keys().cloned().collect();
    let open = OpenDirections::default();
    let synthesis = synthesise(&inventory, needs, &managed, &open, dns, &options);
    let all = synthesis.policies.into_iter();
    all.filter_map(|one| Some(one.native?.object)).collect()
}

/// Judges the policies of another kind alone.
fn judge(needs: &[Requirement], policies: &[OtherKindPolicy]) -> Proof {
    let mut inventory = cluster();
    let bank = BTreeSet::from([BANK.parse().expect("an address")]);
    inventory.other_kinds = Arc::new(OtherKinds {
        names: BTreeMap::from([(NAME.to_owned(), bank)]),
        ..OtherKinds::default()
    });
    let managed: BTreeSet<WorkloadId> = inventory.workloads.keys().cloned().collect();
    let sets = PolicySets {
        generated_others: policies,
        ..PolicySets::default()
    };
    prove(&inventory, sets, needs, &managed).expect("policies that an API server takes")
}

#[test]
fn the_proof_judges_the_policy_as_it_is_written() {
    let needs = [
        requirement("shop/app", "kube-system/dns", 53, 0),
        requirement("shop/app", BANK, 443, 1),
        requirement("shop/app", "api", 6443, 2),
        requirement("any", "shop/app", 8080, 3),
    ];
    let mut dns = DnsEvidence::default();
    dns.add_lookup(0);
    dns.add_name(1, NAME);
    let policies = written(Dialect::Cilium, &needs, &dns);
    let proof = judge(&needs, &policies);
    assert_eq!(proof.blocked, [], "sound as it is");
    for (right, wrong) in [
        (NAME, "api.other.example"),
        ("kube-apiserver", "ingress"),
        ("k8s:app", "k8s:part"),
        ("\"443\"", "\"444\""),
    ] {
        let tampered = |policy: &OtherKindPolicy| {
            let text = policy.to_object().to_string().replace(right, wrong);
            let object = serde_json::from_str(&text).expect("JSON");
            OtherKindPolicy::read(policy.kind(), &object)
                .expect("a policy")
                .policy
        };
        let tampered: Vec<OtherKindPolicy> = policies.iter().map(tampered).collect();
        assert_ne!(tampered, policies, "{right} is written");
        let proof = judge(&needs, &tampered);
        let is_found = !proof.blocked.is_empty() || proof.excess.total > 0;
        assert!(is_found, "{right} → {wrong}");
    }
}

fn any_need() -> impl Strategy<Value = (&'static str, &'static str, u16)> {
    let workloads = ["shop/web", "shop/app", "ops/web", "kube-system/dns"];
    let others = ["any", "api", "198.51.100.7", BANK, "2001:db8::1"];
    let pick = |list: &'static [&'static str]| prop::sample::select(list);
    let workload = move || pick(Vec::leak(workloads.to_vec()));
    let other = move || pick(Vec::leak(others.to_vec()));
    let port = prop::sample::select(vec![53u16, 80, 443, 8080, 8081, 8082]);
    let ends = prop_oneof![
        (workload(), workload()),
        (workload(), other()),
        (other(), workload()),
    ];
    (ends, port).prop_map(|((client, server), port)| (client, server, port))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_required_is_allowed_in_each_dialect(
        needs in prop::collection::btree_set(any_need(), 1..12),
        named in any::<bool>(),
    ) {
        let needs: Vec<Requirement> = needs
            .iter()
            .filter(|(client, server, _)| client != server)
            .enumerate()
            .map(|(edge, (client, server, port))| requirement(client, server, *port, edge))
            .collect();
        let mut dns = DnsEvidence::default();
        for one in &needs {
            match &one.server {
                End::Workload(id) if id.name == "dns" && one.port == 53 => dns.add_lookup(one.edge),
                End::Addresses(at) if named && *at == [BANK.parse().unwrap()].into() => {
                    dns.add_name(one.edge, NAME);
                }
                _ => {}
            }
        }
        for dialect in [Dialect::Cilium, Dialect::Calico] {
            let policies = written(dialect, &needs, &dns);
            let proof = judge(&needs, &policies);
            prop_assert!(proof.blocked.is_empty(), "{dialect:?} {:?} {policies:?}", proof.blocked);
            prop_assert!(proof.blocked_by_existing.is_empty(), "{dialect:?}");
        }
    }
}

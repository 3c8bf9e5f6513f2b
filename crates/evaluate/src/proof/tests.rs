//! Tests of the proof, case by case. The differential tests compare it with a naive evaluator.

use super::{BlockedBy, Excess, Managed, PolicySets, Proof, Span, prove_each_way};
use crate::EvaluateError;
use crate::testing::*;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_graph::{End, Requirement};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressSet, ConnectionSet, Protocol};
use std::collections::BTreeSet;

/// shop: web (app=web), db (app=db), job (app=job); ops: probe (app=probe). One pod each.
fn shop() -> Inventory {
    let mut inventory = Inventory::default();
    for name in ["shop/web", "shop/db", "shop/job", "ops/probe"] {
        let app = name.split('/').nth(1).unwrap();
        pod(&mut inventory, name, &format!("app={app}"));
    }
    inventory
}

fn end(text: &str) -> End {
    if text.contains('/') {
        End::Workload(id(text))
    } else {
        End::Addresses(text.split(',').map(|one| one.parse().unwrap()).collect())
    }
}

fn need(client: &str, server: &str, port: u16) -> Requirement {
    Requirement {
        client: end(client),
        server: end(server),
        protocol: Protocol::Tcp,
        port,
        label: None,
        outside: false,
        edge: 7,
    }
}

fn managed(names: &[&str]) -> BTreeSet<WorkloadId> {
    names.iter().map(|name| id(name)).collect()
}

/// A policy for `app` of shop with rules in both directions.
fn tight(name: &str, app: &str, ingress: &str, egress: &str) -> NetworkPolicy {
    named_policy(
        name,
        &format!(
            "{{podSelector: {{matchLabels: {{app: {app}}}}}, policyTypes: [Ingress, Egress],
               ingress: [{ingress}], egress: [{egress}]}}"
        ),
    )
}

const FROM_WEB: &str = "{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}";
const TO_DB: &str = "{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}";

fn web_and_db() -> Vec<NetworkPolicy> {
    vec![
        tight("shop/n-web", "web", "", TO_DB),
        tight("shop/n-db", "db", FROM_WEB, ""),
    ]
}

/// Proves `generated` where there are no policies of others.
fn prove(
    inventory: &Inventory,
    generated: &[NetworkPolicy],
    requirements: &[Requirement],
    managed: &BTreeSet<WorkloadId>,
) -> Result<Proof, EvaluateError> {
    super::prove(
        inventory,
        PolicySets::only(generated),
        requirements,
        managed,
    )
}

fn excess(proof: &Proof) -> Vec<String> {
    proof
        .excess
        .entries
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn policies_that_allow_exactly_the_requirements_are_sound_and_tight() {
    let needs = [need("shop/web", "shop/db", 5432)];
    let proof = prove(
        &shop(),
        &web_and_db(),
        &needs,
        &managed(&["shop/web", "shop/db"]),
    )
    .unwrap();
    assert!(proof.is_sound() && proof.is_tight());
    assert_eq!((proof.requirements, proof.allowed), (1, 1));
    assert!(proof.excess_by_existing.is_empty());
}

#[test]
fn a_blocked_requirement_lists_the_direction_and_the_policies() {
    let needs = [
        need("shop/web", "shop/db", 5432),
        need("shop/job", "shop/db", 5432),
    ];
    let proof = prove(&shop(), &web_and_db(), &needs, &managed(&[])).unwrap();
    assert_eq!(proof.allowed, 1);
    let [blocked] = proof.blocked.as_slice() else {
        panic!("{:?}", proof.blocked)
    };
    assert_eq!((blocked.requirement, blocked.edge), (1, 7));
    assert_eq!(blocked.by, BlockedBy::Ingress(vec!["shop/n-db".into()]));
    assert_eq!(
        blocked.to_string(),
        "shop/job => shop/db : TCP 5432 blocked on ingress by shop/n-db"
    );
    let needs = [need("shop/web", "ops/probe", 80)];
    let proof = prove(&shop(), &web_and_db(), &needs, &managed(&[])).unwrap();
    assert_eq!(
        proof.blocked[0].by,
        BlockedBy::Egress(vec!["shop/n-web".into()])
    );
}

#[test]
fn every_pod_of_both_workloads_must_be_allowed() {
    let needs = [need("shop/web", "shop/db", 5432)];
    let mut inventory = shop();
    // This pod no longer exists and has other labels. It may come back after a rollback.
    pod(&mut inventory, "shop/web", "app=web-old").owned.until =
        Some(nanoseg_net::Timestamp::from_secs(1));
    let proof = prove(&inventory, &web_and_db(), &needs, &managed(&[])).unwrap();
    assert_eq!(proof.blocked.len(), 1);
    assert_eq!(
        proof.blocked[0].by,
        BlockedBy::Ingress(vec!["shop/n-db".into()])
    );
}

#[test]
fn an_existing_policy_can_block_too() {
    let existing = [named_policy("ops/deny", "{podSelector: {}}")];
    let needs = [need("shop/job", "ops/probe", 80)];
    let sets = PolicySets {
        generated: &[],
        existing: &existing,
        ..PolicySets::default()
    };
    let proof = super::prove(&shop(), sets, &needs, &managed(&[])).unwrap();
    assert_eq!(
        proof.blocked_by_existing[0].by,
        BlockedBy::Ingress(vec!["ops/deny".into()])
    );
    assert_eq!(proof.allowed, 0);
    assert!(proof.is_sound(), "no generated policy blocks it");
    let own = PolicySets {
        generated: &existing,
        existing: &[],
        ..PolicySets::default()
    };
    let proof = super::prove(&shop(), own, &needs, &managed(&[])).unwrap();
    assert!(!proof.is_sound());
}

#[test]
fn a_requirement_of_a_workload_without_pods_is_not_proven() {
    let needs = [need("shop/gone", "shop/db", 5432)];
    let proof = prove(&shop(), &[], &needs, &managed(&[])).unwrap();
    assert_eq!(
        proof.blocked[0].by,
        BlockedBy::UnknownWorkload(id("shop/gone"))
    );
    assert!(!proof.is_sound());
}

#[test]
fn only_the_blocked_addresses_are_listed() {
    let to = "{to: [{ipBlock: {cidr: 192.0.2.1/32}}], ports: [{port: 443}]}";
    let needs = [need("shop/web", "192.0.2.1,192.0.2.2", 443)];
    let proof = prove(
        &shop(),
        &[tight("shop/n-web", "web", "", to)],
        &needs,
        &managed(&[]),
    )
    .unwrap();
    let rest = AddressSet::one("192.0.2.2".parse().unwrap());
    assert_eq!(proof.blocked[0].server, Span::Addresses(rest));
    assert_eq!(proof.blocked.len(), 1);
}

#[test]
fn what_is_allowed_beyond_the_requirements_is_excess() {
    let proof = prove(
        &shop(),
        &web_and_db(),
        &[],
        &managed(&["shop/web", "shop/db"]),
    )
    .unwrap();
    assert_eq!(excess(&proof), ["shop/web => shop/db : TCP 5432"]);
    let wide = FROM_WEB.replace("5432", "5432, endPort: 5433");
    let mut policies = vec![tight("shop/n-db", "db", &wide, "")];
    policies.push(tight(
        "shop/n-web",
        "web",
        "",
        &TO_DB.replace("5432", "5432, endPort: 5434"),
    ));
    let needs = [need("shop/web", "shop/db", 5432)];
    let proof = prove(
        &shop(),
        &policies,
        &needs,
        &managed(&["shop/web", "shop/db"]),
    )
    .unwrap();
    assert_eq!(excess(&proof), ["shop/web => shop/db : TCP 5433"]);
}

#[test]
fn every_address_of_an_ip_block_that_is_not_required_is_excess() {
    let to = "{to: [{ipBlock: {cidr: 10.244.0.0/29}}], ports: [{port: 443}]}";
    let policies = [tight("shop/n-web", "web", "", to)];
    let needs = [need("shop/web", "10.244.0.7", 443)];
    let proof = prove(&shop(), &policies, &needs, &managed(&["shop/web"])).unwrap();
    assert_eq!(
        excess(&proof),
        ["shop/web => 10.244.0.0-10.244.0.6 : TCP 443"]
    );
    let Span::Addresses(set) = &proof.excess.entries[0].server else {
        panic!()
    };
    assert_eq!(set.count(), 7);
}

#[test]
fn a_managed_workload_without_a_policy_is_open_to_anything() {
    let proof = prove(&shop(), &[], &[], &managed(&["shop/web"])).unwrap();
    assert_eq!(
        excess(&proof),
        [
            "shop/web => anything : All Connections",
            "anything => shop/web : All Connections"
        ]
    );
}

#[test]
fn a_managed_client_of_an_unmanaged_server_counts_and_two_unmanaged_ones_do_not() {
    let policies = [tight(
        "shop/n-web",
        "web",
        "",
        "{to: [{namespaceSelector: {}}], ports: [{port: 1}]}",
    )];
    let proof = prove(&shop(), &policies, &[], &managed(&["shop/web"])).unwrap();
    assert_eq!(
        excess(&proof),
        [
            "shop/web => ops/probe : TCP 1",
            "shop/web => shop/db : TCP 1",
            "shop/web => shop/job : TCP 1",
        ],
        "web itself takes nothing in, and db, job and probe may talk as before"
    );
}

#[test]
fn two_managed_workloads_are_counted_once() {
    let proof = prove(
        &shop(),
        &web_and_db(),
        &[],
        &managed(&["shop/web", "shop/db"]),
    )
    .unwrap();
    assert_eq!(proof.excess.total, 1);
}

#[test]
fn replicas_that_need_not_talk_to_each_other_are_excess() {
    let all = "{from: [{podSelector: {}}], ports: [{port: 1}]}";
    let to = "{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 1}]}";
    let proof = prove(
        &shop(),
        &[tight("shop/n-db", "db", all, to)],
        &[],
        &managed(&["shop/db"]),
    )
    .unwrap();
    assert!(
        excess(&proof).contains(&"shop/db => shop/db : TCP 1".to_owned()),
        "{proof:?}"
    );
}

#[test]
fn excess_of_existing_policies_is_listed_separately_with_their_names() {
    let wide = "{podSelector: {matchLabels: {app: db}},
        ingress: [{ports: [{port: 5432, endPort: 5440}]}]}";
    let other = "{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 9}]}]}";
    let existing = [
        named_policy("shop/wide", wide),
        named_policy("shop/b", other),
    ];
    let needs = [need("shop/web", "shop/db", 5432)];
    let sets = PolicySets {
        generated: &web_and_db(),
        existing: &existing,
        ..PolicySets::default()
    };
    let proof = super::prove(&shop(), sets, &needs, &managed(&["shop/web", "shop/db"])).unwrap();
    assert!(proof.is_sound() && proof.is_tight(), "{proof:?}");
    let found: Vec<_> = proof
        .excess_by_existing
        .entries
        .iter()
        .map(|entry| (entry.to_string(), entry.policies.join(",")))
        .collect();
    let both = "shop/wide,shop/b".to_owned();
    assert_eq!(
        found,
        [
            (
                "ops/probe => shop/db : TCP 9,5432-5440".to_owned(),
                both.clone()
            ),
            (
                "shop/job => shop/db : TCP 9,5432-5440".to_owned(),
                both.clone()
            ),
            (
                "0.0.0.0-255.255.255.255 => shop/db : TCP 9,5432-5440".to_owned(),
                both
            ),
        ],
        "web has no egress to the other ports"
    );
}

#[test]
fn a_managed_host_network_workload_is_not_counted() {
    let mut inventory = shop();
    pod(&mut inventory, "ops/agent", "").host_network = true;
    let proof = prove(&inventory, &[], &[], &managed(&["ops/agent"])).unwrap();
    assert!(proof.is_tight());
}

#[test]
fn more_excess_than_is_listed_is_still_counted() {
    let mut inventory = Inventory::default();
    for index in 0..120 {
        pod(&mut inventory, &format!("shop/w{index}"), "");
    }
    let all = "{from: [{podSelector: {}}], ports: [{port: 1}]}";
    let wide = named_policy(
        "shop/p",
        &format!("{{podSelector: {{}}, ingress: [{all}]}}"),
    );
    let names: BTreeSet<WorkloadId> = inventory.workloads.keys().cloned().collect();
    let proof = prove(&inventory, &[wide], &[], &names).unwrap();
    assert_eq!(
        proof.excess.total,
        120 * 120 + 120,
        "all pairs, and egress to anything"
    );
    assert_eq!(proof.excess.entries.len(), Proof::MAX_LISTED);
}

#[test]
fn the_excess_of_everyone_covers_the_families_in_use() {
    let policies = [tight("shop/n-web", "web", "{ports: [{port: 80}]}", "")];
    let proof = prove(&shop(), &policies, &[], &managed(&["shop/web"])).unwrap();
    let outside = |proof: &Proof| {
        let mut spans = proof
            .excess
            .entries
            .iter()
            .filter_map(|entry| match &entry.client {
                Span::Addresses(set) => Some(set.clone()),
                _ => None,
            });
        spans.next().unwrap()
    };
    assert_eq!(outside(&proof), AddressSet::all_v4());
    let mut inventory = shop();
    inventory.pods[0].addresses.push("fd00::1".parse().unwrap());
    let proof = prove(&inventory, &policies, &[], &managed(&["shop/web"])).unwrap();
    assert_eq!(outside(&proof), AddressSet::all());
    assert_eq!(
        proof.excess.entries[0].connections,
        ConnectionSet::one(Protocol::Tcp, 80)
    );
}

#[test]
fn what_is_managed_in_one_direction_counts_in_that_direction() {
    let inventory = shop();
    let open = named_policy(
        "shop/n",
        "{podSelector: {matchLabels: {app: db}}, ingress: [{}]}",
    );
    let (db, web, none) = (managed(&["shop/db"]), managed(&["shop/web"]), managed(&[]));
    let count = |ingress, egress| {
        let managed = Managed { ingress, egress };
        let proof = prove_each_way(
            &inventory,
            PolicySets::only(std::slice::from_ref(&open)),
            &[],
            managed,
        )
        .unwrap();
        excess(&proof)
    };
    // Every pod, its own replicas too, and every address.
    let found = count(&db, &none);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(
        found.iter().all(|one| one.contains("=> shop/db : ")),
        "{found:?}"
    );
    assert!(count(&none, &none).is_empty());
    // A pair whose server is managed is counted there, once.
    let both = count(&db, &web);
    let pairs = both
        .iter()
        .filter(|one| one.starts_with("shop/web => shop/db"));
    assert_eq!(pairs.count(), 1, "{both:?}");
}

#[test]
fn each_address_and_each_range_of_ports_counts_as_a_connection() {
    let all = "{from: [{ipBlock: {cidr: 0.0.0.0/1}}], ports: [{port: 1}, {port: 5, endPort: 9}]}";
    let to = "{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 1}]}";
    let proof = prove(
        &shop(),
        &[tight("shop/n-db", "db", all, to)],
        &[],
        &managed(&["shop/db"]),
    )
    .unwrap();
    let of_addresses = |one: &&Excess| matches!(one.client, Span::Addresses(_));
    let addresses: Vec<&Excess> = proof.excess.entries.iter().filter(of_addresses).collect();
    let counted: u128 = addresses.iter().map(|one| one.count()).sum();
    assert_eq!(counted, 2 * (1 << 31), "{addresses:?}");
    let sum: u128 = proof.excess.entries.iter().map(|one| one.count()).sum();
    assert_eq!(proof.excess.connections, sum);
    let anything = Excess {
        client: Span::Anything,
        ..addresses[0].clone()
    };
    assert!(anything.count() >= 1 << 32);
}

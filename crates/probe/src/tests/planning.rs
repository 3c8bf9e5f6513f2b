use super::shop::{Shop, words};
use crate::{Limits, Unfit, subject};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn the_sample_has_what_is_allowed_and_what_is_denied_and_the_way_through_the_service() {
    let found = words(&Shop::new().plan());
    assert_eq!(
        found,
        [
            "api → db 5432 allowed",
            "api → db 5432 by shop/db allowed",
            "db → api 8080 denied",
            "job → api 8080 denied",
            "job → db 5432 denied",
            "web → api 80 by shop/api allowed",
            "web → api 8080 allowed",
            "web → db 5432 denied",
        ]
    );
}

#[test]
fn the_same_seed_gives_the_same_sample_and_another_seed_another_one() {
    let mut shop = Shop::new();
    shop.limits.sample = 4;
    let samples: Vec<Vec<String>> = (0..8)
        .map(|seed| {
            shop.seed = seed;
            assert_eq!(words(&shop.plan()), words(&shop.plan()));
            words(&shop.plan())
        })
        .collect();
    let different: BTreeSet<&Vec<String>> = samples.iter().collect();
    assert!(different.len() > 1, "{samples:?}");
}

#[test]
fn a_small_sample_has_both_allowed_and_denied_connections() {
    let mut shop = Shop::new();
    for sample in 2..8 {
        shop.limits.sample = sample;
        let found = words(&shop.plan());
        assert_eq!(found.len(), sample);
        for expected in ["allowed", "denied"] {
            let of = found.iter().filter(|one| one.ends_with(expected));
            assert!(
                of.count() >= sample / 2 || expected == "denied",
                "{found:?}"
            );
            assert!(found.iter().any(|one| one.ends_with(expected)), "{found:?}");
        }
    }
}

#[test]
fn neither_more_pods_nor_more_tries_of_a_pod_than_the_limits_say() {
    let mut shop = Shop::new();
    shop.limits = Limits {
        pods: 2,
        per_pod: 2,
        ..Limits::default()
    };
    let plan = shop.plan();
    let by_pod = plan.by_pod();
    assert_eq!(by_pod.len(), 2);
    assert!(by_pod.values().all(|tries| tries.len() <= 2), "{by_pod:?}");
}

#[test]
fn without_policies_there_is_nothing_to_try() {
    let mut shop = Shop::new();
    shop.policies.clear();
    assert!(shop.plan().probes.is_empty());
}

#[test]
fn only_pods_of_the_named_namespaces_get_a_container() {
    let mut shop = Shop::new();
    shop.namespaces = BTreeSet::from(["other".to_owned()]);
    assert!(shop.plan().probes.is_empty());
}

#[test]
fn the_plan_names_the_rules_that_allow_and_the_policies_and_nodes_that_deny() {
    let plan = Shop::new().plan();
    let find = |client: &str, server: &str| {
        let mut probes = plan.probes.iter().filter(|one| one.through.is_none());
        let is = |pod: &Option<crate::PodName>| pod.as_ref().is_some_and(|pod| pod.name == server);
        probes
            .find(|one| one.client.pod.name == client && is(&one.server.pod))
            .unwrap()
    };
    let allowed = find("web", "api");
    assert_eq!(allowed.allowed_by, ["shop/api, spec.ingress[0]"]);
    let denied = find("job", "api");
    assert_eq!(denied.denied_by, ["shop/api"]);
    assert_eq!(denied.denied_on, BTreeSet::from(["node2".to_owned()]));
}

#[test]
fn a_pod_that_cannot_get_a_container_is_left_out_with_the_reason() {
    let mut shop = Shop::new();
    shop.pods[3]["spec"]["containers"][0]["name"] = json!("istio-proxy");
    let plan = shop.plan();
    assert!(
        plan.probes
            .iter()
            .all(|probe| probe.client.pod.name != "job")
    );
    let why = &plan.left_out[0];
    assert_eq!(why.what, "from shop/job");
    assert!(why.why.contains("istio-proxy"), "{why:?}");
}

fn unfit(at: &str, value: Value) -> Option<Unfit> {
    let mut pod = super::shop::raw("web", "10.0.1.1");
    let (parent, field) = at.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[field] = value;
    subject(&pod, 2).err()
}

#[test]
fn pods_that_policies_or_containers_do_not_reach_are_unfit() {
    let mirror = json!({"kubernetes.io/config.mirror": "x"});
    let ambient = json!({"ambient.istio.io/redirection": "enabled"});
    let sidecar = json!([{"name": "linkerd-proxy", "restartPolicy": "Always"}]);
    let two = json!([{"name": "nanoseg-probe-1"}, {"name": "nanoseg-probe-7"}]);
    for (at, value, why) in [
        ("/status/phase", json!("Pending"), Unfit::NotRunning),
        ("/status/phase", json!("Succeeded"), Unfit::NotRunning),
        ("/status/podIPs", json!([]), Unfit::NotRunning),
        (
            "/metadata/deletionTimestamp",
            json!("2026-01-01T00:00:00Z"),
            Unfit::NotRunning,
        ),
        ("/spec/hostNetwork", json!(true), Unfit::HostNetwork),
        ("/spec/os", json!({"name": "windows"}), Unfit::Windows),
        (
            "/spec/nodeSelector",
            json!({"kubernetes.io/os": "windows"}),
            Unfit::Windows,
        ),
        ("/metadata/annotations", mirror, Unfit::Static),
        (
            "/metadata/annotations",
            ambient,
            Unfit::Mesh("ztunnel".into()),
        ),
        (
            "/spec/initContainers",
            sidecar,
            Unfit::Mesh("linkerd-proxy".into()),
        ),
        ("/spec/ephemeralContainers", two, Unfit::Full),
    ] {
        assert_eq!(unfit(at, value), Some(why), "{at}");
    }
    let debugger = json!([{"name": "debugger-abc"}, {"name": "nanoseg-probe-x"}]);
    assert_eq!(unfit("/spec/ephemeralContainers", debugger), None);
}

#[test]
fn the_next_container_has_a_number_that_no_container_of_the_pod_has() {
    let mut pod = super::shop::raw("web", "10.0.1.1");
    assert_eq!(subject(&pod, 10).unwrap().next, 1);
    pod["spec"]["ephemeralContainers"] = json!([{"name": "nanoseg-probe-4"}, {"name": "debug"}]);
    let found = subject(&pod, 10).unwrap();
    assert_eq!((found.used, found.next), (1, 5));
}

#[test]
fn the_container_keeps_to_the_level_restricted_and_gets_the_tries_as_arguments() {
    let task = "denied/tcp/10.0.2.1:8080".parse().unwrap();
    let timing = crate::Timing {
        timeout_ms: 1000,
        again_after_ms: 2000,
    };
    let patch = crate::patch(3, "nanoseg:1", &[task], timing);
    let container = &patch["spec"]["ephemeralContainers"][0];
    assert_eq!(container["name"], "nanoseg-probe-3");
    let args = json!([
        "probe-connect",
        "--timeout-ms=1000",
        "--again-after-ms=2000",
        "denied/tcp/10.0.2.1:8080"
    ]);
    assert_eq!(container["args"], args);
    let context = &container["securityContext"];
    assert_eq!(context["runAsNonRoot"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
    assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault");
}

//! Service meshes: what is on the wire between two pods of one, and what is known of it.

use super::super::testing::{cluster_with, record};
use super::{Built, GraphOptions, Lesson, build};
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::{FlowRecord, FlowResult, Verdict};

/// A pod of shop, with the containers beside its own and labels.
fn pod(name: &str, address: &str, namespace: &str, more: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: {name}, labels: {{app: {name}{labels}}}}}\n\
         spec: {{nodeName: n2, {more} containers: [{{name: main, image: i, ports: [{{containerPort: 8080}}, \
         {{containerPort: 9090}}, {{containerPort: 53, protocol: UDP}}]}}]}}\n\
         status: {{phase: Running, podIP: {address}, startTime: '2026-01-01T00:00:00Z'}}"
    )
}

fn sidecar(name: &str) -> String {
    let ports = "[{containerPort: 4143}, {containerPort: 15090}]";
    format!("initContainers: [{{name: {name}, image: p, restartPolicy: Always, ports: {ports}}}],")
}

fn graph(records: &[FlowRecord], ambient: bool) -> Built {
    let mode = if ambient {
        ", labels: {istio.io/dataplane-mode: ambient}"
    } else {
        ""
    };
    let documents = [
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: mesh{mode}}}"),
        pod("plain", "10.244.2.20", "mesh", "", ""),
        pod(
            "out",
            "10.244.2.21",
            "mesh",
            "",
            ", istio.io/dataplane-mode: none",
        ),
        pod(
            "own",
            "10.244.2.22",
            "shop",
            "",
            ", istio.io/dataplane-mode: ambient",
        ),
        pod("istio", "10.244.2.23", "shop", &sidecar("istio-proxy"), ""),
        pod(
            "linkerd",
            "10.244.2.24",
            "shop",
            &sidecar("linkerd-proxy"),
            "",
        ),
    ];
    let seen = FlowResult {
        records: records.to_vec(),
        ..FlowResult::default()
    };
    build(&seen, &cluster_with(&documents), GraphOptions::default())
}

fn answered(server: &str) -> FlowRecord {
    record("10.244.1.5", server, Verdict::Established)
}

fn encrypted(built: &Built) -> Vec<&Finding> {
    let findings = built.findings.iter();
    findings
        .filter(|one| one.code == Code::MeshEncrypted)
        .collect()
}

#[test]
fn who_comes_through_the_port_of_a_mesh_is_known_and_the_application_s_port_is_said_not_to_be() {
    let built = graph(
        &[answered("10.244.2.20:15008"), answered("10.244.2.24:4143")],
        true,
    );
    let found = encrypted(&built);
    let subjects: Vec<&str> = found.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(subjects, ["mesh/plain", "shop/linkerd"]);
    for (finding, words) in found.iter().zip([
        ["15008/TCP", "HBONE", "AuthorizationPolicy of Istio"],
        [
            "4143/TCP",
            "Linkerd's proxy",
            "AuthorizationPolicy of Linkerd",
        ],
    ]) {
        let known = ["shop/web", "(8080, 9090)"];
        for word in words.iter().chain(&known) {
            assert!(
                finding.message.contains(word),
                "{word}: {}",
                finding.message
            );
        }
    }
    let edges = built.graph.edges();
    let ports: Vec<u16> = edges.iter().map(|(_, _, edge)| edge.port).collect();
    assert_eq!(ports, [15008, 4143], "what the network plugin sees");
    assert!(
        edges
            .iter()
            .all(|(_, _, edge)| edge.lesson == Lesson::Learned)
    );
}

#[test]
fn a_port_of_a_mesh_is_told_from_an_application_s_by_the_server() {
    let shown = |found: &[&Finding]| -> Option<bool> {
        let found = found.first()?;
        Some(!found.message.contains("by its number"))
    };
    for (server, ambient, expected) in [
        ("10.244.2.20:15008", true, Some(true)),
        ("10.244.2.20:15008", false, Some(false)),
        ("10.244.2.20:8080", true, None),
        ("10.244.2.20:4143", true, Some(false)),
        // The pod's own label goes before that of its namespace.
        ("10.244.2.21:15008", true, Some(false)),
        ("10.244.2.22:15008", false, Some(true)),
        ("10.244.2.23:15008", false, Some(true)),
        // Between sidecars of Istio the application's port is on the wire.
        ("10.244.2.23:8080", false, None),
        ("10.244.2.24:4143", false, Some(true)),
        ("10.244.2.24:8080", false, None),
        // An application that declares such a port listens there itself.
        ("10.244.2.25:15008", false, None),
        ("10.244.2.25:15006", false, None),
    ] {
        let built = graph(&[answered(server)], ambient);
        let found = encrypted(&built);
        assert!(found.len() < 2);
        assert_eq!(shown(&found), expected, "{server}, ambient: {ambient}");
    }
    let tried = record("10.244.1.5", "10.244.2.24:4143", Verdict::Unanswered);
    assert_eq!(encrypted(&graph(&[tried], false)).len(), 0, "an attempt");
}

#[test]
fn a_port_inside_of_a_pod_is_said_to_be_on_no_wire() {
    for (server, expected) in [
        ("10.244.2.23:15006", 1),
        ("10.244.2.20:15001", 1),
        ("10.244.2.24:4140", 1),
        ("10.244.2.24:4143", 0),
        ("10.244.2.25:15006", 0),
    ] {
        let built = graph(&[answered(server)], false);
        let findings = built.findings.iter();
        let found = findings.filter(|one| one.code == Code::MeshRedirect);
        assert_eq!(found.count(), expected, "{server}");
    }
}

#[test]
fn a_service_that_a_socket_or_a_proxy_resolves_is_not_on_the_wire_and_its_other_backends_are_named()
{
    let found = |records: &[FlowRecord]| -> Vec<String> {
        let findings = graph(records, false).findings;
        let findings = findings.into_iter();
        let of_backends = findings.filter(|one| one.code == Code::UnseenBackends);
        of_backends
            .map(|one| format!("{}: {}", one.subject, one.message))
            .collect()
    };
    // Behind Service shop/api are api-a at 8080 and api-b at 9090.
    let one = found(&[answered("10.244.2.6:8080")]);
    assert_eq!(one.len(), 1);
    for word in [
        "shop/web: called shop/api-a",
        "Service shop/api:80 with shop/api-b;",
    ] {
        assert!(one[0].contains(word), "{}", one[0]);
    }
    assert!(found(&[answered("10.244.2.6:8080"), answered("10.244.2.7:9090")]).is_empty());
    assert!(
        found(&[answered("10.244.2.6:9999")]).is_empty(),
        "no port of it"
    );
    let through = FlowRecord {
        via: Some("10.96.0.20:80".parse().unwrap()),
        ..answered("10.244.2.6:8080")
    };
    let by_proxy = FlowRecord {
        client: "10.244.2.23".parse().unwrap(),
        ..answered("10.244.2.6:8080")
    };
    let by_address = FlowRecord {
        client: "10.244.2.20".parse().unwrap(),
        ..by_proxy.clone()
    };
    let alone = found(std::slice::from_ref(&through));
    assert!(alone.is_empty(), "all endpoints are allowed then");
    let on_the_wire = found(&[through, by_address, by_proxy]);
    assert_eq!(on_the_wire.len(), 1, "{on_the_wire:?}");
    assert!(
        on_the_wire[0].starts_with("shop/istio: "),
        "only a proxy hides it"
    );
    let member = FlowRecord {
        client: "10.244.2.7".parse().unwrap(),
        ..answered("10.244.2.6:8080")
    };
    assert!(found(&[member]).is_empty(), "members of one Service");
}

#[test]
fn a_port_that_a_pod_takes_to_its_proxy_is_the_port_that_was_called() {
    for (pod, proxy) in [("10.244.2.23", 15006), ("10.244.2.24", 4143)] {
        let inside = FlowRecord {
            via: Some(format!("{pod}:8080").parse().unwrap()),
            ..answered(&format!("{pod}:{proxy}"))
        };
        let built = graph(&[inside], false);
        let edges = built.graph.edges();
        let ports: Vec<u16> = edges.iter().map(|(_, _, edge)| edge.port).collect();
        assert_eq!(ports, [8080], "{proxy}");
        assert_eq!(encrypted(&built).len(), 0);
    }
}

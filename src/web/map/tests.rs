//! The map of a small cluster, and of one that is folded.

use super::*;
use crate::flow::Verdict;
use crate::graph::{Edge, Graph, Lesson, Peer};
use crate::inventory::{Inventory, WorkloadId, testing};
use crate::net::{Protocol, Timestamp};
use crate::web::ViewInputs;

const DAY: i64 = 86_400;

/// So many pods in `shop`, and one on the host network in `ops`.
fn cluster(pods: usize) -> Inventory {
    let pod = |name: &str, namespace: &str, address: &str| {
        testing::pod(namespace, name, address, "n1", &format!("app: {name}"))
    };
    let mut documents = vec![testing::node("n1", "10.244.1.0/24", "172.18.0.2")];
    for number in 0..pods {
        let address = format!("10.244.1.{}", number + 5);
        documents.push(pod(&format!("web-{number}"), "shop", &address));
    }
    let agent = pod("agent", "ops", "172.18.0.2");
    documents.push(agent.replace("spec: {", "spec: {hostNetwork: true, "));
    testing::inventory(&documents.join("\n---\n")).0
}

fn workload(namespace: &str, name: &str) -> Peer {
    Peer::Workload(WorkloadId {
        namespace: namespace.into(),
        kind: "Pod".into(),
        name: name.into(),
    })
}

fn seen(graph: &mut Graph, client: &Peer, server: &Peer, first: i64) {
    let mut edge = Edge::new(Protocol::Tcp, 443);
    edge.lesson = Lesson::Learned;
    edge.verdicts.insert(Verdict::Established, 1);
    edge.first = Some(Timestamp::from_secs(first));
    edge.last = Some(Timestamp::from_secs(9 * DAY));
    graph.add_edge(client, server, edge);
}

fn shown(inventory: Inventory, graph: Graph) -> String {
    let given = ViewInputs {
        inventory,
        graph,
        ..ViewInputs::default()
    };
    let frame = Frame {
        root: "/token/".into(),
        subject: String::new(),
        version: 1,
        problem: None,
    };
    page(&frame, &View::new(given).expect("a view"), &BTreeMap::new())
}

/// The line of the box, by what its link ends with.
fn node<'p>(page: &'p str, href: &str) -> &'p str {
    let mut lines = page
        .lines()
        .filter(|line| line.starts_with("<a class=\"node"));
    let found = lines.find(|line| line.contains(&format!("{href}\"")));
    found.unwrap_or_else(|| panic!("no {href} in {page}"))
}

#[test]
fn who_is_outside_leads_to_what_it_calls_where_nobody_calls_it() {
    let mut graph = Graph::default();
    let [client, server, both] =
        ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(|one| one.parse().expect("address"));
    let web = workload("shop", "web-0");
    seen(&mut graph, &Peer::Outside(client), &web, 0);
    seen(&mut graph, &web, &Peer::Outside(server), 0);
    seen(&mut graph, &web, &Peer::Outside(both), 0);
    seen(&mut graph, &Peer::Outside(both), &web, 0);
    graph
        .names
        .entry(server)
        .or_default()
        .insert("api.example".into());
    let page = shown(cluster(2), graph);
    node(&page, "edge?from=address%2F198.51.100.1&amp;to=any");
    node(&page, "edge?from=any&amp;to=address%2F198.51.100.3");
    let named = node(&page, "edge?from=any&amp;to=address%2F198.51.100.2");
    assert!(
        named.contains("<title>api.example (198.51.100.2), outside</title>"),
        "{named}"
    );
    assert!(
        named.contains("data-name=\"api.example api.example (198.51.100.2)\""),
        "{named}"
    );
    let line = page
        .lines()
        .find(|line| line.contains("edge learned"))
        .expect("a line");
    assert!(
        page.contains("shop/web-0 → api.example (198.51.100.2): 443/TCP"),
        "{line}"
    );
}

#[test]
fn a_folded_namespace_has_the_marks_of_what_is_in_it() {
    let mut graph = Graph::default();
    let [a, b] = ["web-0", "web-1"].map(|name| workload("shop", name));
    seen(&mut graph, &a, &b, 0);
    seen(&mut graph, &b, &a, 9 * DAY - 60);
    let page = shown(cluster(70), graph);
    let shop = node(&page, "?namespace=shop");
    assert!(shop.contains("class=\"node namespace new\""), "{shop}");
    assert!(
        shop.contains("<title>namespace shop, 70 workloads, new</title>"),
        "{shop}"
    );
    assert!(shop.contains(">70 workloads: new<"), "{shop}");
    let ops = node(&page, "?namespace=ops");
    assert!(ops.contains("class=\"node namespace host\""), "{ops}");
    assert!(ops.contains("1 workload, host network</title>"), "{ops}");
}

#[test]
fn boxes_come_before_lines_and_are_found_by_namespace_and_address() {
    let mut graph = Graph::default();
    seen(
        &mut graph,
        &workload("shop", "web-0"),
        &workload("shop", "web-1"),
        0,
    );
    let page = shown(cluster(2), graph);
    let place = |what: &str| page.find(what).expect(what);
    assert!(place("<a class=\"node") < place("<a class=\"edge"));
    let web = node(&page, "workload/shop/Pod/web-1");
    assert!(
        web.contains("data-name=\"web-1 shop/web-1 10.244.1.6\""),
        "{web}"
    );
    let agent = node(&page, "workload/ops/Pod/agent");
    assert!(agent.contains("class=\"node workload host\""), "{agent}");
    assert!(agent.contains("host network</title>"), "{agent}");
}

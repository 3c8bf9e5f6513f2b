//! Pods behave as on any cluster: their programs run, and they reach each other, the API server and outside addresses.

use crate::support::kubernetes::{CONTROL, Cluster, Deployment, OUTSIDE, Outcome, inside};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::Duration;

#[test]
fn a_replaced_pod_has_another_address_and_its_service_has_the_new_endpoint() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let namespace = cluster.namespace("replace");
    let client = &cluster.deploy(&namespace, &Deployment::new("client"))[0];
    let old = cluster
        .deploy(&namespace, &Deployment::new("web").serves(8080))
        .remove(0);
    let service = cluster.expose(&namespace, "web", 80, 8080);
    client.connects_until(&service, 80, Outcome::Connected);
    let new = old.replace();
    assert_ne!(old.address, new.address);
    client.connects_until(&new.address, 8080, Outcome::Connected);
    client.connects_until(&service, 80, Outcome::Connected);
    assert_ne!(client.connect(&old.address, 8080), Outcome::Connected);
}

#[test]
fn pods_of_two_nodes_reach_each_other_with_their_own_addresses() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let namespace = cluster.namespace("reach");
    let caller = Deployment::new("caller").label("tier", "front").on("node1");
    let caller = caller.runs(&[
        "/bin/sh",
        "-c",
        "echo begun; cat /etc/hosts; exec sleep infinity",
    ]);
    let caller = &cluster.deploy(&namespace, &caller)[0];
    let echo = Deployment::new("echo")
        .serves_udp(5300)
        .serves(5300)
        .on("node2");
    let echo = &cluster.deploy(&namespace, &echo)[0];
    assert_eq!((&*caller.node, &*echo.node), ("node1", "node2"));
    caller.connects_until(&echo.address, 5300, Outcome::Connected);
    let target: IpAddr = echo.address.parse().expect("an address");
    let answer = caller.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.send_to(b"word", (target, 5300))?;
        let mut answer = [0; 16];
        let (length, from) = socket.recv_from(&mut answer)?;
        std::io::Result::Ok((answer[..length].to_vec(), from.ip()))
    });
    assert_eq!(answer.expect("an answer"), (b"word".to_vec(), target));
    let log = caller.log("main");
    assert!(
        log.starts_with("begun\n") && log.contains(&caller.address),
        "{log}"
    );
    let selected = cluster.run(cluster.running(&namespace, "tier=front"));
    let selected: Vec<_> = selected.iter().map(|pod| &pod.uid).collect();
    assert_eq!(selected, [&caller.uid]);
}

#[test]
fn pods_reach_the_api_server_and_addresses_outside_of_the_cluster() {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let namespace = cluster.namespace("outside");
    let pod = &cluster.deploy(&namespace, &Deployment::new("caller").on("node1"))[0];
    pod.connects_until("10.96.0.1", 443, Outcome::Connected);
    let account = cluster.service_account_kubeconfig(&namespace, "default");
    let version = pod
        .command(cluster.program("kubectl"))
        .args(["version", "-o", "json", "--kubeconfig"])
        .arg(inside(&account))
        .env("KUBECACHEDIR", cluster.path("kubectl-cache"))
        .output()
        .expect("kubectl starts");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.contains("serverVersion"), "{version}");
    for (address, seen_as) in [
        (CONTROL, &pod.address),
        // With the address of its node, because hosts outside do not know pod addresses.
        (OUTSIDE, &cluster.nodes()[0].address),
    ] {
        let listener = cluster.in_control(|| TcpListener::bind((address, 0)));
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        assert_eq!(pod.connect(address, port), Outcome::Connected);
        let (_, from) = listener.accept().expect("the connection");
        assert_eq!(from.ip().to_string(), *seen_as);
    }
}

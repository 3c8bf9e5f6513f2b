"""The scenario of the test cluster: the workloads of samples/shop on three nodes, two more that do what they are told,
and who really talks to whom. Only data; `truth.json` is written from it, and nanoseg has no part in it.
"""
import ipaddress
from dataclasses import replace

from recorder import scenario as s
from recorder.scenario import Node, Port, Service, Workload

POD_CIDR, NODE_CIDR = "10.244.0.0/16", "172.18.0.0/16"
NODES = [Node(f"node{n}", f"172.18.0.1{n}", f"10.244.{n}.0/24") for n in (1, 2, 3)]
CONTROL = "172.18.0.5"                  # where receivers and the NATS server run, in a namespace of their own
NODE_PORT = 30080
QUICK = "0.2"                           # seconds between the requests of those who keep asking

PROMETHEUS = f"""
global:
  scrape_interval: 500ms
  scrape_timeout: 500ms
scrape_configs:
- job_name: app
  dns_sd_configs:
  - names: [app-metrics.shop.svc.cluster.local]
    type: A
    port: 9102
    refresh_interval: 5s
- job_name: node
  static_configs:
  - targets: [{", ".join(f'"{n.address}:9100"' for n in NODES)}]
"""


def adapt(workload):
    """A workload of samples/shop as it is here."""
    cluster = [replace(x, external_policy="Cluster") if x.node_port else x for x in workload.services]
    workload = replace(workload, services=cluster)
    changes = {
        "node-exporter": {"replicas": len(NODES), "command": [w.replace(s.NODE_ADDRESS, "{address}") for w in workload.command]},
        "prometheus": {"files": {"prometheus.yml": PROMETHEUS}},
        "loadgen": {"command": [*workload.command[:3], QUICK, "8"]},
        "feed": {"command": [*workload.command[:3], QUICK]},
    }
    return replace(workload, **changes.get(workload.name, {}))


WORKLOADS = [adapt(w) for w in s.WORKLOADS] + [
    # Their containers do nothing by themselves; commands start programs in their network namespaces.
    Workload("shop", "counter", "Deployment", "debian.example/counter:1", ["sleep", "infinity"]),
    Workload("shop", "intruder", "Deployment", "debian.example/intruder:1", ["sleep", "infinity"]),
    Workload("load", "source", "Deployment", "debian.example/source:1", ["sleep", "infinity"]),
    Workload("load", "sink", "Deployment", "debian.example/sink:1", ["sleep", "infinity"], ports=[Port("sink", 7000)],
             services=[Service("sink", "10.96.77.7", [("sink", 7000, "sink", "TCP")])]),
]
WORKLOAD = {w.key: w for w in WORKLOADS}

# The node of each replica, by its place in NODES. Most edges cross nodes.
PLACES = {
    "kube-system/coredns": [0], "shop/postgres": [1], "shop/redis": [2], "shop/broker": [0], "monitoring/statsd": [1],
    "shop/quotes": [2], "shop/legacy": [1], "shop/app": [0, 1], "shop/web": [1, 2], "shop/consumer": [2], "shop/pay": [1],
    "shop/feed": [0], "monitoring/node-exporter": [0, 1, 2], "monitoring/prometheus": [2], "shop/loadgen": [0],
    "shop/batch": [0], "shop/counter": [0], "shop/intruder": [1], "load/source": [0], "load/sink": [1],
}
# What is up when the agents start, in steps: a step's pods need those of the steps before. The others begin to talk
# with the command `start`.
STEPS = [
    ["kube-system/coredns", "shop/postgres", "shop/redis", "shop/broker", "monitoring/statsd", "shop/quotes", "shop/legacy",
     "monitoring/node-exporter", "shop/counter", "shop/intruder", "load/source", "load/sink"],
    ["shop/app"],
    ["shop/web", "monitoring/prometheus"],
]
CLIENTS = ["shop/consumer", "shop/pay", "shop/feed", "shop/loadgen"]

SCAN = "10.244.1-3.2-20"                # what nmap is told; 57 addresses, of which one is the scanner's own
SCAN_PORTS = [22, 443, 3306]            # nobody listens there
# What the SYN scan and the half-open connections are aimed at: pods that listen, and edges that are no true ones.
HALF_OPEN = [("shop/redis", 6379), ("shop/postgres", 5432), ("monitoring/prometheus", 9090)]

# What `count` does: (server, protocol, pod port, where it is called, how often).
COUNTED = [
    ("shop/quotes", "TCP", 40001, ("10.96.58.23", 80), 25),
    ("shop/app", "TCP", 8080, ("10.96.20.20", 80), 40),
    ("shop/redis", "TCP", 6379, ("10.96.33.90", 6379), 30),
    ("shop/web", "TCP", 8080, (NODES[1].address, NODE_PORT), 12),
    (f"outside:{s.PAYMENTS}", "TCP", 443, (s.PAYMENTS, 443), 10),
    ("monitoring/statsd", "UDP", 9125, ("10.96.40.11", 8125), 20),
]
COUNTED_WHY = {
    "shop/web": "through the NodePort of another node, which may send it on to a third",
    "shop/app": "one backend on its own node, one on another",
    f"outside:{s.PAYMENTS}": "masqueraded by its node",
    "monitoring/statsd": "one datagram from each of 20 sockets, never answered",
}


def pod_addresses(cidr):
    """The addresses that pods of a node get, in order."""
    return (str(a) for a in list(ipaddress.ip_network(cidr).hosts())[1:])


# -- truth ---------------------------------------------------------------------------------------------------------

def edges():
    """(client, server, protocol, pod port, why). Those of samples/shop, with all nodes, and what the two others do."""
    for client, server, protocol, port, why in s.EDGES:
        if server == f"node:{s.NODE}":
            for node in NODES:
                yield client, f"node:{node.name}", protocol, port, why
        elif client == f"outside:{s.CUSTOMER}":
            yield client, server, protocol, port, "a customer at NodePort 30080, externalTrafficPolicy Cluster: masqueraded"
        else:
            yield client, server, protocol, port, why
    for server, protocol, port, _, times in COUNTED:
        yield "shop/counter", server, protocol, port, f"{times} times: " + COUNTED_WHY.get(server, "by its Service")


# Clients that are older than the agents and call Services by their addresses, without a lookup; and whom the agents
# must suppose that they have asked.
BY_ADDRESS, DNS_SERVER = ["shop/counter"], "kube-system/coredns"

# Edges of which there is exactly one connection per pair of pods, all of them older than the agents.
OLD = {("shop/app", "shop/postgres", "TCP", 5432): 2,
       **{("monitoring/prometheus", f"node:{n.name}", "TCP", 9100): 1 for n in NODES}}

# What one source by itself cannot see, and why. Key: (client, server, protocol, port).
UNSEEN = {
    "conntrack": {
        ("shop/pay", f"outside:{s.METADATA}", "TCP", 80):
            "the node drops the SYN in its forward chain, and the kernel does not confirm (nor report) the entry of a "
            "packet that is dropped",
        ("shop/consumer", "shop/broker", "ICMP", 0): "an agent's conntrack source may leave ICMP to the capture",
    },
    # A port that answers is an open one to the capture pipeline (src/flow/table/connection.rs, `opened_verdict`), and
    # what would tell more, the acknowledgment that never comes, is not among the packets that a live capture takes.
    "capture": {("shop/intruder", server, "TCP", port): "SYN and SYN-ACK are all that a live capture sees of any handshake"
                for server, port in HALF_OPEN},
}

# Traffic that is seen and teaches nothing: (client, server, protocol, ports, verdict, finding, why).
def not_learned():
    yield ("shop/intruder", SCAN, "TCP", SCAN_PORTS, "unanswered or refused", "port-scan",
           "nmap -sT at every pod address of three nodes; pods refuse, unowned addresses are silent")
    for server, port in HALF_OPEN:
        yield ("shop/intruder", server, "TCP", [port], "half-open", "port-scan",
               "nmap -sS and raw SYNs: the server answers, the client never finishes the handshake")
    for client, server, protocol, ports, verdict, finding, why in s.NOT_LEARNED[1:]:
        if not client.startswith("node:"):
            yield client, server, protocol, ports, verdict, finding, why
    for workload in WORKLOADS:
        for place in PLACES[workload.key] if workload.probe else []:
            yield (f"node:{NODES[place].name}", workload.key, "TCP", [workload.port(workload.probe[0])], "established", None,
                   "kubelet's probe, from the node's bridge")
    for node in NODES:
        yield (f"node:{node.name}", f"outside:{CONTROL}", "TCP", [], "established", None, "the agents' own connections")


# Port scans are told by how many targets failed, metadata by its address: what a reader must report here.
FINDINGS = ["port-scan", "host-network-workload", "internet-egress", "cross-namespace"]
FINDINGS_OF = {"capture": ["metadata-service", "unanswered-connections"], "conntrack": ["unanswered-connections"]}
WRONG_FINDINGS = ["address-conflict", "unknown-pod", "indistinguishable-workloads", "service-without-endpoints",
                  "missing-endpoint-slices", "missing-owners", "missing-nodes", "missing-namespaces"]
# (first owner, second owner, why)
ADDRESS_REUSE = [
    ("shop/feed", "shop/batch", "the pod of shop/feed is deleted while the agents run; a run of shop/batch gets its address"),
    ("shop/batch", "shop/feed", "that run ends; the next pod of shop/feed gets the address back"),
]

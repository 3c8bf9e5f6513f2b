"""Addresses of the cluster with real nodes, for each family. Only data.

    [control: etcd, API server, ... 172.18.0.5] --+
    [node1: kubelet, pods 10.244.1.0/24, .11]   --+-- [outside: br0 172.18.0.1, lo 203.0.113.10, 198.51.100.7]
    [node2: kubelet, pods 10.244.2.0/24, .12]   --+
"""
import ipaddress
from dataclasses import dataclass


@dataclass
class Range:
    """What one family of addresses has."""
    family: int
    network: str            # of the nodes
    pods: str               # of all pods; a node has a part of it
    pods_of_node: str       # with {n}
    services: str
    outside: tuple          # a server, a customer: addresses outside of the cluster

    def host(self, number):
        return str(ipaddress.ip_network(self.network)[number])

    def service(self, number):
        return str(ipaddress.ip_network(self.services)[number])

    @property
    def bits(self):
        return self.network.rsplit("/", 1)[1]

    @property
    def everywhere(self):
        return "0.0.0.0/0" if self.family == 4 else "::/0"


IPV4 = Range(4, "172.18.0.0/16", "10.244.0.0/16", "10.244.{n}.0/24", "10.96.0.0/16", ("203.0.113.10", "198.51.100.7"))
IPV6 = Range(6, "fd00:18::/64", "fd00:244::/48", "fd00:244:0:{n}::/64", "fd00:96::/112",
             ("2001:db8:113::10", "2001:db8:51::7"))
FAMILIES = {"ipv4": [IPV4], "ipv6": [IPV6], "dual": [IPV4, IPV6]}

UPLINK, CONTROL, FIRST_NODE, DNS = 1, 5, 11, 10     # numbers of hosts in their networks
DOMAIN = "cluster.local"


class Layout:
    def __init__(self, families, nodes):
        self.ranges = FAMILIES[families]
        self.nodes = [f"node{n}" for n in range(1, nodes + 1)]

    def hosts(self, number):
        """The addresses of a host, one for each family."""
        return [r.host(number) for r in self.ranges]

    def node(self, name):
        return self.hosts(FIRST_NODE + self.nodes.index(name))

    def pods(self, name):
        """The ranges of a node's pods."""
        return [r.pods_of_node.format(n=self.nodes.index(name) + 1) for r in self.ranges]

    def all(self, what):
        return ",".join(getattr(r, what) for r in self.ranges)

    @property
    def control(self):
        return self.hosts(CONTROL)

    @property
    def api_server(self):
        return f"https://{bracketed(self.control[0])}:6443"

    @property
    def dns(self):
        return self.ranges[0].service(DNS)

    @property
    def dns_addresses(self):
        return [r.service(DNS) for r in self.ranges]


def bracketed(address):
    return f"[{address}]" if ":" in address else address

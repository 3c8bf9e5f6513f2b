"""The machinery of samples/shop/recorder for several nodes and several runs side by side.

    pod eth0 -- veth -- [node1: cni0 10.244.1.1, nftables, eth0 172.18.0.11] --+
    pod eth0 -- veth -- [node2: cni0 10.244.2.1, nftables, eth0 172.18.0.12] --+-- [outside: br0 172.18.0.1]
    pod eth0 -- veth -- [node3: cni0 10.244.3.1, nftables, eth0 172.18.0.13] --+         203.0.113.10, ...
                                 receivers, NATS -- [control: eth0 172.18.0.5] --+

Namespaces are called nseg-t<pid>-<name> after the process that made them, so that those of a dead one are known.
"""
import os
import re
import signal
import socket
import subprocess
import time

from recorder import scenario as s
from recorder.machine import ETC, Machine, kill_processes, run, service_rules, sysctl

from . import scenario as t

STALE = re.compile(r"nseg-t(\d+)-")


class TestMachine(Machine):
    def __init__(self, work):
        super().__init__(work, f"nseg-t{os.getpid()}-")

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in self.processes:
            self.kill(process, signal.SIGKILL)               # nothing that they hold is wanted any more
        for name in list(self.namespaces):
            kill_processes(self.prefix + name)               # agents too, which a test started here
        for process in self.processes:
            process.wait()
        for name in list(self.namespaces):
            self.delete_namespace(name)

    def remove_leftovers(self):
        """Takes away what runs that were killed left behind; those of living processes stay."""
        listed = run("ip", "netns", "list", capture_output=True).stdout.split()
        for full in listed:
            match = STALE.match(full)
            if match and not os.path.exists(f"/proc/{match[1]}"):
                kill_processes(full)
                stale = Machine(self.work, match[0])
                stale.namespaces.append(full.removeprefix(match[0]))
                stale.delete_namespace(full.removeprefix(match[0]))

    def add_namespace(self, name, search=""):
        super().add_namespace(name, search)
        # As in a pod, its own name needs no DNS: Python's HTTP servers ask for it when they start.
        hosts = ETC / (self.prefix + name) / "hosts"
        hosts.write_text(hosts.read_text() + f"127.0.0.1 {socket.gethostname()}\n")

    def batch(self, namespace, *commands):
        """Several `ip` commands in one process."""
        run("ip", "-n", self.prefix + namespace, "-batch", "-", input="\n".join(commands) + "\n")

    def delete_namespace(self, name):
        # The kernel takes a namespace's veths away some time after its name. Addresses and routes must not outlive a pod.
        subprocess.run(["ip", "-n", self.prefix + name, "link", "del", "eth0"], stderr=subprocess.DEVNULL)
        super().delete_namespace(name)

    def add_network(self):
        """Nodes, control and the outside, and the wire between them."""
        self.add_namespace("outside")
        self.batch("outside", "link add br0 type bridge", f"addr add {s.UPLINK}/16 dev br0", "link set br0 up",
                   *(f"addr add {a}/32 dev lo" for a in (s.PAYMENTS, s.OUTSIDE_DNS, s.CUSTOMER)),
                   # The customer's address is chosen by the route to the nodes.
                   f"route replace {t.NODE_CIDR} dev br0 src {s.CUSTOMER}")
        self.attach("control", t.CONTROL)
        for node in t.NODES:
            self.attach(node.name, node.address)
            # With a fixed address, as the bridge plugin of CNI gives it: else it changes as ports come and go, and pods
            # do not reach their gateway until their ARP entry is stale.
            self.batch(node.name, f"link add cni0 address 0a:58:0a:f4:{t.NODES.index(node) + 1:02x}:01 type bridge", f"addr add {node.gateway}/24 dev cni0", "link set cni0 up",
                       *(f"route add {n.pod_cidr} via {n.address}" for n in t.NODES if n is not node))
            sysctl(self.prefix + node.name, {
                "ipv4/ip_forward": 1, "bridge/bridge-nf-call-iptables": 0, "ipv4/conf/all/rp_filter": 0,
                "ipv4/conf/cni0/rp_filter": 0, "ipv4/conf/eth0/rp_filter": 0, "ipv4/conf/all/send_redirects": 0,
                "ipv4/conf/cni0/send_redirects": 0, "ipv4/conf/eth0/send_redirects": 0})

    def attach(self, name, address):
        self.add_namespace(name)
        self.batch("outside", f"link add {name} type veth peer name eth0 netns {self.prefix}{name}",
                   f"link set {name} master br0", f"link set {name} up")
        self.batch(name, f"addr add {address}/16 dev eth0", "link set eth0 up", f"route add default via {s.UPLINK}")

    def translate(self, pods):
        """Services on every node, for these backends; connections that are open stay as they are."""
        for node in t.NODES:
            table = service_rules(t.WORKLOADS, pods, node)
            marked = re.sub(rf"(ip daddr {node.address} tcp dport {t.NODE_PORT}) ", r"\1 ct mark set 0x4000 ", table)
            self.nft(node.name, "table ip shop-services { }\ndelete table ip shop-services\n" + marked +
                     masquerade(node))

    def wait_until(self, condition, seconds, what):
        deadline = time.time() + seconds
        while not condition():
            if time.time() > deadline:
                raise TimeoutError(f"{what}: not within {seconds} s")
            time.sleep(0.05)


def masquerade(node):
    """NodePort traffic to other nodes' pods, and what pods send out of the cluster, gets the node's address."""
    return (f"table ip outward {{ }}\ndelete table ip outward\ntable ip outward {{\nchain postrouting {{\n"
            f"type nat hook postrouting priority srcnat;\noifname eth0 ct mark 0x4000 masquerade\n"
            f"oifname eth0 ip saddr {node.pod_cidr} ip daddr != {{ {t.POD_CIDR}, {t.NODE_CIDR} }} masquerade\n}}\n}}\n")

"""The cluster with real nodes: it starts, and then does what it is told."""
import os
import re
import time
from collections import defaultdict
from pathlib import Path

from recorder.machine import run, sysctl
from testbed.machine import TestMachine

from . import control, manifests
from .images import components, write_images
from .keys import Authority
from .layout import UPLINK, Layout
from .node import PROGRAMS, RealNode
from .place import Places

OUTSIDE = "outside"
RESOLVER = """.:53 {{
    errors
    hosts {{
        {hosts}
        ttl 30
    }}
}}
"""


class RealCluster:
    def __init__(self, work, images, family, nodes):
        self.programs = components()
        environment = {"PATH": f"{self.programs}:{os.environ['PATH']}:/usr/sbin:/sbin", "HOME": str(work), "LANG": "C.UTF-8"}
        self.places = Network(work, environment)
        self.layout = Layout(family, nodes)
        self.work, self.images = work, images
        self.keys = Authority(work / "keys", self.layout.api_server)
        self.control = control.ControlPlane(self.places, self.layout, self.keys, self.programs)
        self.nodes = {name: RealNode(name, self.places, self.layout, self.keys, self.programs)
                      for name in self.layout.nodes}

    # -- the start

    def start(self):
        begun = time.time()
        self.places.connect(self.layout)
        self.places.begin_place(control.PLACE)
        self.places.begin_place(OUTSIDE)
        self.start_outside()
        self.control.start()
        images = [*write_images(self.work, self.programs), *self.images]
        for node in self.nodes.values():
            node.boot()
            for image in images:
                node.import_image(image)
        for node in self.nodes.values():
            node.start_program("kubelet")
        first = self.layout.nodes[0]
        volume = self.nodes[first].disk / "volumes/disk-1"
        volume.mkdir()
        self.control.apply(manifests.everything(self.layout, first, volume))
        for node in self.nodes.values():
            self.places.wait_until(lambda: self.is_ready(node.name), 60, f"{node.name} is ready: "
                                   + self.places.last_words(f"kubelet-{node.name}"))
            self.start_network(node)
        self.control.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s", seconds=70)
        self.seconds = round(time.time() - begun, 1)

    def start_network(self, node):
        for program in ("kube-proxy", "kube-router"):
            node.start_program(program)

    def start_outside(self):
        """The resolver outside, which knows one name: payments.example."""
        addresses = [r.outside[0] for r in self.layout.ranges]
        hosts = "\n        ".join(f"{address} payments.example" for address in addresses)
        (self.work / "resolver").write_text(RESOLVER.format(hosts=hosts))
        self.places.start(OUTSIDE, [self.programs / "coredns", "-conf", self.work / "resolver"], "resolver")
        self.places.start(OUTSIDE, [self.programs / "workload", "-serve", "443/tcp"], "payments")

    def is_ready(self, name):
        query = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
        return self.control.kubectl("get", "node", name, "-o", query, check=False).stdout == "True"

    def ready(self):
        return {"seconds": self.seconds, "server": self.layout.api_server, "nodes": {n.name: n.addresses for n in self.nodes.values()},
                "outside": {str(r.family): list(r.outside) for r in self.layout.ranges}}

    # -- commands; each returns what its event says

    def do(self, command):
        self.control.revive()
        name = command.pop("do", "").replace("-", "_")
        method = getattr(self, "do_" + name, None)
        if not method:
            raise ValueError(f"{name} is no command")
        return method(**command) or {}

    def do_run(self, command, place=control.PLACE, user="admin", groups=(), text=None, seconds=60):
        """A command, in a place and as a user of the cluster."""
        environment = {"KUBECONFIG": str(self.keys.user(user, groups=groups))}
        done = self.places.run(place, command, seconds=seconds, text=text, environment=environment, check=False)
        return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}

    def do_call(self, place, targets, every="1s", log="caller"):
        """Somebody outside of the cluster, or on a node, who keeps calling."""
        self.places.start(place, [self.programs / "workload", "-call", targets, "-every", every], f"caller-{log}")

    def do_serving_pair(self, names):
        """A server's certificate of the cluster's authority."""
        self.keys.serving("server", names)
        return {"certificate": str(self.keys.path("server.crt")), "key": str(self.keys.path("server.key")),
                "authority": str(self.keys.path("ca.crt"))}

    def do_calls(self):
        """The last outcome of each pod's calls of each target, of the pods whose logs are there, and of `do_call`'s."""
        logs = [("/".join(log.parts[-3].split("_")[:2]), log) for node in self.nodes.values()
                for log in (node.disk / "pods").glob("*/*/*.log")]
        logs += [(f"outside/{log.stem.removeprefix('caller-')}", log) for log in self.work.glob("caller-*.log")]
        latest = defaultdict(dict)
        for caller, log in logs:
            for line in tail(log):
                if match := CALL.search(line):
                    when, outcome, target = match.groups()
                    # A container that was started again has a log more.
                    known = latest[caller].get(target, [0])
                    latest[caller][target] = max(known, [int(when), outcome], key=lambda call: call[0])
        return {"calls": latest}

    def do_restart(self, node, program):
        """Ends a program of a node or of the control plane, and starts it again."""
        owner = self.control if node == control.PLACE else self.nodes[node]
        owner.stop_program(program)
        owner.start_program(program)

    def do_stop_program(self, node, program):
        (self.control if node == control.PLACE else self.nodes[node]).stop_program(program)

    def do_start_program(self, node, program):
        (self.control if node == control.PLACE else self.nodes[node]).start_program(program)

    def do_reboot(self, node):
        """A power cut and a boot: nothing but the disk stays. Waits until the node is ready again."""
        rebooted = self.nodes[node]
        rebooted.shut_down()
        self.places.forget(node)
        self.places.attach(node, self.layout)
        rebooted.boot()
        self.start_network(rebooted)
        rebooted.start_program("kubelet")
        self.places.wait_until(lambda: self.is_ready(node), 60, f"{node} is ready again")

    def do_memory(self, name):
        """Resident memory, in KiB, of each process of this name."""
        found = {}
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if fields["Name"].strip() == name and "VmRSS" in fields:
                    words = (status.parent / "cmdline").read_bytes().split(b"\0")
                    found[status.parent.name] = {"kib": int(fields["VmRSS"].split()[0]), "command": words[1].decode() if words[1:] else ""}
            except (FileNotFoundError, ProcessLookupError):
                continue
        return {"processes": found}

    def do_logs(self, folder):
        """Copies the logs of programs and pods, for who looks for the reason of a failure."""
        run("sh", "-c", 'mkdir -p "$1" && cp "$0"/*.log "$1"/ && for node in "$0"/node?; do '
            'mkdir -p "$1/$(basename "$node")" && cp -r "$node"/pods/. "$1/$(basename "$node")/" 2>/dev/null; done; true',
            str(self.work), folder)


CALL = re.compile(r"(?:^|stdout F )(\d+) (ok|fail) (\S+)")


def tail(path, count=8192):
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - count))
            return file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


class Network(Places):
    """Nodes, control and the outside, and the wire between them."""

    def add_namespace(self, name, search=""):
        self.namespaces.append(name)
        run("ip", "netns", "add", self.prefix + name)
        self.batch(name, "link set lo up")

    def connect(self, layout):
        self.add_namespace(OUTSIDE)
        self.batch(OUTSIDE, "link add br0 type bridge", "link set br0 up",
                   *(f"addr add {r.host(UPLINK)}/{r.bits} dev br0{nodad(r)}" for r in layout.ranges),
                   *(f"addr add {address}/{32 if r.family == 4 else 128} dev lo{nodad(r)}" for r in layout.ranges for address in r.outside),
                   # Who calls from outside has the customer's address, not that of the kernel's own route.
                   *(f"route {'replace' if r.family == 4 else 'add'} {r.network} dev br0 src {r.outside[1]}"
                     f"{' metric 1' if r.family == 6 else ''}" for r in layout.ranges))
        sysctl(self.prefix + OUTSIDE, {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
        self.attach(control.PLACE, layout)
        for node in layout.nodes:
            self.attach(node, layout)

    def attach(self, name, layout):
        self.add_namespace(name)
        addresses = layout.control if name == control.PLACE else layout.node(name)
        self.batch(OUTSIDE, f"link add {name} type veth peer name eth0 netns {self.prefix}{name}", f"link set {name} master br0",
                   f"link set {name} up")
        self.batch(name, *(f"addr add {a}/{r.bits} dev eth0{nodad(r)}" for a, r in zip(addresses, layout.ranges)), "link set eth0 up",
                   *(f"route add default via {r.host(UPLINK)}" for r in layout.ranges),
                   *(f"route add {subnet} via {via}" for other in layout.nodes if other != name
                     for subnet, via in zip(layout.pods(other), layout.node(other))))
        if name == control.PLACE:
            return
        sysctl(self.prefix + name, {
            "ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1, "ipv4/conf/all/rp_filter": 0, "ipv4/conf/default/rp_filter": 0,
            # Policies hold between pods of one node too, and answers are translated back.
            "bridge/bridge-nf-call-iptables": 1, "bridge/bridge-nf-call-ip6tables": 1})
        for r, subnet in zip(layout.ranges, layout.pods(name)):
            kind = "ip" if r.family == 4 else "ip6"
            self.nft(name, f"table {kind} outward {{ chain postrouting {{ type nat hook postrouting priority srcnat; "
                           f"oifname eth0 {kind} saddr {subnet} {kind} daddr != {{ {r.pods}, {r.network} }} masquerade; }}; }}\n")

    def forget(self, name):
        """A node's network, with every wire to it."""
        TestMachine.delete_namespace(self, name)


def nodad(r):
    return " nodad" if r.family == 6 else ""

"""The machinery: one network namespace for the node, one per pod, one for the world outside, and what runs in them.

    pod eth0 ---- vethXXXX (node1) --+
    pod eth0 ---- vethXXXX (node1) --+-- bridge cni0 10.244.1.1 -- nftables DNAT -- eth0 172.18.0.2 ---- outside

Every pod has a /32 and sends everything to its gateway, so that traffic between two pods is routed by the node too, and
is translated in both directions. Hence the bridge sees each packet twice, before and after the translation.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import scenario as s

PREFIX = "nanoseg-shop-"
PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
ETC = Path("/etc/netns")


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, **options)


def sysctl(namespace, values):
    """Sets what the kernel has of `values`; the namespace by its full name."""
    for name, value in values.items():
        path = f"/proc/sys/net/{name}"
        run("ip", "netns", "exec", namespace, "sh", "-c", f"test ! -e {path} || echo {value} > {path}")


def kill_processes(namespace):
    """Ends what still runs in a namespace, by its full name."""
    pids = subprocess.run(["ip", "netns", "pids", namespace], text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for process in pids.stdout.split():
        try:
            os.kill(int(process), signal.SIGKILL)
        except ProcessLookupError:
            pass


def install_packages():
    """Installs what is lacking, without letting Debian start any daemon."""
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *s.PACKAGES],
                           text=True, capture_output=True).stdout
    lacking = [p for p in s.PACKAGES if f"{p} installed" not in query.splitlines()]
    if not lacking:
        return
    print("installing", *lacking, flush=True)
    guard = Path("/usr/sbin/policy-rc.d")
    made = not guard.exists()
    if made:
        guard.write_text("#!/bin/sh\nexit 101\n")
        guard.chmod(0o755)
    try:
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *lacking]):
            run("apt-get", "-qq", *command, env=env, stdout=subprocess.DEVNULL)
    finally:
        if made:
            guard.unlink()


class Pod:
    """A pod: its place in Kubernetes' records and its life here. Times are seconds since 1970, 0 if not yet."""

    def __init__(self, workload, name, address, owner, node=s.NODES[0]):
        self.workload, self.name, self.address, self.owner, self.node = workload, name, address, owner, node
        self.created = time.time()
        self.started = self.finished = self.deleted = self.gone = 0
        self.arguments = []
        self.process = None
        self.namespace = node.name if workload.host_network else name


class Machine:
    """Everything that runs. `close` takes all of it away again."""

    def __init__(self, work, prefix=PREFIX):
        self.work, self.prefix = work, prefix
        self.processes = []
        self.namespaces = []
        self.random = random.Random()

    def __enter__(self):
        self.remove_leftovers()
        return self

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)            # once is enough
        for process in self.processes:
            self.kill(process, signal.SIGTERM)
        deadline = time.time() + 5
        for process in self.processes:
            try:
                process.wait(max(0.0, deadline - time.time()))
            except subprocess.TimeoutExpired:
                self.kill(process, signal.SIGKILL)
                process.wait()
        for name in list(self.namespaces):
            self.delete_namespace(name)

    def remove_leftovers(self):
        """Takes away what a recorder that was killed left behind."""
        listed = run("ip", "netns", "list", capture_output=True).stdout.split()
        for name in (n.removeprefix(self.prefix) for n in listed if n.startswith(self.prefix)):
            kill_processes(self.prefix + name)
            self.namespaces.append(name)
            self.delete_namespace(name)

    # -- namespaces ------------------------------------------------------------------------------------------------

    def add_namespace(self, name, search=""):
        self.namespaces.append(name)
        run("ip", "netns", "add", self.prefix + name)
        folder = ETC / (self.prefix + name)          # `ip netns exec` puts these files over those in /etc
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "resolv.conf").write_text(
            f"search {search}svc.cluster.local cluster.local\nnameserver {s.DNS_SERVICE}\noptions ndots:5\n")
        (folder / "hosts").write_text("127.0.0.1 localhost\n")
        sysctl(self.prefix + name, {"ipv6/conf/all/disable_ipv6": 1, "ipv6/conf/default/disable_ipv6": 1})
        self.ip(name, "link set lo up")

    def delete_namespace(self, name):
        subprocess.run(["ip", "netns", "del", self.prefix + name], stderr=subprocess.DEVNULL)
        shutil.rmtree(ETC / (self.prefix + name), ignore_errors=True)
        try:
            ETC.rmdir()
        except OSError:
            pass                                # another machine's files are in it, or it is gone
        self.namespaces.remove(name)

    def ip(self, namespace, *commands):
        for command in commands:
            run("ip", "-n", self.prefix + namespace, *command.split())

    def nft(self, namespace, rules):
        run("ip", "netns", "exec", self.prefix + namespace, "nft", "-f", "-", input=rules)

    def add_node_and_outside(self):
        self.add_namespace(s.NODE)
        self.add_namespace("outside")
        self.ip(s.NODE, "link add cni0 type bridge", "addr add 10.244.1.1/24 dev cni0", "link set cni0 up",
                f"link add eth0 type veth peer name eth0 netns {self.prefix}outside",
                f"addr add {s.NODE_ADDRESS}/16 dev eth0", "link set eth0 up")
        self.ip("outside", f"addr add {s.UPLINK}/16 dev eth0", "link set eth0 up",
                *(f"addr add {a}/32 dev lo" for a in (s.PAYMENTS, s.OUTSIDE_DNS, s.CUSTOMER)),
                f"route add {s.POD_CIDR} via {s.NODE_ADDRESS}")
        self.ip(s.NODE, f"route add default via {s.UPLINK}")
        # Without bridge-nf-call-iptables the translation happens where the node routes, after the bridge was passed.
        sysctl(self.prefix + s.NODE, {"ipv4/ip_forward": 1, "bridge/bridge-nf-call-iptables": 0, "ipv4/conf/all/rp_filter": 0,
                        "ipv4/conf/cni0/rp_filter": 0, "ipv4/conf/all/send_redirects": 0,
                        "ipv4/conf/cni0/send_redirects": 0})

    # -- processes -------------------------------------------------------------------------------------------------

    def start(self, namespace, command, log):
        """Starts a program in a namespace, in a process group of its own, with its output in a file."""
        with open(self.work / f"{log}.log", "ab") as output:
            process = subprocess.Popen(["ip", "netns", "exec", self.prefix + namespace, *command], stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output, start_new_session=True, cwd=self.work,
                                       env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8"})
        self.processes.append(process)
        return process

    @staticmethod
    def kill(process, number):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass

    def stop(self, process, number=signal.SIGTERM):
        self.kill(process, number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill(process, signal.SIGKILL)
            process.wait()

    # -- pods ------------------------------------------------------------------------------------------------------

    def add_pod(self, pod, fill):
        """Wires a pod (as a network plugin does) and starts its container. `fill` fills in the placeholders."""
        workload = pod.workload
        if not workload.host_network:
            self.add_namespace(pod.name, f"{workload.namespace}.svc.cluster.local ")
            self.wire(pod)
        if workload.blackhole:
            self.nft(pod.name, f"table ip filter {{ chain input {{ type filter hook input priority 0; "
                               f"tcp dport {workload.blackhole} drop; }}\n}}\n")
        folder = self.work / pod.name
        folder.mkdir()
        folder.chmod(0o777)
        for name, text in workload.files.items():
            (folder / name).write_text(fill(text, pod))
        command = [fill(word, pod) for word in workload.command + pod.arguments]
        pod.process = self.start(pod.namespace, command, pod.name)
        pod.started = time.time()

    def wire(self, pod):
        """The veth between a pod and its node's bridge."""
        node, gateway = pod.node.name, pod.node.gateway
        pod.veth = f"veth{self.random.randrange(16 ** 8):08x}"
        self.ip(node, f"link add {pod.veth} type veth peer name eth0 netns {self.prefix}{pod.name}",
                f"link set {pod.veth} master cni0", f"link set {pod.veth} up")
        self.ip(pod.name, f"addr add {pod.address}/32 dev eth0", "link set eth0 up",
                f"route add {gateway} dev eth0 scope link", f"route add default via {gateway}")
        subprocess.run(["ip", "-n", self.prefix + node, "neigh", "del", pod.address, "dev", "cni0"],
                       stderr=subprocess.DEVNULL)

    def remove_pod(self, pod):
        """Ends a pod and gives its address back."""
        self.stop(pod.process)
        pod.finished = pod.finished or time.time()
        self.delete_namespace(pod.name)
        pod.gone = time.time()

    def wait_for(self, pod, port, seconds=40):
        """Waits until a pod's TCP port answers the node."""
        call = f"import socket; socket.create_connection(('{pod.address}', {port}), 1)"
        for _ in range(seconds * 2):
            if pod.process.poll() is not None:
                break
            if not subprocess.run(["ip", "netns", "exec", self.prefix + pod.node.name, "/usr/bin/python3", "-c", call],
                                  stderr=subprocess.DEVNULL).returncode:
                return
            time.sleep(0.5)
        sys.exit(f"{pod.name} does not answer on {port}:\n" + (self.work / f"{pod.name}.log").read_text()[-2000:])


def service_rules(workloads, pods, node=s.NODES[0]):
    """A node's nftables: a chain per Service port and per backend, as kube-proxy writes them."""
    chains, dispatch = [], []
    for workload in workloads:
        backends = [p.address for p in pods if p.workload is workload and not p.gone]
        for service in (x for x in workload.services if x.address != "None"):
            for name, port, target, protocol in service.ports:
                number, protocol = workload.port(target), protocol.lower()
                chain = f"service-{workload.namespace}-{service.name}-{protocol}-{port}"
                picks = []
                for index, address in enumerate(backends):
                    chains.append(f"chain {chain}-{index} {{ meta l4proto {protocol} dnat to {address}:{number}; }}")
                    picks.append(f"{index} : goto {chain}-{index}")
                chains.append(f"chain {chain} {{ numgen random mod {len(backends)} vmap {{ {', '.join(picks)} }}; }}")
                dispatch.append(f"ip daddr {service.address} {protocol} dport {port} goto {chain}")
                if service.node_port:
                    dispatch.append(f"ip daddr {node.address} {protocol} dport {service.node_port} goto {chain}")
    return ("table ip shop-services {\n" + "\n".join(chains) +
            "\nchain prerouting {\ntype nat hook prerouting priority dstnat;\n" + "\n".join(dispatch) + "\n}\n" +
            f"chain forward {{\ntype filter hook forward priority filter;\nip daddr {s.METADATA} drop\n"
            f"ip daddr {s.SERVICE_CIDR} reject\n}}\n}}\n")

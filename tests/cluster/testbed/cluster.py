"""What happens in the test cluster: it starts, and then does what it is told."""
import json
import os
import random
import subprocess
import threading
import time
from pathlib import Path

from recorder import scenario as s
from recorder.machine import PROGRAMS, Pod
from recorder.stage import Stage

from . import scenario as t
from .truth import truth

OWN_PROGRAMS = Path(__file__).resolve().parent.parent / "programs"


class TestCluster(Stage):
    def __init__(self, machine, work, folder):
        super().__init__(machine, work, t.WORKLOADS, t.NODES, lambda key, n: t.PLACES[key][n % len(t.PLACES[key])])
        self.folder = folder
        self.snapshots = []

    # -- the start

    def start(self):
        """Everything that serves, and what talks from before the agents start."""
        self.machine.add_network()
        self.start_outside()
        planned = [Pod(t.WORKLOAD[key], "", address, "") for (key, _), address in self.planned.items()]
        self.machine.translate(planned)
        for step in t.STEPS:
            pods = [self.start_pod(key) for key in step for _ in range(t.WORKLOAD[key].replicas)]
            for pod in pods:
                self.wait_until_it_serves(pod)
        self.snapshots.append(self.cluster.document(time.time()))

    def wait_until_it_serves(self, pod):
        """A look at the kernel's list of listeners: unlike a connection it leaves nothing behind."""
        ports = {p.number for p in pod.workload.ports if not pod.workload.blackhole and pod.workload.namespace != "load"}
        def serves():
            if pod.process.poll() is not None:
                raise RuntimeError(f"{pod.name} died:\n" + (self.work / f"{pod.name}.log").read_text()[-2000:])
            return ports <= listening(pod.process.pid)
        self.machine.wait_until(serves, 60, f"{pod.name} serves {ports}")

    def ready(self):
        namespaces = {name: self.machine.prefix + name for name in ["control", "outside", *(n.name for n in t.NODES)]}
        return {"namespaces": namespaces, "control": t.CONTROL,
                "nodes": {n.name: {"address": n.address, "podCIDR": n.pod_cidr} for n in t.NODES},
                "pods": [{"name": p.name, "workload": p.workload.key, "address": p.address, "node": p.node.name,
                          "namespace": self.machine.prefix + p.namespace, "veth": getattr(p, "veth", "")}
                         for p in self.cluster.pods if not p.gone]}

    # -- commands; each returns what its event says

    def do(self, command):
        name = command.pop("do", "").replace("-", "_")
        method = getattr(self, "do_" + name, None)
        if not method:
            raise ValueError(f"{name} is no command")
        return method(**command) or {}

    def do_start(self):
        """Those who keep asking begin: clients, the customer, the kubelets."""
        for key in t.CLIENTS:
            self.start_pod(key)
        # By way of a node that has no pod of shop/web, so that the answer crosses two nodes.
        url = f"http://{t.NODES[0].address}:{t.NODE_PORT}/"
        self.machine.start("outside", [s.PYTHON, f"{PROGRAMS}/loadgen.py", url, "1"], "customer")
        self.start_kubelets()
        self.snapshots.append(self.cluster.document(time.time()))

    def do_count(self):
        """shop/counter opens as many connections as the scenario says, one after the other."""
        calls = [[protocol, *where, times] for _, protocol, _, where, times in t.COUNTED]
        self.run_in("shop/counter", [s.PYTHON, f"{OWN_PROGRAMS}/count.py", json.dumps(calls)])

    def do_scan(self):
        pod = self.pod("shop/intruder")
        ports = ",".join(map(str, t.SCAN_PORTS))
        self.run_in("shop/intruder", ["nmap", "-sT", "-Pn", "-n", "-T5", "--max-retries", "1", "-p", ports,
                                      "--exclude", pod.address, t.SCAN])

    def do_half_open(self):
        """A scan that never finishes a handshake, and SYNs of somebody who does not even say no."""
        for server, port in t.HALF_OPEN:
            address = self.pod(server).address
            self.run_in("shop/intruder", ["nmap", "-sS", "-Pn", "-n", "-T4", "-p", str(port), address])
        pod = self.pod("shop/intruder")
        self.machine.nft(pod.namespace, "table ip silent { chain output { type filter hook output priority 0; "
                                        "tcp flags & rst == rst drop; }\n}\n")
        targets = [f"{self.pod(server).address}:{port}" for server, port in t.HALF_OPEN]
        self.run_in("shop/intruder", [s.PYTHON, f"{OWN_PROGRAMS}/half_open.py", pod.address, *targets])

    def do_replace_pod(self, old, new):
        """The pod of `old` is deleted, and one of `new` gets its address in the next ten seconds of the clock: nanoseg
        tells no finer beginnings of connections apart. A run of a CronJob is waited for."""
        gone = next(p for p in reversed(self.cluster.pods) if p.workload.key == old)
        self.snapshots.append(self.cluster.document(time.time()))
        if not gone.gone:
            gone.deleted = time.time()
            self.machine.remove_pod(gone)
        time.sleep(11 - time.time() % 10)
        job = ""
        if t.WORKLOAD[new].kind == "CronJob":
            job = f"{new.split('/')[1]}-{int(time.time()) // 60 + len(self.cluster.jobs)}"
            self.cluster.jobs[job] = int(time.time())
        pod = self.start_pod(new, gone.address, job)
        if job:
            if pod.process.wait(40):
                raise RuntimeError(f"{new} failed:\n" + (self.work / f"{pod.name}.log").read_text())
            pod.finished = time.time()
            self.machine.remove_pod(pod)                 # its record stays, with its address
        self.snapshots.append(self.cluster.document(time.time()))
        return {"address": gone.address, "old": gone.name, "new": pod.name}

    def do_drop_interface(self, workload):
        """The veth of a pod vanishes from its node, as at a crash of the network plugin, and comes back."""
        pod = self.pod(workload)
        self.machine.ip(pod.node.name, f"link del {pod.veth}")
        self.machine.wire(pod)
        return {"veth": pod.veth}

    def do_load(self, rate, seconds, generator):
        """load/source opens `rate` connections a second to load/sink, by its Service; says how many there were."""
        sink = self.machine.start(self.pod("load/sink").namespace, [generator, "serve", "7000"], "sink")
        source = None
        try:
            self.machine.wait_until(lambda: 7000 in listening(sink.pid), 5, "load/sink")
            where = t.WORKLOAD["load/sink"].services[0].address
            source = self.machine.start(self.pod("load/source").namespace,
                                        [generator, "call", f"{where}:7000", str(rate), str(seconds)], "source")
            if source.wait(seconds + 60):
                raise RuntimeError((self.work / "source.log").read_text())
        finally:
            for process in filter(None, (sink, source)):
                self.machine.stop(process)
                self.machine.processes.remove(process)
        return json.loads((self.work / "source.log").read_text().splitlines()[-1])

    def do_snapshot(self):
        """Writes cluster.yaml: all snapshots so far and one of now; and truth.json."""
        self.check_alive()
        self.snapshots.append(self.cluster.document(time.time()))
        (self.folder / "cluster.yaml").write_text("---\n".join(self.snapshots))
        (self.folder / "truth.json").write_text(json.dumps(truth(self), indent=1) + "\n")
        return {"cluster": str(self.folder / "cluster.yaml"), "truth": str(self.folder / "truth.json")}

    def run_in(self, workload, command):
        pod = self.pod(workload)
        process = self.machine.start(pod.namespace, command, f"{pod.name}-command")
        if process.wait(60):
            raise RuntimeError(f"{command[:2]} failed:\n" + (self.work / f"{pod.name}-command.log").read_text()[-2000:])
        self.machine.processes.remove(process)

    def check_alive(self):
        for pod in self.cluster.pods:
            if not pod.gone and pod.process.poll() is not None:
                raise RuntimeError(f"{pod.name} died:\n" + (self.work / f"{pod.name}.log").read_text()[-2000:])


def listening(pid):
    """The ports on which something listens in a process's network namespace."""
    ports = set()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        ports |= {int(line.split()[1].rsplit(":", 1)[1], 16) for line in lines if line.split()[3] == state}
    return ports

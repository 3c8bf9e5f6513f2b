"""What a scenario's pods need to start: addresses, names, files, and the world outside."""
import ipaddress
import re
import subprocess
import time

from . import scenario as s
from .machine import PROGRAMS, Pod, run
from .snapshot import Cluster


class Stage:
    """Pods of `workloads` on `nodes`. `place` says on which node a workload's replica runs, by its number."""

    def __init__(self, machine, work, workloads=s.WORKLOADS, nodes=s.NODES, place=lambda key, replica: 0):
        self.machine, self.work, self.workloads, self.nodes, self.place = machine, work, workloads, nodes, place
        self.cluster = Cluster(int(time.time()), workloads, nodes)
        self.free = {n.name: (str(a) for a in list(ipaddress.ip_network(n.pod_cidr).hosts())[1:]) for n in nodes}
        self.planned = {}                            # (workload, replica) -> address
        self.counts = {}
        for w in workloads:
            for replica in range(w.replicas if w.kind != "CronJob" else 0):
                node = nodes[place(w.key, replica)]
                self.planned[w.key, replica] = node.address if w.host_network else next(self.free[node.name])

    # -- what the placeholders of a command stand for

    def fill(self, text, pod):
        if "{zone}" in text:
            text = text.replace("{zone}", self.zone(pod))
        text = re.sub(r"\{pod:([^}]*)\}", lambda m: self.planned[m[1], 0], text)
        text = text.replace("{programs}", str(PROGRAMS)).replace("{dir}", str(self.work / pod.name))
        return text.replace("{address}", pod.address)

    def zone(self, pod):
        hosts = []
        for w in self.workloads:
            for service in w.services:
                own = [a for (key, _), a in self.planned.items() if key == w.key]
                for address in own if service.address == "None" else [service.address]:
                    hosts.append(f"{address} {service.name}.{w.namespace}.svc.cluster.local")
        (self.work / pod.name / "hosts").write_text("\n".join(hosts) + "\n")
        return (f"user=root\nno-resolv\nno-hosts\naddn-hosts={self.work}/{pod.name}/hosts\nlocal=/cluster.local/\n"
                f"local-ttl=5\nserver={s.OUTSIDE_DNS}\npid-file=\n")

    # -- what starts

    def start_pod(self, key, address=None, job="", arguments=()):
        w = next(w for w in self.workloads if w.key == key)
        count = self.counts[key] = self.counts.get(key, -1) + 1
        node = self.nodes[self.place(key, count)]
        address = address or self.planned.get((key, count)) or next(self.free[node.name])
        pod = Pod(w, self.cluster.pod_name(w, count, job), address, job, node)
        pod.arguments = list(arguments)
        self.machine.add_pod(pod, self.fill)
        self.cluster.pods.append(pod)
        return pod

    def start_outside(self):
        certificate, key = self.work / "payments.crt", self.work / "payments.key"
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=api.payments.example", "-days", "1",
            "-keyout", str(key), "-out", str(certificate), stderr=subprocess.DEVNULL)
        zone = self.work / "outside-dns.conf"
        zone.write_text(f"user=root\nno-resolv\nno-hosts\nlisten-address={s.OUTSIDE_DNS}\nbind-interfaces\npid-file=\n"
                        f"cname=api.payments.example,edge.payments.example,20\n"
                        f"host-record=edge.payments.example,{s.PAYMENTS},20\nlocal=/example/\n")
        self.machine.start("outside", ["dnsmasq", "--keep-in-foreground", f"--conf-file={zone}"], "outside-dns")
        self.machine.start("outside", [s.PYTHON, f"{PROGRAMS}/payments.py", s.PAYMENTS, str(certificate), str(key)], "payments")

    def start_kubelets(self):
        """On each node, what probes its pods."""
        for node in self.nodes:
            targets = []
            for pod in self.cluster.pods:
                if pod.workload.probe and pod.node is node:
                    name, path = pod.workload.probe
                    targets.append(f"{'http' if path else 'tcp'}://{pod.address}:{pod.workload.port(name)}{path}")
            self.machine.start(node.name, [s.PYTHON, f"{PROGRAMS}/kubelet.py", *targets], f"kubelet-{node.name}")

    def pod(self, key):
        """The first pod of a workload that is not gone."""
        return next(p for p in self.cluster.pods if p.workload.key == key and not p.gone)

"""Checks the capture against the scenario, with tcpdump as the only reader: every true edge is in it, nothing that is
not in the scenario was answered, and the traps (address reuse, translation, the old connection) are really there.
"""
import ipaddress
import re
import subprocess
import sys
from collections import defaultdict

from . import scenario as s

LINE = re.compile(r"^(\d+\.\d+) .*?IP (\d+\.\d+\.\d+\.\d+)(?:\.(\d+))? > (\d+\.\d+\.\d+\.\d+)(?:\.(\d+))?: ")
SYN, SYN_ACK = "tcp[13] & 0x17 == 0x02", "tcp[13] & 0x17 == 0x12"


def packets(capture, condition):
    """(time, source, source port, destination, destination port) of each packet that matches."""
    text = subprocess.run(["tcpdump", "-tt", "-nn", "-r", str(capture), condition], check=True, text=True,
                          capture_output=True).stdout
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            when, source, source_port, target, target_port = match.groups()
            yield float(when), source, int(source_port or 0), target, int(target_port or 0)


class Verification:
    def __init__(self, captures, pods):
        self.captures = {path.stem: path for path in captures}
        self.pods = pods
        self.mistakes = []

    def expect(self, true, what):
        print("  ok    " if true else "  WRONG ", what, flush=True)
        if not true:
            self.mistakes.append(what)

    def all(self, condition):
        for path in self.captures.values():
            yield from packets(path, condition)

    def peer(self, address, when):
        """Who had an address at that time, by the recorder's own diary (not by the snapshot)."""
        if address == s.GATEWAY or address == s.NODE_ADDRESS:
            return f"node:{s.NODE}"
        for pod in self.pods:
            if pod.address == address and pod.created <= when <= (pod.gone or when):
                return pod.workload.key
        inside = any(ipaddress.ip_address(address) in ipaddress.ip_network(n) for n in (s.POD_CIDR, s.SERVICE_CIDR))
        return f"unowned:{address}" if inside else f"outside:{address}"

    def is_service(self, address, port):
        translated = [(x.address, p[1]) for w in s.WORKLOADS for x in w.services for p in x.ports]
        return (address, port) in translated or (address, port) == (s.NODE_ADDRESS, 30080)

    def answered(self):
        """The edges that the capture shows by SYN-ACKs and by UDP, at the pods' addresses."""
        edges = set()
        for when, server, port, client, _ in self.all(SYN_ACK):
            if not self.is_service(server, port):
                edges.add((self.peer(client, when), self.peer(server, when), "TCP", port))
        for when, client, client_port, server, port in self.all("udp"):
            if port in (53, 9125) and not self.is_service(server, port):
                edges.add((self.peer(client, when), self.peer(server, when), "UDP", port))
        return edges

    def run(self, window):
        probes = {(c, v, protocol, port) for c, v, protocol, ports, verdict, *_ in s.NOT_LEARNED
                  for port in ports if verdict == "established"}
        truth = {e[:4] for e in s.EDGES}
        answered = self.answered()
        for edge in sorted(truth - s.WITHOUT_SYN):
            self.expect(edge in answered, "edge %s -> %s %s %d" % edge)
        for edge in sorted(probes):
            self.expect(edge in answered, "probe %s -> %s %s %d" % edge)
        self.expect(not answered - truth - probes, f"nothing else was answered {answered - truth - probes or ''}")
        self.old_connections()
        self.unanswered()
        self.scan()
        self.reuse()
        self.translation()
        self.dns()
        for name, path in self.captures.items():
            times = [p[0] for p in packets(path, "ip")]
            self.expect(len(times) > 1000 and window[0] - 2 <= times[0] and times[-1] <= window[1] + 2,
                        f"{name}: {len(times)} IPv4 packets in the recording's time")

    def old_connections(self):
        for client, server, _, port in s.WITHOUT_SYN:
            data = set()
            for when, source, source_port, target, target_port in self.all(f"tcp port {port} and greater 80"):
                if target_port == port and self.peer(source, when) == client and self.peer(target, when) == server:
                    data.add((source, source_port))
            pods = [p for p in self.pods if p.workload.key == client]
            self.expect(len(data) == len(pods), f"{client} -> {server}: {len(data)} connections with data, one per pod")
            opened = [p for p in self.all(f"({SYN} or {SYN_ACK}) and tcp port {port}")
                      if (p[1], p[2]) in data or (p[3], p[4]) in data]
            self.expect(not opened, f"{client} -> {server}: they have no SYN in the capture")

    def unanswered(self):
        for client, server, protocol, ports, verdict, _, _ in s.NOT_LEARNED:
            if verdict != "unanswered":
                continue
            def at_server(address, when):
                return address == server.removeprefix("outside:") or self.peer(address, when) == server
            asked = [p for p in self.all(f"{SYN} and tcp dst port {ports[0]}")
                     if self.peer(p[1], p[0]) == client and at_server(p[3], p[0])]
            back = [p for p in self.all(f"tcp src port {ports[0]}") if at_server(p[1], p[0])]
            self.expect(asked and not back, f"{client} -> {server} {ports[0]}: {len(asked)} SYNs, {len(back)} answers")
        pings = [p for p in self.all("icmp[icmptype] == icmp-echo") if self.peer(p[1], p[0]) == "shop/consumer"]
        replies = list(self.all("icmp[icmptype] == icmp-echoreply"))
        twice = list(self.all("icmp[icmptype] == icmp-unreach and icmp[icmpcode] == 3"))
        self.expect(not twice, f"{len(twice)} answers came to a port that was closed already")
        self.expect(pings and replies, f"ping: {len(pings)} requests, {len(replies)} replies")

    def scan(self):
        client, _, _, ports, *_ = s.NOT_LEARNED[0]
        tried = {(p[3], p[4]) for p in self.all(f"{SYN} and ({' or '.join(f'dst port {x}' for x in ports)})")
                 if self.peer(p[1], p[0]) == client}
        addresses = {a for a, _ in tried}
        self.expect(len(addresses) == 39 and len(tried) == 117, f"{client} scanned {len(addresses)} addresses, {len(tried)} ports")

    def reuse(self):
        owners = defaultdict(list)
        for pod in self.pods:
            if not pod.workload.host_network:
                owners[pod.address].append(pod)
        reused = {a: pods for a, pods in owners.items() if len(pods) > 1}
        seen = set()
        for address, (first, second) in reused.items():
            seen.add((first.workload.key, second.workload.key))
            self.expect(second.created - first.gone >= 2, f"{address}: free for {second.created - first.gone:.0f} s in between")
            for pod in (first, second):
                own = [p for p in self.all(f"host {address}") if pod.created <= p[0] <= (pod.gone or p[0])]
                self.expect(len(own) > 50, f"{address}: {len(own)} packets while it was {pod.workload.key}'s")
        self.expect(seen == {r[:2] for r in s.ADDRESS_REUSE}, f"addresses used twice: {sorted(seen)}")

    def translation(self):
        """Connections to Services are seen with the Service's address and with a pod's, and reach every backend."""
        for w in s.WORKLOADS:
            for service in (x for x in w.services if x.address != "None"):
                for _, port, target, protocol in service.ports:
                    if (w.key, port) in (("monitoring/prometheus", 9090),):
                        continue                                        # nobody calls it
                    address, port = (s.NODE_ADDRESS, 30080) if service.node_port else (service.address, port)
                    before = {(p[1], p[2]) for p in self.all(f"dst host {address} and {protocol.lower()} dst port {port}")}
                    pods = [p.address for p in self.pods if p.workload is w]
                    after = {a: {(p[1], p[2]) for p in self.all(f"dst host {a} and {protocol.lower()} dst port {w.port(target)}")}
                             for a in pods}
                    both = [a for a in pods if after[a] & before]
                    on_bridge = {(p[1], p[2]) for p in packets(self.captures["bridge"], f"dst host {address}")}
                    self.expect(service.node_port or len(before & on_bridge) > 0.9 * len(before),
                                f"{service.name}:{port} is seen untranslated on the bridge")
                    self.expect(both == pods, f"{service.name}:{port} is seen before and after translation, to {len(both)} backends")

    def dns(self):
        text = "".join(subprocess.run(["tcpdump", "-nn", "-r", str(p), "udp src port 53"], check=True, text=True,
                                      capture_output=True).stdout for p in self.captures.values())
        self.expect(f"CNAME edge.payments.example., A {s.PAYMENTS}" in text, "an answer with a CNAME chain")
        self.expect("NXDomain" in text, "answers that a name does not exist (search list)")
        self.expect("[|domain]" not in text, "no DNS answer is cut off")


def verify(captures, pods, window):
    verification = Verification(captures, pods)
    verification.run(window)
    if verification.mistakes:
        sys.exit("the recording does not match its scenario:\n  " + "\n  ".join(verification.mistakes))

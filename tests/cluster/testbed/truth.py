"""`truth.json`: what a reader must find. From the scenario and from what was done; nothing here looks at traffic."""
from recorder import scenario as s

from . import scenario as t


def truth(cluster):
    """`done` says which commands ran, and so which part of the scenario is true by now."""
    had = {p.workload.key for p in cluster.cluster.pods}
    edges = [edge(*e) for e in t.edges() if not (e[0] in t.WORKLOAD and e[0] not in had)]
    return {
        "edges": edges,
        "implied": [{"client": c, "server": v, "protocol": protocol, "port": 53} for c, v, protocol in implied(edges)],
        "not_learned": [{"client": c, "server": v, "protocol": protocol, "ports": ports, "verdict": verdict, "finding": finding,
                         "why": why, "unseen": unseen(c, v, protocol, ports[0] if ports else 0)}
                        for c, v, protocol, ports, verdict, finding, why in t.not_learned()],
        "address_reuse": [{"first": a, "second": b, "why": why} for a, b, why in t.ADDRESS_REUSE if a in had and b in had],
        "host_network": s.HOST_NETWORK,
        "findings": t.FINDINGS, "findings_of": t.FINDINGS_OF, "not_findings": t.WRONG_FINDINGS,
    }


def edge(client, server, protocol, port, why):
    key = (client, server, protocol, port)
    one = {"client": client, "server": server, "protocol": protocol, "port": port, "why": why}
    times = [n for to, p, number, _, n in t.COUNTED if client == "shop/counter" and (to, p, number) == (server, protocol, port)]
    if times or key in t.OLD:
        one["connections"] = times[0] if times else t.OLD[key]
    if key in t.OLD:
        one["old"] = True
    if server in s.NAMES:
        one["name"] = s.NAMES[server]
    if key in s.ONE_WAY or (client, protocol) == ("shop/counter", "UDP"):
        one["verdict"] = "one-way"
    return {**one, "unseen": unseen(*key)}


def unseen(*key):
    """By source, why it alone cannot see this."""
    return {source: known[key] for source, known in t.UNSEEN.items() if key in known}


def implied(edges):
    """As in samples/shop: who asks a DNS server over UDP may ask it over TCP (rule: dns-over-tcp-implied). Whose pod is
    older than the agents and called Services may have looked them up before (rule: dns-not-observed)."""
    over = {protocol: [(e["client"], e["server"]) for e in edges if (e["protocol"], e["port"]) == (protocol, 53)]
            for protocol in ("UDP", "TCP")}
    yield from ((*pair, "TCP") for pair in over["UDP"] if pair not in over["TCP"])
    yield from ((client, t.DNS_SERVER, protocol) for client in t.BY_ADDRESS for protocol in ("TCP", "UDP"))

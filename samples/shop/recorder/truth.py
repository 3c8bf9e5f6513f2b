"""`truth.yaml`: the scenario's edges as a test can read them. Nothing here looks at the capture."""
import json

from . import scenario as s

HEADER = """\
# The true edges of this recording. Written by `samples/shop/record` from its scenario (recorder/scenario.py), not from
# the capture and not by nanoseg. Peers are <namespace>/<workload>, outside:<address> or node:<name>; ports are the
# pods' ports, after the translation of Services.
"""


def flow(pairs):
    """One line of YAML in flow style."""
    words = []
    for key, value in pairs.items():
        if isinstance(value, list):
            text = "[" + ", ".join(map(str, value)) + "]"
        elif value is None or isinstance(value, (int, bool)):
            text = json.dumps(value)
        else:
            text = value if key in ("client", "server", "protocol", "name", "finding") and ":" not in value else json.dumps(value)
        words.append(f"{key}: {text}")
    return "  - {" + ", ".join(words) + "}"


def edge(client, server, protocol, port, why):
    pairs = {"client": client, "server": server}
    if server in s.NAMES:
        pairs["name"] = s.NAMES[server]
    pairs |= {"protocol": protocol, "port": port}
    key = (client, server, protocol, port)
    if key in s.WITHOUT_SYN:
        pairs["inferred"] = True
    if key in s.ONE_WAY:
        pairs["verdict"] = "one-way"
    return flow({**pairs, "why": why})


def implied():
    """Design rule 9: who asks a DNS server over UDP may ask it over TCP. Only those that did not do so here."""
    seen = {(c, v) for c, v, protocol, port, _ in s.EDGES if (protocol, port) == ("TCP", 53)}
    return [(c, v) for c, v, protocol, port, _ in s.EDGES if (protocol, port) == ("UDP", 53) and (c, v) not in seen]


def write_truth():
    lines = [HEADER + "edges:", *(edge(*e) for e in s.EDGES)]
    lines += ["", "# Not seen, but allowed all the same: DNS over TCP for those who were seen using DNS over UDP.", "implied:"]
    lines += [flow({"client": c, "server": v, "protocol": "TCP", "port": 53}) for c, v in implied()]
    lines += ["", "# Seen, but no policy may allow it. `finding` is the kind that reports it (null: nothing to report).", "not-learned:"]
    lines += [flow({"client": c, "server": v, "protocol": protocol, "ports": ports, "verdict": verdict, "finding": finding, "why": why})
              for c, v, protocol, ports, verdict, finding, why in s.NOT_LEARNED]
    lines += ["", "# Workloads of which no established traffic is seen.", "silent:"]
    lines += [flow({"workload": w, "why": why}) for w, why in s.SILENT]
    lines += ["", "# Workloads that no NetworkPolicy can select.", f"host-network: [{', '.join(s.HOST_NETWORK)}]"]
    lines += ["", "# Addresses that two workloads had, one after the other.", "address-reuse:"]
    lines += [flow({"first": a, "second": b, "why": why}) for a, b, why in s.ADDRESS_REUSE]
    findings = sorted({n[5] for n in s.NOT_LEARNED if n[5]} | set(s.FINDINGS))
    lines += ["", f"findings: [{', '.join(findings)}]"]
    lines += ["# Kinds of findings that would be wrong here.", f"not-findings: [{', '.join(s.WRONG_FINDINGS)}]"]
    return "\n".join(lines) + "\n"

"""What a pod of the story does; every word of the command line is one thing, all at the same time:

serve:PORT        TCP: says hello and waits for the client's end
sink:PORT         UDP: says on stdout what came, and answers nothing
dns:PORT[:ADDRESS] DNS over UDP and TCP, from the zone; asks $UPSTREAM about other names
call:NAME:PORT    TCP: connects, hears the hello, ends; again and again
keep:NAME:PORT    TCP: one connection, a word every round; another one if it breaks
tell:NAME:PORT    UDP: a word every round
scan:NAMES:PORTS  TCP: one attempt at each port of each, once
times:N           so many rounds, then the end (for Jobs)
tcp-dns           also asks the DNS server over TCP

Names are looked up at $NAMESERVER as a resolver would; a name may have several addresses (all are called).
"""
import json
import os
import socket
import struct
import sys
import threading
import time

ROUND, PATIENCE, KNOWN_FOR = 0.7, 0.9, 2.0
ZONE = {"read": None, "names": {}}
CACHE, TCP_DNS = {}, "tcp-dns" in sys.argv


def question(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return labels + b"\0" + struct.pack("!HH", 1, 1)


def ask(server, name, tcp=False, patience=PATIENCE):
    """The addresses of a name, by one query."""
    query = struct.pack("!HHHHHH", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + question(name)
    if tcp:
        with socket.create_connection((server, 53), PATIENCE) as link:
            link.sendall(struct.pack("!H", len(query)) + query)
            answer = link.recv(4096)[2:]
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.settimeout(patience)
            link.sendto(query, (server, 53))
            answer = link.recv(4096)
    count = struct.unpack("!H", answer[6:8])[0]
    records = answer[len(query):]
    return [socket.inet_ntoa(records[16 * i + 12:16 * i + 16]) for i in range(count)]


def resolve(name):
    if name[0].isdigit():
        return [name]
    known = CACHE.get(name)
    if known and known[1] > time.monotonic():
        return known[0]
    server = os.environ["NAMESERVER"]
    addresses = ask(server, name)
    if TCP_DNS:
        ask(server, name, tcp=True)
    CACHE[name] = (addresses, time.monotonic() + KNOWN_FOR)
    return addresses


def zone(name):
    path = os.environ["ZONE"]
    changed = os.stat(path).st_mtime_ns
    if changed != ZONE["read"]:
        with open(path) as file:
            ZONE["names"], ZONE["read"] = json.load(file), changed
    return ZONE["names"].get(name)


def reply(query):
    name, at = [], 12
    while query[at]:
        name.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    text = ".".join(name)
    addresses = zone(text)
    if addresses is None and "UPSTREAM" in os.environ:
        addresses = ask(os.environ["UPSTREAM"], text, patience=0.5)
    records = b"".join(struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4) + socket.inet_aton(a) for a in addresses or [])
    code = 0x8180 if addresses else 0x8183
    return query[:2] + struct.pack("!HHHHH", code, 1, len(addresses or []), 0, 0) + query[12:at + 5] + records


def dns(port, address=""):
    def tcp():
        server = socket.create_server((address, port), backlog=64)
        while True:
            client, _ = server.accept()
            with client:
                try:
                    client.settimeout(PATIENCE)
                    answer = reply(client.recv(4096)[2:])
                    client.sendall(struct.pack("!H", len(answer)) + answer)
                except (OSError, IndexError):
                    pass

    threading.Thread(target=tcp, daemon=True).start()
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))

    def one(query, peer):
        try:
            server.sendto(reply(query), peer)
        except (OSError, IndexError, ValueError):
            pass

    while True:
        query, peer = server.recvfrom(4096)
        threading.Thread(target=one, args=(query, peer), daemon=True).start()


def serve(port):
    def greet(client):
        with client:
            try:
                client.sendall(b"hello\n")
                while client.recv(4096):
                    pass
            except OSError:
                pass

    server = socket.create_server(("", port), backlog=128)
    while True:
        client, _ = server.accept()
        threading.Thread(target=greet, args=(client,), daemon=True).start()


def sink(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", port))
    while True:
        word, _ = server.recvfrom(4096)
        print(word.decode(), flush=True)


def call(name, port):
    for address in resolve(name):
        with socket.create_connection((address, port), PATIENCE) as link:
            link.settimeout(PATIENCE)
            link.recv(16)


def keep(name, port):
    with socket.create_connection((resolve(name)[0], port), PATIENCE) as link:
        while True:
            link.sendall(b"word\n")
            time.sleep(ROUND)


def tell(name, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.sendto(b"word", (resolve(name)[0], port))


def rounds(what, name, port, times):
    done = 0
    while done < times:
        try:
            what(name, port)
            done += 1
        except (OSError, IndexError):
            pass
        time.sleep(ROUND)


def scan(names, ports):
    for name in names.split(","):
        for port in ports.split(","):
            try:
                socket.create_connection((name, int(port)), 0.1).close()
            except OSError:
                pass


TIMES = next((int(word[6:]) for word in sys.argv[1:] if word.startswith("times:")), float("inf"))
threads = []
for word in sys.argv[1:]:
    kind, *rest = word.split(":")
    if kind in ("serve", "sink", "dns"):
        target = {"serve": serve, "sink": sink, "dns": dns}[kind]
        threads.append(threading.Thread(target=target, args=(int(rest[0]), *rest[1:])))
    elif kind in ("call", "keep", "tell"):
        target = {"call": call, "keep": keep, "tell": tell}[kind]
        threads.append(threading.Thread(target=rounds, args=(target, rest[0], int(rest[1]), TIMES)))
    elif kind == "scan":
        threads.append(threading.Thread(target=scan, args=(rest[0], rest[1])))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

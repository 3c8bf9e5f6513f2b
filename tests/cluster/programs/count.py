"""Opens exactly as many connections as it is told: `count.py '[["TCP", ADDRESS, PORT, TIMES], ...]'`."""
import json
import socket
import sys


def call(address, port):
    connection = socket.create_connection((address, port), 5)
    if port != 443:
        connection.sendall(b"PING\r\nQUIT\r\n" if port == 6379 else b"GET /healthz HTTP/1.0\r\n\r\n")
        if not connection.recv(1000):
            sys.exit(f"{address}:{port} did not answer")
        while connection.recv(1000):
            pass
    connection.close()


def send(address, port):
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.sendto(b"counted:1|c", (address, port))
    return sender


held = []                                       # so that no port is used twice
for protocol, address, port, times in json.loads(sys.argv[1]):
    for _ in range(times):
        held.append(call(address, port) if protocol == "TCP" else send(address, port))

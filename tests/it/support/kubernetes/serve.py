"""Serves each PORT/tcp and PORT/udp given: TCP says hello and waits for the client's end, UDP echoes."""
import socket
import sys
import threading


def greet(client):
    with client:
        try:
            client.sendall(b"hello\n")
            while client.recv(4096):
                pass
        except OSError:
            pass


def tcp(port):
    server = socket.create_server(("", port), backlog=128)
    while True:
        client, _ = server.accept()
        threading.Thread(target=greet, args=(client,), daemon=True).start()


def udp(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("", port))
    while True:
        data, peer = server.recvfrom(65536)
        server.sendto(data, peer)


threads = []
for word in sys.argv[1:]:
    port, protocol = word.split("/")
    threads.append(threading.Thread(target=tcp if protocol == "tcp" else udp, args=(int(port),)))
for thread in threads:
    thread.start()

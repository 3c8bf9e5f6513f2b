"""monitoring/statsd: swallows metrics over UDP and never answers."""
import socket

listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("", 9125))
while True:
    listener.recv(1500)

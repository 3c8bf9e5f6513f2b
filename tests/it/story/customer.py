"""Calls ADDRESS PORT from the address FROM, again and again: FROM ADDRESS PORT."""
import socket
import sys
import time

while True:
    try:
        with socket.create_connection((sys.argv[2], int(sys.argv[3])), 0.9, (sys.argv[1], 0)) as link:
            link.settimeout(0.9)
            link.recv(16)
    except OSError:
        pass
    time.sleep(0.7)

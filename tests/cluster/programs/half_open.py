"""Sends SYNs and never answers what comes back: `half_open.py OWN-ADDRESS ADDRESS:PORT...`. Twenty to each."""
import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


own = socket.inet_aton(sys.argv[1])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
for target in sys.argv[2:]:
    address, port = target.split(":")
    for number in range(20):
        head = struct.pack("!HHIIBBHHH", 20000 + number, int(port), 1000 * number, 0, 5 << 4, 2, 64000, 0, 0)
        pseudo = own + socket.inet_aton(address) + struct.pack("!BBH", 0, 6, len(head))
        head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
        raw.sendto(head, (address, 0))

"""The kubelet's readiness probes, from the node: `kubelet.py http://10.244.1.5:8080/healthz tcp://10.244.1.3:5432 ...`."""
import socket
import sys
import time
import urllib.parse
import urllib.request

while True:
    for target in sys.argv[1:]:
        try:
            if target.startswith("http"):
                urllib.request.urlopen(target, timeout=1).read()
            else:
                where = urllib.parse.urlsplit(target)
                socket.create_connection((where.hostname, where.port), timeout=1).close()
        except OSError as error:
            print(target, error, file=sys.stderr, flush=True)
    time.sleep(5)

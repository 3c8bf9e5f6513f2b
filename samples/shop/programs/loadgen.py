"""An HTTP client that keeps asking: `loadgen.py URL SECONDS_BETWEEN [ORDER_EVERY]`.

shop/loadgen asks the Service `web`; the outside client asks the NodePort. Every ORDER_EVERY-th request is an order.
"""
import sys
import time
import urllib.request

url, pause = sys.argv[1], float(sys.argv[2])
order_every = int(sys.argv[3]) if len(sys.argv) > 3 else 0
count = 0
while True:
    count += 1
    order = order_every and count % order_every == 0
    try:
        request = urllib.request.Request(url + ("order" if order else ""), b"article=7" if order else None)
        urllib.request.urlopen(request, timeout=5).read()
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
    time.sleep(pause)

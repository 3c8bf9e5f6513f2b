"""shop/app: the shop's application.

GET  /        reads the stock from PostgreSQL (one pooled connection, opened at start and kept) and the
              session from Redis, counts itself at statsd (UDP, nobody answers)
POST /order   the same, then charges the card at the outside payment host and tells the broker
GET  /healthz for the kubelet
Prometheus reads :9102/metrics.
"""
import http.client
import ssl
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import paho.mqtt.publish
import psycopg2
import redis

pool = psycopg2.connect(host="postgres", dbname="shop", user="shop", keepalives_idle=5)
pool.autocommit = True
pool_lock = threading.Lock()
statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
statsd.connect(("statsd.monitoring.svc.cluster.local", 8125))
unverified = ssl._create_unverified_context()      # the outside host's certificate is made for one recording
requests = 0


def charge():
    payments = http.client.HTTPSConnection("api.payments.example", timeout=5, context=unverified)
    payments.request("POST", "/v1/charge", b'{"amount": 1999}')
    answer = payments.getresponse().read()
    payments.close()
    return answer


class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            return self.answer(b"ok\n")
        self.answer(self.page())

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = self.page() + charge()
        paho.mqtt.publish.single("orders", b"one more", qos=1, hostname="broker")
        self.answer(body)

    def page(self):
        global requests
        requests += 1
        statsd.send(b"shop.requests:1|c")
        sessions = redis.Redis("redis")
        visits = sessions.incr("visits")
        sessions.close()
        with pool_lock, pool.cursor() as cursor:
            cursor.execute("SELECT count(*), sum(stock) FROM articles")
            return b"visit %d, articles %d, stock %d\n" % (visits, *cursor.fetchone())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Metrics(Shop):
    def do_GET(self):
        self.answer(b"# TYPE shop_requests_total counter\nshop_requests_total %d\n" % requests)


threading.Thread(target=ThreadingHTTPServer(("", 9102), Metrics).serve_forever, daemon=True).start()
ThreadingHTTPServer(("", 8080), Shop).serve_forever()

"""shop/pay: settles orders that the broker announces at the outside payment host.

Like a cloud SDK looking for credentials it also asks the metadata service, which nobody answers here.
On SIGTERM it goes on for its grace period, as a worker does that finishes its queue.
"""
import http.client
import signal
import socket
import ssl
import time

import paho.mqtt.client

signal.signal(signal.SIGTERM, lambda *_: None)
unverified = ssl._create_unverified_context()


def settle(*_):
    payments = http.client.HTTPSConnection("api.payments.example", timeout=5, context=unverified)
    payments.request("POST", "/v1/settle", b"{}")
    payments.getresponse().read()
    payments.close()


def ask_metadata():
    try:
        socket.create_connection(("169.254.169.254", 80), timeout=2).close()
        raise SystemExit("the metadata service answered: it must not")
    except OSError:
        pass


broker = paho.mqtt.client.Client()
broker.on_message = settle
broker.connect("broker", 1883, keepalive=5)
broker.subscribe("orders", qos=1)
broker.loop_start()
settle()
while True:
    ask_metadata()
    time.sleep(8)

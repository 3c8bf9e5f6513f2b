"""shop/consumer: takes orders from the broker and counts them in Redis.

It renews its session at the broker every 20 s. Besides: one look-up over TCP (what a resolver does with an answer that
does not fit), three pings to the broker's pod (its address is the argument), and a call to shop/legacy, which swallows
every SYN, so that the connection stays half open.
"""
import os
import socket
import subprocess
import sys
import threading
import time

import paho.mqtt.client
import redis


def on_message(_client, _userdata, message):
    counts = redis.Redis("redis")
    counts.incr("orders")
    counts.close()


def consume():
    while True:
        broker = paho.mqtt.client.Client("consumer")
        broker.on_message = on_message
        broker.connect("broker", 1883, keepalive=5)
        broker.subscribe("orders", qos=1)
        broker.loop_start()
        time.sleep(20)
        broker.disconnect()
        broker.loop_stop()


def call_legacy():
    try:
        socket.create_connection(("legacy", 9000), timeout=4).close()
        sys.exit("shop/legacy answered: it must not")
    except OSError:
        pass


threading.Thread(target=consume, daemon=True).start()
while True:
    time.sleep(15)
    subprocess.run(["getent", "ahostsv4", "broker"], env={**os.environ, "RES_OPTIONS": "use-vc"},
                   stdout=subprocess.DEVNULL)
    subprocess.run(["ping", "-n", "-q", "-c", "3", "-i", "0.3", sys.argv[1]], stdout=subprocess.DEVNULL)
    call_legacy()

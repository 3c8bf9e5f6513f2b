"""The scenario: what runs, who really talks to whom, and what must not be learned. Only data; the machinery reads it.

`truth.yaml` is written from EDGES, NOT_LEARNED and ADDRESS_REUSE below. They say what the programs in `programs/` do;
they are not taken from the capture. `verify.py` then checks that the capture holds them, and holds nothing else.
"""
import ipaddress
from dataclasses import dataclass, field


@dataclass
class Node:
    name: str
    address: str
    pod_cidr: str

    @property
    def gateway(self):
        """The address of the node's bridge, by which pods know it."""
        return str(ipaddress.ip_network(self.pod_cidr)[1])


POD_CIDR, GATEWAY = "10.244.1.0/24", "10.244.1.1"
SERVICE_CIDR = "10.96.0.0/16"
NODE, NODE_ADDRESS, UPLINK = "node1", "172.18.0.2", "172.18.0.1"
NODES = [Node(NODE, NODE_ADDRESS, POD_CIDR)]
DNS_SERVICE = "10.96.0.10"
PAYMENTS, OUTSIDE_DNS, CUSTOMER = "203.0.113.10", "203.0.113.53", "198.51.100.7"
METADATA = "169.254.169.254"
SCAN = "10.244.1.2-41"                  # 40 addresses, of which one is the scanner's own

PACKAGES = ("iproute2 nftables tcpdump zstd openssl util-linux nginx-light postgresql redis-server dnsmasq-base mosquitto "
            "prometheus prometheus-node-exporter nmap iputils-ping python3 python3-psycopg2 python3-redis "
            "python3-paho-mqtt").split()


@dataclass
class Port:
    name: str
    number: int
    protocol: str = "TCP"


@dataclass
class Service:
    """A Kubernetes Service for a workload. `ports`: (name, service port, target port as written, protocol)."""
    name: str
    address: str                        # the ClusterIP, or "None" for a headless Service
    ports: list
    node_port: int = 0
    external_policy: str = "Local"      # of a NodePort: whether only the called node's own pods answer


@dataclass
class Workload:
    namespace: str
    name: str
    kind: str                           # Deployment, StatefulSet, DaemonSet, CronJob
    image: str
    command: list                       # may use {programs}, {dir} (the pod's own folder), {address} (the pod's)
    ports: list = field(default_factory=list)
    replicas: int = 1
    labels: dict = None                 # app.kubernetes.io/name: NAME if not given
    services: list = field(default_factory=list)
    files: dict = field(default_factory=dict)   # name -> text, put into {dir}
    probe: tuple = ()                   # readiness probe: (port name, path), path "" for a TCP probe
    host_network: bool = False
    schedule: str = ""                  # of a CronJob
    blackhole: int = 0                  # TCP port at which the pod's firewall swallows SYNs

    def __post_init__(self):
        self.labels = self.labels or {"app.kubernetes.io/name": self.name}

    @property
    def key(self):
        return f"{self.namespace}/{self.name}"

    def port(self, target):
        """The number of a port that is given by name or number."""
        return next((p.number for p in self.ports if p.name == target), target)


PYTHON = "/usr/bin/python3"

NGINX = """
worker_processes 1;
daemon off;
error_log stderr;
pid {dir}/nginx.pid;
events { }
http {
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    resolver 10.96.0.10 valid=10s;
    server {
        listen 8080;
        set $app app.shop.svc.cluster.local;
        location = /healthz { return 200 "ok\\n"; }
        location / { proxy_pass http://$app; }
    }
}
"""

MOSQUITTO = """
listener 1883 0.0.0.0
allow_anonymous true
persistence false
log_dest stderr
"""

PROMETHEUS = """
global:
  scrape_interval: 5s
scrape_configs:
- job_name: app
  dns_sd_configs:
  - names: [app-metrics.shop.svc.cluster.local]
    type: A
    port: 9102
    refresh_interval: 10s
- job_name: node
  static_configs:
  - targets: ["172.18.0.2:9100"]
"""

# In the order of their start. The addresses are given out in this order too, from the second one of the range.
WORKLOADS = [
    Workload("kube-system", "coredns", "Deployment", "debian.example/dnsmasq:2.90", labels={"k8s-app": "kube-dns"},
             command=["dnsmasq", "--keep-in-foreground", "--conf-file={dir}/dnsmasq.conf"],
             ports=[Port("dns", 53, "UDP"), Port("dns-tcp", 53)],
             services=[Service("kube-dns", DNS_SERVICE, [("dns", 53, 53, "UDP"), ("dns-tcp", 53, 53, "TCP")])],
             files={"dnsmasq.conf": "{zone}"}),
    Workload("shop", "postgres", "StatefulSet", "debian.example/postgresql:15", ["{programs}/postgres.sh", "{dir}"],
             ports=[Port("postgres", 5432)], probe=("postgres", ""),
             services=[Service("postgres", "10.96.12.7", [("postgres", 5432, "postgres", "TCP")])]),
    Workload("shop", "redis", "Deployment", "debian.example/redis:7.0.15",
             ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", "{dir}"],
             ports=[Port("redis", 6379)], probe=("redis", ""),
             services=[Service("redis", "10.96.33.90", [("", 6379, 6379, "TCP")])]),
    Workload("shop", "broker", "Deployment", "debian.example/mosquitto:2.0.11",
             ["mosquitto", "-c", "{dir}/mosquitto.conf"], ports=[Port("mqtt", 1883)],
             services=[Service("broker", "10.96.71.4", [("mqtt", 1883, "mqtt", "TCP")])],
             files={"mosquitto.conf": MOSQUITTO}),
    Workload("monitoring", "statsd", "Deployment", "debian.example/statsd:1", [PYTHON, "{programs}/statsd.py"],
             ports=[Port("statsd", 9125, "UDP")],
             services=[Service("statsd", "10.96.40.11", [("statsd", 8125, "statsd", "UDP")])]),
    Workload("shop", "quotes", "Deployment", "debian.example/quotes:1", [PYTHON, "{programs}/quotes.py"],
             ports=[Port("quotes", 40001)],
             services=[Service("quotes", "10.96.58.23", [("http", 80, "quotes", "TCP")])]),
    Workload("shop", "legacy", "Deployment", "debian.example/legacy:1", ["sleep", "infinity"],
             ports=[Port("legacy", 9000)], blackhole=9000,
             services=[Service("legacy", "10.96.90.9", [("legacy", 9000, 9000, "TCP")])]),
    Workload("shop", "app", "Deployment", "debian.example/shop-app:3", [PYTHON, "{programs}/app.py"], replicas=2,
             ports=[Port("http", 8080), Port("metrics", 9102)], probe=("http", "/healthz"),
             services=[Service("app", "10.96.20.20", [("http", 80, "http", "TCP")]),
                       Service("app-metrics", "None", [("metrics", 9102, "metrics", "TCP")])]),
    Workload("shop", "web", "Deployment", "debian.example/nginx:1.22.1",
             ["nginx", "-e", "stderr", "-c", "{dir}/nginx.conf"], replicas=2,
             labels={"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"},
             ports=[Port("http", 8080)], probe=("http", "/healthz"),
             services=[Service("web", "10.96.20.10", [("http", 80, "http", "TCP")]),
                       Service("web-public", "10.96.20.11", [("http", 80, "http", "TCP")], node_port=30080)],
             files={"nginx.conf": NGINX}),
    Workload("shop", "consumer", "Deployment", "debian.example/consumer:2",
             [PYTHON, "{programs}/consumer.py", "{pod:shop/broker}"]),
    Workload("shop", "pay", "Deployment", "debian.example/pay:5", [PYTHON, "{programs}/pay.py"]),
    Workload("shop", "feed", "Deployment", "debian.example/feed:1",
             [PYTHON, "{programs}/loadgen.py", "http://quotes/", "1"]),
    Workload("monitoring", "node-exporter", "DaemonSet", "debian.example/node-exporter:1.5.0",
             ["prometheus-node-exporter", "--web.listen-address=172.18.0.2:9100",
              "--collector.disable-defaults", "--collector.loadavg", "--collector.meminfo"],
             ports=[Port("metrics", 9100)], host_network=True),
    Workload("monitoring", "prometheus", "StatefulSet", "debian.example/prometheus:2.42.0",
             ["prometheus", "--config.file={dir}/prometheus.yml", "--storage.tsdb.path={dir}/data",
              "--log.level=warn"],
             ports=[Port("web", 9090)], probe=("web", "/-/ready"), files={"prometheus.yml": PROMETHEUS},
             services=[Service("prometheus", "10.96.44.2", [("web", 9090, "web", "TCP")])]),
    Workload("shop", "loadgen", "Deployment", "debian.example/loadgen:1",
             [PYTHON, "{programs}/loadgen.py", "http://web/", "1", "8"]),
    Workload("shop", "batch", "CronJob", "debian.example/batch:4", [PYTHON, "{programs}/batch.py"],
             schedule="*/1 * * * *"),
]
WORKLOAD = {w.key: w for w in WORKLOADS}

# (client, server, protocol, pod port, what opens it)
EDGES = [
    ("shop/loadgen", "shop/web", "TCP", 8080, "asks Service web:80, target port by name"),
    (f"outside:{CUSTOMER}", "shop/web", "TCP", 8080, "a customer at NodePort 30080, externalTrafficPolicy Local: not masqueraded"),
    ("shop/web", "shop/app", "TCP", 8080, "nginx proxies to Service app:80, two backends"),
    ("shop/app", "shop/postgres", "TCP", 5432, "one pooled connection per pod, opened before the capture: no SYN is seen"),
    ("shop/app", "shop/redis", "TCP", 6379, "sessions"),
    ("shop/app", "shop/broker", "TCP", 1883, "publishes orders (MQTT)"),
    ("shop/app", f"outside:{PAYMENTS}", "TCP", 443, "charges cards at api.payments.example"),
    ("shop/app", "monitoring/statsd", "UDP", 9125, "one-way metrics to Service statsd:8125, repeated, never answered"),
    ("shop/consumer", "shop/broker", "TCP", 1883, "takes orders (MQTT)"),
    ("shop/consumer", "shop/redis", "TCP", 6379, "counts orders"),
    ("shop/pay", "shop/broker", "TCP", 1883, "takes orders (MQTT); the pod that the roll-out starts connects anew"),
    ("shop/pay", f"outside:{PAYMENTS}", "TCP", 443, "settles orders at api.payments.example"),
    ("shop/feed", "shop/quotes", "TCP", 40001, "asks Service quotes:80; a listener on a high port"),
    ("shop/batch", "shop/postgres", "TCP", 5432, "reads the articles; the second run at an address that was shop/feed's"),
    ("monitoring/prometheus", "shop/app", "TCP", 9102, "scrapes the pods found by the headless Service app-metrics: no DNAT"),
    ("monitoring/prometheus", f"node:{NODE}", "TCP", 9100, "scrapes monitoring/node-exporter, a hostNetwork pod, over one kept connection: no SYN is seen"),
    ("shop/web", "kube-system/coredns", "UDP", 53, "nginx's own resolver"),
    ("shop/app", "kube-system/coredns", "UDP", 53, "glibc"),
    ("shop/consumer", "kube-system/coredns", "UDP", 53, "glibc"),
    ("shop/consumer", "kube-system/coredns", "TCP", 53, "glibc with RES_OPTIONS=use-vc"),
    ("shop/pay", "kube-system/coredns", "UDP", 53, "glibc"),
    ("shop/feed", "kube-system/coredns", "UDP", 53, "glibc"),
    ("shop/batch", "kube-system/coredns", "UDP", 53, "glibc"),
    ("shop/loadgen", "kube-system/coredns", "UDP", 53, "glibc"),
    ("monitoring/prometheus", "kube-system/coredns", "UDP", 53, "Go's service discovery by DNS"),
    ("kube-system/coredns", f"outside:{OUTSIDE_DNS}", "UDP", 53, "forwards what is not cluster.local"),
]
NAMES = {f"outside:{PAYMENTS}": "api.payments.example"}
WITHOUT_SYN = {("shop/app", "shop/postgres", "TCP", 5432), ("monitoring/prometheus", f"node:{NODE}", "TCP", 9100)}
ONE_WAY = {("shop/app", "monitoring/statsd", "UDP", 9125)}

# What the capture holds as well and no policy may allow: client, server, protocol, ports, verdict, finding, why.
NOT_LEARNED = [
    ("shop/batch", "10.244.1.2-10.244.1.41", "TCP", [22, 443, 3306], "unanswered or refused", "port-scan",
     "the first run scans 39 addresses on 3 ports (nmap -sT); pods refuse, unowned addresses are silent"),
    ("shop/pay", f"outside:{METADATA}", "TCP", [80], "unanswered", "metadata-service", "dropped by the node without an answer"),
    ("shop/consumer", "shop/legacy", "TCP", [9000], "unanswered", "unanswered-connections", "the pod's firewall swallows every SYN"),
    ("shop/consumer", "shop/broker", "ICMP", [], "established", "not-expressible", "ping: NetworkPolicy has no ICMP"),
    (f"node:{NODE}", "shop/app", "TCP", [8080], "established", None, f"kubelet's probe from {GATEWAY}: always allowed, never a rule"),
    (f"node:{NODE}", "shop/web", "TCP", [8080], "established", None, "kubelet's probe"),
    (f"node:{NODE}", "shop/postgres", "TCP", [5432], "established", None, "kubelet's probe"),
    (f"node:{NODE}", "shop/redis", "TCP", [6379], "established", None, "kubelet's probe"),
    (f"node:{NODE}", "monitoring/prometheus", "TCP", [9090], "established", None, "kubelet's probe"),
]
# Kinds of findings that a reader must report besides those above, and kinds that would be wrong.
FINDINGS = ["host-network-workload", "nothing-observed", "inferred-direction", "internet-egress", "cross-namespace"]
WRONG_FINDINGS = ["address-conflict", "one-way-udp", "indistinguishable-workloads", "service-without-endpoints",
                  "missing-endpoint-slices", "missing-owners", "missing-nodes", "missing-namespaces", "damaged-capture"]
# Workloads of which no established traffic is seen, in neither direction.
SILENT = [("shop/legacy", "called by shop/consumer in vain")]
HOST_NETWORK = ["monitoring/node-exporter"]
# (the first owner, the second owner, what mixing them up would show)
ADDRESS_REUSE = [
    ("shop/feed", "shop/batch", "the first pod of shop/feed is deleted half-way; the second run of shop/batch gets its address"),
    ("shop/batch", "shop/feed", "the first run of shop/batch ends; the second pod of shop/feed gets its address, which the "
                                "completed pod still has in its status"),
]

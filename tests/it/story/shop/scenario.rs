//! The workloads and their calls: samples/shop/recorder/scenario.py with minimal programs. samples/shop/truth.yaml,
//! which was written from that scenario, lists what must be learned.

/// The scenario's namespaces. `kube-system` has another name here, because the cluster has its own.
pub const NAMESPACES: [&str; 3] = ["kube-system", "monitoring", "shop"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    StatefulSet,
    /// Uses the network of node1.
    HostDaemonSet,
    CronJob,
}

/// A workload, and the actions of its pods (see pod.py).
pub struct Workload {
    pub namespace: &'static str,
    pub name: &'static str,
    pub kind: Kind,
    pub replicas: u32,
    /// The node of all pods; any node if empty.
    pub node: &'static str,
    pub does: &'static str,
    /// Name, number and protocol of each port.
    pub ports: &'static [(&'static str, u16, &'static str)],
}

/// A Service: `NAME.NAMESPACE`, the workload behind it, its port and that of the pods.
pub struct Service {
    pub name: &'static str,
    pub workload: &'static str,
    pub port: u16,
    pub target: u16,
    pub protocol: &'static str,
    pub shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    ClusterIp,
    Headless,
    /// `externalTrafficPolicy: Local`.
    NodePort,
}

impl Service {
    pub fn namespace(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or("", |(_, namespace)| namespace)
    }
}

const TCP: &str = "TCP";
const UDP: &str = "UDP";

const fn one(
    namespace: &'static str,
    name: &'static str,
    does: &'static str,
    ports: &'static [(&'static str, u16, &'static str)],
) -> Workload {
    Workload {
        namespace,
        name,
        kind: Kind::Deployment,
        replicas: 1,
        node: "",
        does,
        ports,
    }
}

/// Every pod that calls others uses DNS, because it calls by name.
pub const WORKLOADS: [Workload; 16] = [
    one(
        "kube-system",
        "coredns",
        "dns:53",
        &[("dns", 53, UDP), ("dns-tcp", 53, TCP)],
    ),
    Workload {
        kind: Kind::StatefulSet,
        ..one("shop", "postgres", "serve:5432", &[("postgres", 5432, TCP)])
    },
    one("shop", "redis", "serve:6379", &[("redis", 6379, TCP)]),
    one("shop", "broker", "serve:1883", &[("mqtt", 1883, TCP)]),
    one(
        "monitoring",
        "statsd",
        "sink:9125",
        &[("statsd", 9125, UDP)],
    ),
    one("shop", "quotes", "serve:40001", &[("quotes", 40001, TCP)]),
    // Its pod drops every SYN.
    one("shop", "legacy", "serve:9000", &[("legacy", 9000, TCP)]),
    Workload {
        replicas: 2,
        ..one(
            "shop",
            "app",
            "serve:8080 serve:9102 keep:postgres.shop:5432 call:redis.shop:6379 call:broker.shop:1883 \
             call:api.payments.example:443 tell:statsd.monitoring:8125",
            &[("http", 8080, TCP), ("metrics", 9102, TCP)],
        )
    },
    // On the node whose NodePort is called, because only the node's own pods answer there.
    Workload {
        replicas: 2,
        node: "node1",
        ..one(
            "shop",
            "web",
            "serve:8080 call:app.shop:80",
            &[("http", 8080, TCP)],
        )
    },
    one(
        "shop",
        "consumer",
        "tcp-dns call:broker.shop:1883 call:redis.shop:6379 call:legacy.shop:9000",
        &[],
    ),
    one(
        "shop",
        "pay",
        "call:broker.shop:1883 call:api.payments.example:443 call:169.254.169.254:80",
        &[],
    ),
    one("shop", "feed", "call:quotes.shop:80", &[]),
    one("shop", "loadgen", "call:web.shop:80", &[]),
    Workload {
        kind: Kind::HostDaemonSet,
        node: "node1",
        ..one(
            "monitoring",
            "node-exporter",
            "serve:9100",
            &[("metrics", 9100, TCP)],
        )
    },
    Workload {
        kind: Kind::StatefulSet,
        ..one(
            "monitoring",
            "prometheus",
            "serve:9090 call:app-metrics.shop:9102 keep:NODE1:9100",
            &[("web", 9090, TCP)],
        )
    },
    // It also scans ports.
    Workload {
        kind: Kind::CronJob,
        ..one(
            "shop",
            "batch",
            "times:12 call:postgres.shop:5432 scan:SCANNED:22,443,3306",
            &[],
        )
    },
];

const fn cluster_ip(name: &'static str, workload: &'static str, port: u16, target: u16) -> Service {
    Service {
        name,
        workload,
        port,
        target,
        protocol: TCP,
        shape: Shape::ClusterIp,
    }
}

pub const SERVICES: [Service; 12] = [
    Service {
        protocol: UDP,
        ..cluster_ip("kube-dns.kube-system", "kube-system/coredns", 53, 53)
    },
    cluster_ip("postgres.shop", "shop/postgres", 5432, 5432),
    cluster_ip("redis.shop", "shop/redis", 6379, 6379),
    cluster_ip("broker.shop", "shop/broker", 1883, 1883),
    Service {
        protocol: UDP,
        ..cluster_ip("statsd.monitoring", "monitoring/statsd", 8125, 9125)
    },
    cluster_ip("quotes.shop", "shop/quotes", 80, 40001),
    cluster_ip("legacy.shop", "shop/legacy", 9000, 9000),
    cluster_ip("app.shop", "shop/app", 80, 8080),
    Service {
        shape: Shape::Headless,
        ..cluster_ip("app-metrics.shop", "shop/app", 9102, 9102)
    },
    cluster_ip("web.shop", "shop/web", 80, 8080),
    Service {
        shape: Shape::NodePort,
        ..cluster_ip("web-public.shop", "shop/web", 80, 8080)
    },
    cluster_ip("prometheus.monitoring", "monitoring/prometheus", 9090, 9090),
];

/// The label that selects a workload's pods.
pub fn label(name: &str) -> (&'static str, String) {
    match name {
        "coredns" => ("k8s-app", "kube-dns".to_owned()),
        name => ("app.kubernetes.io/name", name.to_owned()),
    }
}

pub fn selector(name: &str) -> String {
    let (key, value) = label(name);
    format!("{key}={value}")
}

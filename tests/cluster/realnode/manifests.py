"""What a cluster has before anybody installs anything: roles of its parts, CoreDNS, a volume for whoever claims one."""
import json

from .images import COREDNS
from .layout import DOMAIN

COREFILE = f""".:53 {{
    errors
    health :8080
    ready :8181
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }}
    forward . /etc/resolv.conf
    cache 5
}}
"""


def role(name, rules, subject):
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
         "rules": [{"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]} for group, resources in rules]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}, "subjects": [subject]}]


def user(name):
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


def coredns(layout):
    labels = {"k8s-app": "kube-dns"}
    meta = {"namespace": "kube-system", "name": "coredns"}
    account = {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}
    ports = [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP")]
    container = {
        "name": "coredns", "image": COREDNS, "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"name": name, "containerPort": port, "protocol": protocol} for name, port, protocol in ports],
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 60},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}]}
    rules = [("", ["endpoints", "services", "pods", "namespaces"]), ("discovery.k8s.io", ["endpointslices"])]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        *role("system:coredns", rules, account),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"Corefile": COREFILE}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {**meta, "labels": labels}, "spec": {
            "replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                "serviceAccountName": "coredns", "dnsPolicy": "Default", "priorityClassName": "system-cluster-critical",
                "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
                "containers": [container],
                "volumes": [{"name": "config", "configMap": {"name": "coredns"}}]}}}},
        {"apiVersion": "v1", "kind": "Service",
         "metadata": {"namespace": "kube-system", "name": "kube-dns", "labels": {**labels, "kubernetes.io/name": "CoreDNS"}},
         "spec": {"selector": labels, "clusterIP": layout.dns, "clusterIPs": layout.dns_addresses,
                  "ipFamilyPolicy": "RequireDualStack" if len(layout.ranges) > 1 else "SingleStack",
                  "ports": [{"name": name, "port": port, "protocol": protocol} for name, port, protocol in ports]}}]


def volume(node, path):
    """A disk of one node, as a local provisioner gives it."""
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk-1"}, "spec": {
        "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
        "local": {"path": str(path)}, "nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}}


def everything(layout, node, path):
    router = [("", ["namespaces", "pods", "services", "nodes", "endpoints"]), ("networking.k8s.io", ["networkpolicies"]),
              ("discovery.k8s.io", ["endpointslices"])]
    proxy = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "kube-proxy"},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"},
             "subjects": [user("system:kube-proxy")]}
    items = [proxy, *role("kube-router", router, user("kube-router")), *coredns(layout), volume(node, path)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})

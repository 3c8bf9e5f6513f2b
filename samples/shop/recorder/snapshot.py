"""The cluster as `kubectl get namespaces,pods,... -A -o yaml` would print it. There is no API server: the objects are
written from the scenario and from the times at which the recorder really started and ended things.
"""
import hashlib
import json
import re
import time
import uuid

from . import scenario as s

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"            # of Kubernetes' generated names


def generated(seed, length):
    digits = hashlib.sha256(seed.encode()).digest()
    return "".join(ALPHABET[d % len(ALPHABET)] for d in digits[:length])


def uid(*what):
    return str(uuid.UUID(hashlib.sha256("/".join(what).encode()).hexdigest()[:32], version=4))


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# -- YAML as kubectl prints it: keys in order, lists not indented, quotes only where needed ------------------------

PLAIN = re.compile(r"[A-Za-z/][\w ./@%$=+;,'\"()?&!~<>-]*(:[\w/.@-]+)*[\w./)%-]$|[A-Za-z/]$"
                   r"|\d+(\.\d+){3}(/\d+)?$|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|--[a-z][\w./=-]*$|\d+(%|Ki)$")
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def scalar(value):
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if PLAIN.match(value) and value.lower() not in WORDS and not value.endswith(" "):
        return value
    return json.dumps(value)


def emit(value, indent=0):
    """The lines of a YAML block."""
    pad = " " * indent
    if isinstance(value, dict):
        for key in sorted(value):
            child = value[key]
            if isinstance(child, (dict, list)) and child:
                yield f"{pad}{scalar(key)}:"
                yield from emit(child, indent + 2 if isinstance(child, dict) else indent)
            else:
                text = {dict: "{}", list: "[]"}.get(type(child)) or scalar(child)
                yield f"{pad}{scalar(key)}: {text}"
    else:
        for child in value:
            if isinstance(child, (dict, list)) and child:
                first, *rest = emit(child, indent + 2)
                yield f"{pad}- {first.strip()}"
                yield from rest
            else:
                yield f"{pad}- {scalar(child)}"


# -- objects -------------------------------------------------------------------------------------------------------

def metadata(kind, namespace, name, created, **more):
    version = int(hashlib.sha256(f"{kind}{namespace}{name}{more}".encode()).hexdigest()[:3], 16)
    meta = {"name": name, "uid": uid(kind, namespace, name, stamp(created)), "creationTimestamp": stamp(created),
            "resourceVersion": str(1000 + version), **{k: v for k, v in more.items() if v}}
    return {**meta, "namespace": namespace} if namespace else meta


def owner(kind, api, name, identifier):
    return [{"apiVersion": api, "kind": kind, "name": name, "uid": identifier, "controller": True,
             "blockOwnerDeletion": True}]


def condition(kind, since, status="True", **more):
    return {"type": kind, "status": status, "lastTransitionTime": stamp(since), **more}


class Cluster:
    """What was applied when. `document` prints it as it is now."""

    def __init__(self, applied, workloads=s.WORKLOADS, nodes=s.NODES):
        self.workloads, self.nodes = workloads, nodes
        self.applied = applied                       # when the workloads were created
        self.installed = applied - 8 * 60            # when the node was
        self.pods = []
        self.jobs = {}                               # Job name -> the time it was due

    # -- names and owners

    def pod_hash(self, workload):
        template = json.dumps([workload.image, workload.command, workload.labels])
        return generated("hash" + template, 10 if workload.kind == "Deployment" else 9)

    def pod_name(self, workload, count, job=""):
        if workload.kind == "StatefulSet":
            return f"{workload.name}-0"
        suffix = generated(f"{workload.key} {count} {self.applied}", 5)
        if workload.kind == "Deployment":
            return f"{workload.name}-{self.pod_hash(workload)}-{suffix}"
        return f"{job or workload.name}-{suffix}"

    def pod_owner(self, pod):
        w = pod.workload
        if w.kind == "Deployment":
            name = f"{w.name}-{self.pod_hash(w)}"
            return owner("ReplicaSet", "apps/v1", name, uid("ReplicaSet", w.namespace, name, stamp(self.applied)))
        if w.kind == "CronJob":
            return owner("Job", "batch/v1", pod.owner, self.job_uid(w, pod.owner))
        return owner(w.kind, "apps/v1", w.name, uid(w.kind, w.namespace, w.name, stamp(self.applied)))

    def job_uid(self, workload, name):
        return uid("Job", workload.namespace, name, stamp(self.jobs[name]))

    def pod_labels(self, pod):
        w = pod.workload
        if w.kind == "Deployment":
            return {**w.labels, "pod-template-hash": self.pod_hash(w)}
        if w.kind == "StatefulSet":
            return {**w.labels, "statefulset.kubernetes.io/pod-name": pod.name, "apps.kubernetes.io/pod-index": "0",
                    "controller-revision-hash": f"{w.name}-{self.pod_hash(w)}"}
        if w.kind == "DaemonSet":
            return {**w.labels, "controller-revision-hash": self.pod_hash(w), "pod-template-generation": "1"}
        job = self.job_uid(w, pod.owner)
        return {**w.labels, "batch.kubernetes.io/controller-uid": job, "batch.kubernetes.io/job-name": pod.owner,
                "controller-uid": job, "job-name": pod.owner}

    # -- pods

    def container(self, w, arguments=()):
        words = [re.sub(r"\{[\w:/]+\}/?", "", word) for word in [*w.command, *arguments]]
        words = [word for word in words if word]
        container = {"name": w.name, "image": w.image, "imagePullPolicy": "IfNotPresent", "command": words,
                     "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}
        if w.ports:
            container["ports"] = [{"name": p.name, "containerPort": p.number, "protocol": p.protocol,
                                   **({"hostPort": p.number} if w.host_network else {})} for p in w.ports]
        if w.probe:
            port, path = w.probe
            container["readinessProbe"] = {
                "failureThreshold": 3, "periodSeconds": 5, "successThreshold": 1, "timeoutSeconds": 1,
                **({"httpGet": {"path": path, "port": port, "scheme": "HTTP"}} if path else {"tcpSocket": {"port": port}})}
        return container

    def pod_spec(self, w, arguments=()):
        spec = {"containers": [self.container(w, arguments)], "dnsPolicy": "ClusterFirst",
                "restartPolicy": "OnFailure" if w.kind == "CronJob" else "Always", "schedulerName": "default-scheduler",
                "securityContext": {}, "terminationGracePeriodSeconds": 30}
        return {**spec, "hostNetwork": True} if w.host_network else spec

    def pod(self, pod):
        w, now_done = pod.workload, bool(pod.finished)
        meta = metadata("Pod", w.namespace, pod.name, pod.created, labels=self.pod_labels(pod), generation=1,
                        ownerReferences=self.pod_owner(pod),
                        generateName=None if w.kind == "StatefulSet" else pod.name[:-5])
        if pod.deleted:
            meta |= {"deletionTimestamp": stamp(pod.deleted + 30), "deletionGracePeriodSeconds": 30, "generation": 2}
        token = f"kube-api-access-{generated(pod.name, 5)}"
        spec = {**self.pod_spec(w, pod.arguments), "nodeName": pod.node.name, "enableServiceLinks": True,
                "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
                "serviceAccount": "default", "serviceAccountName": "default",
                "tolerations": [{"key": f"node.kubernetes.io/{k}", "operator": "Exists", "effect": "NoExecute",
                                 "tolerationSeconds": 300} for k in ("not-ready", "unreachable")],
                "volumes": [{"name": token, "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"items": [{"key": "ca.crt", "path": "ca.crt"}], "name": "kube-root-ca.crt"}},
                    {"downwardAPI": {"items": [{"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                                                "path": "namespace"}]}}]}}]}
        spec["containers"][0]["volumeMounts"] = [
            {"mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "name": token, "readOnly": True}]
        if w.kind == "StatefulSet":
            spec |= {"hostname": pod.name, "subdomain": w.name}
        digest = hashlib.sha256(w.image.encode()).hexdigest()
        ident = "containerd://" + hashlib.sha256(meta["uid"].encode()).hexdigest()
        if now_done:
            state = {"terminated": {"containerID": ident, "exitCode": 0, "reason": "Completed",
                                    "startedAt": stamp(pod.started), "finishedAt": stamp(pod.finished)}}
        else:
            state = {"running": {"startedAt": stamp(pod.started)}}
        done = {"status": "False", "reason": "PodCompleted"} if now_done else {}
        since = pod.finished or pod.started
        conditions = [condition("PodReadyToStartContainers", since, status="False" if now_done else "True"),
                      condition("Initialized", pod.created, **({"reason": "PodCompleted"} if now_done else {})),
                      condition("Ready", since, **done), condition("ContainersReady", since, **done),
                      condition("PodScheduled", pod.created)]
        for one in conditions:
            one["lastProbeTime"] = None
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": {
            "phase": "Succeeded" if now_done else "Running", "qosClass": "BestEffort", "startTime": stamp(pod.created),
            "hostIP": pod.node.address, "hostIPs": [{"ip": pod.node.address}], "podIP": pod.address,
            "podIPs": [{"ip": pod.address}], "conditions": conditions, "containerStatuses": [{
                "name": w.name, "image": w.image, "imageID": f"sha256:{digest}", "containerID": ident, "lastState": {},
                "ready": not now_done, "restartCount": 0, "started": not now_done, "state": state}]}}

    # -- controllers

    def controllers(self, kind):
        for w in (w for w in self.workloads if w.kind == kind):
            yield {"apiVersion": "batch/v1" if kind == "CronJob" else "apps/v1", "kind": kind,
                   "metadata": metadata(kind, w.namespace, w.name, self.applied, labels=w.labels, generation=1,
                                        annotations={"deployment.kubernetes.io/revision": "1"} if kind == "Deployment" else None),
                   **getattr(self, kind.lower())(w)}

    def template(self, w, extra=None):
        return {"metadata": {"labels": {**w.labels, **(extra or {})}}, "spec": self.pod_spec(w)}

    def counts(self, w, *names):
        return {"observedGeneration": 1, **{name: w.replicas for name in names}}

    def deployment(self, w):
        return {"spec": {"progressDeadlineSeconds": 600, "replicas": w.replicas, "revisionHistoryLimit": 10,
                         "selector": {"matchLabels": w.labels}, "template": self.template(w),
                         "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
                "status": {**self.counts(w, "replicas", "readyReplicas", "availableReplicas", "updatedReplicas"), "conditions": [
                    condition("Available", self.applied + 1, reason="MinimumReplicasAvailable", lastUpdateTime=stamp(self.applied + 1),
                              message="Deployment has minimum availability.")]}}

    def replicasets(self):
        for w in (w for w in self.workloads if w.kind == "Deployment"):
            extra, name = {"pod-template-hash": self.pod_hash(w)}, f"{w.name}-{self.pod_hash(w)}"
            owners = owner("Deployment", "apps/v1", w.name, uid("Deployment", w.namespace, w.name, stamp(self.applied)))
            yield {"apiVersion": "apps/v1", "kind": "ReplicaSet",
                   "metadata": metadata("ReplicaSet", w.namespace, name, self.applied, labels={**w.labels, **extra}, generation=1,
                                        ownerReferences=owners,
                                        annotations={"deployment.kubernetes.io/desired-replicas": str(w.replicas),
                                                     "deployment.kubernetes.io/max-replicas": str(w.replicas + 1),
                                                     "deployment.kubernetes.io/revision": "1"}),
                   "spec": {"replicas": w.replicas, "selector": {"matchLabels": {**w.labels, **extra}},
                            "template": self.template(w, extra)},
                   "status": self.counts(w, "replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas")}

    def statefulset(self, w):
        revision = f"{w.name}-{self.pod_hash(w)}"
        return {"spec": {"podManagementPolicy": "OrderedReady", "replicas": 1, "revisionHistoryLimit": 10, "serviceName": w.name,
                         "selector": {"matchLabels": w.labels}, "template": self.template(w),
                         "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                         "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}},
                "status": {**self.counts(w, "replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas"),
                           "collisionCount": 0, "currentRevision": revision, "updateRevision": revision}}

    def daemonset(self, w):
        return {"spec": {"revisionHistoryLimit": 10, "selector": {"matchLabels": w.labels}, "template": self.template(w),
                         "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}},
                "status": {**self.counts(w, "currentNumberScheduled", "desiredNumberScheduled", "numberAvailable",
                                         "numberReady", "updatedNumberScheduled"), "numberMisscheduled": 0}}

    def cronjob(self, w):
        active = [p for p in self.pods if p.workload is w and not p.finished]
        status = {}
        if self.jobs:
            status["lastScheduleTime"] = stamp(max(self.jobs.values()))
        if any(p.finished for p in self.pods if p.workload is w):
            status["lastSuccessfulTime"] = stamp(max(p.finished for p in self.pods if p.workload is w))
        if active:
            status["active"] = [{"apiVersion": "batch/v1", "kind": "Job", "name": p.owner, "namespace": w.namespace,
                                 "uid": self.job_uid(w, p.owner)} for p in active]
        return {"spec": {"schedule": w.schedule, "concurrencyPolicy": "Forbid", "failedJobsHistoryLimit": 1,
                         "successfulJobsHistoryLimit": 3, "suspend": False,
                         "jobTemplate": {"metadata": {}, "spec": {"template": self.template(w)}}}, "status": status}

    def job_list(self):
        for w in (w for w in self.workloads if w.kind == "CronJob"):
            for name, due in self.jobs.items():
                job, pod = self.job_uid(w, name), next(p for p in self.pods if p.owner == name)
                labels = {**w.labels, "batch.kubernetes.io/controller-uid": job, "batch.kubernetes.io/job-name": name,
                          "controller-uid": job, "job-name": name}
                status = {"startTime": stamp(due), "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}
                if pod.finished:
                    status |= {"succeeded": 1, "completionTime": stamp(pod.finished + 1),
                               "conditions": [condition("Complete", pod.finished + 1, lastProbeTime=stamp(pod.finished + 1))]}
                else:
                    status |= {"active": 1, "ready": 1}
                cron = owner("CronJob", "batch/v1", w.name, uid("CronJob", w.namespace, w.name, stamp(self.applied)))
                yield {"apiVersion": "batch/v1", "kind": "Job", "status": status,
                       "metadata": metadata("Job", w.namespace, name, due, ownerReferences=cron, labels=w.labels, generation=1,
                                            annotations={"batch.kubernetes.io/cronjob-scheduled-timestamp": stamp(due)}),
                       "spec": {"backoffLimit": 6, "completionMode": "NonIndexed", "completions": 1, "parallelism": 1,
                                "manualSelector": False, "podReplacementPolicy": "TerminatingOrFailed", "suspend": False,
                                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": job}},
                                "template": self.template(w, labels)}}

    # -- services, node, namespaces

    def services(self):
        for w in self.workloads:
            for service in w.services:
                spec = {"clusterIP": service.address, "clusterIPs": [service.address], "internalTrafficPolicy": "Cluster",
                        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "selector": w.labels,
                        "sessionAffinity": "None", "type": "NodePort" if service.node_port else "ClusterIP",
                        "ports": [{**({"name": name} if name else {}), "port": port, "targetPort": target, "protocol": protocol,
                                   **({"nodePort": service.node_port} if service.node_port else {})}
                                  for name, port, target, protocol in service.ports]}
                if service.node_port:
                    spec["externalTrafficPolicy"] = service.external_policy
                yield {"apiVersion": "v1", "kind": "Service", "spec": spec, "status": {"loadBalancer": {}},
                       "metadata": metadata("Service", w.namespace, service.name, self.applied, labels=w.labels)}
        yield {"apiVersion": "v1", "kind": "Service", "status": {"loadBalancer": {}},
               "metadata": metadata("Service", "default", "kubernetes", self.installed,
                                    labels={"component": "apiserver", "provider": "kubernetes"}),
               "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "internalTrafficPolicy": "Cluster",
                        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None", "type": "ClusterIP",
                        "ports": [{"name": "https", "port": 443, "targetPort": 6443, "protocol": "TCP"}]}}

    def slices(self):
        for w in self.workloads:
            for service in w.services:
                backends = [p for p in self.pods if p.workload is w and not p.gone]
                owners = owner("Service", "v1", service.name, uid("Service", w.namespace, service.name, stamp(self.applied)))
                labels = {**w.labels, "kubernetes.io/service-name": service.name,
                          "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
                if service.address == "None":
                    labels["service.kubernetes.io/headless"] = ""
                yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                       "metadata": metadata("EndpointSlice", w.namespace, f"{service.name}-{generated(service.name, 5)}",
                                            self.applied, generateName=f"{service.name}-", ownerReferences=owners,
                                            generation=1 + len(backends), labels=labels),
                       "endpoints": [{"addresses": [p.address], "nodeName": p.node.name,
                                      "conditions": {"ready": not p.deleted, "serving": True, "terminating": bool(p.deleted)},
                                      "targetRef": {"kind": "Pod", "name": p.name, "namespace": w.namespace,
                                                    "uid": uid("Pod", w.namespace, p.name, stamp(p.created))}}
                                     for p in backends],
                       "ports": [{"name": name, "port": w.port(target), "protocol": protocol}
                                 for name, port, target, protocol in service.ports]}
        yield {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
               "metadata": metadata("EndpointSlice", "default", "kubernetes", self.installed, generation=1,
                                    labels={"kubernetes.io/service-name": "kubernetes"}),
               "endpoints": [{"addresses": [self.nodes[0].address], "conditions": {"ready": True}}],
               "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}]}

    def other(self, node):
        """What tells a node's identifiers from those of the first."""
        return [] if node is self.nodes[0] else [node.name]

    def node(self, node, now):
        resources = {"cpu": "2", "memory": "8039172Ki", "pods": "110", "ephemeral-storage": "61255492Ki"}
        beat = {"lastHeartbeatTime": stamp(now - 20)}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata(
                    "Node", "", node.name, self.installed, annotations={"node.alpha.kubernetes.io/ttl": "0"},
                    labels={"beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                            "kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}),
                "spec": {"podCIDR": node.pod_cidr, "podCIDRs": [node.pod_cidr]},
                "status": {"addresses": [{"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name}],
                           "allocatable": resources, "capacity": resources,
                           "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                           "conditions": [
                               condition("MemoryPressure", self.installed, status="False", **beat,
                                         reason="KubeletHasSufficientMemory", message="kubelet has sufficient memory available"),
                               condition("DiskPressure", self.installed, status="False", **beat,
                                         reason="KubeletHasNoDiskPressure", message="kubelet has no disk pressure"),
                               condition("PIDPressure", self.installed, status="False", **beat,
                                         reason="KubeletHasSufficientPID", message="kubelet has sufficient PID available"),
                               condition("Ready", self.installed, **beat, reason="KubeletReady",
                                         message="kubelet is posting ready status")],
                           "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": "v1.33.4",
                                        "kubeProxyVersion": "", "osImage": "Debian GNU/Linux 12 (bookworm)",
                                        "containerRuntimeVersion": "containerd://1.6.20", "kernelVersion": "6.1.0-37-amd64",
                                        "bootID": uid("boot", *self.other(node)), "machineID": uid("machine", *self.other(node)).replace("-", ""),
                                        "systemUUID": uid("system", *self.other(node))}}}

    def namespaces(self):
        system = {"default", "kube-node-lease", "kube-public", "kube-system"}
        for name in sorted(system | {w.namespace for w in self.workloads}):
            created = self.installed if name in system else self.applied
            yield {"apiVersion": "v1", "kind": "Namespace", "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
                   "metadata": metadata("Namespace", "", name, created, labels={"kubernetes.io/metadata.name": name})}

    def document(self, now):
        """One List, as printed at `now`. Deleted pods are no longer in it; completed ones are."""
        def by_name(items):
            return sorted(items, key=lambda o: (o["metadata"].get("namespace", ""), o["metadata"]["name"]))
        pods = [self.pod(p) for p in self.pods if p.workload.kind == "CronJob" or not p.gone]
        items = [*self.namespaces(), *by_name(pods), *by_name(self.services()), *by_name(self.slices()), *(self.node(n, now) for n in self.nodes),
                 *by_name(self.controllers("Deployment")), *by_name(self.replicasets()),
                 *by_name(self.controllers("StatefulSet")), *by_name(self.controllers("DaemonSet")),
                 *by_name(self.job_list()), *by_name(self.controllers("CronJob"))]
        lines = emit({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
        return f"# taken at {stamp(now)}\n" + "\n".join(lines) + "\n"

"""A node: containerd with runc and the bridge plugin, kubelet, kube-proxy, and kube-router, which enforces policies."""
import json

from .layout import DOMAIN

PAUSE = "nanoseg.test/pause:1"
PROGRAMS = ("containerd", "kubelet", "kube-proxy", "kube-router")

CONTAINERD = """version = 2
root = "{disk}/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE nobody lowers it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{disk}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


class RealNode:
    def __init__(self, name, places, layout, keys, programs):
        self.name, self.places, self.layout, self.keys, self.programs = name, places, layout, keys, programs
        self.disk = places.work / name
        self.addresses = layout.node(name)
        self.running = {}
        keys.user(name, f"system:node:{name}", ["system:nodes"])
        keys.serving(f"{name}-serving", [name, *self.addresses])

    def write_files(self):
        (self.disk / "cni").mkdir(parents=True, exist_ok=True)
        for folder in ("ipam", "pods", "plugins"):
            (self.disk / folder).mkdir(exist_ok=True)
        (self.disk / "containerd.toml").write_text(CONTAINERD.format(disk=self.disk, pause=PAUSE))
        (self.disk / "cni/10-bridge.conflist").write_text(json.dumps(self.network_plugins()))
        (self.disk / "kubelet.yaml").write_text(json.dumps(self.kubelet_configuration()))
        (self.disk / "resolv.conf").write_text(f"nameserver {self.layout.ranges[0].outside[0]}\n")

    def network_plugins(self):
        ranges = [[{"subnet": subnet}] for subnet in self.layout.pods(self.name)]
        routes = [{"dst": r.everywhere} for r in self.layout.ranges]
        return {"cniVersion": "0.4.0", "name": "test", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True,
             # The plugin would do it for other nodes' pods too; Places does it for what leaves the cluster.
             "ipMasq": False,
             "ipam": {"type": "host-local", "dataDir": f"{self.disk}/ipam", "ranges": ranges, "routes": routes}},
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}]}

    def kubelet_configuration(self):
        key = self.keys.path
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                               "x509": {"clientCAFile": str(key("ca.crt"))}},
            "authorization": {"mode": "Webhook"},
            "clusterDNS": [self.layout.dns], "clusterDomain": DOMAIN, "resolvConf": f"{self.disk}/resolv.conf",
            "tlsCertFile": str(key(f"{self.name}-serving.crt")), "tlsPrivateKeyFile": str(key(f"{self.name}-serving.key")),
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "volumePluginDir": f"{self.disk}/plugins", "podLogsDir": f"{self.disk}/pods", "maxPods": 100,
            # cgroup v1, without what needs systemd's slices.
            "failCgroupV1": False, "cgroupDriver": "cgroupfs", "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [], "failSwapOn": False, "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%",
                             "nodefs.inodesFree": "1%"},
            # A node that was away is ready again soon.
            "nodeStatusUpdateFrequency": "4s", "syncFrequency": "20s",
        }

    # -- its life

    def boot(self):
        """The place and what runs in it, but what needs the API server."""
        self.write_files()
        self.places.begin_place(self.name, self.disk)
        self.start_program("containerd")
        self.places.wait_until(lambda: not self.ctr("version", check=False).returncode, 30,
                               f"containerd: {self.places.last_words('containerd-' + self.name)}")

    def import_image(self, path):
        self.ctr("--namespace", "k8s.io", "images", "import", path)

    def ctr(self, *arguments, **options):
        return self.places.run(self.name, ["ctr", *arguments], **options)

    def start_program(self, name):
        command = getattr(self, name.replace("kube-", ""))()
        path = name if name == "containerd" else self.programs / name
        self.running[name] = self.places.start(self.name, [path, *command], f"{name}-{self.name}")
        if name == "kubelet":
            self.places.wait_until(self.kubelet_serves, 60, f"kubelet: {self.places.last_words('kubelet-' + self.name)}")

    def kubelet_serves(self):
        """It ends if containerd does not serve yet; systemd starts it again then, and so does this."""
        kubelet = self.running.get("kubelet")
        if kubelet is None or kubelet.poll() is not None:
            if kubelet is not None:
                self.places.stop(self.running.pop("kubelet"))
            self.running["kubelet"] = self.places.start(
                self.name, [self.programs / "kubelet", *self.kubelet()], f"kubelet-{self.name}")
            return False
        ask = "import urllib.request as u; u.urlopen('http://127.0.0.1:10248/healthz', timeout=1)"
        return not self.places.run(self.name, ["python3", "-c", ask], check=False).returncode

    def stop_program(self, name):
        self.places.stop(self.running.pop(name))

    def shut_down(self):
        """As by a power cut: the disk stays."""
        for process in self.running.values():
            self.places.processes.remove(process)
        self.places.end_place(self.name)
        for process in self.running.values():
            process.wait(20)
        self.running.clear()

    # -- arguments

    def containerd(self):
        return ["--config", self.disk / "containerd.toml"]

    def kubelet(self):
        return [f"--config={self.disk}/kubelet.yaml", f"--kubeconfig={self.keys.path(self.name + '.kubeconfig')}",
                f"--hostname-override={self.name}", f"--node-ip={','.join(self.addresses)}", f"--cert-dir={self.disk}/certificates",
                "--v=2"]

    def proxy(self):
        return [f"--kubeconfig={self.keys.user('kube-proxy', 'system:kube-proxy')}", "--proxy-mode=nftables",
                f"--cluster-cidr={self.layout.all('pods')}", f"--hostname-override={self.name}", "--conntrack-max-per-core=0",
                "--oom-score-adj=0"]

    def router(self):
        families = {r.family for r in self.layout.ranges}
        return [f"--kubeconfig={self.keys.user('kube-router')}", "--run-firewall=true", "--run-router=false",
                "--run-service-proxy=false", f"--enable-ipv4={str(4 in families).lower()}",
                f"--enable-ipv6={str(6 in families).lower()}", f"--hostname-override={self.name}",
                *(f"--service-cluster-ip-range={r.services}" for r in self.layout.ranges), "--health-port=19244"]

"""The control plane: etcd, API server, controller manager and scheduler, in a place of their own."""
from .layout import DOMAIN

PLACE = "control"
ISSUER = f"https://kubernetes.default.svc.{DOMAIN}"


class ControlPlane:
    def __init__(self, places, layout, keys, programs):
        self.places, self.layout, self.keys, self.programs = places, layout, keys, programs
        self.running = {}
        self.issue()

    def issue(self):
        keys, layout = self.keys, self.layout
        keys.serving("api-server", [*layout.control, *(r.service(1) for r in layout.ranges), "kubernetes", "kubernetes.default",
                                    "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"])
        keys.user("admin", groups=["system:masters"])
        keys.user("api-server-to-kubelets", groups=["system:masters"])
        keys.user("controller-manager", "system:kube-controller-manager")
        keys.user("scheduler", "system:kube-scheduler")

    def start(self):
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            self.start_program(name)
            if name == "kube-apiserver":
                self.places.wait_until(self.answers, 60, f"the API server: {self.places.last_words(name)}")

    def start_program(self, name):
        command = getattr(self, name.replace("kube-", "").replace("-", "_"))()
        self.running[name] = self.places.start(PLACE, [self.programs / name, *command], name)

    def stop_program(self, name):
        self.places.stop(self.running.pop(name))

    def revive(self):
        """Starts what has ended by itself, as the kubelet does with static pods: the scheduler ends when it has missed a
        pod's end while the API server was away."""
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                self.places.processes.remove(process)
                self.start_program(name)

    def answers(self):
        return not self.kubectl("get", "--raw", "/readyz", check=False).returncode

    def kubectl(self, *arguments, **options):
        kubeconfig = {"KUBECONFIG": str(self.keys.path("admin.kubeconfig"))}
        return self.places.run(PLACE, [self.programs / "kubectl", *arguments], environment=kubeconfig, **options)

    def apply(self, text):
        self.kubectl("apply", "-f", "-", text=text)

    # -- their arguments

    def etcd(self):
        return ["--data-dir", self.places.work / "etcd", "--unsafe-no-fsync", "--log-level=warn",
                "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380"]

    def apiserver(self):
        key, layout = self.keys.path, self.layout
        return ["--etcd-servers=http://127.0.0.1:2379", f"--advertise-address={layout.control[0]}", "--bind-address=::",
                "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
                f"--service-cluster-ip-range={layout.all('services')}", f"--service-account-issuer={ISSUER}",
                f"--service-account-key-file={key('tokens.key')}", f"--service-account-signing-key-file={key('tokens.key')}",
                f"--client-ca-file={key('ca.crt')}", f"--tls-cert-file={key('api-server.crt')}",
                f"--tls-private-key-file={key('api-server.key')}", "--kubelet-preferred-address-types=InternalIP",
                f"--kubelet-client-certificate={key('api-server-to-kubelets.crt')}",
                f"--kubelet-client-key={key('api-server-to-kubelets.key')}", "--profiling=false"]

    def controller_manager(self):
        key, kubeconfig = self.keys.path, self.keys.path("controller-manager.kubeconfig")
        return [f"--{of}kubeconfig={kubeconfig}" for of in ("", "authentication-", "authorization-")] + [
            f"--service-account-private-key-file={key('tokens.key')}", f"--root-ca-file={key('ca.crt')}",
            f"--cluster-signing-cert-file={key('ca.crt')}", f"--cluster-signing-key-file={key('ca.key')}",
            "--use-service-account-credentials=true", f"--cluster-cidr={self.layout.all('pods')}",
            # As with network plugins that give out addresses themselves: no Node has a podCIDR.
            "--allocate-node-cidrs=false", "--leader-elect=false", "--bind-address=127.0.0.1",
            # A dead node is one after 20 seconds, so that a reboot is seen as such.
            "--node-monitor-grace-period=20s"]

    def scheduler(self):
        kubeconfig = self.keys.path("scheduler.kubeconfig")
        return [f"--{of}kubeconfig={kubeconfig}" for of in ("", "authentication-", "authorization-")] + [
            "--leader-elect=false", "--bind-address=127.0.0.1"]



"""The cluster's certificate authority, certificates of its parts and users, and their kubeconfigs."""
import subprocess

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")


class Authority:
    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        folder.mkdir(parents=True)
        openssl("req", "-x509", *CURVE, "-subj", "/CN=nanoseg-test", "-keyout", self.path("ca.key"), "-out", self.path("ca.crt"),
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        # For ServiceAccount tokens; the API server takes RSA or ECDSA keys.
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path("tokens.key"))

    def path(self, name):
        return self.folder / name

    def issue(self, name, subject, usage, names=()):
        """Writes name.crt and name.key."""
        options = ["-addext", f"extendedKeyUsage={usage}", "-addext", "basicConstraints=critical,CA:FALSE"]
        if names:
            kinds = ",".join(("IP:" if n.replace(".", "").isdigit() or ":" in n else "DNS:") + n for n in names)
            options += ["-addext", f"subjectAltName={kinds}"]
        openssl("req", "-x509", *CURVE, "-CA", self.path("ca.crt"), "-CAkey", self.path("ca.key"), "-subj", subject, *options,
                "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.crt"))

    def serving(self, name, names):
        self.issue(name, f"/CN={name}", "serverAuth", names)

    def user(self, name, user=None, groups=()):
        """A user's kubeconfig; made once."""
        path = self.path(f"{name}.kubeconfig")
        if not path.exists():
            subject = "".join(f"/O={group}" for group in groups) + f"/CN={user or name}"
            self.issue(name, subject, "clientAuth")
            path.write_text(KUBECONFIG.format(server=self.server, folder=self.folder, name=name))
        return path


KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{server}", certificate-authority: {folder}/ca.crt}}}}]
users: [{{name: "{name}", user: {{client-certificate: "{folder}/{name}.crt", client-key: "{folder}/{name}.key"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: "{name}"}}}}]
current-context: test
"""

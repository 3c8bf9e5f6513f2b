"""The images of the cluster's own pods, each one static program (as .ci/image makes that of nanoseg)."""
import subprocess
import sys
from pathlib import Path

from .node import PAUSE

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / ".ci"))
from oci import write_archive                                                                  # noqa: E402

WORKLOAD, COREDNS = "nanoseg.test/workload:1", "registry.k8s.io/coredns/coredns:v1.12.1"


def write_images(folder, programs):
    """Returns the paths of the archives."""
    workload, coredns = programs / "workload", programs / "coredns"
    for name, program, at, command in (
            ("pause", workload, "/workload", ["/workload", "-pause"]),
            ("workload", workload, "/workload", ["/workload"]),
            ("coredns", coredns, "/coredns", ["/coredns"])):
        image = {"pause": PAUSE, "workload": WORKLOAD, "coredns": COREDNS}[name]
        write_archive(folder / f"{name}.tar", image, program, at, command)
        yield folder / f"{name}.tar"


def components():
    """The folder of the cluster's programs, which tests/cluster/components makes if they lack."""
    made = subprocess.run([ROOT / "tests/cluster/components"], text=True, stdout=subprocess.PIPE)
    if made.returncode:
        raise RuntimeError("tests/cluster/components failed")
    return Path(made.stdout.strip())

"""Places: a process namespace each, with a network and with mounts of its own, so that the end of its first process is
the end of everything in it, containers too. Network namespaces and their wires are those of testbed.machine.
"""
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from testbed.machine import TestMachine

CGROUPS = Path("/sys/fs/cgroup")
FLAGS = {"rw", "ro", "relatime", "noatime", "nosuid", "nodev", "noexec", "xattr", "clone_children"}

# A node's cgroups are below one of its own, which is the root for it: else it takes other nodes' containers, and those
# from before its boot, for its own. With cgroup v1 a cgroup without processors holds no process.
JOIN = """set -e
for top in {tops}; do
    mkdir -p $top/{cgroup}
    for file in cpuset.cpus cpuset.mems; do
        [ ! -e $top/$file ] || for folder in $top/{first} $top/{cgroup}; do cat $top/$file > $folder/$file; done
    done
    echo $$ > $top/{cgroup}/cgroup.procs
done
exec "$@"
"""

# What a node changes in the file system is in its own folder: /var/lib is laid over this machine's, the rest is empty.
MOUNTS = """set -e
mount --make-rprivate /
mkdir -p {disk}/varlib {disk}/overlay {disk}/log {disk}/kubelet
mount -t overlay overlay -o lowerdir=/var/lib,upperdir={disk}/varlib,workdir={disk}/overlay /var/lib
mkdir -p /var/lib/kubelet /var/lib/nanoseg {disk}/nanoseg {disk}/volumes
mount --bind {disk}/kubelet /var/lib/kubelet
mount --bind {disk}/nanoseg /var/lib/nanoseg
mount --bind {disk}/log /var/log
mount -t tmpfs tmpfs /run
mount --bind {boot} /proc/sys/kernel/random/boot_id
mount --make-rshared /
"""


def hierarchies():
    """The mounts of cgroup v1 and their options."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, top, kind, options, *_ = line.split()
        if kind == "cgroup":
            yield top, ",".join(o for o in options.split(",") if o not in FLAGS and not o.startswith("release_agent"))


def remove_cgroup(top):
    for folder, _, _ in os.walk(top, topdown=False):
        for _ in range(50):                             # until the kernel has ended the last process in it
            try:
                os.rmdir(folder)
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.1)


class Places(TestMachine):
    def __init__(self, work, environment):
        super().__init__(work)
        self.hierarchies = list(hierarchies())
        self.environment = environment
        self.first = {}                         # place -> its first process, and what enters it

    def __exit__(self, *arguments):
        for place in list(self.first):
            self.end_place(place)
        super().__exit__(*arguments)

    def begin_place(self, name, disk=None):
        """The first process of a place whose network namespace there is already."""
        mounts, join, cgroup = "", [], []
        if disk:
            join, cgroup = self.join_cgroup(name)
            disk.mkdir(parents=True, exist_ok=True)
            boot = self.work / f"{name}.boot"
            boot.write_text(Path("/proc/sys/kernel/random/uuid").read_text())   # another one after each reboot
            mounts = MOUNTS.format(disk=disk, boot=boot) + "".join(
                f"umount {top}\nmount -t cgroup -o {options} cgroup {top}\n" for top, options in self.hierarchies)
        begun = self.work / f"{name}.begun"
        begun.unlink(missing_ok=True)
        # `wait` also ends what lost its parent.
        script = mounts + f"touch {begun}\nsleep infinity & wait\n"
        log = self.work / f"{name}.log"
        with open(log, "ab") as output:
            process = subprocess.Popen(
                [*join, "nsenter", f"--net=/run/netns/{self.prefix}{name}", "unshare", *cgroup, "--mount", "--propagation=private",
                 "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=self.environment)
        self.wait_until(lambda: begun.exists() or process.poll() is not None, 20, f"{name} begins")
        if process.poll() is not None:
            raise RuntimeError(f"{name}: {log.read_text()}")
        inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        self.first[name] = (process, inside)
        (self.work / f"{name}.pid").write_text(inside)

    def join_cgroup(self, name):
        """What starts a program in a place's cgroup, and the option that makes it the root. Nothing with cgroup v2, where
        a cgroup with others below it holds no process."""
        if not self.hierarchies:
            return [], []
        script = JOIN.format(tops=" ".join(top for top, _ in self.hierarchies), cgroup=f"{self.work.name}/{name}",
                             first=self.work.name)
        return ["sh", "-c", script, "sh"], ["--cgroup"]

    def end_place(self, name):
        """Everything in it dies, its network namespace stays."""
        process, inside = self.first.pop(name)
        try:
            os.kill(int(inside), signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for top, _ in self.hierarchies:
            remove_cgroup(Path(top) / self.work.name / name)

    def enter(self, name):
        return ["nsenter", "-t", self.first[name][1], "-m", "-n", "-p", "--"]

    def start(self, namespace, command, log):
        """Starts a program in a place, with its output in a file."""
        with open(self.work / f"{log}.log", "ab") as output:
            process = subprocess.Popen([*self.enter(namespace), *map(str, command)], stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=output, start_new_session=True, cwd=self.work, env=self.environment)
        self.processes.append(process)
        return process

    def stop(self, process, number=signal.SIGTERM):
        """Ends a program by its own process: nsenter, which waits for it, ends then."""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for child in children.read_text().split() if process.poll() is None else []:
            os.kill(int(child), number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill(process, signal.SIGKILL)
            process.wait()
        self.processes.remove(process)

    def run(self, name, command, seconds=60, text=None, environment=None, check=True):
        """Runs a program in a place to its end."""
        done = subprocess.run([*self.enter(name), *map(str, command)], input=text, text=True, capture_output=True, timeout=seconds,
                              env=self.environment | (environment or {}), stdin=None if text else subprocess.DEVNULL)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
        return done

    def last_words(self, log, count=3000):
        path = self.work / f"{log}.log"
        return path.read_text(errors="replace")[-count:] if path.exists() else ""

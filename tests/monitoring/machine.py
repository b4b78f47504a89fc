"""The Compose stack as processes: each service with the command, the files and the name that compose.yaml gives it, and
beside it some more berths with settings of their own, to have faults with.

The test runs in network and mount namespaces of its own. Prometheus and Alertmanager share the outer one with the other
berths; the stack's berth, which has a port in common with Prometheus, has one to itself behind a pair of virtual
interfaces, as a container would.
"""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checked import COMPOSE, load_yaml
from harness import BERTH, Failure, check, need, need_root, run

BERTH_ADDRESS, OUTER_ADDRESS, GUESSER_ADDRESS = "10.88.0.2", "10.88.0.1", "10.88.0.3"
STACK = "berth:9090"
# The other berths by name, as (port of the registry, port of health and metrics).
OTHERS = {"logins": (5001, 9191), "storage": (5002, 9192), "opening": (5003, 9193), "idle": (5004, 9194)}
# berth takes a foreign name for an attack on a loopback listener.
HOSTS = f"127.0.0.1 localhost prometheus alertmanager\n{BERTH_ADDRESS} berth\n{OUTER_ADDRESS} {' '.join(OTHERS)}\n"
PROGRAMS = {"prometheus": ("prometheus", 9090), "alertmanager": ("prometheus-alertmanager", 9093)}


def enter_namespaces():
    """Runs this program again in namespaces of its own."""
    if os.environ.get("BERTH_TEST_NAMESPACE") != "stack":
        need_root()
        need("ip")
        # Nothing that it starts outlives it, however it ends.
        own = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.execvpe("unshare", ["unshare", *own, sys.executable, *sys.argv],
                   dict(os.environ, BERTH_TEST_NAMESPACE="stack"))
    run("ip", "link", "set", "lo", "up")
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "none", "/run/netns")
    run("ip", "netns", "add", "berth")
    run("ip", "link", "add", "outer", "type", "veth", "peer", "name", "inner", "netns", "berth")
    for address in (OUTER_ADDRESS, GUESSER_ADDRESS):
        run("ip", "addr", "add", f"{address}/24", "dev", "outer")
    run("ip", "link", "set", "outer", "up")
    for command in (["addr", "add", f"{BERTH_ADDRESS}/24", "dev", "inner"], ["link", "set", "inner", "up"], ["link", "set", "lo", "up"]):
        run("ip", "-n", "berth", *command)


def fetch(url, timeout=10):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read()


def instance_of(name):
    return STACK if name == "berth" else f"{name}:{OTHERS[name][1]}"


class Held:
    """Threads of a process whose name begins with one of `names`, standing still, as if what they wait for never came."""

    SEIZE, INTERRUPT, DETACH, ALL_CHILDREN = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, pid, *names):
        self.pid, self.names, self.threads = pid, names, []
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long] + [ctypes.c_void_p] * 3
        self.libc.ptrace.restype = ctypes.c_long

    def ask(self, what, thread):
        if self.libc.ptrace(what, thread, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {what:#x}")

    def __enter__(self):
        for thread in sorted(map(int, os.listdir(f"/proc/{self.pid}/task"))):
            with open(f"/proc/{self.pid}/task/{thread}/comm") as f:
                if not f.read().startswith(self.names):
                    continue
            self.ask(self.SEIZE, thread)
            self.threads.append(thread)
            self.ask(self.INTERRUPT, thread)
            os.waitpid(thread, self.ALL_CHILDREN)
        check(self.threads, f"no thread is named {self.names}")
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            self.ask(self.DETACH, thread)


class Machine:
    """`stack` is a folder with deploy/compose and deploy/monitoring, prepared; `disk` the size of berth's tmpfs."""

    def __init__(self, stack, profile, disk):
        self.stack, self.disk = stack, disk
        services = load_yaml(os.path.join(COMPOSE, "compose.yaml"))["services"]
        self.services = {"berth": services["berth" if profile == "plain" else f"berth-{profile}"],
                         **{name: services[name] for name in PROGRAMS}}
        self.processes, self.made, self.mounted, self.logs = {}, [], [], {}

    def mount(self, target, *arguments):
        """A tmpfs, or what `arguments` say, where there may be no folder yet."""
        if not os.path.isdir(target):
            os.makedirs(target)
            self.made.append(target)
        run("mount", *(arguments or ("-t", "tmpfs", "none")), target)
        self.mounted.append(target)

    def place(self, source, target):
        with open(target, "w"):
            pass
        run("mount", "--bind", source, target)
        self.mounted.append(target)

    def __enter__(self):
        hosts = self.stack.path("hosts")
        self.stack.write("hosts", HOSTS)
        os.chmod(hosts, 0o644)
        run("mount", "--bind", hosts, "/etc/hosts")
        self.mounted.append("/etc/hosts")
        self.mount("/var/lib/berth", "-t", "tmpfs", "-o", f"size={self.disk}", "none")
        for folder in ("/etc/berth", "/etc/prometheus", "/etc/alertmanager", "/run/secrets", "/prometheus", "/alertmanager"):
            self.mount(folder)
        os.makedirs("/etc/prometheus/rules")
        for service in self.services.values():
            for volume in service["volumes"]:
                source, target = volume.split(":")[:2]
                if source.startswith("."):
                    self.place(os.path.normpath(os.path.join(self.stack.folder, source)), target)
            for name in service.get("secrets", []):
                self.place(self.stack.path(f"secrets/{name}"), f"/run/secrets/{name}")
        return self

    # ---- one berth, by its name ----

    def configuration(self, name):
        return "/etc/berth/berth.yaml" if name == "berth" else self.stack.path(f"{name}.yaml")

    def data(self, name):
        return "/var/lib/berth/data" if name == "berth" else self.stack.path(f"{name}-data")

    @staticmethod
    def inside(name):
        """What a command begins with that runs where the berth of that name does."""
        return ["ip", "netns", "exec", "berth"] if name == "berth" else []

    def run_berth(self, name, *arguments, **more):
        return run(*self.inside(name), BERTH, *arguments, env={"BERTH_CONFIG": self.configuration(name)}, **more)

    def configure(self, name, settings, address="127.0.0.1", tls=None):
        """Of one of the others: JSON, which is YAML."""
        registry, health = OTHERS[name]
        listeners = [dict({"address": f"{address}:{registry}", "serve": ["registry"]}, **({"tls": tls} if tls else {})),
                     {"address": f"{OUTER_ADDRESS}:{health}", "serve": ["health", "metrics"]}]
        self.stack.write(f"{name}.yaml", json.dumps(dict({"listeners": listeners, "data": {"directory": self.data(name)}}, **settings)))

    def start(self, name, through=(), ready=True):
        """`through` is a command that becomes berth; `ready` may be false for a berth that cannot be."""
        if name in PROGRAMS:
            program, port = PROGRAMS[name]
            return self.spawn(name, [need(program), *self.services[name]["command"]], f"http://{name}:{port}/-/ready")
        # `ip netns exec` becomes berth, too, so that a signal reaches it.
        where = f"http://{instance_of(name)}/" + ("readyz" if ready else "metrics")
        self.spawn(name, [*self.inside(name), *through, BERTH, "serve"], where, {"BERTH_CONFIG": self.configuration(name)})

    # ---- processes ----

    def spawn(self, name, command, url, environment=None):
        self.logs[name] = self.stack.path(f"{name}.log")
        with open(self.logs[name], "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ, **(environment or {})))
        self.processes[name] = process
        end = time.monotonic() + 90
        while time.monotonic() < end:
            if process.poll() is not None:
                raise Failure(f"{name} ended with {process.returncode}:\n{self.log(name)}")
            try:
                fetch(url, timeout=2)
                return
            except OSError:
                time.sleep(0.05)
        raise Failure(f"{name} is not ready:\n{self.log(name)}")

    def pid(self, name):
        return self.processes[name].pid

    def stop(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pulses(self, pid, stopped, running):
        """The process stands still for a while, and goes on for a while."""
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(stopped)
        finally:
            os.kill(pid, signal.SIGCONT)
        time.sleep(running)

    def descriptors_left(self, name, share):
        """As if it had opened so many of those that it may open. Returns the limits as they were."""
        count = len(os.listdir(f"/proc/{self.pid(name)}/fd"))
        before = resource.prlimit(self.pid(name), resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid(name), resource.RLIMIT_NOFILE, (int(count / share), before[1]))
        return before

    def log(self, name):
        with open(self.logs[name], errors="replace") as f:
            return f.read()[-3000:]

    def __exit__(self, *_):
        for name in list(self.processes):
            self.stop(name, signal.SIGKILL)
        for target in reversed(self.mounted):
            subprocess.run(["umount", "--lazy", target], stderr=subprocess.DEVNULL)
        for folder in reversed(self.made):
            try:
                os.rmdir(folder)
            except OSError:
                pass

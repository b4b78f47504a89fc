"""docker and containerd pull from a berth in a cluster by each of the recipes of deploy/kubernetes/recipes.

A node and the registry are two network namespaces with a wire between them; /etc of the node is a copy. The node knows no
name of the cluster and trusts nothing. What stands in for a cluster: kube-proxy is a forwarder from the node's port, and a
cluster's DNS is not there, as it is not for a node. Everything is gone with the processes that hold it.
"""

import glob
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "clients"))
sys.path.insert(0, TESTS)
from clients import Daemon, succeeds
from harness import BERTH, ROOT, Client, Failure, Report, Skip, check, need, need_root, run
from manifests import bin_folder, load
from small_image import SmallImage
from tools import tool
from with_accounts import basic

RECIPES = os.path.join(ROOT, "deploy/kubernetes/recipes")
NODE, CLUSTER_IP = "10.96.0.1", "10.96.0.50"
NAME = "registry.example.com"
CONTAINERD, DOCKER, K3S = "/etc/containerd/certs.d", "/etc/docker/certs.d", "/etc/rancher/k3s"
PASSWORD = "a password for this test"


class Wire:
    """The registry's network namespace and the wire to it. It lives as long as its process."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stdout=subprocess.DEVNULL)
        self.inside = ["nsenter", "--target", str(self.process.pid), "--net"]
        own = os.readlink("/proc/self/ns/net")
        end = time.monotonic() + 10
        while os.readlink(f"/proc/{self.process.pid}/ns/net") == own:
            check(time.monotonic() < end, "no network namespace for the registry")
            time.sleep(0.01)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "node", "type", "veth", "peer", "name", "registry", "netns", str(self.process.pid))
        run("ip", "address", "add", f"{NODE}/24", "dev", "node")
        run("ip", "link", "set", "node", "up")
        for command in (["address", "add", f"{CLUSTER_IP}/24", "dev", "registry"], ["link", "set", "registry", "up"], ["link", "set", "lo", "up"]):
            run(*self.inside, "ip", *command)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Forwarder:
    """A port of the node's loopback that leads to the registry: what kube-proxy does for a NodePort, bytes unseen."""

    def __init__(self, port, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection((CLUSTER_IP, self.target), timeout=30)
            except OSError:
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=pair, daemon=True).start()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, target):
                end.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Server:
    """A berth on the registry's side."""

    def __init__(self, wire, folder, config):
        os.makedirs(folder)
        self.log = os.path.join(folder, "log")
        self.data = os.path.join(folder, "data")
        path = os.path.join(folder, "berth.yaml")
        with open(path, "w") as f:
            f.write(config)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*wire.inside, BERTH, "serve", "--config", path, "--data", self.data], stdout=log, stderr=log)
        end = time.monotonic() + 60
        while not succeeds(*wire.inside, BERTH, "health", "--config", path):
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                with open(self.log, errors="replace") as log:
                    raise Failure(f"no berth:\n{log.read()[-2000:]}")
            time.sleep(0.1)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


class Runtimes:
    """A containerd and a docker daemon of the node."""

    def __init__(self, folder, env=None):
        os.makedirs(folder)
        self.env = {"HOME": folder, "DOCKER_CONFIG": folder}
        with open(os.path.join(folder, "config.json"), "w") as f:
            f.write("{}")
        config = os.path.join(folder, "containerd.toml")
        with open(config, "w") as f:
            f.write(f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri", '
                    f'"io.containerd.internal.v1.opt"]\n[grpc]\n  address = "{folder}/sock"\n[ttrpc]\n  address = "{folder}/sock.ttrpc"\n')
        self.ctr = ["ctr", "-a", f"{folder}/sock"]
        docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else need("docker")
        self.docker = [docker, "-H", f"unix://{folder}/docker.sock"]
        self.daemons = [Daemon("containerd", ["containerd", "-c", config], lambda: succeeds(*self.ctr, "version"))]
        try:
            self.daemons.append(Daemon("dockerd", [
                "dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root", folder + "/docker",
                "--exec-root", folder + "/exec", "-H", self.docker[2], "--pidfile", folder + "/pid"],
                lambda: succeeds(*self.docker, "version", env=self.env)))
        except Failure:
            self.stop()
            raise

    def stop(self):
        for daemon in self.daemons:
            daemon.stop()

    def containerd_pull(self, image, hosts=CONTAINERD):
        run(*self.ctr, "images", "pull", "--hosts-dir", hosts, "--snapshotter", "native", "--user", f"admin:{PASSWORD}", image)

    def docker_pull(self, image, login=True):
        if login:
            run(*self.docker, "login", image.split("/")[0], "--username", "admin", "--password-stdin", env=self.env, stdin=PASSWORD.encode())
        run(*self.docker, "pull", image, env=self.env)


def refused(word, function, *arguments):
    try:
        function(*arguments)
    except Failure as failure:
        check(word in str(failure), f"it should say {word}: {failure}")
        return
    raise Failure(f"{arguments} was pulled before anything was configured")


def as_k3s_does(registries, folder):
    """What k3s makes of its registries.yaml when it starts: a folder of hosts.toml."""
    for name, mirror in registries["mirrors"].items():
        os.makedirs(os.path.join(folder, name))
        with open(os.path.join(folder, name, "hosts.toml"), "w") as f:
            f.write(f'server = "https://{name}/v2"\ncapabilities = ["pull", "resolve", "push"]\n[host]\n')
            for endpoint in mirror["endpoint"]:
                tls = registries["configs"].get(endpoint.split("://")[1], {}).get("tls", {})
                f.write(f'[host."{endpoint}/v2"]\n  capabilities = ["pull", "resolve"]\n  ca = ["{tls["ca_file"]}"]\n')


class Recipes:
    def __init__(self, work):
        self.work = work
        self.stops = []

    def start(self):
        self.wire = self.started(Wire())
        work = self.work
        certs = os.path.join(work, "certs")
        self.ca = os.path.join(certs, "ca.crt")
        run(BERTH, "certs", "dev", "--out", certs, "--name", NAME, "--name", CLUSTER_IP)
        # Nobody pulls without a login, and that is sent to the address where the images are: no public_url, which a node
        # might not reach.
        self.server = self.started(Server(self.wire, os.path.join(work, "server"), f"""
listeners:
  - {{address: "0.0.0.0:443", serve: [registry], tls: {{certificate: {certs}/tls.crt, key: {certs}/tls.key}}}}
  - {{address: "127.0.0.1:9091", serve: [health]}}
auth: {{users: true}}
"""))
        run(BERTH, "user", "add", "admin", "--role", "admin", "--password-stdin", "--data", self.server.data, stdin=PASSWORD.encode() + b"\n")
        self.runtimes = self.started(Runtimes(os.path.join(work, "runtimes")))

    def started(self, what):
        self.stops.append(what)
        return what

    def stop(self):
        for what in reversed(self.stops):
            what.stop()

    def pushed(self, repository):
        """An image of its own for each recipe, so that nothing of it is on the node."""
        client = Client(443, host=NAME, tls=ssl.create_default_context(cafile=self.ca), headers=basic("admin", PASSWORD))
        SmallImage(os.path.join(self.work, "image-" + repository)).push(client, f"team/{repository}")
        return f"team/{repository}:1"

    def put(self, source, target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)

    def run_on_node(self, environment, ca):
        run("sh", f"{RECIPES}/node-port/nodes.sh", env=dict(environment, ONCE="1", CERTS_D=CONTAINERD, CA=ca))

    def daemon_set(self, text):
        spec = next(d for d in load(text) if d["kind"] == "DaemonSet")["spec"]["template"]["spec"]
        mounts = {m["name"]: m["mountPath"] for m in spec["containers"][0]["volumeMounts"]}
        paths = {v["name"]: v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
        check(mounts["certs"] == "/host" + CONTAINERD and paths["certs"] == CONTAINERD, "it writes elsewhere")
        return {e["name"]: e["value"] for e in spec["containers"][0]["env"]}

    # ---- the recipes ----

    def dns(self):
        """A real name, and a certificate from the company's authority."""
        image = f"{NAME}/{self.pushed('dns')}"
        for pull in (self.runtimes.containerd_pull, self.runtimes.docker_pull):
            refused("certificate", pull, image)
        self.put(f"{RECIPES}/dns/hosts.toml", f"{CONTAINERD}/{NAME}/hosts.toml")
        self.put(self.ca, f"{CONTAINERD}/{NAME}/ca.crt")
        self.put(self.ca, f"{DOCKER}/{NAME}/ca.crt")
        for pull in (self.runtimes.containerd_pull, self.runtimes.docker_pull):
            pull(image)

    def dns_trusted(self):
        """The same with an authority that the node trusts anyway, as it does public ones: no file at all."""
        image = f"{NAME}/{self.pushed('trusted')}"
        bundle = "/etc/ssl/certs/ca-certificates.crt"
        copy = os.path.join(self.work, "bundle")
        with open(copy, "w") as f:
            f.write(open(bundle).read() + open(self.ca).read())
        run("mount", "--bind", copy, bundle)
        runtimes = None
        try:
            runtimes = Runtimes(os.path.join(self.work, "trusting"))
            runtimes.containerd_pull(image)
            runtimes.docker_pull(image)
        finally:
            if runtimes:
                runtimes.stop()
            run("umount", bundle)

    def node_port(self):
        """A port of every node, and a file on each that a DaemonSet writes."""
        pushed = self.pushed("node-port")
        with open(f"{RECIPES}/node-port/daemonset.yaml") as f:
            environment = self.daemon_set(f.read())
        image = f"{environment['REGISTRY']}/{pushed}"
        with Forwarder(30500, 443):
            refused("lookup", self.runtimes.containerd_pull, image)
            self.run_on_node(environment, self.ca)
            self.runtimes.containerd_pull(image)
            # docker knows no other address for a name. It takes its own machine's port as it is.
            self.runtimes.docker_pull(f"localhost:30500/{pushed}")

    def cluster_ip(self):
        """The same where kube-proxy gives loopback no port: by the service's own address, which nodes reach."""
        pushed = self.pushed("cluster-ip")
        environment = {"REGISTRY": "berth.registry.svc:443", "UPSTREAM": f"https://{CLUSTER_IP}"}
        self.run_on_node(environment, self.ca)
        self.runtimes.containerd_pull(f"berth.registry.svc:443/{pushed}")
        refused("certificate", self.runtimes.docker_pull, f"{CLUSTER_IP}/{pushed}")
        self.put(self.ca, f"{DOCKER}/{CLUSTER_IP}/ca.crt")
        self.runtimes.docker_pull(f"{CLUSTER_IP}/{pushed}")

    def kind(self):
        """The overlay for a developer's machine: one name for the developer's docker and for the nodes."""
        text = run(tool("kustomize"), "build", os.path.join(ROOT, "deploy/kubernetes/overlays/dev"))
        config = next(d for d in load(text) if d["kind"] == "ConfigMap" and "berth.yaml" in d["data"])["data"]["berth.yaml"]
        server = self.started(Server(self.wire, os.path.join(self.work, "dev"), config))
        environment = self.daemon_set(text)
        image = SmallImage(os.path.join(self.work, "image-kind"))
        with Forwarder(30500, 5000):
            image.push(Client(30500), "team/kind")
            self.run_on_node(environment, "/nonexistent")
            # Inside a node nothing answers at the developer's name.
            refused("refused", self.runtimes.docker_pull, f"{environment['REGISTRY']}/team/kind:1", False)
            self.runtimes.containerd_pull(f"{environment['REGISTRY']}/team/kind:1")
        with Forwarder(int(environment["REGISTRY"].split(":")[1]), 5000):
            name = environment["REGISTRY"]
            self.runtimes.docker_pull(f"{name}/team/kind:1", login=False)
            run(*self.runtimes.docker, "tag", f"{name}/team/kind:1", f"{name}/team/pushed:1", env=self.runtimes.env)
            run(*self.runtimes.docker, "push", f"{name}/team/pushed:1", env=self.runtimes.env)
        server.stop()

    def k3s(self):
        """The file of k3s, by the folder that k3s makes of it."""
        pushed = self.pushed("k3s")
        self.put(f"{RECIPES}/k3s/registries.yaml", f"{K3S}/registries.yaml")
        self.put(self.ca, f"{K3S}/berth-ca.crt")
        with open(f"{K3S}/registries.yaml") as f:
            registries = load(f.read())[0]
        hosts = os.path.join(self.work, "k3s")
        as_k3s_does(registries, hosts)
        name = next(iter(registries["mirrors"]))
        with Forwarder(30500, 443):
            self.runtimes.containerd_pull(f"{name}/{pushed}", hosts)
            self.runtimes.docker_pull(f"localhost:30500/{pushed}")  # k3s --docker


FOLDERS = ("/etc/docker", "/etc/containerd", "/etc/rancher")


def enter(work):
    for folder in FOLDERS:
        os.makedirs(folder, exist_ok=True)
        run("mount", "-t", "tmpfs", "none", folder)
    for path, content in (("/etc/hosts", f"127.0.0.1 localhost\n{CLUSTER_IP} {NAME}\n"), ("/etc/resolv.conf", "nameserver 127.0.0.1\n")):
        copy = os.path.join(work, os.path.basename(path))
        with open(copy, "w") as f:
            f.write(content)
        run("mount", "--bind", copy, path)


CASES = ("dns", "dns_trusted", "node_port", "cluster_ip", "kind", "k3s")


def inside():
    report = Report("recipes")
    work = tempfile.mkdtemp(prefix="berth-recipes-")
    recipes = None

    def start():
        nonlocal recipes
        for program in ("containerd", "dockerd", "nsenter"):
            need(program)
        enter(work)
        recipes = Recipes(work)
        recipes.start()

    try:
        report.case("start", start)
        for name in (sys.argv[1:] or CASES) if recipes else ():
            if report.failed == ["start"]:
                break
            report.case(name, getattr(recipes, name))
    finally:
        if recipes:
            recipes.stop()
        for path in sorted(glob.glob(work + "/*/exec/netns/*")):
            run("umount", path, ok=False)
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


def outside():
    """What is needed and comes from a network that the node has not."""
    need_root()
    need("unshare")
    need("ip")
    tool("kustomize")
    return os.path.join(bin_folder(), "python")


def main():
    if os.environ.get("BERTH_INSIDE") == "recipes":
        return inside()
    report = Report("recipes")
    try:
        python = outside()
    except Skip as skip:
        report.skipped.append(str(skip))
        return report.finish()
    return subprocess.run(["unshare", "--net", "--mount", "--propagation", "private", python, os.path.abspath(__file__), *sys.argv[1:]],
                          env=dict(os.environ, BERTH_INSIDE="recipes")).returncode


if __name__ == "__main__":
    sys.exit(main())

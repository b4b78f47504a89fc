"""docker, podman and containerd use a registry with nothing but what `berth client-config` printed for them.

All of it happens in name spaces of its own: a network with one address beside loopback, so that nobody trusts it for being
this machine, and /etc as clients see it, so that the files stand where they belong and are gone afterwards.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from clients import Daemon, succeeds
from harness import BERTH, Berth, Failure, Report, Skip, check, need, need_root, run
from small_image import SmallImage

ADDRESS, NAME = "192.0.2.1", "registry.test"  # nobody's: RFC 5737, RFC 6761
FOLDERS = ("/etc/docker", "/etc/containerd", "/etc/containers")
FILES = {"/etc/hosts": f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n", "/etc/resolv.conf": "nameserver 127.0.0.1\n"}


def enter(work):
    """A network of one machine, and a private copy of what is changed below /etc."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    for folder in FOLDERS:
        copy = os.path.join(work, "etc", folder.strip("/"))
        if os.path.isdir(folder):
            shutil.copytree(folder, copy, symlinks=True)
        else:
            os.makedirs(copy)
            os.makedirs(folder)
        run("mount", "--bind", copy, folder)
    for path, content in FILES.items():
        copy = os.path.join(work, path.strip("/"))
        with open(copy, "w") as f:
            f.write(content)
        run("mount", "--bind", copy, path)


def merge(path, content):
    """What a person does who is told to add something to a file."""
    if not os.path.exists(path):
        with open(path, "w") as f:
            f.write(content)
    elif path.endswith(".json"):
        with open(path) as f:
            old = json.load(f)
        with open(path, "w") as f:
            json.dump(dict(old, **json.loads(content)), f)
    else:
        with open(path, "a") as f:
            f.write("\n" + content)


def apply(client, url, *arguments, skip=()):
    """Does what was printed; answers the commands that it ends with."""
    text = subprocess.run([BERTH, "client-config", client, "--address", url, "-o", "json", *arguments], check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout
    answer = json.loads(text)
    for file in answer["files"]:
        if any(word in file.get("only_for", "") for word in skip):
            continue
        os.makedirs(os.path.dirname(file["path"]), exist_ok=True)
        if file["action"] == "merge":
            merge(file["path"], file["content"])
        else:
            with open(file["path"], "w") as f:
                f.write(file["content"])
    return answer["commands"]


def must_fail(word, *command, env=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **(env or {})))
    text = done.stdout.decode(errors="replace")
    check(done.returncode != 0 and word in text, f"{' '.join(command)} should say {word}:\n{text[-1000:]}")


class Clients:
    def __init__(self, berth, ca, ports, work):
        self.berth, self.ca, self.work = berth, ca, work
        self.tls, self.plain = f"{NAME}:{ports[1]}", f"{NAME}:{ports[2]}"
        self.env = {"HOME": os.path.join(work, "home"), "XDG_RUNTIME_DIR": os.path.join(work, "run"),
                    "DOCKER_CONFIG": os.path.join(work, "home", ".docker")}
        for folder in self.env.values():
            os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.path.join(self.env["DOCKER_CONFIG"], "config.json"), "w") as f:
            f.write("{}")
        layout = os.path.join(work, "layout")
        small = SmallImage(layout)
        http = berth.client()
        for repository in ("base/small", "library/berth-mirrored"):  # a name that docker.io does not have
            small.push(http, repository)
        self.http = http

    def pushed(self, repository):
        self.http.expect(200, "HEAD", f"/v2/{repository}/manifests/1")

    def dockerd(self, base):
        return ["dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root", base + "/data",
                "--exec-root", base + "/exec", "-H", f"unix://{base}/docker.sock", "--pidfile", base + "/pid"]

    def docker(self):
        need("dockerd")
        docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else need("docker")
        base = os.path.join(self.work, "docker")
        os.makedirs(base)
        client = [docker, "-H", f"unix://{base}/docker.sock"]
        daemon = Daemon("dockerd", self.dockerd(base), lambda: succeeds(*client, "version", env=self.env))

        def apply_and_reload(*arguments):
            commands = apply("docker", *arguments)
            check(commands in ([], ["systemctl reload docker"]), f"unknown commands: {commands}")
            if commands:
                os.kill(daemon.process.pid, signal.SIGHUP)

        def until_pulled(reference):
            """A reload takes a moment."""
            for _ in range(50):
                if succeeds(*client, "pull", reference, env=self.env):
                    return
                subprocess.run(["sleep", "0.1"])
            run(*client, "pull", reference, env=self.env)

        try:
            must_fail("certificate", *client, "pull", f"{self.tls}/base/small:1", env=self.env)
            apply_and_reload(f"https://{self.tls}", "--ca", self.ca)
            run(*client, "pull", f"{self.tls}/base/small:1", env=self.env)
            run(*client, "tag", f"{self.tls}/base/small:1", f"{self.tls}/made/docker:1", env=self.env)
            run(*client, "push", f"{self.tls}/made/docker:1", env=self.env)
            self.pushed("made/docker")

            must_fail("HTTP response to HTTPS client", *client, "pull", f"{self.plain}/base/small:1", env=self.env)
            apply_and_reload(f"http://{self.plain}")
            until_pulled(f"{self.plain}/base/small:1")

            must_fail("registry-1.docker.io", *client, "pull", "berth-mirrored:1", env=self.env)
            apply_and_reload(f"https://{self.tls}", "--ca", self.ca, "--mirror-of", "docker.io")
            until_pulled("berth-mirrored:1")
        finally:
            daemon.stop()

    def podman(self):
        need("podman")
        shutil.rmtree("/etc/docker/certs.d", ignore_errors=True)  # podman looks there, too
        podman = ["podman", "--root", os.path.join(self.work, "podman"), "--runroot", os.path.join(self.work, "podman-run"),
                  "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        with open("/etc/containers/policy.json", "w") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
        for url, reference, word in ((f"https://{self.tls}", f"{self.tls}/base/small:1", "x509"),
                                     (f"http://{self.plain}", f"{self.plain}/base/small:1", "HTTP response to HTTPS client")):
            must_fail(word, *podman, "pull", reference, env=self.env)
            apply("podman", url, *(["--ca", self.ca] if url.startswith("https") else []))
            run(*podman, "pull", reference, env=self.env)
        run(*podman, "push", f"{self.tls}/base/small:1", f"{self.tls}/made/podman:1", env=self.env)
        self.pushed("made/podman")
        must_fail("registry-1.docker.io", *podman, "pull", "docker.io/library/berth-mirrored:1", env=self.env)
        apply("podman", f"https://{self.tls}", "--ca", self.ca, "--mirror-of", "docker.io")
        run(*podman, "pull", "docker.io/library/berth-mirrored:1", env=self.env)

    def containerd(self):
        need("containerd")
        ctr = need("ctr")
        base = os.path.join(self.work, "containerd")
        os.makedirs(base)
        version = run("containerd", "--version").split()[2].lstrip("v")
        config = "/etc/containerd/config.toml"
        with open(config, "w") as f:
            f.write(f'version = 2\nroot = "{base}/root"\nstate = "{base}/state"\n[grpc]\n  address = "{base}/sock"\n'
                    f'[ttrpc]\n  address = "{base}/sock.ttrpc"\n')
        plain_config = open(config).read()
        client = [ctr, "-a", base + "/sock", "images"]
        pull = [*client, "pull", "--hosts-dir", "/etc/containerd/certs.d", "--snapshotter", "native"]
        with open(base + "/quiet.toml", "w") as f:
            f.write(plain_config.replace("[grpc]", 'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n[grpc]'))
        daemon = Daemon("containerd", ["containerd", "-c", base + "/quiet.toml"], lambda: succeeds(ctr, "-a", base + "/sock", "version"))
        try:
            os.makedirs("/etc/containerd/certs.d", exist_ok=True)
            must_fail("x509", *pull, f"{self.tls}/base/small:1")
            commands = apply("containerd", f"https://{self.tls}", "--ca", self.ca, "--mirror-of", "docker.io",
                             skip=["2.x" if version.startswith("1.") else "1.x"])
            check(commands == ["systemctl restart containerd"], f"unknown commands: {commands}")
            run(*pull, f"{self.tls}/base/small:1")
            run(*client, "tag", f"{self.tls}/base/small:1", f"{self.tls}/made/containerd:1")
            run(*client, "push", "--hosts-dir", "/etc/containerd/certs.d", f"{self.tls}/made/containerd:1")
            self.pushed("made/containerd")
            run(*pull, "docker.io/library/berth-mirrored:1")
            must_fail("HTTP response to HTTPS client", *pull, f"{self.plain}/base/small:1")
            apply("containerd", f"http://{self.plain}", skip=["1.x", "2.x"])
            run(*pull, f"{self.plain}/base/small:1")
        finally:
            daemon.stop()
        # What Kubernetes uses of it reads the folder because config.toml says so.
        wanted = 'config_path = "/etc/containerd/certs.d"'
        check(wanted in run("containerd", "-c", config, "config", "dump"), "containerd did not take config_path")
        with open(config, "w") as f:
            f.write(plain_config)
        check(wanted not in run("containerd", "-c", config, "config", "dump"), "containerd has config_path anyway")


def inside(only):
    report = Report("client-config")
    work = tempfile.mkdtemp(prefix="berth-client-config-")
    try:
        enter(work)
        certs = os.path.join(work, "certs")
        run(BERTH, "certs", "dev", "--out", certs, "--name", NAME)
        listeners = [{"address": "127.0.0.1:0"}, {"address": f"{ADDRESS}:0", "tls": {"certificate": f"{certs}/tls.crt", "key": f"{certs}/tls.key"}}]
        # The same address twice only because the kernel gives each a port of its own.
        listeners.append({"address": f"{ADDRESS}:0"})
        settings = {"listeners": json.dumps(listeners), "insecure": "i-know-that-anyone-can-read-and-write-this"}
        with Berth(settings=settings, tls=certs) as berth:
            ports = [berth.port, *berth.tls_ports]
            clients = Clients(berth, os.path.join(certs, "ca.crt"), ports, work)
            for name in ("docker", "podman", "containerd"):
                if not only or name in only:
                    report.case(name, getattr(clients, name))
    finally:
        for path in (*FOLDERS, *FILES):
            subprocess.run(["umount", path], stderr=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


def main():
    if os.environ.get("BERTH_INSIDE") == "client-config":
        return inside(sys.argv[1:])
    report = Report("client-config")
    try:
        need_root()
        need("unshare")
        need("ip")
    except Skip as skip:
        report.skipped.append(str(skip))
        return report.finish()
    return subprocess.run(["unshare", "--net", "--mount", sys.executable, os.path.abspath(__file__), *sys.argv[1:]],
                          env=dict(os.environ, BERTH_INSIDE="client-config")).returncode


if __name__ == "__main__":
    sys.exit(main())

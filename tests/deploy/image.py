"""The container image: its last stage built by a real docker daemon from a Debian root file system around the binary of
this tree, then run as it is meant to be: as 10001, on a read-only root, without capabilities, with a volume.

What is not run is the stage that compiles: it is the same `cmake` and `ninja` as in deploy/run, and takes minutes.
`--save FILE` keeps the image for compose.py.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "clients"))
sys.path.insert(0, TESTS)
from clients import Daemon, succeeds
from harness import BERTH, ROOT, Client, Failure, Report, check, need, need_root, run
from rootfs import root_filesystem
from small_image import SmallImage
from tools import CACHE

SIZE_MAX = 60_000_000  # bytes of the image as it is pulled, compressed
# What the slim images of Debian leave out.
NOT_SLIM = ("usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/", "var/cache/",
            "var/lib/apt/lists/", "var/log/")


def slim_root_filesystem():
    """A Debian root file system without documentation; kept."""
    path = os.path.join(CACHE, "debian-slim-rootfs.tar")
    if not os.path.exists(path):
        with tarfile.open(root_filesystem()) as source, tarfile.open(path + ".partial", "w") as target:
            for member in source:
                name = member.name.removeprefix("./")
                if not any(name.startswith(folder) and name != folder.rstrip("/") for folder in NOT_SLIM):
                    target.addfile(member, source.extractfile(member) if member.isreg() else None)
        os.rename(path + ".partial", path)
    return path


class Image:
    def __init__(self, work):
        self.work = work
        self.docker_program = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else need("docker")
        self.socket = f"unix://{work}/docker.sock"
        self.env = {"HOME": os.path.join(work, "home"), "DOCKER_CONFIG": os.path.join(work, "home"), "DOCKER_BUILDKIT": "1"}
        os.makedirs(self.env["HOME"])
        self.daemon = Daemon("dockerd", ["dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root",
                                         work + "/docker", "--exec-root", work + "/exec", "-H", self.socket, "--pidfile", work + "/pid"],
                             lambda: succeeds(self.docker_program, "-H", self.socket, "version", env=self.env))
        self.containers = []

    def docker(self, *arguments, **options):
        return run(self.docker_program, "-H", self.socket, *arguments, env=self.env, **options)

    def stop(self):
        for name in self.containers:
            subprocess.run([self.docker_program, "-H", self.socket, "rm", "-f", "-v", name], stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, env=dict(os.environ, **self.env))
        self.daemon.stop()
        # The namespace of --network=host stays mounted when the daemon is gone.
        run("umount", os.path.join(self.work, "exec/netns/default"), ok=False)

    # ---- cases, in this order ----

    def build(self):
        with open(slim_root_filesystem(), "rb") as tar:
            subprocess.run([self.docker_program, "-H", self.socket, "import", "-", "debian:bookworm-slim"], stdin=tar, check=True,
                           stdout=subprocess.DEVNULL)
        context = os.path.join(self.work, "context")
        os.makedirs(context)
        run("strip", "-o", os.path.join(context, "berth"), BERTH)
        with open(os.path.join(context, "runtime-packages"), "w") as f:
            f.write(run(os.path.join(ROOT, "deploy/image/runtime-packages"), BERTH))
        shutil.copy(os.path.join(ROOT, "deploy/image/berth.yaml"), context)
        given = {"BINARY": "given", "VERSION": "1.2.3", "REVISION": "abc"}
        self.build_with("berth", context, given)
        self.build_with("berth-described", context, dict(given, SOURCE="https://git.example.com/berth", LICENSES="MIT OR Apache-2.0"))

    def build_with(self, name, context, given):
        arguments = [word for key, value in given.items() for word in ("--build-arg", f"{key}={value}")]
        self.docker("build", "--network=host", *arguments, "-f", os.path.join(ROOT, "deploy/Dockerfile"), "-t", name, context, timeout=900)

    def save(self, path):
        self.docker("save", "-o", path, "berth:latest", timeout=300)

    def description(self):
        """What the image says of itself."""
        config = json.loads(self.docker("image", "inspect", "berth"))[0]["Config"]
        check(config["User"] == "10001:10001", config["User"])
        check(set(config["ExposedPorts"]) == {"5000/tcp", "9090/tcp"}, config["ExposedPorts"])
        check(list(config["Volumes"]) == ["/var/lib/berth"], config["Volumes"])
        check(config["StopSignal"] == "SIGTERM", config["StopSignal"])
        check(config["Healthcheck"]["Test"] == ["CMD", "/usr/bin/berth", "health"], config["Healthcheck"])
        prefix, more = "org.opencontainers.image.", {"source": "https://git.example.com/berth", "licenses": "MIT OR Apache-2.0"}
        labels = {key.removeprefix(prefix): value for key, value in config["Labels"].items()}
        check(labels == {"title": "berth", "description": "A container registry in one program", "version": "1.2.3", "revision": "abc"}, labels)
        described = json.loads(self.docker("image", "inspect", "berth-described"))[0]["Config"]
        check({key.removeprefix(prefix): value for key, value in described["Labels"].items()} == dict(labels, **more), described["Labels"])
        check(dict(described, Labels=0, Image=0) == dict(config, Labels=0, Image=0), f"it differs in more than labels: {described}")

    def size(self):
        """What a node pulls: the layers, compressed."""
        total = 0
        folder = os.path.join(self.work, "saved")
        os.makedirs(folder)
        self.docker("save", "-o", folder + ".tar", "berth")
        run("tar", "-C", folder, "-xf", folder + ".tar")
        with open(os.path.join(folder, "manifest.json")) as f:
            layers = json.load(f)[0]["Layers"]
        for layer in layers:
            total += int(run("sh", "-c", f"gzip -6 -c '{os.path.join(folder, layer)}' | wc -c"))
        shutil.rmtree(folder)
        os.unlink(folder + ".tar")
        check(total <= SIZE_MAX, f"{total} bytes compressed; {SIZE_MAX} at most")
        return f"{total / 1e6:.1f} MB compressed"

    def without_certificate(self):
        """As it comes the image lets nobody in in clear: without a certificate it says what is missing, and ends."""
        done = subprocess.run([self.docker_program, "-H", self.socket, "run", "--rm", "--network=host", "berth"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **self.env), timeout=60)
        text = done.stdout.decode(errors="replace")
        check(done.returncode in (1, 2) and "/etc/berth/tls/tls." in text, f"exit {done.returncode}: {text[-1000:]}")

    def hardened(self):
        """A push and a pull, read-only and without any privilege; healthy; stopped by SIGTERM; the data stays."""
        certs = os.path.join(self.work, "certs")
        run(BERTH, "certs", "dev", "--out", certs)
        os.chmod(certs, 0o755)
        for name in ("tls.crt", "tls.key"):
            os.chown(os.path.join(certs, name), 10001, 10001)
        # The ports of the host are the container's, too, so other ones than those of the image.
        ports = free_ports(2)
        listeners = [{"address": f"127.0.0.1:{ports[0]}"}, {"address": f"127.0.0.1:{ports[1]}", "tls": {
            "certificate": "/etc/berth/tls/tls.crt", "key": "/etc/berth/tls/tls.key"}}]
        volume = "berth-data"
        image = SmallImage(os.path.join(self.work, "layout"))
        for attempt in (1, 2):
            name = f"berth-{attempt}"
            self.containers.append(name)
            self.docker("run", "-d", "--name", name, "--network=host", "--read-only", "--cap-drop=ALL", "--security-opt",
                        "no-new-privileges", "--health-interval=1s", "-v", f"{volume}:/var/lib/berth", "-v", f"{certs}:/etc/berth/tls:ro",
                        "-e", f"BERTH__LISTENERS={json.dumps(listeners)}", "-e", "BERTH__AUTH__USERS=false", "berth")
            client = Client(ports[0])
            self.wait(name, "healthy")
            if attempt == 1:
                image.push(client, "image/small")
            image.pull(client, "image/small")
            check(self.docker("exec", name, "id", "-u").strip() == "10001", "another user")
            check("image/small" in self.docker("exec", name, "berth", "repo", "ls"), "the command sees no repository")
            check(not succeeds(self.docker_program, "-H", self.socket, "exec", name, "touch", "/somewhere", env=self.env),
                  "the root is not read-only")
            self.docker("stop", "-t", "60", name)
            code = self.docker("inspect", "--format", "{{.State.ExitCode}}", name).strip()
            check(code == "0", f"exit code {code} after SIGTERM")

    def group_of_volume(self):
        """A volume as Kubernetes gives it by fsGroup: of root, for the group 10001, with what a file system has in it."""
        folder = os.path.join(self.work, "claim")
        os.makedirs(os.path.join(folder, "lost+found"), mode=0o700)
        os.chown(folder, 0, 10001)
        os.chmod(folder, 0o2775)
        port = free_ports(1)[0]
        self.containers.append("claim")
        self.docker("run", "-d", "--name", "claim", "--network=host", "--read-only", "--cap-drop=ALL", "--health-interval=1s", "-v",
                    f"{folder}:/var/lib/berth", "-e", f"BERTH__LISTENERS=[{{address: \"127.0.0.1:{port}\"}}]", "-e",
                    "BERTH__AUTH__USERS=false", "berth")
        self.wait("claim", "healthy")
        SmallImage(os.path.join(self.work, "claim-layout")).push(Client(port), "claim/small")
        self.docker("stop", "-t", "60", "claim")

    def wait(self, name, state, seconds=60):
        end = time.monotonic() + seconds
        while True:
            told = json.loads(self.docker("inspect", name))[0]["State"]
            if told.get("Health", {}).get("Status") == state:
                return
            if told["Status"] == "exited" or time.monotonic() > end:
                raise Failure(f"{name} is {told['Status']}, {told.get('Health')}:\n{self.docker('logs', name)[-2000:]}")
            time.sleep(0.2)


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def main():
    report = Report("image")
    work = tempfile.mkdtemp(prefix="berth-image-")
    image = None

    def start():
        nonlocal image
        need_root()
        need("dockerd")
        need("strip")
        image = Image(work)

    try:
        report.case("daemon", start)
        if image:
            for name in ("build", "description", "size", "without_certificate", "hardened", "group_of_volume"):
                report.case(name, getattr(image, name))
                if name == "build" and report.failed:
                    break
            if sys.argv[1:2] == ["--save"] and not report.failed:
                image.save(sys.argv[2])
    finally:
        if image:
            image.stop()
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

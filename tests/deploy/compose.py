"""deploy/compose/up and down as they are typed, with docker-compose and a docker daemon of their own: a push and a pull
in each profile, what Prometheus then knows, and what stays.

All of it runs in a network of its own, where nothing else has the ports that the stack publishes. berth's image is built
before, with the network that this needs, and `up` builds its own on top of it. Prometheus and Alertmanager are Debian's in
an image of the pinned name; Grafana, which Debian has not, is a program that reads its password and waits.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "clients"))
sys.path.insert(0, TESTS)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from clients import Daemon, succeeds
from harness import ROOT, Client, Failure, Report, Skip, check, need, need_root, run
from image import Image
from small_image import SmallImage
from with_accounts import basic

WORK = "BERTH_TEST_COMPOSE"
# What `up` finds at deploy/Dockerfile: the image that was built before, and what it was told about it.
DOCKERFILE = """FROM berth:latest
ARG VERSION
ARG REVISION
LABEL test.version="${VERSION}" test.revision="${REVISION}"
"""
# The programs in each image with what else they read, the folder of its volume, and what it starts.
TEMPLATES = "/usr/share/prometheus/alertmanager"
OTHERS = {
    "prom/prometheus": (["prometheus"], "/prometheus", 'ENTRYPOINT ["/bin/prometheus"]'),
    "prom/alertmanager": (["prometheus-alertmanager", TEMPLATES], "/alertmanager", 'ENTRYPOINT ["/bin/prometheus-alertmanager"]'),
    "grafana/grafana": (["dash", "sleep"], "/var/lib/grafana",
                        'CMD ["/bin/dash", "-c", "test -s $GF_SECURITY_ADMIN_PASSWORD__FILE && exec /bin/sleep infinity"]'),
}


def prepare(work):
    """berth's image, as an archive: that of `--image FILE`, which image.py saved, or a new one."""
    archive = os.path.join(work, "berth.tar")
    if sys.argv[1:2] == ["--image"]:
        shutil.copy(sys.argv[2], archive)
        return
    image = Image(work)
    try:
        image.build()
        image.save(archive)
    finally:
        image.stop()
    shutil.rmtree(os.path.join(work, "docker"))


class Stack:
    def __init__(self, work):
        self.work = work
        self.socket = f"unix://{work}/compose.sock"
        # Debian's docker, which is as old as its docker-compose, before others; and no more of the machine's settings.
        self.env = {"HOME": os.path.join(work, "home"), "DOCKER_CONFIG": os.path.join(work, "home"), "DOCKER_HOST": self.socket,
                    "DOCKER_BUILDKIT": "1", "PATH": "/usr/bin:" + os.environ["PATH"]}
        self.daemon = Daemon("dockerd", ["dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root",
                                         work + "/docker", "--exec-root", work + "/exec-compose", "-H", self.socket, "--pidfile",
                                         work + "/pid-compose"], lambda: succeeds("docker", "version", env=self.env))
        self.tree = os.path.join(work, "tree")
        self.folder = os.path.join(self.tree, "deploy/compose")
        self.image = SmallImage(os.path.join(work, "layout"))

    def stop(self):
        for container in self.docker("ps", "-aq").split():
            self.docker("rm", "-f", "-v", container)
        self.daemon.stop()

    def docker(self, *arguments, **options):
        return run("docker", *arguments, env=self.env, **options)

    def command(self, name, *arguments, code=0):
        done = subprocess.run([os.path.join(self.folder, name), *arguments], env=dict(os.environ, **self.env), timeout=300,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = done.stdout.decode(errors="replace")
        check(done.returncode == code, f"{name} {' '.join(arguments)}: exit {done.returncode}, not {code}\n{text[-3000:]}")
        return text

    def secret(self, name):
        with open(os.path.join(self.folder, "secrets", name)) as f:
            return f.read().strip()

    def running(self):
        return set(self.docker("ps", "--format", "{{.Names}}").split())

    # ---- cases, in this order ----

    def images(self):
        self.docker("load", "-i", os.path.join(self.work, "berth.tar"), timeout=600)
        with open(os.path.join(ROOT, "deploy/compose/compose.yaml")) as f:
            pinned = dict(re.findall(r"image: ((?:prom|grafana)/\w+):(\S+)", f.read()))
        check(set(pinned) == set(OTHERS), f"{pinned}")
        for name, (programs, data, start) in OTHERS.items():
            # No more than the programs need: this storage driver copies an image for each layer and each container.
            context = os.path.join(self.work, "other", name)
            root = os.path.join(context, "root")
            os.makedirs(os.path.join(context, "data"))
            for program in programs:
                if program.startswith("/"):
                    shutil.copytree(program, root + program)
                    continue
                found = need(program)
                for library in re.findall(r"(/\S+) \(0x", run("ldd", found)):
                    os.makedirs(root + os.path.dirname(library), exist_ok=True)
                    shutil.copy(library, root + library)
                os.makedirs(root + "/bin", exist_ok=True)
                shutil.copy(found, root + "/bin")
            with open(os.path.join(context, "Dockerfile"), "w") as f:
                f.write(f"FROM scratch\nCOPY root /\nCOPY --chown=65534:65534 data {data}\nUSER 65534\n{start}\n")
            self.docker("build", "-t", f"{name}:{pinned[name]}", context, timeout=300)
        # The part of the sources that `up` needs, as a checkout.
        for name in ("compose", "monitoring"):
            shutil.copytree(os.path.join(ROOT, "deploy", name), os.path.join(self.tree, "deploy", name),
                            ignore=shutil.ignore_patterns("secrets", "state", "alerts.env"))
        shutil.copy(os.path.join(ROOT, "CMakeLists.txt"), self.tree)
        # Where this machine's own limit is lower, nobody may raise it.
        path, most = os.path.join(self.folder, "compose.yaml"), min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        with open(path) as f:
            text = f.read()
        check("nofile: 65536" in text, "no limit on open files")
        with open(path, "w") as f:
            f.write(text.replace("nofile: 65536", f"nofile: {most}"))
        with open(os.path.join(self.tree, "deploy/Dockerfile"), "w") as f:
            f.write(DOCKERFILE)
        for command in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "a"]):
            run("git", "-C", self.tree, *command)

    def plain(self):
        told = self.command("up")
        check("http://localhost:5000" in told, told)
        check(self.running() == {f"berth_{name}_1" for name in ("berth", "prometheus", "alertmanager", "grafana")}, f"{self.running()}")
        client = Client(5000)
        self.image.push(client, "team/app")
        self.image.pull(client, "team/app")
        labels = json.loads(self.docker("image", "inspect", "berth:local"))[0]["Config"]["Labels"]
        head = run("git", "-C", self.tree, "rev-parse", "HEAD").strip()
        version = re.search(r"project\(berth VERSION (\S+)", open(os.path.join(ROOT, "CMakeLists.txt")).read())[1]
        check((labels["test.version"], labels["test.revision"]) == (version, head), f"{labels}")

    def watched(self):
        """Prometheus scrapes berth by its name in the stack, has the rules, and knows Alertmanager."""
        def ask(path):
            with urllib.request.urlopen("http://127.0.0.1:9090/api/v1/" + path, timeout=10) as answer:
                return json.load(answer)["data"]
        end = time.monotonic() + 60
        while True:
            try:
                up = {one["metric"]["job"]: one["value"][1] for one in ask("query?query=up")["result"]}
                managers = ask("alertmanagers")["activeAlertmanagers"]
                if up == {"berth": "1", "prometheus": "1", "alertmanager": "1"} and managers:
                    break
            except OSError as error:
                up, managers = str(error), None
            if time.monotonic() > end:
                logs = "\n".join(run("sh", "-c", f"docker logs berth_{name}_1 2>&1", env=self.env)[-1500:] for name in ("prometheus", "alertmanager"))
                raise Failure(f"{up}, {managers}\n{self.docker('ps', '-a')}\n{logs}")
            time.sleep(0.5)
        check(sum(len(group["rules"]) for group in ask("rules")["groups"]) > 20, "rules are missing")
        check(ask("query?query=berth_build_info")["result"][0]["metric"]["version"], "berth does not say what it is")
        with urllib.request.urlopen("http://127.0.0.1:9093/-/ready", timeout=10) as answer:
            check(answer.status == 200, "Alertmanager is not ready")

    def accounts_refused(self):
        """An administrator who cannot be made ends `up`, instead of leaving a registry that nobody gets into."""
        path = os.path.join(self.folder, "secrets/berth_password")
        password = self.secret("berth_password")
        with open(path, "w") as f:
            f.write("x")
        told = self.command("up", "auth", code=1)
        check("password is shorter" in told and "could not be made" in told, told)
        with open(path, "w") as f:
            f.write(password)

    def accounts(self):
        """The same images, for who logs in; and a second time changes nothing."""
        for _ in range(2):
            told = self.command("up", "auth")
            check("user admin, password in deploy/compose/secrets/berth_password" in told, told)
            check("berth_berth-auth_1" in self.running() and "berth_berth_1" not in self.running(), f"{self.running()}")
            Client(5000).expect(401, "GET", "/v2/team/app/manifests/1")
            admin = Client(5000, headers=basic("admin", self.secret("berth_password")))
            self.image.pull(admin, "team/app")
            SmallImage(tempfile.mkdtemp(dir=self.work) + "/layout").push(admin, "team/app", "2")

    def tls(self):
        told = self.command("up", "tls")
        check("https://localhost:5000" in told, told)
        import ssl
        trust = ssl.create_default_context(cafile=os.path.join(self.folder, "state/ca.crt"))
        admin = Client(5000, host="localhost", tls=trust, headers=basic("admin", self.secret("berth_password")))
        self.image.pull(admin, "team/app")
        SmallImage(os.path.join(self.work, "tls")).push(admin, "team/app", "3")

    def down(self):
        """Nothing runs any more, and the images stay; with --all they go, and what was made here goes too."""
        self.command("down")
        check(not self.running(), f"{self.running()}")
        self.command("up")
        self.image.pull(Client(5000), "team/app")
        self.command("down", "--all")
        volumes = self.docker("volume", "ls", "-q").split()
        check(not self.running() and not [name for name in volumes if name.startswith("berth_")], f"{self.running()} {volumes}")
        check(not os.path.exists(os.path.join(self.folder, "secrets")), "the passwords are still there")


def main():
    report = Report("compose")
    if os.environ.get(WORK) is None:
        work = tempfile.mkdtemp(prefix="berth-compose-")
        try:
            need_root()
            for program in ("dockerd", "docker-compose", "strip", "ip", "iptables", "prometheus", "prometheus-alertmanager"):
                need(program)
            prepare(work)
            # Nothing that it starts outlives it, however it ends.
            own = ["--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
            return subprocess.run(["unshare", *own, sys.executable, os.path.abspath(__file__), *sys.argv[1:]], env=dict(os.environ, **{WORK: work})).returncode
        except Skip as skip:
            report.skipped.append(str(skip))
            return report.finish()
        finally:
            shutil.rmtree(work, ignore_errors=True)
    run("ip", "link", "set", "lo", "up")
    stack = Stack(os.environ[WORK])
    try:
        for name in ("images", "plain", "watched", "accounts_refused", "accounts", "tls", "down"):
            report.case(name, getattr(stack, name))
            if report.failed:
                break
    finally:
        stack.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""docs/getting-started.md, as a newcomer types it: every block of commands in its order, with a docker daemon of our own. What
is different from the page: other ports, no download of an image, `sudo` is nothing, and passwords are not typed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from clients import Daemon, succeeds
from harness import BERTH, ROOT, Failure, Report, check, need, run
from with_accounts import free_port, own_namespace

PAGE = os.path.join(ROOT, "docs", "getting-started.md")
PASSWORD = "a password that nobody guesses"
# Of the page, on whatever machine this is.
INSTEAD = [
    # registry.test leads to ::1 here: docker takes any certificate of 127.0.0.0/8.
    (r"\"127\.0\.0\.1:", '"[::1]:'),
    (r"^git clone .*$", ":"), (r"^deploy/run --build-only$", ":"), (r"^sudo install build/release/berth .*$", ":"),
    (r"^docker pull debian:12-slim$", ":"), (r"\bsudo ", ""),
    (r"^(berth user add .*)$", r"\1 --password-stdin <<< '" + PASSWORD + "'"),
    (r"^(docker login \S+ -u alice)$", r"\1 --password-stdin <<< '" + PASSWORD + "'"),
]


class Newcomer:
    def __init__(self, work):
        with open(PAGE, encoding="utf-8") as f:
            self.page = f.read()
        self.work, self.servers = work, []
        self.home = os.path.join(work, "home")
        programs = os.path.join(work, "bin")
        for folder in (self.home, programs):
            os.makedirs(folder)
        os.symlink(BERTH, os.path.join(programs, "berth"))
        os.symlink("/usr/bin/docker" if os.path.exists("/usr/bin/docker") else need("docker"), os.path.join(programs, "docker"))
        self.ports = {"5000": str(free_port()), "5443": str(free_port())}
        self.environment = dict(os.environ, HOME=self.home, PATH=f"{programs}:{os.environ['PATH']}", DOCKER_HOST=f"unix://{work}/docker.sock")
        self.environment.pop("DOCKER_CONFIG", None)

    def mine(self, text):
        for port, other in self.ports.items():
            text = re.sub(rf":{port}\b", ":" + other, text)
        for pattern, other in INSTEAD:
            text = re.sub(pattern, other, text, flags=re.MULTILINE)
        return text

    def serve(self, text):
        """A block that ends with a server runs on, and is stopped before the next one begins."""
        self.stop()
        text = text.replace("berth serve --data", f"exec berth serve --listen 127.0.0.1:{self.ports['5000']} --data")
        text = text.replace("berth serve --config", "exec berth serve --config")
        log = os.path.join(self.work, f"server-{len(self.servers)}.log")
        with open(log, "wb") as f:
            self.servers.append(subprocess.Popen(["bash", "-e", "-c", text], env=self.environment, stdout=f, stderr=f, cwd=self.home))
        place = f"::1/{self.ports['5443']}" if "--config" in text else f"127.0.0.1/{self.ports['5000']}"
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.servers[-1].poll() is not None:
                break
            if "ready" in open(log, errors="replace").read() and succeeds("bash", "-c", f"< /dev/tcp/{place}"):
                return
            time.sleep(0.05)
        raise Failure(f"{text}\n" + open(log, errors="replace").read()[-3000:])

    def stop(self):
        if self.servers and self.servers[-1].poll() is None:
            self.servers[-1].terminate()
            check(self.servers[-1].wait(60) == 0, "berth did not end well")

    def goes(self):
        blocks = re.findall(r"^(?:`(\S+)`:\n\n)?```(\w+)\n(.*?)^```", self.page, re.MULTILINE | re.DOTALL)
        done = 0
        for file, kind, text in blocks:
            text = self.mine(text)
            if kind == "yaml":
                check(file, "settings that belong to no file")
                with open(file.replace("~", self.home), "w") as f:
                    f.write(text)
            elif "berth serve" in text:
                self.serve(text)
            else:
                run("bash", "-e", "-o", "pipefail", "-c", text, env=self.environment, cwd=self.home, timeout=120)
            done += 1
        check(done >= 10, f"only {done} blocks")
        # The whole of it came true: the image is there under both.
        told = run("bash", "-c", f"docker pull registry.test:{self.ports['5443']}/team/debian:12", env=self.environment)
        check("Digest: sha256:" in told, told)
        return f"{done} blocks"


def main():
    report = Report("getting started")
    if not own_namespace(report):
        return report.finish()
    work = tempfile.mkdtemp(prefix="berth-start-")
    daemon = None
    try:
        need("dockerd")
        newcomer = Newcomer(work)
        docker = ["docker", "-H", f"unix://{work}/docker.sock"]
        daemon = Daemon("dockerd", ["dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root", work + "/data",
                                    "--exec-root", work + "/exec", "-H", f"unix://{work}/docker.sock", "--pidfile", work + "/pid"],
                        lambda: succeeds(*docker, "version", env=newcomer.environment))
        # In place of the download.
        with open(work + "/hello", "wb") as f:
            f.write(os.urandom(100_000))
        with open(work + "/Dockerfile", "w") as f:
            f.write("FROM scratch\nCOPY hello /hello\n")
        os.makedirs(work + "/context")
        for name in ("hello", "Dockerfile"):
            shutil.move(f"{work}/{name}", work + "/context")
        run(*docker, "build", "-q", "-t", "debian:12-slim", work + "/context", env=dict(newcomer.environment, DOCKER_BUILDKIT="0"))
        report.case("the page", newcomer.goes)
        newcomer.stop()
    finally:
        if daemon:
            daemon.stop()
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""The servers that the benchmarks compare: berth, the registries that can be had, and nginx as the physical limit."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients"))
from harness import BERTH, Client, Failure, run
from tools import tool

TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server on 127.0.0.1 with its data in a folder of its own. Subclasses say how it is started."""

    name = "?"
    is_registry = True

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix=f"berth-bench-{self.name.split()[0]}-")
        self.port = free_port()
        self.process = None
        self.ready_seconds = None

    def command(self):
        raise NotImplementedError

    def version(self):
        return ""

    def ready(self):
        """Whether it answers as a registry does (nginx: at all)."""
        try:
            return Client(self.port, timeout=5).request("GET", "/v2/" if self.is_registry else "/")[0] < 500
        except OSError:
            return False

    def start(self):
        with open(self.folder + "/log", "ab") as log:
            began = time.monotonic()
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() - began > 60:
                with open(self.folder + "/log", errors="replace") as log:
                    raise Failure(f"{self.name} did not start: {log.read()[-2000:]}")
            time.sleep(0.001)
        self.ready_seconds = time.monotonic() - began
        return self

    def processes(self):
        """Its own and those that it started."""
        found = [self.process.pid]
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat") as f:
                        if int(f.read().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                            found.append(int(entry))
                except (OSError, IndexError):
                    pass
        return found

    def cpu_seconds(self):
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def resident_mib(self):
        total = 0
        for pid in self.processes():
            with open(f"/proc/{pid}/status") as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))
        return total / 1024

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Berth(Server):
    name = "berth"

    def command(self):
        return [BERTH, "serve", "--listen", f"127.0.0.1:{self.port}", "--data", self.folder + "/data"]

    def version(self):
        return run(BERTH, "version").strip().removeprefix("berth ")

    def ready(self):
        try:
            return Client(self.port, timeout=5).request("GET", "/readyz")[0] == 200
        except OSError:
            return False


class Distribution(Server):
    name = "distribution"

    def command(self):
        path = self.folder + "/config.yml"
        with open(path, "w") as f:
            f.write(f"version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {self.folder}/data}}\n"
                    f"  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:{self.port}'}}\n")
        return [tool("registry"), "serve", path]

    def version(self):
        return "3.1.2"


class DebianRegistry(Distribution):
    name = "docker-registry"

    def command(self):
        return [shutil.which("docker-registry") or "/usr/bin/docker-registry", *super().command()[1:]]

    def version(self):
        return run("dpkg-query", "-W", "-f", "${Version}", "docker-registry").strip()


class Olareg(Server):
    name = "olareg"

    def command(self):
        return [tool("olareg"), "serve", "--dir", self.folder + "/data", "--port", str(self.port), "--addr", "127.0.0.1"]

    def version(self):
        return "0.1.2"


class Nginx(Server):
    """Files by sendfile, and PUT through its DAV module: what the machine can do when nothing is checked or synced."""

    name = "nginx"
    is_registry = False

    def command(self):
        for name in ("data", "temp"):
            os.makedirs(f"{self.folder}/{name}", exist_ok=True)
        os.chmod(self.folder, 0o755)
        path = self.folder + "/nginx.conf"
        temps = "\n".join(f"  {kind}_temp_path {self.folder}/temp;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.getuid() == 0 else ""
        with open(path, "w") as f:
            f.write(f"""{user}worker_processes auto;
daemon off;
pid {self.folder}/pid;
error_log {self.folder}/log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  client_max_body_size 0;
  open_file_cache max=10000;
{temps}
  server {{
    listen 127.0.0.1:{self.port} reuseport;
    root {self.folder}/data;
    dav_methods PUT;
    create_full_put_path on;
  }}
}}
""")
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", path, "-p", self.folder]

    def version(self):
        return subprocess.run([shutil.which("nginx") or "/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.split("/")[-1].strip()


PEERS = {kind.name: kind for kind in (Berth, Distribution, DebianRegistry, Olareg, Nginx)}

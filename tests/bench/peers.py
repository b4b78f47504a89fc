"""The servers that the benchmarks compare: berth, the registries that can be had, and nginx as the physical limit."""

import json
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

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def process_clock(pid):
    """Seconds that a process has used, its ended threads included, to the nanosecond: the kernel's clock of another process
    has the number that the C macro MAKE_PROCESS_CPUCLOCK makes of its id."""
    return time.clock_gettime((~pid << 3) | 2)


class Certificate:
    """What a private authority gives to 127.0.0.1: one ECDSA P-256 key for all servers that speak TLS."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="berth-bench-certs-")
        run(BERTH, "certs", "dev", "--out", self.folder, "--name", "localhost")
        os.chmod(self.folder, 0o755)
        self.authority, self.certificate, self.key = (f"{self.folder}/{name}" for name in ("ca.crt", "tls.crt", "tls.key"))

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Server:
    """One server on 127.0.0.1 with its data in a folder of its own. Subclasses say how it is started. With a certificate it
    speaks TLS on a second port."""

    name = "?"
    is_registry = True

    def __init__(self, certificate=None):
        self.folder = tempfile.mkdtemp(prefix=f"berth-bench-{self.name}-")
        self.port = free_port()
        self.certificate = certificate
        self.tls_port = free_port() if certificate else None
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
        return sum(process_clock(pid) for pid in self.processes())

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

    def __init__(self, certificate=None, settings=None):
        super().__init__(certificate)
        self.data = self.folder + "/data"
        self.settings = dict(settings or {})

    def command(self):
        listeners = [{"address": f"127.0.0.1:{self.port}"}]
        if self.certificate:
            tls = {"certificate": self.certificate.certificate, "key": self.certificate.key}
            listeners.append({"address": f"127.0.0.1:{self.tls_port}", "tls": tls})
        settings = {"listeners": json.dumps(listeners), **self.settings}
        return [BERTH, "serve", "--data", self.data, *(word for item in settings.items() for word in ("--set", "=".join(item)))]

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
        tls = "" if not self.certificate else f"""    listen 127.0.0.1:{self.tls_port} ssl reuseport;
    ssl_certificate {self.certificate.certificate};
    ssl_certificate_key {self.certificate.key};
    ssl_protocols TLSv1.3;
"""
        with open(path, "w") as f:
            f.write(f"""{user}worker_processes auto;
daemon off;
pid {self.folder}/pid;
error_log {self.folder}/log;
events {{ worker_connections 16384; }}
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
{tls}    root {self.folder}/data;
    dav_methods PUT;
    create_full_put_path on;
  }}
}}
""")
        return [shutil.which("nginx") or "/usr/sbin/nginx", "-c", path, "-p", self.folder]

    def version(self):
        return subprocess.run([shutil.which("nginx") or "/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr.split("/")[-1].strip()


PEERS = {kind.name: kind for kind in (Berth, Distribution, DebianRegistry, Olareg, Nginx)}

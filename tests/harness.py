"""What the end-to-end tests share: a berth to talk to, a small HTTP client, counting and skipping.

Only Python's standard library. Every server listens on a port the kernel chose, on loopback.
"""

import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BERTH = os.environ.get("BERTH_BINARY", os.path.join(ROOT, "build", "release", "berth"))

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY_CONFIG = b"{}"


class Skip(Exception):
    """This machine lacks something the test needs; the reason is printed and counted."""


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def need(program, reason=""):
    path = shutil.which(program)
    if not path:
        raise Skip(f"{program} is not here{': ' + reason if reason else ''}")
    return path


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def run(*command, timeout=300, env=None, cwd=None, stdin=None, ok=True):
    """Runs a command; its output is part of the failure when it does not succeed."""
    full = dict(os.environ, **(env or {}))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, env=full,
                          cwd=cwd, input=stdin)
    text = done.stdout.decode(errors="replace")
    if ok and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: exit {done.returncode}\n{text[-4000:]}")
    return text


class Berth:
    """A running `berth serve`. Use as a context manager; `kill()` is SIGKILL, `stop()` is SIGTERM."""

    def __init__(self, data=None, settings=None, log=None, environment=None, prefix=(), threads_env=None, tls=None):
        self.own_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="berth-test-")
        self.settings = dict(settings or {})
        self.log_path = log or os.path.join(tempfile.gettempdir(), f"berth-{os.getpid()}-{id(self)}.log")
        self.environment = environment or {}
        self.prefix = list(prefix)
        # Folders as `berth certs dev` fills them, or one: for each there is a listener more that speaks TLS with it.
        self.tls = [tls] if isinstance(tls, str) else list(tls or ())
        self.tls_ports = []
        self.process = None
        self.port = None
        self.ready_seconds = None

    def start(self, timeout=60, port=0):
        port_file = self.log_path + ".port"
        if os.path.exists(port_file):
            os.remove(port_file)
        command = self.prefix + [BERTH, "serve", "--data", self.data, "--port-file", port_file]
        if self.tls:
            listeners = [{"address": f"127.0.0.1:{port}"}]
            listeners += [{"address": "127.0.0.1:0", "tls": {"certificate": f"{folder}/tls.crt", "key": f"{folder}/tls.key"}}
                          for folder in self.tls]
            command += ["--set", f"listeners={json.dumps(listeners)}"]
        else:
            command += ["--listen", f"127.0.0.1:{port}"]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        began = time.monotonic()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ, **self.environment))
        while time.monotonic() - began < timeout:
            if self.process.poll() is not None:
                raise Failure(f"berth ended with {self.process.returncode} at start:\n{self.log_tail()}")
            try:
                with open(port_file) as f:
                    text = f.read().split()
                if text:
                    self.port = int(text[0])
                    self.tls_ports = [int(line) for line in text[1:]]
                    status, _, _ = Client(self.port, timeout=5).request("GET", "/readyz")
                    if status == 200:
                        self.ready_seconds = time.monotonic() - began
                        return self
            except (FileNotFoundError, ConnectionError, OSError, http.client.HTTPException):
                pass
            time.sleep(0.005)
        raise Failure(f"berth was not ready in {timeout} s:\n{self.log_tail()}")

    def log_tail(self, size=4000):
        try:
            with open(self.log_path, "rb") as f:
                return f.read()[-size:].decode(errors="replace")
        except OSError:
            return ""

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def tls_port(self):
        return self.tls_ports[0]

    def client(self, **kw):
        return Client(self.port, **kw)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, timeout=60):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                code = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failure(f"berth did not stop in {timeout} s:\n{self.log_tail()}")
            check(code == 0, f"berth ended with {code}:\n{self.log_tail()}")

    def memory(self, field="VmRSS"):
        """Bytes."""
        with open(f"/proc/{self.process.pid}/status") as f:
            for line in f:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
        return 0

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill()
            if self.own_data:
                shutil.rmtree(self.data, ignore_errors=True)


class Client:
    """One keep-alive connection. request() answers (status, headers as a dict of lower-case names, body)."""

    def __init__(self, port, timeout=60, host="127.0.0.1", tls=None, headers=None):
        """tls: an ssl.SSLContext; headers: sent with every request."""
        self.port, self.timeout, self.host, self.tls = port, timeout, host, tls
        self.headers = dict(headers or {})
        self.connection = None

    def connect(self):
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self.tls)
        return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)

    def request(self, method, path, body=None, headers=None):
        if self.connection is None:
            self.connection = self.connect()
        try:
            self.connection.request(method, path, body=body, headers=dict(self.headers, **(headers or {})),
                                    encode_chunked="Transfer-Encoding" in (headers or {}))
            answer = self.connection.getresponse()
            data = answer.read()
        except BaseException:
            self.connection.close()
            self.connection = None
            raise
        if answer.will_close:
            self.connection.close()
            self.connection = None
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, data

    def expect(self, status, method, path, body=None, headers=None):
        wanted = status if isinstance(status, (tuple, list)) else (status,)
        got, answer_headers, data = self.request(method, path, body, headers)
        check(got in wanted, f"{method} {path}: {got}, expected {status}: {data[:500]!r}")
        return answer_headers, data

    # ---- the protocol, for tests that only need things to be there ----

    def push_blob(self, repository, data):
        headers, _ = self.expect(202, "POST", f"/v2/{repository}/blobs/uploads/", headers={"Content-Length": "0"})
        digest = sha256(data)
        location = headers["location"].removeprefix(f"http://{self.host}:{self.port}")  # other registries say more in it
        self.expect(201, "PUT", f"{location}{'&' if '?' in location else '?'}digest={digest}", body=data,
                    headers={"Content-Type": "application/octet-stream"})
        return digest

    def push_manifest(self, repository, reference, document, media_type=MANIFEST, headers=None, status=201):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.expect(status, "PUT", f"/v2/{repository}/manifests/{reference}", body=body,
                    headers=dict({"Content-Type": media_type}, **(headers or {})))
        return sha256(body)

    def push_image(self, repository, tag, layers, config=EMPTY_CONFIG):
        digests = [self.push_blob(repository, layer) for layer in layers]
        config_digest = self.push_blob(repository, config)
        document = image(config_digest, len(config), [(d, len(l)) for d, l in zip(digests, layers)])
        return self.push_manifest(repository, tag, document), digests


def image(config_digest, config_size, layers, **more):
    return dict({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config_size},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": d, "size": s} for d, s in layers],
    }, **more)


class Report:
    """Counts what ran. In CI a skipped test is a failed one."""

    def __init__(self, title):
        self.title, self.passed, self.failed, self.skipped = title, 0, [], []
        self.ci = os.environ.get("CI") == "true"

    def case(self, name, function, *arguments):
        began = time.monotonic()
        try:
            detail = function(*arguments)
            self.passed += 1
            outcome = "ok" + (f" ({detail})" if isinstance(detail, str) else "")
        except Skip as skip:
            self.skipped.append(f"{name}: {skip}")
            outcome = f"SKIPPED: {skip}"
        except Exception as error:  # every failure is reported, and the next test runs
            self.failed.append(name)
            outcome = "FAILED\n" + (str(error) if isinstance(error, Failure) else traceback.format_exc())
        print(f"[{self.title}] {name}: {outcome} [{time.monotonic() - began:.1f} s]", flush=True)

    def finish(self):
        for line in self.skipped:
            print(f"[{self.title}] skipped: {line}")
        print(f"{self.title}: {self.passed} passed, {len(self.failed)} failed, {len(self.skipped)} skipped", flush=True)
        result = os.environ.get("BERTH_REPORT")
        if result:
            with open(result, "a") as f:
                f.write(json.dumps({"title": self.title, "passed": self.passed, "failed": self.failed,
                                    "skipped": self.skipped}) + "\n")
        return 1 if self.failed or (self.ci and self.skipped) else 0


def seed():
    """The seed of this run; printed, and taken from BERTH_SEED to repeat one."""
    value = int(os.environ.get("BERTH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {value} (BERTH_SEED={value} repeats it)", flush=True)
    return value

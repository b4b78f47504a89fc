"""A berth with TLS, a private authority and accounts, for the tests of clients that say who they are.

The tests run in a mount namespace of their own with a name for the registry that leads to ::1: docker takes any
certificate from 127.0.0.0/8, and would prove nothing there. In there, too, certificates can be put where docker looks
for them without touching those of the machine.
"""

import base64
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, Berth, Client, Failure, Skip, need, need_root, run

HOST = "registry.test"
ADMIN = "admin"
READER = "reader"


def own_namespace(report):
    """Runs this program again where /etc/hosts and /etc/docker are its own. When that cannot be, the report knows."""
    try:
        enter_own_namespace()
    except Skip as skip:
        report.skipped.append(str(skip))
    return not report.skipped


def enter_own_namespace():
    if os.environ.get("BERTH_TEST_NAMESPACE") != "made":
        need_root()
        need("unshare")
        os.execvpe("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv],
                   dict(os.environ, BERTH_TEST_NAMESPACE="made"))
    with tempfile.NamedTemporaryFile("w", prefix="hosts-") as hosts:
        hosts.write(f"127.0.0.1 localhost\n::1 {HOST}\n")
        hosts.flush()
        os.chmod(hosts.name, 0o644)
        run("mount", "--bind", hosts.name, "/etc/hosts")
    os.makedirs("/etc/docker", exist_ok=True)
    run("mount", "-t", "tmpfs", "none", "/etc/docker")


def basic(user, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def free_port():
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return probe.getsockname()[1]


def yaml(value):
    """Flow style of YAML is a superset of JSON."""
    return json.dumps(value)


class Registry(Berth):
    """A running berth with accounts. `grants` and `auth` are as in its configuration; `users` are made with a password
    each, found in `passwords`."""

    def __init__(self, work, users, grants, auth=None, client_ca=None, plain=False):
        super().__init__(data=os.path.join(work, "data"), log=os.path.join(work, "berth.log"))
        self.work = work
        self.certs = os.path.join(work, "certs")
        self.ca = os.path.join(self.certs, "ca.crt")
        run(BERTH, "certs", "dev", "--out", self.certs, "--name", HOST)
        # A listener on loopback is called by the name of public_url alone, and that needs a port that is known before.
        self.port = free_port()
        self.config = os.path.join(work, "berth.yaml")
        self.write_settings(grants, auth, client_ca, plain)
        self.passwords = {name: secrets.token_urlsafe(15) for name in (ADMIN, *users)}
        self.missing = list(self.passwords)
        self.plain_port = None

    def write_settings(self, grants, auth=None, client_ca=None, plain=False):
        tls = {"certificate": f"{self.certs}/tls.crt", "key": f"{self.certs}/tls.key"}
        if client_ca:
            tls.update(client_ca=client_ca, client_certificates="optional")
        listeners = [{"address": f"[::1]:{self.port}", "tls": tls, "serve": ["registry", "health"]}]
        if plain:
            listeners.append({"address": "127.0.0.1:0", "serve": ["registry", "health"]})
        with open(self.config, "w") as f:
            f.write(f"public_url: https://{self.address}\nlisteners: {yaml(listeners)}\nauth: {yaml(dict({'users': True}, **(auth or {})))}\ngrants: {yaml(grants)}\n")

    def start(self, timeout=60):
        port_file = self.log_path + ".port"
        if os.path.exists(port_file):
            os.remove(port_file)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BERTH, "serve", "--config", self.config, "--data", self.data, "--port-file", port_file],
                                            stdout=log, stderr=log)
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Failure(f"berth ended with {self.process.returncode} at start:\n{self.log_tail()}")
            try:
                with open(port_file) as f:
                    ports = [int(line) for line in f.read().split()]
                if ports:
                    self.plain_port = (ports + [None])[1]
                    if self.client().request("GET", "/readyz")[0] == 200:
                        break
            except OSError:
                pass
            time.sleep(0.01)
        else:
            raise Failure(f"berth was not ready in {timeout} s:\n{self.log_tail()}")
        for name in self.missing:
            self.add_user(name)
        self.missing = []
        return self

    # ---- accounts: most by the local socket ----

    def berth(self, *arguments, stdin=None, where=None):
        return run(BERTH, *arguments, "--quiet", *(where or ["--data", self.data]), stdin=stdin).strip()

    def add_user(self, name):
        role = ["--role", "admin"] if name == ADMIN else []
        self.berth("user", "add", name, *role, "--password-stdin", stdin=self.passwords[name].encode() + b"\n")

    def remove_user(self, name):
        self.berth("user", "remove", name, "--yes")

    def add_robot(self, name):
        """Its secret."""
        return self.berth("robot", "add", name)

    def add_token(self, user):
        """A personal token, which the user makes with the password, over TLS."""
        return self.berth("token", "create", "test", stdin=self.passwords[user].encode() + b"\n",
                          where=["--server", f"https://{self.address}", "--ca", self.ca, "--user", user, "--login-stdin"])

    def add_grant(self, subject, repositories, role):
        """Its id."""
        return self.berth("grant", "add", "--subject", subject, "--repository", repositories, "--role", role)

    def remove_grant(self, number):
        self.berth("grant", "remove", number, "--yes")

    # ---- requests ----

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def trust(self, certificate=None, key=None):
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(certificate, key)
        return context

    def client(self, user=None, headers=None, certificate=None, key=None):
        """A client that shows `headers`, the password of `user` or a certificate."""
        shown = headers or (basic(user, self.passwords[user]) if user else {})
        return Client(self.port, host=HOST, tls=self.trust(certificate, key), headers=shown)

    def token(self, scope, user=None, headers=None):
        """(status, token or None) as the token service gives it to who shows this."""
        shown = headers if headers is not None else basic(user, self.passwords[user])
        status, _, body = self.client(headers=shown).request("GET", f"/token?service={self.address}&scope={scope}")
        return status, json.loads(body).get("token") if status == 200 else None

"""`berth doctor` before real servers and staged faults: what clients see, behind proxies that each do one thing wrong."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from directory import Directory
from harness import BERTH, Berth, Report, check, need, need_root, run
from issuer import Issuer
from traces import Collector


def doctor(*arguments, code=None):
    """What it says of each check that is not ok, and of all by name."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("BERTH_")}
    done = subprocess.run([BERTH, "doctor", "-o", "json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean, timeout=60)
    answer = json.loads(done.stdout)
    text = json.dumps(answer, indent=1)
    if code is not None:
        check(done.returncode == code, f"exit {done.returncode}, expected {code}:\n{text}")
    check((done.returncode == 8) == (answer["verdict"] == "problem"), f"exit {done.returncode} is not what was found:\n{text}")
    return Said(answer["findings"], text)


class Said:
    def __init__(self, findings, text):
        self.findings, self.text = findings, text

    def has(self, check_name, verdict, word=""):
        found = [f for f in self.findings if f["check"] == check_name and f["verdict"] == verdict and word in f["what"]]
        check(found, f"{verdict} {check_name} with “{word}” was not said:\n{self.text}")
        check(verdict == "ok" or found[0]["remedy"], f"{check_name} says nothing to do")

    def lacks(self, check_name, verdict=None):
        found = [f for f in self.findings if f["check"] == check_name and verdict in (None, f["verdict"])]
        check(not found, f"{check_name} was said:\n{self.text}")


class Proxy:
    """In front of a berth, changing heads on their way: change(lines of the answer's head) → lines."""

    def __init__(self, port, change=lambda head: head, body_max=None):
        self.port, self.change, self.body_max = port, change, body_max
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = peer.recv(4096)
                    if not piece:
                        break
                    head += piece
                length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
                if self.body_max is not None and length and length[0] > self.body_max:
                    peer.sendall(b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    continue
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as server:
                    server.sendall(head)
                    answer = server.recv(65536)
                lines, _, body = answer.partition(b"\r\n\r\n")
                changed = self.change(lines.decode().split("\r\n"))
                peer.sendall("\r\n".join(changed).encode() + b"\r\n\r\n" + body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def without(name):
    return lambda head: [line for line in head if not line.lower().startswith(name + ":")]


def with_line(line):
    return lambda head: head + [line]


class Doctor:
    def __init__(self, work):
        self.work = work
        self.certs = os.path.join(work, "certs")
        run(BERTH, "certs", "dev", "--out", self.certs)
        self.ca = os.path.join(self.certs, "ca.crt")

    def settings(self, berth, **more):
        """A file with the ports that a running berth has."""
        tls = {"certificate": f"{self.certs}/tls.crt", "key": f"{self.certs}/tls.key"}
        listeners = [{"address": f"127.0.0.1:{berth.port}"}] + [{"address": f"127.0.0.1:{port}", "tls": tls} for port in berth.tls_ports]
        path = os.path.join(self.work, "berth.yaml")
        with open(path, "w") as f:
            json.dump(dict({"listeners": listeners, "data": {"directory": berth.data}}, **more), f)  # JSON is YAML
        return path

    def healthy(self):
        with Berth(tls=self.certs, settings={"auth.users": "true"}) as berth:
            url = f"https://localhost:{berth.tls_port}"
            config = self.settings(berth, public_url=url, auth={"users": True})
            said = doctor("--config", config, "--ca", self.ca)
            for name in ("settings.valid", "data.directory", "data.mode", "data.lock", "data.format", "machine.kernel", "certificates.key",
                         "certificates.expiry", "certificates.chain", "certificates.names", "clients.listener", "clients.address",
                         "clients.login", "clients.proxy"):
                said.has(name, "ok")
            said.has("data.lock", "ok", f"process {berth.process.pid}")
            wrong = [f for f in said.findings if f["verdict"] == "problem" and f["check"] != "data.file_system"]
            check(not wrong, f"a healthy berth has problems: {wrong}")
            doctor("--config", config, code=8).has("clients.tls", "problem", "certificate")
            table = subprocess.run([BERTH, "doctor", "--config", config, "--ca", self.ca], stdout=subprocess.PIPE).stdout.decode()
            check("\nok       clients.address" in table and " problem" in table.splitlines()[-1], table)

    def not_running(self):
        with Berth() as berth:
            berth.stop()
            said = doctor("--config", self.settings(berth, public_url=f"http://127.0.0.1:{berth.port}"))
            said.has("data.lock", "ok", "no berth")
            said.has("clients.listener", "warning", "no berth runs")
            said.lacks("clients.address")
            doctor("--offline", "--config", self.settings(berth)).lacks("clients.listener")

    def another_program(self):
        with Berth() as berth, Proxy(berth.port, without("docker-distribution-api-version")) as stranger:
            berth_port, berth.port = berth.port, stranger.listener.getsockname()[1]
            doctor("--config", self.settings(berth), code=8).has("clients.listener", "problem", "not as a registry does")
            berth.port = berth_port

    def not_there(self):
        with Berth() as berth:
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                port, berth.port = berth.port, unused.getsockname()[1]
                config = self.settings(berth)
                berth.port = port
                doctor("--config", config, code=8).has("clients.listener", "problem", "127.0.0.1")

    def proxies(self):
        hour_ago = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 3600))
        with Berth(settings={"auth.users": "true"}) as berth:
            config = self.settings(berth, auth={"users": True})
            for change, body_max, name, verdict, word in (
                    (with_line("Server: nginx"), None, "clients.proxy", "ok", "nginx"),
                    (lambda head: head, None, "clients.proxy", "ok", "large layers"),
                    (lambda head: head, 1 << 20, "clients.proxy", "problem", "413"),
                    (without("x-request-id"), None, "clients.proxy", "warning", "X-Request-Id"),
                    (without("www-authenticate"), None, "clients.login", "problem", "names no place"),
                    (lambda head: ["HTTP/1.1 502 Bad Gateway"] + head[1:], None, "clients.address", "problem", "502"),
                    (lambda head: ["HTTP/1.1 301 Moved", "Location: https://x.test/"] + head[1:], None, "clients.address", "problem", "https://x.test/"),
                    (with_line(f"Date: {hour_ago}"), None, "clients.time", "warning", "what this machine says"),
                    (lambda head: [l.replace("127.0.0.1:", "127.0.0.2:") for l in head], None, "clients.login", "problem", "127.0.0.2")):
                with Proxy(berth.port, change, body_max) as proxy:
                    doctor("--config", config, "--url", proxy.url).has(name, verdict, word)

    def outside(self):
        """What berth asks beside itself: there, away, refusing, and somebody else."""
        need("openssl")
        certs = lambda name: os.path.join(self.certs, name)
        people = Directory(os.path.join(self.work, "ldap"), {"alice": "her own password"}, {"makers": ["alice"]}, self.ca, certs("tls.crt"), certs("tls.key"))
        issuer = Issuer(self.work, certs("tls.crt"), certs("tls.key"))
        collector, stopped = Collector(), Collector()
        stopped.stop()
        run(BERTH, "certs", "dev", "--out", os.path.join(self.work, "stranger"))
        stranger = os.path.join(self.work, "stranger", "ca.crt")
        secret = "not what the directory knows"
        wrong_password = os.path.join(self.work, "wrong-password")
        with open(wrong_password, "w") as f:
            f.write(secret)
        os.chmod(wrong_password, 0o600)
        ldap = people.settings(self.ca)
        oidc = {"name": "cluster", "issuer": issuer.url, "audience": "berth", "ca": self.ca, "reach": "private",
                "rules": [{"claims": {"sub": "*"}, "groups": ["deployers"]}]}

        def said(ldap=ldap, oidc=oidc, collector=collector.url, more=()):
            settings = {"data": {"directory": os.path.join(self.work, "data")}, "auth": {"ldap": ldap, "oidc": [oidc]},
                        "tracing": {"endpoint": collector}}
            path = os.path.join(self.work, "outside.yaml")
            with open(path, "w") as f:
                json.dump(settings, f)
            found = doctor("--config", path, "--timeout", "2s", *more)
            check(secret not in found.text, "a secret is told")
            return found

        try:
            good = said()
            for name in ("directory", "issuer", "collector"):
                good.has(f"outside.{name}", "ok")
                good.lacks(f"outside.{name}", "problem")
            check(not collector.spans and not collector.problems, collector.problems)
            none = said(more=("--offline",))
            for name in ("directory", "issuer", "collector"):
                none.lacks(f"outside.{name}")
            with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
                port = silent.getsockname()[1]
                for changed, word in (({"bind_password_file": wrong_password}, "Invalid credentials"), ({"user_base": "ou=nobody,dc=example,dc=org"}, "the base is not there"),
                                      ({"group_base": "ou=none,dc=example,dc=org"}, "the base is not there"), ({"ca": stranger}, "StartTLS"),
                                      ({"url": [people.url, "ldap://127.0.0.1:1"]}, "ldap://127.0.0.1:1"), ({"url": f"ldap://127.0.0.1:{port}"}, "StartTLS")):
                    said(ldap=dict(ldap, **changed)).has("outside.directory", "problem", word)
                for changed, word in (({"issuer": issuer.url + "/other"}, "status 404"), ({"ca": stranger}, "not trusted"),
                                      ({"jwks_url": issuer.url + "/.well-known/openid-configuration"}, "openid-configuration"),
                                      ({"issuer": "https://127.0.0.1:1"}, "127.0.0.1:1"), ({"jwks_url": f"https://localhost:{port}/keys"}, str(port))):
                    said(oidc=dict(oidc, **changed)).has("outside.issuer", "problem", word)
                with Berth() as other:
                    for url, word in ((stopped.url, "Couldn't connect"), (f"http://127.0.0.1:{port}", "no answer"), (f"http://{other.address}", "status 404")):
                        said(collector=url).has("outside.collector", "warning", word)
        finally:
            people.stop()
            issuer.stop()
            collector.stop()

    def of_a_client(self):
        """A machine without a berth: nothing is said of data, settings and listeners that nobody meant."""
        with Berth(tls=self.certs) as berth:
            url = f"https://localhost:{berth.tls_port}"
            said = doctor("--url", url, "--ca", self.ca, code=0)
            said.has("clients.address", "ok")
            said.has("settings.valid", "ok", url)
            check({f["check"].split(".")[0] for f in said.findings} == {"settings", "machine", "clients"}, said.text)
            check(not [f for f in said.findings if f["verdict"] != "ok" and f["check"] != "machine.clock"], said.text)
            check({f["check"] for f in said.findings if f["check"].startswith("machine.")} == {"machine.clock"}, said.text)
            said.lacks("clients.listener")
            doctor("--url", url, code=8).has("clients.tls", "problem", "certificate")
            doctor("--url", "https://127.0.0.1:1", code=8).has("clients.address", "problem", "127.0.0.1:1")
            doctor("--url", url, "--ca", self.ca, "--data", berth.data).has("data.lock", "ok")  # here is one

    def tmpfs(self):
        need_root()
        folder = os.path.join(self.work, "memory")
        os.makedirs(folder)
        run("mount", "-t", "tmpfs", "none", folder)
        try:
            doctor("--offline", "--data", os.path.join(folder, "data"), code=8).has("data.file_system", "problem", "tmpfs")
            run("mount", "-o", "remount,ro", folder)
            doctor("--offline", "--data", folder, code=8).has("data.writable", "problem", "read-only")
        finally:
            run("umount", folder)


def main():
    report = Report("doctor")
    with tempfile.TemporaryDirectory(prefix="berth-doctor-") as work:
        cases = Doctor(work)
        for name in ("healthy", "not_running", "another_program", "not_there", "proxies", "outside", "of_a_client", "tmpfs"):
            if not sys.argv[1:] or name in sys.argv[1:]:
                report.case(name, getattr(cases, name))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

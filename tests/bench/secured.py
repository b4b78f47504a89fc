"""The rows with TLS and with accounts."""

import base64
import json
import secrets

from harness import BERTH, Client, check, run
from peers import Berth
from rows import AtLeast, AtMost, Row
from table import Pull, SmallGet, push_small
from work import CIPHER, load, wrk


class TlsPull(Pull):
    title = "TLS 1.3: pull 256 MiB, one client"
    how = f"curl --tls13-ciphers {CIPHER} --cacert ca.crt -o /dev/null, several times over one connection"
    note = "The client decrypts on the same cores."
    servers = ["berth", "nginx"]
    tls = True
    targets = (AtLeast("MiB/s", 0.9, "nginx"), AtMost("CPU s/GiB", 1.1, "nginx"))

    def words(self, server):
        return ("--tls13-ciphers", CIPHER, "--tlsv1.3", "--cacert", server.certificate.authority)


class TlsManifest(SmallGet):
    title = "TLS 1.3: manifest GET by tag, 32 connections"
    servers = ["berth", "nginx"]
    what = "manifest"
    tls = True
    repeats = 3


class Handshakes(Row):
    """New connections; the server's side costs as much as the client's, and both are here."""

    servers = ["berth", "nginx"]
    note = "Each with one small GET; ECDSA P-256, X25519. The chain is not verified by the client, the signature is."
    kind = ""
    repeats = 3

    @property
    def how(self):
        return f"load handshakes TLS_PORT 4 3 {self.kind} PATH"

    def open(self, servers):
        self.paths = {}

    def prepare(self, name, server):
        self.paths[name] = push_small(server, "bench/small")["manifest"]

    def measure(self, name, server):
        class Tls:  # `load` takes the port from it
            port = server.tls_port
        cpu = server.cpu_seconds()
        done = load(Tls, "handshakes", 4, 0.5 if self.short else 3, self.kind, self.paths[name])
        return {"connections/s": done["per_second"], "CPU µs/connection": (server.cpu_seconds() - cpu) / done["handshakes"] * 1e6,
                "p99 ms": done["p99_ms"]}


class FullHandshakes(Handshakes):
    title, kind = "TLS 1.3: new connections with a full handshake, 4 clients", "full"


class ResumedHandshakes(Handshakes):
    title, kind = "TLS 1.3: new connections that resume, 4 clients", "resumed"


class Accounts(Row):
    """The same repository without accounts, and with them as nobody and as a user by both ways to say so."""

    how = "wrk -t 2 -c 32 -d 3s --latency -H 'Authorization: …'"
    note = ("`no accounts` is a berth that asks nobody; the others are one with accounts, where everybody may pull from the "
            "repository. The password was checked (argon2id) before the clock runs, the token is fresh.")
    what = ""
    servers = ["berth"]
    repeats = 3
    targets = (AtLeast("requests/s", 0.85, "no accounts", mine="Bearer"), AtLeast("requests/s", 0.85, "no accounts", mine="Basic"),
               AtLeast("requests/s", 0.85, "anonymous", mine="Bearer"), AtLeast("requests/s", 0.85, "anonymous", mine="Basic"))
    user = "reader"

    def open(self, servers):
        check("berth" in servers, "berth does not run")
        self.password = secrets.token_urlsafe(15)
        self.basic = {"Authorization": "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()}
        grants = [{"subjects": ["anonymous"], "repositories": ["bench/*"], "role": "reader"},
                  {"subjects": [f"user:{self.user}"], "repositories": ["bench/*"], "role": "writer"}]
        self.own = Berth(settings={"auth.users": "true", "grants": json.dumps(grants)}).start()
        run(BERTH, "user", "add", self.user, "--password-stdin", "--quiet", "--data", self.own.data,
            stdin=self.password.encode() + b"\n")
        self.path = push_small(self.own, "bench/small", self.basic)[self.what]
        push_small(servers["berth"], "bench/small")

    def contestants(self, servers):
        return {"no accounts": servers["berth"], "anonymous": self.own, "Bearer": self.own, "Basic": self.own}

    def token(self):
        path = f"/token?service=127.0.0.1:{self.own.port}&scope=repository:bench/small:pull"
        return json.loads(Client(self.own.port).expect(200, "GET", path, headers=self.basic)[1])["token"]

    def measure(self, name, server):
        headers = self.basic if name == "Basic" else {"Authorization": f"Bearer {self.token()}"} if name == "Bearer" else {}
        Client(server.port).expect(200, "GET", self.path, headers=headers)  # so that the credential is known
        return wrk(server, self.path, 32, 1 if self.short else 3, headers)

    def close(self):
        if hasattr(self, "own"):
            self.own.close()


class AccountsManifest(Accounts):
    title, what = "authentication: manifest GET by tag, 32 connections", "manifest"


class AccountsBlob(Accounts):
    title, what = "authentication: GET of a 2 KiB blob, 32 connections", "blob"

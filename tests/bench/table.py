"""The rows that every registry can do: pushes, pulls, small answers, many tags and repositories, the start."""

import json
import os
import subprocess
import time

from harness import Client, EMPTY_CONFIG, MANIFEST, check, image, sha256
from rows import AtLeast, AtMost, Bound, HashAndWrite, REGISTRIES, Row
from peers import Berth
from work import Blob, curl, finish, hash_alone, load, push_blob, upload_url, url, wrk


class Push(Row):
    how = "curl -T BLOB -H 'Expect:' UPLOAD, a new blob each time, after a sync; openssl speed -bytes 16384 -evp sha256"
    note = "nginx neither hashes nor syncs; olareg does not sync."
    repeats = 7
    targets = (AtLeast("MiB/s", 2, "the best registry"), HashAndWrite())
    megabytes, clients = 0, 0

    def open(self, servers):
        self.size = 8 if self.short else self.megabytes
        self.blobs = [Blob(self.size) for _ in range(self.clients)]

    def contestants(self, servers):
        return {**super().contestants(servers), "SHA-256 alone": None}

    def measure(self, name, server):
        if server is None:
            return hash_alone()
        digests = [blob.renew() for blob in self.blobs]
        targets = [upload_url(server, "bench/push", digest) for digest in digests]
        os.sync()  # what others left to be written is not this one's
        cpu = server.cpu_seconds()
        seconds = finish([curl("-T", blob.path, "-H", "Content-Type: application/octet-stream", "-H", "Expect:", target)
                          for blob, target in zip(self.blobs, targets)], ("201", "204"))
        total = self.size * len(self.blobs)
        return {"MiB/s": total / seconds, "CPU s/GiB": (server.cpu_seconds() - cpu) / total * 1024}

    def close(self):
        for blob in getattr(self, "blobs", ()):
            blob.close()


class PushOne(Push):
    title, megabytes, clients = "push one blob of 256 MiB", 256, 1


class PushFour(Push):
    title, megabytes, clients = "push 4 blobs of 64 MiB at once", 64, 4


class Pull(Row):
    how = "curl -o /dev/null, several times over one connection"
    repeats = 7
    clients = 1
    tls = False

    def open(self, servers):
        self.size = 8 if self.short else 256
        self.blob = Blob(self.size)
        self.digest = self.blob.renew()
        self.targets_of = {}

    def prepare(self, name, server):
        finish([curl("-T", self.blob.path, "-H", "Content-Type: application/octet-stream",
                     upload_url(server, "bench/pull", self.digest))], ("201", "204"))
        path = f"/bench/pull/{self.digest.replace(':', '-')}" if name == "nginx" else f"/v2/bench/pull/blobs/{self.digest}"
        self.targets_of[name] = url(server, path, self.tls)
        finish([curl("-L", *self.words(server), self.targets_of[name])], ("200",))

    def words(self, server):
        return ()

    def measure(self, name, server):
        cpu = server.cpu_seconds()
        times = 1 if self.short else 4 // self.clients + 1
        arguments = ["-L", *self.words(server), *(x for _ in range(times) for x in ("-o", "/dev/null", self.targets_of[name]))]
        began = time.monotonic()
        processes = [subprocess.Popen(["curl", "-sS", "--fail-with-body", *arguments]) for _ in range(self.clients)]
        for process in processes:
            check(process.wait(600) == 0, "curl failed")
        seconds = time.monotonic() - began
        total = self.size * self.clients * times
        return {"MiB/s": total / seconds, "CPU s/GiB": (server.cpu_seconds() - cpu) / total * 1024}

    def close(self):
        if hasattr(self, "blob"):
            self.blob.close()


class PullOne(Pull):
    title = "pull 256 MiB, one client"
    targets = (AtLeast("MiB/s", 1, "the fastest"), AtMost("CPU s/GiB", 1.1, "nginx"))


class PullFour(Pull):
    title, clients = "pull 256 MiB, 4 clients", 4
    targets = (AtLeast("MiB/s", 1, "nginx"), AtMost("CPU s/GiB", 1.1, "nginx"))


def push_small(server, repository, headers=None):
    """An image with a 2 KiB layer under the tag `latest`; {"manifest": path, "blob": path}. nginx gets the same bytes as
    files."""
    blob = (b"berth " * 400)[:2048]
    document = json.dumps(image(sha256(EMPTY_CONFIG), len(EMPTY_CONFIG), [(sha256(blob), len(blob))])).encode()
    if server.name == "nginx":
        os.makedirs(f"{server.folder}/data/small", exist_ok=True)
        for what, content in (("manifest", document), ("blob", blob)):
            with open(f"{server.folder}/data/small/{what}", "wb") as f:
                f.write(content)
        return {"manifest": "/small/manifest", "blob": "/small/blob"}
    push_blob(server, repository, EMPTY_CONFIG, headers)
    push_blob(server, repository, blob, headers)
    Client(server.port).expect(201, "PUT", f"/v2/{repository}/manifests/latest", body=document,
                               headers={"Content-Type": MANIFEST, **(headers or {})})
    return {"manifest": f"/v2/{repository}/manifests/latest", "blob": f"/v2/{repository}/blobs/{sha256(blob)}"}


class SmallGet(Row):
    """The same bytes from every server; from nginx as a static file."""

    how = "wrk -t 2 -c 32 -d 3s --latency"
    what = ""
    tls = False

    def open(self, servers):
        self.paths = {}

    def prepare(self, name, server):
        self.paths[name] = push_small(server, "bench/small")[self.what]

    def measure(self, name, server):
        return wrk(server, self.paths[name], 32, 1 if self.short else 3, tls=self.tls)


class ManifestGet(SmallGet):
    title, what = "manifest GET by tag, 32 connections", "manifest"
    targets = (AtLeast("requests/s", 0.85, "nginx"), AtMost("p99 ms", 1, "nginx"))


class BlobGet(SmallGet):
    title, what = "GET of a 2 KiB blob, 32 connections", "blob"
    targets = (AtLeast("requests/s", 0.85, "nginx"),)


class Observed(SmallGet):
    title, what = "what it costs to be watched: manifest GET by tag, 32 connections", "manifest"
    how = "wrk -t 2 -c 32 -d 1s --latency"
    note = "`unwatched` is berth with `metrics.enabled: false` and `log.access: false`; the other is read once a run as Prometheus does."
    servers = ["berth"]
    repeats = 161  # short turns: the machine's own speed moves by ten times what is looked for
    targets = (AtLeast("requests/s", 0.95, "unwatched"),)

    def open(self, servers):
        super().open(servers)
        self.unwatched = Berth(settings={"metrics.enabled": "false", "log.access": "false"}).start()

    def contestants(self, servers):
        return {"berth": servers["berth"], "unwatched": self.unwatched}

    def measure(self, name, server):
        if name == "berth":
            Client(server.port).expect(200, "GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        return wrk(server, self.paths[name], 32, 1)

    def close(self):
        if hasattr(self, "unwatched"):
            self.unwatched.close()


class Images(Row):
    servers = REGISTRIES
    repeats = 7
    clients = 0

    @property
    def how(self):
        return f"load images PORT {self.clients} 4"

    def measure(self, name, server):
        cpu = server.cpu_seconds()
        done = load(server, "images", self.clients, 0.5 if self.short else 4)
        return {"images/s": done["per_second"], "CPU µs/image": (server.cpu_seconds() - cpu) / done["images"] * 1e6,
                "p99 ms": done["p99_ms"]}


class ImagesOfEight(Images):
    title, clients = "small images (config, 4 KiB layer, manifest), 8 clients", 8
    targets = (AtLeast("images/s", 2, "olareg"), Bound("CPU µs/image", 500),
               AtMost("CPU µs/image", 500 / 950, "olareg", why="500 of 950 µs"))


class ImagesOfOne(Images):
    title, clients = "small images (config, 4 KiB layer, manifest), 1 client", 1
    targets = (AtLeast("images/s", 1, "olareg"),)


class Tags(Row):
    servers = REGISTRIES
    title = "10,000 tags into one repository, 8 clients"
    how = "load tags PORT 8 10000 bench/tags"
    note = "Each time a fresh server."
    repeats = 3
    higher_is_better = False
    targets = (Bound("s", 1.5), AtMost("s", 1.5 / 15, "distribution", why="1.5 of 15 s"))

    def measure(self, name, server):
        fresh = type(server)()
        try:
            return {"s": load(fresh.start(), "tags", 8, 200 if self.short else 10_000, "bench/tags")["seconds"]}
        finally:
            fresh.close()


class TagPages(Row):
    servers = REGISTRIES
    title = "a list of 10,000 tags in pages of 1,000"
    how = "load tags PORT 8 10000 bench/tags; load pages PORT 9 '/v2/bench/tags/tags/list?n=1000'"
    repeats = 3
    higher_is_better = False
    targets = (Bound("first ms", 1), Bound("all ms", 8))

    def prepare(self, name, server):
        load(server, "tags", 8, 200 if self.short else 10_000, "bench/tags")

    def measure(self, name, server):
        done = load(server, "pages", 3 if self.short else 9, "/v2/bench/tags/tags/list?n=1000")
        return {"first ms": done["first_ms"], "all ms": done["all_ms"]}


class Catalog(Row):
    servers = [name for name in REGISTRIES if name != "olareg"]  # it has no catalog
    title = "catalog of 2,000 repositories in pages of 100"
    how = "load repos PORT 8 2000 bench/catalog; load pages PORT 3 '/v2/_catalog?n=100'"
    repeats = 3
    higher_is_better = False
    targets = (Bound("ms", 8),)

    def prepare(self, name, server):
        load(server, "repos", 8, 50 if self.short else 2000, "bench/catalog")

    def measure(self, name, server):
        return {"ms": load(server, "pages", 3, "/v2/_catalog?n=100")["all_ms"]}


class Start(Row):
    servers = REGISTRIES
    title = "start with an empty store"
    note = "From exec to the first answer as a registry; berth's is `/readyz`."
    higher_is_better = False
    targets = (Bound("ready ms", 30), Bound("resident MiB", 20))

    def measure(self, name, server):
        fresh = type(server)()
        try:
            fresh.start()
            return {"ready ms": fresh.ready_seconds * 1000, "resident MiB": fresh.resident_mib()}
        finally:
            fresh.close()

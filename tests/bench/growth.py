"""The rows that ask whether size matters: many tags, many repositories, many connections, large streams beside."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

from harness import check
from peers import Berth
from rows import AtLeast, AtMost, Bound, Row
from table import push_small
from work import Blob, FILL, LOAD, curl, finish, load, upload_url, wrk


class Stores:
    """Filled once for all rows that need them, side by side: {"tags": data directory, "repositories 1000": …}."""

    def __init__(self):
        self.folder = None
        self.wanted = {}

    def want(self, rows, short):
        for row in rows:
            for name in row.stores:
                self.wanted[name] = [count // 1000 for count in row.sizes] if short else list(row.sizes)

    def data(self, name):
        if not self.folder:
            self.fill()
        return os.path.join(self.folder, name)

    def fill(self):
        self.folder = tempfile.mkdtemp(prefix="berth-bench-stores-")
        chains = []
        for name, sizes in self.wanted.items():
            steps = []
            for size in sizes:
                data = os.path.join(self.folder, name if name == "tags" else f"{name} {size}")
                os.makedirs(data, mode=0o700, exist_ok=True)
                each, prefix = (size, f"tags/{size}-") if name == "tags" else (1, "fill/repository")
                steps.append([FILL, data + "/index", str(size), str(each), prefix])
            chains.append(steps)
        # Those of one kind one after the other, the kinds at the same time: there are two.
        running = []
        try:
            for steps in chains:
                text = " && ".join(" ".join(f"'{word}'" for word in step) for step in steps)
                running.append(subprocess.Popen(["sh", "-c", text], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                                start_new_session=True))
            for process in running:
                _, error = process.communicate(timeout=1200)
                check(process.returncode == 0, f"fill_store: {error.decode(errors='replace')[-500:]}")
        finally:
            for process in running:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        os.sync()

    def close(self):
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


STORES = Stores()


def berth_on(data):
    server = Berth()
    server.data = data
    return server


def settle(server):
    """Waits until it does nothing more by itself: what was filled in a hurry is put in order first."""
    end, before = time.monotonic() + 60, server.cpu_seconds()
    while time.monotonic() < end:
        time.sleep(0.5)
        now = server.cpu_seconds()
        if now - before < 0.02:
            return
        before = now


class Growth(Row):
    """The same list at three sizes."""

    servers = ["berth"]
    repeats = 5
    higher_is_better = False
    sizes = (1000, 100_000, 1_000_000)
    noun = ""

    def open(self, servers):
        self.running = {}
        self.used = [size // 1000 for size in self.sizes] if self.short else list(self.sizes)

    def contestants(self, servers):
        return {f"{size:,} {self.noun}": used for size, used in zip(self.sizes, self.used)}

    def berth(self, name, data):
        if name not in self.running:
            self.running[name] = berth_on(data).start()
            settle(self.running[name])
        return self.running[name]

    def pages(self, server, path, middle):
        """One page out of the middle again and again, and every page once."""
        hot = load(server, "get", 1, 0.1 if self.short else 0.5, path + middle)
        walk = load(server, "pages", 1, path)
        return {"page ms": hot["p50_ms"], "p99 ms": hot["p99_ms"], "each page once ms": walk["page_p50_ms"], "pages": walk["pages"]}

    def close(self):
        for server in getattr(self, "running", {}).values():
            server.close()


class GrowthTags(Growth):
    title = "growth: pages of 1,000 tags of repositories of one store"
    noun = "tags"
    how = "fill_store; load get PORT 1 0.5 '/v2/…/tags/list?n=1000&last=v5'; load pages PORT 1 '/v2/…/tags/list?n=1000'"
    stores = ("tags",)
    targets = (AtMost("page ms", 1.5, "1,000 tags", mine="1,000,000 tags"), Bound("page ms", 1, mine="1,000,000 tags"))

    def measure(self, name, size):
        return self.pages(self.berth("tags", STORES.data("tags")), f"/v2/tags/{size}-0/tags/list?n=1000", "&last=v5" if size > 1000 else "")


class GrowthRepositories(Growth):
    title = "growth: pages of 1,000 repositories of stores of three sizes"
    noun = "repositories"
    how = "fill_store; load get PORT 1 0.5 '/v2/_catalog?n=1000&last=fill/repository5'; load pages PORT 1 '/v2/_catalog?n=1000'"
    stores = ("repositories",)
    targets = (AtMost("page ms", 1.5, "1,000 repositories", mine="1,000,000 repositories"),)

    def measure(self, name, size):
        return self.pages(self.berth(name, STORES.data(f"repositories {size}")), "/v2/_catalog?n=1000", "&last=fill/repository5" if size > 1000 else "")


class GrowthStart(Row):
    title = "growth: start with 1.1 million manifests"
    note = "From exec to `/readyz` on a store of fill_store, after a stop by SIGTERM."
    servers = ["berth"]
    higher_is_better = False
    sizes = Growth.sizes
    stores = ("tags",)
    targets = (Bound("ready ms", 100),)

    def contestants(self, servers):
        return {"berth": STORES.data("tags")}

    def prepare(self, name, data):
        server = berth_on(data)
        try:
            settle(server.start())
        finally:
            server.close()

    def measure(self, name, data):
        server = berth_on(data)
        try:
            server.start()
            return {"ready ms": server.ready_seconds * 1000, "resident MiB": server.resident_mib()}
        finally:
            server.close()


class GrowthConnections(Row):
    title = "growth: manifest GET by tag, 32 connections, beside idle ones"
    how = "load idle PORT N PATH; wrk -t 2 -c 32 -d 3s --latency"
    servers = ["berth"]
    repeats = 3
    sizes = (10, 1000, 10_000)
    targets = (AtLeast("requests/s", 0.85, "10 idle", mine="1,000 idle"), AtLeast("requests/s", 0.85, "10 idle", mine="10,000 idle"))

    def open(self, servers):
        check("berth" in servers, "berth does not run")
        self.server = servers["berth"]
        self.path = push_small(self.server, "bench/small")["manifest"]

    def contestants(self, servers):
        return {f"{size:,} idle": size // 10 if self.short else size for size in self.sizes}

    def measure(self, name, count):
        idle = subprocess.Popen([LOAD, "idle", str(self.server.port), str(count), self.path], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            check(idle.stdout.readline(), "load idle could not open its connections")
            return {**wrk(self.server, self.path, 32, 1 if self.short else 3), "resident MiB": self.server.resident_mib()}
        finally:
            _, error = idle.communicate()
            check(idle.returncode == 0, f"load idle: {error}")
            time.sleep(0.1 if self.short else 0.5)  # until the server has seen them go


class Streams(Row):
    title = "a small GET while two clients pull and two push large blobs as fast as they can"
    how = "load streams PORT 4 SMALL LARGE TO 128"
    note = ("A client asks 500 times a second, 4 s alone and 4 s beside the others. Those run at a lower priority (nice 10): "
            "elsewhere they have machines of their own, and here their own turns on the cores would be what is measured. `core` is "
            "how late a thread beside them wakes that only sleeps: what the machine adds to each wait for a core, and a GET has "
            "two, the server's and the client's. Fair is "
            "the slower of two clients over the faster. Each server is a fresh one. See nginx, too: the row is also about who "
            "gets a core.")
    servers = ["berth", "distribution", "olareg", "nginx"]
    repeats = 3
    higher_is_better = False
    targets = (Bound("times idle p99", 5),)

    def open(self, servers):
        self.blob = Blob(8 if self.short else 256)
        self.digest = self.blob.renew()

    def measure(self, name, server):
        fresh = type(server)()
        try:
            fresh.start()
            small = push_small(fresh, "bench/small")["manifest"]
            finish([curl("-T", self.blob.path, "-H", "Content-Type: application/octet-stream",
                         upload_url(fresh, "bench/large", self.digest))], ("201", "204"))
            nginx = name == "nginx"
            large = f"/bench/large/{self.digest.replace(':', '-')}" if nginx else f"/v2/bench/large/blobs/{self.digest}"
            os.sync()
            done = load(fresh, "streams", 0.5 if self.short else 4, small, large, "/bench/push" if nginx else "bench/push",
                        8 if self.short else 128)
        finally:
            fresh.close()
        return {"times idle p99": done["busy_p99_ms"] / done["idle_p99_ms"], "busy p99 ms": done["busy_p99_ms"],
                "core p99 ms": done["core_p99_ms"], "idle p99 ms": done["idle_p99_ms"], "busy p50 ms": done["busy_p50_ms"], "idle p50 ms": done["idle_p50_ms"],
                "pulled MiB/s": done["pulled_mib_s"], "fair pull": done["pull_share"],
                "pushed MiB/s": done["pushed_mib_s"], "fair push": done["push_share"]}

    def close(self):
        if hasattr(self, "blob"):
            self.blob.close()

"""Measures berth beside the registries that can be had and beside nginx, in turns on this machine; called by tests/bench/run.

    tests/bench/run                  the whole table into docs/performance.md and docs/performance.json
    tests/bench/run --only ROW…      some rows, printed
    tests/bench/run --short          a few seconds for everything: does it all work? (CI; nothing is written)
"""

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peers import PEERS, Nginx
from harness import Client, EMPTY_CONFIG, Failure, MANIFEST, ROOT, Report, check, image, run, sha256

MIB = 1 << 20
LOAD = os.environ.get("BERTH_LOAD", os.path.join(ROOT, "build", "bench", "tests", "load"))
REGISTRIES = ["berth", "distribution", "docker-registry", "olareg"]


class Blob:
    """A file of random bytes that is another one each time it is taken."""

    def __init__(self, megabytes):
        self.size = megabytes * MIB
        with tempfile.NamedTemporaryFile(prefix="berth-bench-blob-", delete=False) as f:
            self.path = f.name
            piece = os.urandom(MIB)
            for n in range(megabytes):
                f.write(n.to_bytes(8, "little") + piece[8:])
        self.count = int.from_bytes(os.urandom(6), "little")

    def renew(self):
        """Changes some bytes and answers the new digest."""
        self.count += 1
        with open(self.path, "r+b") as f:
            f.seek(16)
            f.write(self.count.to_bytes(8, "little"))
        with open(self.path, "rb") as f:
            return "sha256:" + hashlib.file_digest(f, "sha256").hexdigest()

    def close(self):
        os.unlink(self.path)


def url(server, path):
    return path if path.startswith("http") else f"http://127.0.0.1:{server.port}{path}"


def upload_url(server, repository, digest):
    """Where the bytes of a blob are PUT."""
    if server.name == "nginx":
        return url(server, f"/{repository}/{digest.replace(':', '-')}")
    headers, _ = Client(server.port).expect(202, "POST", f"/v2/{repository}/blobs/uploads/", headers={"Content-Length": "0"})
    location = headers["location"]
    return url(server, location + ("&" if "?" in location else "?") + "digest=" + digest)


def curl(*arguments):
    return subprocess.Popen(["curl", "-sS", "--fail-with-body", "-o", "/dev/null", "-w", "%{time_total} %{http_code}", *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(processes, expected):
    times = []
    for process in processes:
        out, error = process.communicate(timeout=600)
        check(process.returncode == 0, f"curl: {error} {out}")
        seconds, status = out.split()
        check(status in expected, f"curl: status {status}")
        times.append(float(seconds))
    return max(times)


def push_blob(server, repository, data):
    headers, _ = Client(server.port).expect(202, "POST", f"/v2/{repository}/blobs/uploads/", headers={"Content-Length": "0"})
    location = re.sub(r"^https?://[^/]*", "", headers["location"])
    digest = sha256(data)
    Client(server.port).expect(201, "PUT", location + ("&" if "?" in location else "?") + "digest=" + digest, body=data,
                               headers={"Content-Type": "application/octet-stream"})
    return digest


def load(server, *arguments):
    words = [str(a) for a in arguments]
    return json.loads(run(LOAD, words[0], str(server.port), *words[1:]))


def wrk(server, path, connections, seconds):
    """Requests a second, p99 in ms, CPU of the server a request in µs."""
    cpu = server.cpu_seconds()
    text = run("wrk", "-t", "2", "-c", str(connections), "-d", f"{seconds}s", "--latency",
               "-H", f"Accept: {MANIFEST}", url(server, path))
    cpu = server.cpu_seconds() - cpu
    check("Non-2xx" not in text and "Socket errors" not in text, text)
    requests = int(re.search(r"(\d+) requests in", text)[1])
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    return {"requests/s": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            "p99 ms": float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit],
            "CPU µs/request": cpu / requests * 1e6}


class Row:
    """One line of the table: `prepare` once a server, `measure` in turns; the first metric decides the ratio."""

    title = "?"
    servers = REGISTRIES + ["nginx"]
    repeats = 5
    higher_is_better = True

    def __init__(self, short):
        self.short = short

    def prepare(self, server):
        pass

    def measure(self, server):
        raise NotImplementedError

    def close(self):
        pass


class Push(Row):
    def __init__(self, short, megabytes, clients):
        super().__init__(short)
        self.megabytes = 8 if short else megabytes
        self.title = f"push {'one blob' if clients == 1 else f'{clients} blobs at once'} of {megabytes} MiB"
        self.blobs = [Blob(self.megabytes) for _ in range(clients)]

    def measure(self, server):
        digests = [blob.renew() for blob in self.blobs]
        targets = [upload_url(server, "bench/push", digest) for digest in digests]
        os.sync()  # what others left to be written is not this one's
        cpu = server.cpu_seconds()
        seconds = finish([curl("-T", blob.path, "-H", "Content-Type: application/octet-stream", "-H", "Expect:", target)
                          for blob, target in zip(self.blobs, targets)], ("201", "204"))
        total = self.megabytes * len(self.blobs)
        return {"MiB/s": total / seconds, "CPU s/GiB": (server.cpu_seconds() - cpu) / total * 1024}

    def close(self):
        for blob in self.blobs:
            blob.close()


class Pull(Row):
    def __init__(self, short, clients):
        super().__init__(short)
        self.megabytes = 8 if short else 256
        self.clients = clients
        self.title = f"pull 256 MiB, {'one client' if clients == 1 else f'{clients} clients'}"
        self.blob = Blob(self.megabytes)
        self.digest = self.blob.renew()
        self.targets = {}

    def prepare(self, server):
        finish([curl("-T", self.blob.path, "-H", "Content-Type: application/octet-stream",
                     upload_url(server, "bench/pull", self.digest))], ("201", "204"))
        path = f"/bench/pull/{self.digest.replace(':', '-')}" if server.name == "nginx" else f"/v2/bench/pull/blobs/{self.digest}"
        self.targets[server.name] = url(server, path)
        finish([curl("-L", self.targets[server.name])], ("200",))

    def measure(self, server):
        cpu = server.cpu_seconds()
        times = 1 if self.short else 4 // self.clients + 1
        arguments = ["-L"] + [x for _ in range(times) for x in ("-o", "/dev/null", self.targets[server.name])]
        began = datetime.datetime.now()
        processes = [subprocess.Popen(["curl", "-sS", "--fail-with-body", *arguments]) for _ in range(self.clients)]
        for process in processes:
            check(process.wait(600) == 0, "curl failed")
        seconds = (datetime.datetime.now() - began).total_seconds()
        total = self.megabytes * self.clients * times
        return {"MiB/s": total / seconds, "CPU s/GiB": (server.cpu_seconds() - cpu) / total * 1024}

    def close(self):
        self.blob.close()


class SmallGet(Row):
    """The same bytes from every server; from nginx as a static file."""

    def __init__(self, short, what):
        super().__init__(short)
        self.what = what
        self.title = "manifest GET by tag, 32 connections" if what == "manifest" else "GET of a 2 KiB blob, 32 connections"
        self.paths = {}

    def prepare(self, server):
        repository = "bench/small"
        blob = (b"berth " * 400)[:2048]
        config = EMPTY_CONFIG
        document = json.dumps(image(sha256(config), len(config), [(sha256(blob), len(blob))])).encode()
        if server.name == "nginx":
            os.makedirs(f"{server.folder}/data/small", exist_ok=True)
            with open(f"{server.folder}/data/small/{self.what}", "wb") as f:
                f.write(document if self.what == "manifest" else blob)
            self.paths[server.name] = f"/small/{self.what}"
            return
        push_blob(server, repository, config)
        push_blob(server, repository, blob)
        Client(server.port).expect(201, "PUT", f"/v2/{repository}/manifests/latest", body=document, headers={"Content-Type": MANIFEST})
        self.paths[server.name] = f"/v2/{repository}/" + ("manifests/latest" if self.what == "manifest" else f"blobs/{sha256(blob)}")

    def measure(self, server):
        return wrk(server, self.paths[server.name], 32, 1 if self.short else 4)


class Images(Row):
    servers = REGISTRIES
    repeats = 3

    def __init__(self, short, clients):
        super().__init__(short)
        self.clients = clients
        self.title = f"small images (config, 4 KiB layer, manifest), {clients} client{'s' if clients > 1 else ''}"

    def measure(self, server):
        cpu = server.cpu_seconds()
        done = load(server, "images", self.clients, 0.5 if self.short else 5)
        return {"images/s": done["per_second"], "CPU µs/image": (server.cpu_seconds() - cpu) / done["images"] * 1e6,
                "p99 ms": done["p99_ms"]}


class Tags(Row):
    servers = REGISTRIES
    title = "10,000 tags into one repository, 8 clients"
    repeats = 1
    higher_is_better = False

    def measure(self, server):
        return {"s": load(server, "tags", 8, 200 if self.short else 10_000, "bench/tags")["seconds"]}


class TagPages(Row):
    servers = REGISTRIES
    title = "that tag list in pages of 1,000"
    repeats = 3
    higher_is_better = False

    def measure(self, server):
        done = load(server, "pages", 3 if self.short else 9, "/v2/bench/tags/tags/list?n=1000")
        return {"first ms": done["first_ms"], "all ms": done["all_ms"]}


class Catalog(Row):
    servers = REGISTRIES
    title = "catalog of 2,000 repositories in pages of 100"
    repeats = 3
    higher_is_better = False

    def prepare(self, server):
        load(server, "repos", 8, 50 if self.short else 2000, "bench/catalog")

    def measure(self, server):
        return {"ms": load(server, "pages", 3, "/v2/_catalog?n=100")["all_ms"]}


class Start(Row):
    servers = REGISTRIES
    title = "start with an empty store"
    higher_is_better = False

    def measure(self, server):
        fresh = type(server)()
        try:
            fresh.start()
            return {"ready ms": fresh.ready_seconds * 1000, "resident MiB": fresh.resident_mib()}
        finally:
            fresh.close()


ROWS = {
    "start": Start,
    "push1": lambda short: Push(short, 256, 1),
    "push4": lambda short: Push(short, 64, 4),
    "pull1": lambda short: Pull(short, 1),
    "pull4": lambda short: Pull(short, 4),
    "manifest": lambda short: SmallGet(short, "manifest"),
    "blob2k": lambda short: SmallGet(short, "blob"),
    "images8": lambda short: Images(short, 8),
    "images1": lambda short: Images(short, 1),
    "tags": Tags,
    "pages": TagPages,
    "catalog": Catalog,
}


def measure_row(row, servers, repeats):
    """In turns, so that a change of the machine's mood hits all alike. Answers {server: {metric: [values]}}."""
    mine = [servers[name] for name in row.servers if name in servers]
    for server in mine:
        row.prepare(server)
    results = {server.name: {} for server in mine}
    for n in range(repeats):
        for server in mine[n % len(mine):] + mine[:n % len(mine)]:
            for metric, value in row.measure(server).items():
                results[server.name].setdefault(metric, []).append(value)
    return results


def shown(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.995 else f"{value:.3f}"


def cell(values):
    middle = statistics.median(values)
    if len(values) < 3:
        return shown(middle)
    return f"{shown(middle)} ({shown(min(values))}–{shown(max(values))})"


def table(title, results, higher_is_better):
    metrics = list(next(iter(results.values())))
    lines = [f"### {title}", "", "| server | " + " | ".join(metrics) + " | berth is |", "|---|" + "---|" * (len(metrics) + 1)]
    mine = statistics.median(results["berth"][metrics[0]])
    for name, values in results.items():
        theirs = statistics.median(values[metrics[0]])
        ratio = (mine / theirs if higher_is_better else theirs / mine) if name != "berth" else None
        lines.append(f"| {name} | " + " | ".join(cell(values[m]) for m in metrics) + f" | {f'{shown(ratio)} ×' if ratio else ''} |")
    return "\n".join(lines) + "\n"


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) / MIB
    speed = subprocess.run(["openssl", "speed", "-bytes", "16384", "-seconds", "1", "-evp", "sha256"], capture_output=True, text=True).stdout
    found = re.search(r"sha256\s+([\d.]+)k", speed, re.IGNORECASE)
    return (f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), {memory:.0f} GiB, Linux {platform.release()}, "
            f"SHA-256 {float(found[1]) / 1000:,.0f} MB/s a core (`openssl speed -evp sha256`)" if found else "?")


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=list(ROWS))
    parser.add_argument("--peers", nargs="+", metavar="SERVER", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    report = Report("bench")
    names = ["berth", "nginx"] if options.short else options.peers
    servers, texts, raw = {}, [], {}
    wanted = options.only or list(ROWS)
    if "pages" in wanted and "tags" not in wanted:
        wanted.insert(wanted.index("pages"), "tags")
    try:
        for name in names:
            servers[name] = PEERS[name]().start()
        for key in wanted:
            def one(key=key):
                row = ROWS[key](options.short)
                try:
                    results = measure_row(row, servers, 1 if options.short else options.repeats or row.repeats)
                finally:
                    row.close()
                texts.append(table(row.title, results, row.higher_is_better))
                raw[key] = results
                print(texts[-1], flush=True)
            report.case(key, one)
        versions = ", ".join(f"{s.name} {s.version()}" for s in servers.values())
    finally:
        for server in servers.values():
            server.close()
    if not options.short and not options.only:
        write(texts, raw, versions)
    return report.finish()


MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")


def write(texts, raw, versions):
    """Replaces what stands between the marks of docs/performance.md; the words around it are people's."""
    path = os.path.join(ROOT, "docs", "performance.md")
    with open(path) as f:
        before, rest = f.read().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    head = f"\nMeasured {datetime.date.today()} with `tests/bench/run` on {machine()}. {versions}.\n\n"
    with open(path, "w") as f:
        f.write(before + MARKS[0] + head + "\n".join(texts) + MARKS[1] + after)
    with open(os.path.join(ROOT, "docs", "performance.json"), "w") as f:
        json.dump({"machine": machine(), "versions": versions, "rows": raw}, f, indent=1)


if __name__ == "__main__":
    sys.exit(main())

"""What the rows do their work with: blobs that are new each time, curl, wrk, and tests/bench/load."""

import hashlib
import json
import os
import re
import subprocess
import tempfile

from harness import Client, MANIFEST, ROOT, check, run, sha256

MIB = 1 << 20
PROGRAMS = os.path.join(ROOT, "build", "bench", "tests")
LOAD = os.environ.get("BERTH_LOAD", os.path.join(PROGRAMS, "load"))
FILL = os.path.join(PROGRAMS, "fill_store")
MICRO = os.path.join(PROGRAMS, "micro")
CIPHER = "TLS_AES_128_GCM_SHA256"  # what Go clients, and so most clients of registries, ask for first


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


def url(server, path, tls=False):
    if path.startswith("http"):
        return path
    return f"https://127.0.0.1:{server.tls_port}{path}" if tls else f"http://127.0.0.1:{server.port}{path}"


def begin_upload(server, repository, digest, headers=None):
    """The path and query that take the bytes of a blob."""
    answer, _ = Client(server.port).expect(202, "POST", f"/v2/{repository}/blobs/uploads/",
                                           headers={"Content-Length": "0", **(headers or {})})
    location = re.sub(r"^https?://[^/]*", "", answer["location"])
    return location + ("&" if "?" in location else "?") + "digest=" + digest


def upload_url(server, repository, digest):
    """Where the bytes of a blob are PUT."""
    if server.name == "nginx":
        return url(server, f"/{repository}/{digest.replace(':', '-')}")
    return url(server, begin_upload(server, repository, digest))


def push_blob(server, repository, data, headers=None):
    digest = sha256(data)
    Client(server.port).expect(201, "PUT", begin_upload(server, repository, digest, headers), body=data,
                               headers={"Content-Type": "application/octet-stream", **(headers or {})})
    return digest


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


def load(server, *arguments, timeout=600):
    words = [str(a) for a in arguments]
    return json.loads(run(LOAD, words[0], str(server.port), *words[1:], timeout=timeout))


def wrk(server, path, connections, seconds, headers=None, tls=False):
    """Requests a second, p99 in ms, CPU of the server a request in µs."""
    shown = [word for name, value in {"Accept": MANIFEST, **(headers or {})}.items() for word in ("-H", f"{name}: {value}")]
    cpu = server.cpu_seconds()
    text = run("wrk", "-t", "2", "-c", str(connections), "-d", f"{seconds}s", "--latency", *shown, url(server, path, tls))
    cpu = server.cpu_seconds() - cpu
    check("Non-2xx" not in text and "Socket errors" not in text, text)
    requests = int(re.search(r"(\d+) requests in", text)[1])
    check(requests > 0, text)
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    return {"requests/s": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            "p99 ms": float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit],
            "CPU µs/request": cpu / requests * 1e6}


def hash_alone(seconds=1):
    """What SHA-256 costs one core here, by `openssl speed`: MiB/s and CPU s/GiB."""
    text = run("openssl", "speed", "-bytes", "16384", "-seconds", str(seconds), "-evp", "sha256")
    rate = float(re.search(r"sha256\s+([\d.]+)k", text, re.IGNORECASE)[1]) * 1000 / MIB
    return {"MiB/s": rate, "CPU s/GiB": 1024 / rate}

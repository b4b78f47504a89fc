"""Load with an oracle: what was acknowledged, what is pending, and whether a store agrees after a crash.

Every key (a blob of a repository, a manifest, a tag) has one writer, so what it must be is exact: the last acknowledged
state, or, for an operation that was under way when the server died, either side of it.
"""

import hashlib
import http.client
import json
import math
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Client, Failure, MANIFEST, check, image, sha256

ABSENT = None


class Model:
    def __init__(self):
        self.lock = threading.Lock()
        self.state = {}      # key -> set of allowed values (ABSENT or a digest)
        self.when = {}       # key -> steady time of the last change
        self.contents = {}   # digest -> size, for blobs and manifests
        self.children = {}   # manifest digest -> digests of its blobs

    def begin(self, key, value):
        """An operation that will make `key` hold `value` is about to be sent."""
        with self.lock:
            self.state.setdefault(key, {ABSENT}).add(value)
            self.when[key] = time.monotonic()

    def end(self, key, value):
        """It was acknowledged."""
        with self.lock:
            self.state[key] = {value}
            self.when[key] = time.monotonic()

    def settle(self, key, value):
        with self.lock:
            self.state[key] = {value}

    def only(self, key):
        """The value of a key that nothing is pending on; ABSENT if never written."""
        with self.lock:
            allowed = self.state.get(key, {ABSENT})
            return next(iter(allowed)) if len(allowed) == 1 else ABSENT


class Worker(threading.Thread):
    """Pushes, deletes and re-tags in its own repository (and its own tags of one shared repository) until it is told
    to stop or the server goes away. An answer other than an expected one is a failure; a lost connection is not.
    Blobs that nothing names are left alone once they are `blob_age_max` seconds old: they may be collected."""

    def __init__(self, number, port, model, seed, stop, large, blob_age_max):
        super().__init__(daemon=True)
        self.blob_age_max = blob_age_max
        self.number, self.port, self.model, self.stopping, self.large = number, port, model, stop, large
        self.random = random.Random(seed)
        self.repository = f"crash/worker{number}"
        self.error = None
        self.acknowledged = 0
        self.full = 0

    def run(self):
        self.client = Client(self.port, timeout=60)
        try:
            while not self.stopping.is_set():
                self.random.choices([self.push, self.retag, self.delete_tag, self.delete_manifest, self.delete_blob, self.push_lonely_blob],
                                    weights=[10, 6, 2, 2, 1, 1])[0]()
        except (OSError, http.client.HTTPException):
            pass  # the server was killed: what was pending stays pending
        except Failure as failure:
            self.error = str(failure)
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"

    def data(self):
        kind = self.random.random()
        size = self.random.randrange(0, 3000) if kind < 0.6 else self.random.randrange(3000, 200_000)
        if kind > 0.9:
            size = self.random.randrange(200_000, self.large)
        return self.random.randbytes(size)

    def put_blob(self, repository, data):
        digest = sha256(data)
        key = ("blob", repository, digest)
        self.model.contents[digest] = len(data)
        self.model.begin(key, digest)
        way = self.random.randrange(3)
        headers, _ = self.client.expect(202, "POST", f"/v2/{repository}/blobs/uploads/", headers={"Content-Length": "0"})
        location = headers["location"]
        if way == 1 and data:  # streamed, as docker does
            half = self.random.randrange(len(data) + 1)
            self.client.expect(202, "PATCH", location, body=iter([data[:half], data[half:]] if 0 < half < len(data) else [data]),
                               headers={"Transfer-Encoding": "chunked"})
            self.client.expect(201, "PUT", f"{location}?digest={digest}", headers={"Content-Length": "0"})
        elif way == 2 and len(data) > 1:  # chunked, as regclient does
            half = self.random.randrange(1, len(data))
            self.client.expect(202, "PATCH", location, body=data[:half], headers={"Content-Range": f"0-{half - 1}"})
            self.client.expect(202, "PATCH", location, body=data[half:], headers={"Content-Range": f"{half}-{len(data) - 1}"})
            self.client.expect(201, "PUT", f"{location}?digest={digest}", headers={"Content-Length": "0"})
        else:
            self.client.expect(201, "PUT", f"{location}?digest={digest}", body=data)
        self.model.end(key, digest)
        self.acknowledged += 1
        return digest

    def push(self):
        repository = self.repository
        layers = [self.data() for _ in range(self.random.randrange(1, 4))]
        config = self.random.randbytes(100)
        digests = [self.put_blob(repository, layer) for layer in layers]
        config_digest = self.put_blob(repository, config)
        document = json.dumps(image(config_digest, len(config), [(d, len(l)) for d, l in zip(digests, layers)])).encode()
        digest = sha256(document)
        tag = f"t{self.random.randrange(20)}"
        self.model.contents[digest] = len(document)
        self.model.children[digest] = set(digests) | {config_digest}
        keys = [("manifest", repository, digest), ("tag", repository, tag)]
        for key in keys:
            self.model.begin(key, digest)
        self.client.expect(201, "PUT", f"/v2/{repository}/manifests/{tag}", body=document, headers={"Content-Type": MANIFEST})
        for key in keys:
            self.model.end(key, digest)
        self.acknowledged += 1

    def mine(self, kind):
        with self.model.lock:
            return [(key, next(iter(v))) for key, v in self.model.state.items()
                    if key[0] == kind and key[1] == self.repository and len(v) == 1 and ABSENT not in v]

    def pick(self, kind):
        found = self.mine(kind)
        return self.random.choice(found) if found else (None, None)

    def retag(self):
        _, digest = self.pick("manifest")
        if digest is None:
            return self.push()
        _, body = self.client.expect(200, "GET", f"/v2/{self.repository}/manifests/{digest}")
        check(sha256(body) == digest, f"{digest} was served with other bytes")
        # A tag that everything but this worker leaves alone; the overwriting of `latest` is the habit to survive.
        key = ("tag", self.repository, self.random.choice(["latest", "stable"]))
        self.model.begin(key, digest)
        self.client.expect(201, "PUT", f"/v2/{self.repository}/manifests/{key[2]}", body=body, headers={"Content-Type": MANIFEST})
        self.model.end(key, digest)
        self.acknowledged += 1

    def delete_tag(self):
        key, _ = self.pick("tag")
        if key:
            self.model.begin(key, ABSENT)
            self.client.expect(202, "DELETE", f"/v2/{key[1]}/manifests/{key[2]}")
            self.model.end(key, ABSENT)
            self.acknowledged += 1

    def delete_manifest(self):
        key, digest = self.pick("manifest")
        if not key:
            return
        tags = [k for k, d in self.mine("tag") if d == digest]
        for k in [key] + tags:
            self.model.begin(k, ABSENT)
        self.client.expect(202, "DELETE", f"/v2/{key[1]}/manifests/{digest}")
        for k in [key] + tags:
            self.model.end(k, ABSENT)
        self.acknowledged += 1

    def push_lonely_blob(self):
        self.put_blob(self.repository, self.data())

    def delete_blob(self):
        """Only blobs that no manifest of this worker names, so that what a manifest needs stays checkable."""
        used = set()
        with self.model.lock:
            for key, values in self.model.state.items():
                if key[0] == "manifest" and key[1] == self.repository:
                    for value in values:
                        used |= self.model.children.get(value, set())
        now = time.monotonic()
        free = [(k, d) for k, d in self.mine("blob") if d not in used and now - self.model.when[k] < self.blob_age_max]
        if free:
            key, digest = self.random.choice(free)
            self.model.begin(key, ABSENT)
            self.client.expect(202, "DELETE", f"/v2/{key[1]}/blobs/{digest}")
            self.model.end(key, ABSENT)
            self.acknowledged += 1


def load(port, model, seed, workers=8, large=1_500_000, blob_age_max=math.inf):
    """Starts the workers; call the answer to stop and join them: it raises what they found, but for errors that
    `errors_may` accepts, and counts what was acknowledged."""
    stop = threading.Event()
    threads = [Worker(n, port, model, seed * 1000 + n, stop, large, blob_age_max) for n in range(workers)]
    for thread in threads:
        thread.start()

    def finish(errors_may=lambda text: False):
        stop.set()
        for thread in threads:
            thread.join(90)
            check(not thread.is_alive(), "a worker hangs: a request was never answered")
        errors = [t.error for t in threads if t.error and not errors_may(t.error)]
        check(not errors, "\n".join(errors))
        return sum(t.acknowledged for t in threads)
    return finish


def verify(port, model, blob_age_max=None):
    """Compares the store with the model and settles what was pending. `blob_age_max`: a blob that no live manifest names
    may be gone once it is this old (the grace time), in seconds. Returns how many keys were looked at."""
    client = Client(port, timeout=120)
    seen_bytes = set()
    with model.lock:
        items = list(model.state.items())
    live = {}
    for key, allowed in sorted(items, key=lambda i: i[0][0] != "manifest"):  # manifests first: they decide what blobs must be
        kind, repository, name = key
        if kind == "tag":
            status, headers, body = client.request("GET", f"/v2/{repository}/manifests/{name}")
        elif kind == "manifest":
            status, headers, body = client.request("GET", f"/v2/{repository}/manifests/{name}")
        else:
            whole = (repository, name) not in seen_bytes
            status, headers, body = client.request("GET" if whole else "HEAD", f"/v2/{repository}/blobs/{name}")
        check(status in (200, 404), f"{key}: {status} {body[:300]!r}")
        value = headers.get("docker-content-digest") if status == 200 else ABSENT
        if status == 200:
            check(sha256(body) == value, f"{key}: the bytes served are not those of {value}")
            if kind == "manifest":
                live.setdefault(repository, set()).add(value)
        needed = any(name in model.children.get(m, ()) for m in live.get(repository, ()))
        old = blob_age_max is not None and time.monotonic() - model.when.get(key, 0) > blob_age_max
        if kind == "blob" and value is ABSENT and not needed and old:
            pass  # collected
        else:
            check(value in allowed, f"{key}: holds {value}, acknowledged {allowed}")
        model.settle(key, value)
    # Lists agree with what was just seen, and nothing else exists.
    tags, repositories = {}, set()
    for key, values in model.state.items():
        if key[0] == "tag" and ABSENT not in values:
            tags.setdefault(key[1], set()).add(key[2])
        if key[0] == "manifest" and ABSENT not in values:
            repositories.add(key[1])
    for repository in {k[1] for k in model.state}:
        status, _, body = client.request("GET", f"/v2/{repository}/tags/list")
        listed = set(json.loads(body)["tags"]) if status == 200 else set()
        check(listed == tags.get(repository, set()), f"{repository}: lists {sorted(listed)}, holds {sorted(tags.get(repository, set()))}")
    _, body = client.expect(200, "GET", "/v2/_catalog?n=1000")
    check(set(json.loads(body)["repositories"]) == repositories, f"the catalog lists {body.decode()}, expected {sorted(repositories)}")
    return len(items)


def files_that_remain(data, model, inline_limit=128 << 10):
    """After collection: the files under blobs/ must be exactly those that a live manifest or a live blob needs."""
    wanted = set()
    for key, values in model.state.items():
        if key[0] == "manifest" and ABSENT not in values:
            wanted |= {d for d in model.children[key[2]] if model.contents[d] > inline_limit}
    found = {}
    for folder, _, names in os.walk(os.path.join(data, "blobs")):
        for name in names:
            if name.startswith("sha256-"):
                digest = "sha256:" + name.split(".")[0][len("sha256-"):]
                found.setdefault(digest, []).append(os.path.join(folder, name))
    return wanted, found

"""The metrics of a running berth: exact after scripted traffic, complete from the first scrape, clean, bounded, described.

    observe.py            the tests
    observe.py --write    writes the tables of docs/metrics.md anew from a scrape
"""

import base64
import concurrent.futures
import gzip
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, MANIFEST, ROOT, Berth, Client, Failure, Report, check, need, run, sha256

SERIES_IDLE_MAX = 3000
PAGE = os.path.join(ROOT, "docs", "metrics.md")
LINE = re.compile(r'([a-z_:]+)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class Scrape:
    """One page: values by name and labels, types and helps by family."""

    def __init__(self, text):
        self.values, self.types, self.helps = {}, {}, {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                _, _, name, help_text = line.split(" ", 3)
                self.helps[name] = help_text
            elif line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.types[name] = kind
            else:
                name, labels, value = LINE.fullmatch(line).groups()
                key = (name, tuple(sorted(LABEL.findall(labels or ""))))
                check(key not in self.values, f"{line}: twice")
                self.values[key] = float(value)

    def get(self, name, **labels):
        return self.values.get(("berth_" + name, tuple(sorted(labels.items()))))

    def family_of(self, name):
        for end in ("_bucket", "_sum", "_count", ""):
            if name.endswith(end) and name.removesuffix(end) in self.types:
                return name.removesuffix(end)
        raise Failure(f"{name} has no TYPE")


def changes(before, after, family):
    """What was counted in between, by labels; what stayed as it was is left out."""
    moved = {}
    for (name, labels), value in after.values.items():
        difference = value - before.values.get((name, labels), 0)
        if name == "berth_" + family and difference:
            moved[" ".join(value for _, value in labels)] = difference
    return moved


def answers_of(page):
    return {tuple(value for _, value in labels) for name, labels in page.values if name == "berth_http_requests_total"}


class World(Berth):
    """Accounts, a listener for the registry, one that speaks TLS, and one for metrics and health."""

    def __init__(self, work):
        super().__init__(data=os.path.join(work, "data"), log=os.path.join(work, "berth.log"))
        self.certs = os.path.join(work, "certs")
        run(BERTH, "certs", "dev", "--out", self.certs)
        tls = {"certificate": f"{self.certs}/tls.crt", "key": f"{self.certs}/tls.key"}
        self.config = os.path.join(work, "berth.yaml")
        settings = {"listeners": [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "tls": tls},
                                  {"address": "127.0.0.1:0", "serve": ["metrics", "health"]}],
                    "auth": {"users": True}, "limits": {"rate_window": "2s"},
                    "grants": [{"subjects": ["user:reader"], "repositories": ["**"], "role": "reader"},
                               {"subjects": ["user:writer"], "repositories": ["**"], "role": "writer"},
                               {"subjects": ["robot:scraper"], "repositories": ["**"], "actions": ["metrics"]}]}
        with open(self.config, "w") as f:
            json.dump(settings, f)

    def start(self, timeout=60):
        ports = self.log_path + ".port"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BERTH, "serve", "--config", self.config, "--data", self.data, "--port-file", ports],
                                            stdout=log, stderr=log)
        end = time.monotonic() + timeout
        while True:
            check(self.process.poll() is None and time.monotonic() < end, f"berth did not start:\n{self.log_tail()}")
            try:
                with open(ports) as f:
                    self.port, self.secure_port, self.metrics_port = (int(line) for line in f)
                if Client(self.metrics_port).request("GET", "/readyz")[0] == 200:
                    return self
            except OSError:
                pass
            time.sleep(0.02)

    def berth(self, *arguments, stdin=None):
        return run(BERTH, *arguments, "--quiet", "--data", self.data, stdin=stdin).strip()

    def shown(self, user, password="a long enough password"):
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}

    def scrape(self):
        headers, body = Client(self.metrics_port).expect(200, "GET", "/metrics")
        check(headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8", headers)
        return Scrape(body.decode())

    def at_rest(self):
        """A scrape in which all that was answered so far is counted."""
        while True:
            before = self.scrape()
            time.sleep(0.1)
            after = self.scrape()
            if not set(changes(before, after, "http_requests_total")) - {"200 metrics"}:
                return after

    def settled(self, before, family, expected):
        """What happened is counted when the answer is out, a moment after the client has it."""
        for _ in range(100):
            moved = changes(before, self.scrape(), family)
            moved.pop("200 metrics", None)
            if moved == expected:
                return
            time.sleep(0.02)
        missing = {k: v for k, v in expected.items() if moved.get(k) != v}
        more = {k: v for k, v in moved.items() if k not in expected}
        raise Failure(f"{family}: not counted as expected: {missing}; {more or 'nothing'} beside it; counted: {moved}")


class Tests:
    def __init__(self, berth):
        self.berth = berth

    def zeros(self):
        """Before anything has happened all that can is there, and nothing has been counted but what made it ready."""
        page = self.berth.scrape()
        self.answers_at_start = answers_of(page)
        for name, labels in (("http_requests_total", {"operation": "manifest_get", "code": "503"}),
                             ("http_requests_total", {"operation": "upload_finish", "code": "201"}),
                             ("http_requests_total", {"operation": "manifest_put", "code": "405"}),
                             ("http_requests_total", {"operation": "upload_append", "code": "408"}),
                             ("http_requests_total", {"operation": "blob_get", "code": "412"}),
                             ("http_response_start_seconds_count", {"operation": "blob_get"}),
                             ("http_request_seconds_count", {"class": "push"}),
                             ("http_request_bytes_total", {"class": "push"}),
                             ("http_connections_rejected_total", {"reason": "total"}),
                             ("tls_handshakes_total", {"result": "ok", "version": "1.3"}),
                             ("auth_attempts_total", {"method": "ldap", "result": "error"}),
                             ("authorization_denied_total", {"action": "push"}),
                             ("rate_limited_total", {"scope": "ip"}),
                             ("tokens_issued_total", {}),
                             ("cache_requests_total", {"cache": "token", "result": "hit"}),
                             ("worker_pool_queue_length", {"pool": "disk"}),
                             ("log_dropped_total", {})):
            check(page.get(name, **labels) == 0, f"{name} {labels}: {page.get(name, **labels)}")
        check(page.get("ready") == 1, "not ready")
        built = [labels for name, labels in page.values if name == "berth_build_info"]
        check(len(built) == 1 and dict(built[0])["rocksdb"] and dict(built[0])["version"], built)
        # What no request is ever answered is no promise to alert on.
        never = [labels for name, labels in page.values if name == "berth_http_requests_total"
                 and (("code", "507") in labels or {("operation", "manifest_put"), ("code", "409")} <= set(labels))]
        check(not never, f"never answered: {never}")
        size = len(page.values)
        check(size <= SERIES_IDLE_MAX, f"{size} series while nothing happens, more than {SERIES_IDLE_MAX}")
        return f"{size} series idle, at most {SERIES_IDLE_MAX}"

    def traffic(self):
        """Each request is counted once, as what it was, with its bytes."""
        world = self.berth
        before = world.at_rest()
        writer = Client(world.port, headers=world.shown("writer"))
        layer = b"layer" * 1000
        headers, _ = writer.expect(202, "POST", "/v2/team/app/blobs/uploads/", headers={"Content-Length": "0"})
        headers, _ = writer.expect(202, "PATCH", headers["location"], body=layer[:1000])
        digest = sha256(layer)
        end = headers["location"] + ("&" if "?" in headers["location"] else "?") + "digest=" + digest
        writer.expect(201, "PUT", end, body=layer[1000:])
        config = writer.push_blob("team/app", b"{}")
        document = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                               "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2},
                               "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest,
                                           "size": len(layer)}]}).encode()
        writer.push_manifest("team/app", "v1", document)
        reader = Client(world.port, headers=world.shown("reader"))
        for _ in range(7):
            reader.expect(200, "GET", "/v2/team/app/manifests/v1")
        for _ in range(3):
            reader.expect(200, "HEAD", "/v2/team/app/manifests/v1")
        reader.expect(404, "GET", "/v2/team/app/manifests/none")
        reader.expect(200, "GET", f"/v2/team/app/blobs/{digest}")
        reader.expect(206, "GET", f"/v2/team/app/blobs/{digest}", headers={"Range": "bytes=0-9"})
        reader.expect(200, "HEAD", f"/v2/team/app/blobs/{digest}")
        reader.expect(200, "GET", "/v2/team/app/tags/list")
        reader.expect(403, "PUT", "/v2/team/app/manifests/v2", body=document,
                      headers={"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
        reader.expect(403, "DELETE", "/v2/team/app/manifests/v1")
        reader.expect(403, "GET", "/api/v1/users")
        reader.expect(200, "GET", "/api/v1/me")
        reader.expect(404, "GET", "/nothing/here")
        Client(world.port).expect(401, "GET", "/v2/")
        Client(world.port, headers=world.shown("reader", "wrong")).expect(401, "GET", "/v2/")
        _, body = reader.expect(200, "GET", f"/token?service=127.0.0.1:{world.port}&scope=repository:team/app:pull")
        bearer = Client(world.port, headers={"Authorization": "Bearer " + json.loads(body)["token"]})
        for _ in range(4):
            bearer.expect(200, "GET", "/v2/team/app/manifests/v1")
        with socket.create_connection(("127.0.0.1", world.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
            check(b" 400 " in raw.recv(4096), "two hosts")

        world.settled(before, "http_requests_total", {
            "202 upload_start": 2, "202 upload_append": 1, "201 upload_finish": 2, "201 manifest_put": 1,
            "200 manifest_get": 11, "200 manifest_head": 3, "404 manifest_get": 1, "200 blob_get": 1, "206 blob_get": 1,
            "200 blob_head": 1, "200 tags_list": 1, "403 manifest_put": 1, "403 manifest_delete": 1, "403 api_read": 1,
            "200 api_read": 1, "404 other": 1, "401 ping": 2, "200 token": 1, "400 other": 1})
        world.settled(before, "http_request_bytes_total", {"push": len(layer) + 2 + len(document)})
        world.settled(before, "authorization_denied_total", {"push": 1, "delete": 1, "admin": 1})
        world.settled(before, "tokens_issued_total", {"": 1})
        world.settled(before, "auth_attempts_total", {"basic ok": 26, "basic denied": 1, "bearer ok": 4})
        after = world.scrape()
        starts = changes(before, after, "http_response_start_seconds_count")
        check(starts["manifest_get"] == 12 and starts["upload_finish"] == 2, starts)
        caches = changes(before, after, "cache_requests_total")
        # Each of the 31 credentials was known from a moment ago (on that thread), or looked at as a password or a token.
        looks = sum(caches.get(way, 0) for way in ("identity hit", "password hit", "password miss", "token hit", "token miss"))
        check(looks == 31 and caches["identity hit"] >= 15 and caches["token miss"] == 1, caches)
        pulled = changes(before, after, "http_response_bytes_total")["pull"]
        check(pulled >= 11 * len(document) + len(layer) + 10, f"{pulled} bytes pulled")

    def refused(self):
        """What a read-only registry says, conditions that do not hold, and a body that comes too slowly."""
        world = self.berth
        writer, admin = (Client(world.port, headers=world.shown(name)) for name in ("writer", "admin"))
        digest = writer.push_blob("team/kept", b"kept")
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 4}}
        writer.push_manifest("team/kept", "v1", document)
        uploads = "/v2/team/kept/blobs/uploads/"
        location = writer.expect(202, "POST", uploads, headers={"Content-Length": "0"})[0]["location"]
        before = world.at_rest()
        others = {"If-Match": '"sha256:' + "0" * 64 + '"'}
        for path in ("/v2/team/kept/manifests/v1", f"/v2/team/kept/blobs/{digest}"):
            writer.expect(412, "GET", path, headers=others)
            writer.expect(412, "HEAD", path, headers=others)
        admin.expect(200, "PUT", "/api/v1/read-only", body=b'{"read_only": true}', headers={"Content-Type": "application/json"})
        writer.push_manifest("team/kept", "v2", document, status=405)
        for method, path in (("POST", uploads), ("PATCH", location), ("PUT", f"{location}?digest={digest}"), ("DELETE", location)):
            writer.expect(405, method, path, body=b"" if method == "DELETE" else b"kept")
        for path in ("/v2/team/kept/manifests/v1", f"/v2/team/kept/blobs/{digest}", "/api/v1/repositories/team/kept"):
            admin.expect(405, "DELETE", path)
        admin.expect(200, "PUT", "/api/v1/read-only", body=b'{"read_only": false}', headers={"Content-Type": "application/json"})
        with socket.create_connection(("127.0.0.1", world.port)) as slow:
            slow.sendall(f"PATCH {location} HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\nAuthorization: "
                         f"{world.shown('writer')['Authorization']}\r\nContent-Length: 100000\r\n\r\nhalf".encode())
            check(b" 408 " in slow.recv(4096), "a body that stands still")
        writer.expect(204, "DELETE", location)
        world.settled(before, "http_requests_total", {
            "412 manifest_get": 1, "412 manifest_head": 1, "412 blob_get": 1, "412 blob_head": 1, "200 api_write": 2,
            "405 manifest_put": 1, "405 upload_start": 1, "405 upload_append": 1, "405 upload_finish": 1, "405 upload_cancel": 1,
            "405 manifest_delete": 1, "405 blob_delete": 1, "405 api_write": 1, "408 upload_append": 1, "204 upload_cancel": 1})

    def no_new_answers(self):
        """Every answer that all the requests of these tests got had its series from the first scrape."""
        new = answers_of(self.berth.scrape()) - self.answers_at_start
        check(not new, f"not there at 0: {sorted(new)}")

    def under_way(self):
        """What is open and under way now."""
        world = self.berth
        name = "127.0.0.1:0"  # all its listeners are called so here, whichever port the kernel chose
        for _ in range(200):
            before = world.scrape()
            if before.get("http_connections", listener=name) == 1:  # its own: those before it are gone
                break
            time.sleep(0.02)
        writer = Client(world.port, headers=world.shown("writer"))
        headers, _ = writer.expect(202, "POST", "/v2/team/app/blobs/uploads/", headers={"Content-Length": "0"})
        with socket.create_connection(("127.0.0.1", world.port)) as slow:
            authorization = world.shown("writer")["Authorization"]
            slow.sendall(f"PATCH {headers['location']} HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\n"
                         f"Authorization: {authorization}\r\nContent-Length: 100\r\n\r\nhalf".encode())
            for _ in range(200):
                page = world.scrape()
                if page.get("http_requests_in_flight", **{"class": "push"}) == 1:
                    break
                time.sleep(0.02)
            check(page.get("http_requests_in_flight", **{"class": "push"}) == 1, "the upload is not under way")
            more = page.get("http_connections", listener=name) - before.get("http_connections", listener=name)
            check(more == 2, f"{more} connections more, not 2")
        for _ in range(200):
            page = world.scrape()
            if page.get("http_requests_in_flight", **{"class": "push"}) == 0:
                break
            time.sleep(0.02)
        check(page.get("http_requests_in_flight", **{"class": "push"}) == 0, "still under way after it was given up")
        check(page.get("http_requests_total", operation="upload_append", code="499") == 1, "not counted as given up")

    def handshakes(self):
        world = self.berth
        before = world.scrape()
        trust = ssl.create_default_context(cafile=world.certs + "/ca.crt")
        with trust.wrap_socket(socket.create_connection(("127.0.0.1", world.secure_port)), server_hostname="localhost"):
            pass
        try:
            ssl.create_default_context().wrap_socket(socket.create_connection(("127.0.0.1", world.secure_port)),
                                                     server_hostname="localhost")
            raise Failure("a stranger's certificate was taken")
        except ssl.SSLError:
            pass
        world.settled(before, "tls_handshakes_total", {"ok 1.3": 1, "failed none": 1})
        page = world.scrape()
        ends = [value for (name, _), value in page.values.items() if name.endswith("certificate_not_after_timestamp_seconds")]
        check(len(ends) == 1 and ends[0] > time.time(), ends)
        check(page.get("tls_certificate_reload_success", certificate=world.certs + "/tls.crt") == 1, "not loaded")

    def rights(self):
        """Whoever reads the metrics where the registry is needs the right; a listener for them alone is open."""
        world = self.berth
        secret = world.berth("robot", "add", "scraper")
        for name, shown, status in (("nobody", {}, 401), ("a reader", world.shown("reader"), 403),
                                    ("a wrong password", world.shown("admin", "wrong"), 401),
                                    ("the robot", world.shown("robot", secret), 200), ("admin", world.shown("admin"), 200)):
            got, _, body = Client(world.port, headers=shown).request("GET", "/metrics")
            check(got == status, f"{name}: {got}, not {status}")
            check((b"berth_ready" in body) == (status == 200), f"{name}: {body[:200]}")
        robot = Client(world.port, headers=world.shown("robot", secret))
        robot.expect(403, "GET", "/v2/team/app/tags/list")
        robot.expect(403, "GET", "/api/v1/users")
        alone = Client(world.metrics_port)
        alone.expect(200, "GET", "/metrics")
        alone.expect(200, "HEAD", "/metrics")
        alone.expect(405, "POST", "/metrics")
        for path in ("/v2/", "/api/v1/me", "/token", "/metrics/"):
            alone.expect(404, "GET", path)

    def compressed(self):
        client = Client(self.berth.metrics_port)
        for asked, coded in (("gzip", True), ("deflate, GZip;q=0.5", True), ("gzip;q=0", False), ("br", False), ("", False)):
            headers, body = client.expect(200, "GET", "/metrics", headers={"Accept-Encoding": asked or "identity"})
            check((headers.get("content-encoding") == "gzip") == coded, f"{asked}: {headers}")
            check(headers["vary"] == "Accept-Encoding", headers)
            Scrape((gzip.decompress(body) if coded else body).decode())
            if coded:
                size, small = len(gzip.decompress(body)), len(body)
        check(small * 4 < size, f"{size} bytes became {small}")
        return f"{size} bytes, {small} compressed"

    def many_at_once(self):
        """Scrapes that come together share the work, and each is whole."""
        def one(_):
            return len(Scrape(Client(self.berth.metrics_port).expect(200, "GET", "/metrics")[1].decode()).values)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            sizes = list(pool.map(one, range(64)))
        check(min(sizes) > 100, sizes)

    def promtool(self):
        need("promtool", "Debian's package prometheus has it")
        body = Client(self.berth.metrics_port).expect(200, "GET", "/metrics")[1]
        done = subprocess.run(["promtool", "check", "metrics"], input=body, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check(done.returncode == 0 and not done.stdout, done.stdout.decode())

    def described(self):
        """docs/metrics.md says of every family what the scrape says."""
        with open(PAGE) as f:
            page = f.read()
        check(written(page, self.berth.scrape(), False) == page,
              "docs/metrics.md differs from what berth says: tests/clients/observe.py --write")


# ---- the page ----

GROUPS = (("Process", r"berth_(build_info|ready|read_only|event_loop|worker_pool|log_|malloc)|process_"),
          ("Requests", r"berth_http_"), ("TLS", r"berth_tls_"),
          ("Who comes in", r"berth_(auth|tokens|rate_limited)"),
          ("Index", r"berth_(rocksdb|committer|kv)"),
          ("Collection", r"berth_gc_"),
          ("Traces", r"berth_trace_"),
          ("Pushes, pulls and storage", r"berth_"))
# Labels whose values are not berth's own words, or too many to name.
OPEN = {"listener", "certificate", "version", "revision", "rocksdb", "openssl", "path", "code", "cf", "level"}


def rows_of(scrape):
    """{family: (labels with their values)}"""
    labels = {}
    for name, pairs in scrape.values:
        family = labels.setdefault(scrape.family_of(name), {})
        for label, value in pairs:
            if label not in ("le", "quantile"):
                family.setdefault(label, set()).add(value)
    return labels


def written(page, scrape, all_tables=True):
    """The page with its tables made anew; on demand only those that were written before."""
    left = dict(sorted(rows_of(scrape).items()))
    for title, pattern in GROUPS:
        begin, end = f"<!-- {title} -->\n", f"<!-- end of {title} -->\n"
        check(begin in page and end in page, f"docs/metrics.md has no place for {title}")
        lines = ["| metric | type | labels | |", "|---|---|---|---|"]
        for family in [name for name in left if re.match(pattern, name)]:
            labels = []
            for label, values in left.pop(family).items():
                known = "" if label in OPEN or len(values) > 10 else " = " + ", ".join(sorted(values))
                labels.append(f"`{label}`{known}")
            lines.append(f"| `{family}` | {scrape.types[family]} | {'; '.join(labels)} | {scrape.helps[family]} |")
        if begin + end in page and not all_tables:
            continue
        before, after = page.split(begin)[0], page.split(end)[1]
        page = before + begin + "\n".join(lines) + "\n" + end + after
    check(not left, f"no place for {left}")
    return page


def switched_off():
    with Berth(settings={"metrics.enabled": "false"}) as berth:
        client = Client(berth.port)
        client.push_blob("team/app", b"{}")
        _, body = client.expect(404, "GET", "/metrics")
        check(b"metrics.enabled" in body, body)


def main():
    report = Report("observe")
    work = tempfile.mkdtemp(prefix="berth-observe-")
    try:
        with World(work) as berth:
            if sys.argv[1:] == ["--write"]:
                with open(PAGE) as f:
                    page = f.read()
                page = written(page, berth.scrape())
                with open(PAGE, "w") as f:
                    f.write(page)
                return 0
            tests = Tests(berth)
            report.case("all is there at 0", tests.zeros)
            for name in ("admin", "reader", "writer"):
                role = ["--role", "admin"] if name == "admin" else []
                berth.berth("user", "add", name, *role, "--password-stdin", stdin=b"a long enough password\n")
            for name, function in (("counts are exact", tests.traffic), ("refusals", tests.refused), ("what is under way", tests.under_way),
                                   ("handshakes and certificates", tests.handshakes), ("the right", tests.rights),
                                   ("gzip", tests.compressed), ("many scrapes at once", tests.many_at_once),
                                   ("no new answers", tests.no_new_answers), ("promtool", tests.promtool), ("the page of metrics", tests.described)):
                report.case(name, function)
        report.case("switched off", switched_off)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

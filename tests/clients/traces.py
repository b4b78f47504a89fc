"""Spans of requests, told to a collector of the test's own: what they say, whose children they are, and that nobody waits
for a collector that hangs or is away."""

import http.server
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, Berth, Failure, Report, check, image, need, run, sha256
from issuer import Issuer
from with_accounts import basic

HEX = re.compile(r"[0-9a-f]+")
SERVER, CLIENT = 2, 3


class Collector:
    """Takes spans as OTLP over HTTP has them, in JSON, and is strict about it."""

    def __init__(self):
        self.spans, self.problems, self.batches = [], [], 0
        self.hang = threading.Event()
        self.let_go = threading.Event()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.batches += 1
                if collector.hang.is_set():
                    collector.let_go.wait(60)
                    self.close_connection = True
                    return
                try:
                    check(self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json", self.path)
                    collector.take(json.loads(body))
                except Exception as problem:  # told at the end, by the test
                    collector.problems.append(repr(problem))
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, batch):
        for resource in batch["resourceSpans"]:
            said = attributes(resource["resource"])
            check(said["service.name"] == "berth" and said["service.version"], said)
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    check(len(span["traceId"]) == 32 and HEX.fullmatch(span["traceId"]), span)
                    check(len(span["spanId"]) == 16 and HEX.fullmatch(span["spanId"]), span)
                    check(span["kind"] in (1, 2, 3) and isinstance(span["flags"], int), span)
                    check(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]), span)
                    check(isinstance(span["startTimeUnixNano"], str), span)
                    span["said"] = attributes(span)
                    self.spans.append(span)

    def of(self, trace, at_least=1):
        """The spans of a trace, as soon as there are so many."""
        end = time.monotonic() + 20
        while True:
            spans = [span for span in self.spans if span["traceId"] == trace]
            if len(spans) >= at_least:
                check(not self.problems, self.problems)
                return spans
            if time.monotonic() > end:
                raise Failure(f"{len(spans)} spans of {trace}, not {at_least}: {json.dumps(spans)[:3000]} {self.problems}")
            time.sleep(0.02)

    def stop(self):
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


def attributes(part):
    known = {}
    for attribute in part["attributes"]:
        (kind, value), = attribute["value"].items()
        check(kind in ("stringValue", "intValue") and isinstance(value, str), attribute)
        check(attribute["key"] not in known, f"{attribute['key']} twice")
        known[attribute["key"]] = int(value) if kind == "intValue" else value
    return known


def one(spans, name, parent=None):
    found = [span for span in spans if span["name"] == name and parent in (None, span.get("parentSpanId"))]
    check(len(found) == 1, f"{len(found)} spans {name} below {parent}: {sorted(span['name'] for span in spans)}")
    return found[0]


class Context:
    """What a client that traces sends."""

    def __init__(self, flags="01"):
        self.trace, self.span = secrets.token_hex(16), secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.trace}-{self.span}-{flags}"}


def scrape(client):
    _, page = client.expect(200, "GET", "/metrics")
    return {name: float(value) for name, value in re.findall(r"^(berth_trace_\S+) (\S+)$", page.decode(), re.M)}


class Traces:
    def __init__(self, work, collector):
        self.work, self.collector = work, collector

    def berth(self, name, **settings):
        told = {"tracing.endpoint": self.collector.url, "tracing.interval": "100ms"}
        told.update({key.replace("__", "."): value for key, value in settings.items()})
        return Berth(settings=told, log=os.path.join(self.work, name + ".log"))

    def push_and_pull(self):
        """Spans of the client's own trace: below its span the requests, below those what they waited for."""
        with self.berth("push") as berth:
            client, push, pull = berth.client(), Context(), Context()
            layer = os.urandom(300_000)
            headers, _ = client.expect(202, "POST", "/v2/team/secret-app/blobs/uploads/", headers=push.headers)
            client.expect(201, "PUT", f"{headers['location']}?digest={sha256(layer)}", body=layer, headers=push.headers)
            config = client.push_blob("team/secret-app", b"{}")  # without a trace of its own
            document = json.dumps(image(config, 2, [(sha256(layer), len(layer))])).encode()
            client.push_manifest("team/secret-app", "v1", document, headers=push.headers)
            client.expect(200, "GET", "/v2/team/secret-app/manifests/v1", headers=dict(pull.headers, tracestate="foo=1"))
            client.expect(200, "GET", f"/v2/team/secret-app/blobs/{sha256(layer)}?token=SECRET", headers=pull.headers)
            client.expect(404, "GET", "/v2/team/secret-app/manifests/v2", headers=pull.headers)

            spans = self.collector.of(push.trace, 10)
            start = one(spans, "POST /v2/{name}/blobs/uploads/", push.span)
            finish = one(spans, "PUT /v2/{name}/blobs/uploads/{upload}", push.span)
            manifest = one(spans, "PUT /v2/{name}/manifests/{reference}", push.span)
            for name in ("claim upload", "receive body", "hash", "sync file", "commit"):
                child = one(spans, name, finish["spanId"])
                for edge, order in (("startTimeUnixNano", 1), ("endTimeUnixNano", -1)):
                    check(order * int(child[edge]) >= order * int(finish[edge]), f"{name} is not within its request")
            one(spans, "receive body", manifest["spanId"])
            one(spans, "commit", manifest["spanId"])
            check(start["kind"] == finish["kind"] == SERVER, "kinds")
            check(finish["flags"] == 0x301, finish["flags"])  # sampled, and its parent is known to be another's
            said = finish["said"]
            check(said["http.request.body.size"] == len(layer) and said["http.response.status_code"] == 201, said)
            check(said["client.address"] == "127.0.0.1" and said["url.path"].startswith("/v2/team/secret-app/blobs/"), said)

            spans = self.collector.of(pull.trace, 3)
            check(one(spans, "GET /v2/{name}/blobs/{digest}")["said"]["http.response.body.size"] == len(layer), "bytes")
            both = [span for span in spans if span["name"] == "GET /v2/{name}/manifests/{reference}"]
            check(sorted(span["said"]["http.response.status_code"] for span in both) == [200, 404], both)
            check(sorted(span.get("traceState", "") for span in both) == ["", "foo=1"], both)
            check(all(span["status"] == {} for span in spans), "what is not there is no failure")
            told = json.dumps(self.collector.spans)
            check("SECRET" not in told, "a query was told")
            check(not [span for span in self.collector.spans if "secret-app" in span["name"]], "a name has a repository in it")

            berth.stop()  # so that the log is written
            lines = [json.loads(line) for line in berth.log_tail(1 << 20).splitlines() if push.trace in line]
            check({line["span_id"] for line in lines} == {start["spanId"], finish["spanId"], manifest["spanId"]}, lines)
            check({line["request_id"] for line in lines} == {s["said"]["berth.request_id"] for s in (start, finish, manifest)}, lines)
            own = [span for span in self.collector.spans if span["traceId"] not in (push.trace, pull.trace)]
            check(own and all("parentSpanId" not in span for span in own if span["kind"] == SERVER), "a trace of our own")

    def not_sampled(self):
        """What the client does not record is not recorded; nor is health, nor anything else when the ratio is 0."""
        with self.berth("sampling", tracing__sample_ratio="0") as berth:
            before, client = len(self.collector.spans), berth.client()
            for headers in ({}, Context("00").headers, {"traceparent": "00-bad"}):
                client.expect(200, "GET", "/v2/", headers=headers)
            client.expect(200, "GET", "/livez", headers=Context().headers)
            last = Context()
            client.expect(200, "GET", "/v2/", headers=last.headers)
            self.collector.of(last.trace)
            check(len(self.collector.spans) == before + 1, self.collector.spans[before:])

    def to_the_issuer(self):
        """Whoever is asked because of a request hears of its trace, as a child of what asks."""
        need("openssl")
        certs = os.path.join(self.work, "certs")
        run(BERTH, "certs", "dev", "--out", certs)
        issuer = Issuer(self.work, certs + "/tls.crt", certs + "/tls.key")
        oidc = [{"name": "cluster", "issuer": issuer.url, "audience": "berth", "ca": certs + "/ca.crt", "reach": "private",
                 "rules": [{"claims": {"sub": "system:serviceaccount:prod:*"}, "groups": ["deployers"]}]}]
        try:
            with self.berth("issuer", auth__users="true", auth__oidc=json.dumps(oidc)) as berth:
                asks = Context()
                token = issuer.service_account_token("prod", "deployer", "berth")
                berth.client().expect(200, "GET", "/v2/", headers=dict(basic("any", token), **asks.headers))
                spans = self.collector.of(asks.trace, 4)
                request = one(spans, "GET /v2/", asks.span)
                login = one(spans, "authenticate", request["spanId"])
                check(login["said"] == {"berth.auth.method": "oidc", "berth.auth.result": "ok"}, login)
                for path in issuer.documents():
                    asked = [span for span in spans if span["said"].get("url.full") == issuer.url + path]
                    check(len(asked) == 1 and asked[0]["parentSpanId"] == login["spanId"], spans)
                    check(asked[0]["kind"] == CLIENT and asked[0]["name"] == "GET", asked)
                    check(issuer.parents[path] == f"00-{asks.trace}-{asked[0]['spanId']}-01", issuer.parents)
                wrong = Context()
                berth.client().expect(401, "GET", "/v2/", headers=dict(basic("root", "not the password"), **wrong.headers))
                spans = self.collector.of(wrong.trace, 3)
                login = one(spans, "authenticate", one(spans, "GET /v2/", wrong.span)["spanId"])
                check(login["said"] == {"berth.auth.method": "basic", "berth.auth.result": "denied"}, login)
                one(spans, "check password", login["spanId"])
                told = json.dumps(self.collector.spans)
                check(token not in told and "not the password" not in told, "a secret was told")
        finally:
            issuer.stop()

    def passed_on(self):
        """Without a collector berth records nothing, and whom it asks still hears of the client's trace, as it is."""
        need("openssl")
        certs = os.path.join(self.work, "certs")
        if not os.path.exists(certs):
            run(BERTH, "certs", "dev", "--out", certs)
        issuer = Issuer(self.work, certs + "/tls.crt", certs + "/tls.key")
        oidc = [{"name": "cluster", "issuer": issuer.url, "audience": "berth", "ca": certs + "/ca.crt", "reach": "private",
                 "rules": [{"claims": {"sub": "system:serviceaccount:prod:*"}, "groups": ["deployers"]}]}]
        try:
            for flags in ("01", "00"):
                with Berth(settings={"auth.users": "true", "auth.oidc": json.dumps(oidc)}) as berth:
                    asks = Context(flags)
                    token = issuer.service_account_token("prod", "deployer", "berth")
                    berth.client().expect(200, "GET", "/v2/", headers=dict(basic("any", token), **asks.headers, tracestate="foo=1"))
                    for path in issuer.documents():
                        check(issuer.parents[path] == asks.headers["traceparent"], f"{issuer.parents}, not {asks.headers}")
                        check(issuer.states[path] == "foo=1", issuer.states)
        finally:
            issuer.stop()

    def hangs(self):
        """A collector that takes and never answers: requests are as fast as ever, what is too much is counted."""
        collector, self.collector = self.collector, Collector()
        self.collector.hang.set()
        try:
            with self.berth("hangs", tracing__queue="16", tracing__batch="8", tracing__timeout="1m") as berth:
                client, slowest = berth.client(), 0
                for _ in range(300):
                    began = time.monotonic()
                    client.expect(200, "GET", "/v2/")
                    slowest = max(slowest, time.monotonic() - began)
                check(slowest < 1, f"a request took {slowest:.1f} s")
                counts = scrape(client)
                check(counts['berth_trace_spans_total{result="sent"}'] == 0, counts)
                dropped = counts['berth_trace_spans_total{result="dropped"}']
                check(250 <= dropped < 300 and counts["berth_trace_queue_spans"] <= 16, counts)
                began = time.monotonic()
                berth.stop()
                took = time.monotonic() - began
                check(took < 8, f"the end took {took:.1f} s")
                return f"slowest request {slowest * 1000:.1f} ms, {dropped:.0f} of 300 spans dropped"
        finally:
            self.collector.stop()
            self.collector = collector

    def away(self):
        """Nobody at the address: pushes and pulls go on, and it is said once."""
        gone = Collector()
        gone.stop()
        with self.berth("away", tracing__endpoint=gone.url) as berth:
            client = berth.client()
            client.push_image("team/app", "v1", [b"layer"])
            client.expect(200, "GET", "/v2/team/app/manifests/v1")
            end = time.monotonic() + 20
            while scrape(client)['berth_trace_requests_total{result="again"}'] < 2:
                check(time.monotonic() < end, "nobody tried again")
                time.sleep(0.05)
            berth.stop()
            said = berth.log_tail(1 << 20).count("spans do not reach the collector")
            check(said == 1, f"said {said} times")

    def at_the_end(self):
        """What waits for company when berth is told to stop is still sent."""
        last = Context()
        with self.berth("end", tracing__interval="1m") as berth:
            berth.client().expect(200, "GET", "/v2/", headers=last.headers)
            check(not [span for span in self.collector.spans if span["traceId"] == last.trace], "sent at once")
        self.collector.of(last.trace)

    def refused(self):
        """Settings that can do nothing are told before anything begins."""
        for settings, sentence in (({"tracing.endpoint": "127.0.0.1:4318"}, "tracing.endpoint: is not such an address"),
                                   ({"tracing.headers_file": "/nowhere"}, "tracing.headers_file: has no effect"),
                                   ({"tracing.sample_ratio": "2"}, "expected a number from 0 to 1")):
            command = [BERTH, "config", "check"]
            for key, value in settings.items():
                command += ["--set", f"{key}={value}"]
            said = run(*command, ok=False)
            check(sentence in said, said)


def main():
    report = Report("traces")
    work = tempfile.mkdtemp(prefix="berth-traces-")
    collector = Collector()
    traces = Traces(work, collector)
    try:
        for name, function in (("a push and a pull", traces.push_and_pull), ("not sampled", traces.not_sampled),
                               ("what berth asks of others", traces.to_the_issuer), ("without a collector", traces.passed_on),
                               ("a collector that hangs", traces.hangs),
                               ("a collector that is away", traces.away), ("the end", traces.at_the_end),
                               ("settings", traces.refused)):
            report.case(name, function)
    finally:
        collector.stop()
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

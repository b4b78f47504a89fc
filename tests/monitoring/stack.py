"""The Compose stack's own berth, Prometheus and Alertmanager, from the stack's configuration files: every expression of
the dashboard returns data, the commands of the runbooks work, and staged faults reach Slack and a mailbox.

Time passes sixty times faster: the rules and the configurations of both programs are copies in which every duration is
divided (shorten.py), and nothing else is changed. Prometheus scrapes some more berths, which are there to fail.
"""

import concurrent.futures
import http.client
import math
import os
import re
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checked import DASHBOARD, MEMORY, RULES, load_json
from faults import DISK, NOT_STAGED, Faults, large_manifest
from harness import Report, Skip, check
from machine import GUESSER_ADDRESS, OTHERS, STACK, Machine, enter_namespaces, instance_of
from receivers import Heard, serve_mail, serve_slack
from shorten import shorten
from stack_files import Stack
from world import CERTIFICATES, PATIENCE, basic, make_certificate

FACTOR = 60


class Test(Faults):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.stopping = threading.Event()
        self.problems = []

    def guesser(self):
        client = self.client()
        client.connect = lambda: http.client.HTTPSConnection(client.host, client.port, timeout=30, context=client.tls,
                                                             source_address=(GUESSER_ADDRESS, 0))
        return client

    def traffic(self):
        """What people do with a registry."""
        try:
            client, other, stranger, n = self.client(), self.client("reader", "a good password"), self.guesser(), 0
            for _ in range(5):  # until the index has a file
                large_manifest(client, "team/large")
            while not self.stopping.is_set():
                n += 1
                layer = os.urandom(200_000)
                digest, layers = client.push_image("team/app", "latest", [layer, b"common"])
                client.expect(201, "POST", f"/v2/team/other/blobs/uploads/?mount={layers[0]}&from=team/app", headers={"Content-Length": "0"})
                for path in ("manifests/latest", f"manifests/{digest}", f"blobs/{layers[0]}", f"blobs/{layers[1]}", "tags/list"):
                    for method in ("GET", "HEAD") if path != "tags/list" else ("GET",):
                        client.expect(200, method, f"/v2/team/app/{path}")
                client.expect(404, "GET", "/v2/team/app/manifests/missing")
                client.expect(200, "GET", "/token?scope=repository:team/app:pull")
                other.expect(403, "GET", "/v2/team/app/manifests/latest")
                if n % 5 == 0:
                    stranger.headers = basic("nobody", f"wrong {n}")
                    stranger.request("GET", "/v2/")
                    client = self.client()
                if n > 2:
                    client.expect(202, "DELETE", f"/v2/team/app/manifests/{digest}")
                self.stopping.wait(0.3)
        except Exception as error:
            self.problems.append(error)

    def start(self):
        self.machine.run_berth("berth", "certs", "dev", "--out", CERTIFICATES, "--name", "localhost")
        self.machine.start("alertmanager")
        self.machine.start("berth")
        for name, password, role in (("admin", self.password, ["--role", "admin"]), ("reader", "a good password", [])):
            self.machine.run_berth("berth", "user", "add", name, *role, "--password-stdin", stdin=password.encode() + b"\n")
        for begin in (self.start_logins, self.start_storage, self.start_opening, self.start_idle):
            begin()
        self.machine.start("prometheus")
        self.wait_for("a scrape of each berth", lambda: len(self.query("berth_build_info")) == 1 + len(OTHERS))
        make_certificate(CERTIFICATES, 2)  # it must be so for a minute
        self.thread = threading.Thread(target=self.traffic, daemon=True)
        self.thread.start()

    def nothing_is_wrong_yet(self):
        self.wait_for("requests", lambda: self.query('sum(berth_http_requests_total{operation="manifest_put",code="201"}) > 10'))
        # How fast berth may be is the machine's business here.
        check(not self.query('ALERTS{alertstate="firing",alertname!~"BerthEventLoopLagHigh|BerthLatencyHigh"}'), self.state())
        check(not self.query("up != 1"), "something is not scraped")
        check(not self.problems, self.problems)

    def every_expression(self):
        """Of the dashboard, with the variables as Grafana fills them in; the traffic brings data for each, sooner or later."""
        wanted, count, empty = [], 0, []
        for panel in load_json(DASHBOARD)["panels"]:
            for target in panel.get("targets", []):
                expression = target["expr"]
                for name, value in (("$__rate_interval", "30s"), ("$__range", "60s"), ("$job", "berth"), ("$instance", STACK)):
                    expression = expression.replace(name, value)
                check("$" not in expression, f"{panel['title']}: {expression}")
                wanted.append((panel["title"], expression))
        end = time.monotonic() + PATIENCE
        missing = wanted
        while missing and time.monotonic() < end:
            missing = [(title, expression) for title, expression in missing
                       if not any(math.isfinite(float(series["value"][1])) for series in self.query(expression))]
            time.sleep(0.5)
        check(not self.problems, self.problems)
        check(not missing, "\n".join(f"{title}: {expression}: {self.query(expression)}" for title, expression in missing))
        return f"{len(wanted)} expressions"

    def every_metric_of_the_rules(self):
        with open(RULES) as f:
            text = re.sub(r"^\s*#.*$", "", f.read(), flags=re.MULTILINE)
        expressions = "\n".join(re.findall(r"expr: (.*?)(?=\n +(?:for|labels|- record)|\Z)", text, re.DOTALL))
        names = set(re.findall(r"(?<![:\w])(?:berth|process)_\w+", expressions))
        missing = [name for name in sorted(names) if not self.query(name)]
        check(not missing, f"no such series: {missing}")
        return f"{len(names)} metrics"

    def end_of_traffic(self):
        self.stopping.set()
        self.thread.join(30)
        check(not self.problems, self.problems)

    def everything_was_staged(self):
        staged = {alert for alert, _ in self.heard.everywhere()}
        check(staged == set(self.rules) - NOT_STAGED, f"not as faults.py says: {staged ^ (set(self.rules) - NOT_STAGED)}")
        check(not self.heard.strange, self.heard.strange)
        return f"{len(staged)} of {len(self.rules)} alerts, {self.commands} queries and commands of their runbooks"


def run_lane(lane, outcomes):
    for name, stage in lane:
        began = time.monotonic()
        try:
            detail = stage()
            took = f"{time.monotonic() - began:.0f} s"
            outcomes[name].set_result(f"{detail}, {took}" if detail else took)
        except BaseException as error:  # the next fault is staged all the same
            outcomes[name].set_exception(error)


def stage_all(report, test):
    lanes = test.lanes()
    outcomes = {name: concurrent.futures.Future() for lane in lanes for name, _ in lane}
    for lane in lanes:
        threading.Thread(target=run_lane, args=(lane, outcomes), daemon=True).start()
    for name, outcome in outcomes.items():
        report.case(name, outcome.result, 3 * PATIENCE)


def faster(work, stack):
    """The same files, but for their durations; and the berths that are there to fail are scraped as well."""
    prometheus = os.path.join(work, "monitoring/prometheus/prometheus.yml")
    for path in (stack.path("state/alertmanager.yml"), prometheus, stack.path("state/berth.rules.yml")):
        with open(path) as f:
            text = shorten(f.read(), FACTOR)
        if path == prometheus:
            others = "".join(f', "{instance_of(name)}"' for name in OTHERS)
            check(text.count(f'["{STACK}"]') == 1, text)
            text = text.replace(f'["{STACK}"]', f'["{STACK}"{others}]')
        with open(path, "w") as f:
            f.write(text)


def main():
    report = Report("stack")
    try:
        enter_namespaces()
    except Skip as skip:
        report.skipped.append(str(skip))
        return report.finish()
    heard = Heard()
    with tempfile.TemporaryDirectory(prefix="berth-stack-", dir=MEMORY) as work:
        os.chmod(work, 0o755)
        slack, mail = serve_slack(heard), serve_mail(heard)
        stack = Stack(work, f"http://127.0.0.1:{slack}/", f"SMTP_HOST=localhost:{mail}\nSMTP_TLS=false\nMAIL_TO=operator@localhost\n")
        faster(work, stack)
        with Machine(stack, "tls", DISK) as machine:
            test = Test(stack, machine, heard)
            report.case("berth, Prometheus and Alertmanager start from the stack's files", test.start)
            if not report.failed:
                report.case("nothing is wrong yet", test.nothing_is_wrong_yet)
                report.case("every metric of the rules is there", test.every_metric_of_the_rules)
                report.case("every expression of the dashboard returns data", test.every_expression)
                report.case("the traffic was served", test.end_of_traffic)
                stage_all(report, test)
                report.case("every alert but those that faults.py names", test.everything_was_staged)
            test.stop_logins()
            if report.failed:
                for name in machine.logs:
                    print(f"---- {name}\n{machine.log(name)}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""What the tests of the running stack share: asking Prometheus, waiting for messages, reading the runbooks."""

import base64
import json
import os
import re
import ssl
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checked import RUNBOOKS, alerts
from harness import BERTH, Client, Failure, check, run
from machine import BERTH_ADDRESS, OTHERS, fetch, instance_of

# Seconds; the longest wait for anything. A message takes ten or twenty of them on a machine that has nothing else to do.
PATIENCE = 240
CERTIFICATES = "/var/lib/berth/certs"


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def make_certificate(folder, days):
    """For localhost, by itself, with its key, moved into place as a renewal would be."""
    os.makedirs(folder, exist_ok=True)
    certificate, key = os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", str(days), "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-keyout", key + ".new", "-out", certificate + ".new")
    os.rename(key + ".new", key)
    os.rename(certificate + ".new", certificate)


class World:
    def __init__(self, stack, machine, heard):
        self.stack, self.machine, self.heard = stack, machine, heard
        self.password = stack.read("secrets/berth_password").strip()
        self.rules = {}
        for rule in alerts():
            self.rules.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
        self.looked = threading.Lock()
        self.commands = 0

    def client(self, name="admin", password=None, timeout=30):
        """Of the stack's berth."""
        anyone = ssl._create_unverified_context()  # the certificate changes under way; who trusts it is tested elsewhere
        return Client(5000, timeout=timeout, host=BERTH_ADDRESS, tls=anyone, headers=basic(name, password or self.password))

    def client_of(self, name, address="127.0.0.1", headers=None, timeout=30):
        """Of one of the others."""
        return Client(OTHERS[name][0], timeout=timeout, host=address, headers=headers)

    # ---- Prometheus and Alertmanager ----

    def query(self, expression):
        answer = json.loads(fetch("http://prometheus:9090/api/v1/query?" + urllib.parse.urlencode({"query": expression}), timeout=30))
        return answer["data"]["result"]

    def state(self):
        firing = sorted((r["metric"]["alertname"], r["metric"].get("instance", ""), r["metric"]["alertstate"]) for r in self.query("ALERTS"))
        return "\n".join([f"alerts {firing}", *(f"{way} {sorted(told)}" for way, told in self.heard.fired.items())])

    def wait_for(self, what, condition, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.2)
        raise Failure(f"{what} not within {seconds} s\n" + self.state())

    def was_told(self, alert, name):
        return (alert, instance_of(name)) in self.heard.everywhere()

    def told(self, alert, name, severity=None, seconds=PATIENCE):
        """The alert of that berth came by Slack and by mail, and its page leads on: its queries and commands say something."""
        self.wait_for(f"{alert} of {name} by Slack and mail", lambda: self.was_told(alert, name), seconds)
        for way, messages in self.heard.fired.items():
            said, text = messages[alert, instance_of(name)]
            check(said in ({severity} if severity else self.rules[alert]), f"{way}: {alert} is {said}")
            check(f"docs/runbooks/{alert}.md" in text and instance_of(name) in text, f"{way}: {alert} says\n{text}")
            check("no value" not in text and "{{" not in text, f"{way}: {alert} says\n{text}")
        self.look(alert, name)

    def well_again(self, alert, name, seconds=PATIENCE):
        self.wait_for(f"the end of {alert} of {name} by Slack and mail", lambda: (alert, instance_of(name)) in self.heard.over_everywhere(), seconds)

    # ---- runbooks ----

    def look(self, alert, name):
        """Types what the alert's runbook says to type, where that berth runs: journalctl and systemctl are its log and its
        state. Everything must succeed and say something."""
        tools = self.stack.path(f"tools-{name}")
        os.makedirs(tools, exist_ok=True)
        for tool, script in (("journalctl", f"cat {self.machine.logs[name]}"), ("systemctl", "echo NRestarts=0"), ("berth", f'exec {BERTH} "$@"')):
            path = os.path.join(tools, tool)
            with self.looked, open(path + ".new", "w") as f:
                f.write(f"#!/bin/sh\n{script}\n")
                os.chmod(path + ".new", 0o755)
                os.rename(path + ".new", path)
        with open(os.path.join(RUNBOOKS, f"{alert}.md")) as f:
            blocks = re.findall(r"^```(sh|promql)\n(.*?)^```", f.read(), re.MULTILINE | re.DOTALL)
        environment = {"PATH": tools + ":" + os.environ["PATH"], "BERTH_CONFIG": self.machine.configuration(name)}
        for kind, block in blocks:
            for line in block.strip().split("\n"):
                if kind == "promql":
                    self.wait_for(f"{alert}.md: data for {line}", lambda: self.query(line), 60)
                else:
                    here = line.replace("/var/lib/berth", self.machine.data(name))
                    said = run(*self.machine.inside(name), "bash", "-o", "pipefail", "-c", here, env=environment)
                    check(said.strip(), f"{alert}.md: {line}\nsays nothing")
                with self.looked:
                    self.commands += 1

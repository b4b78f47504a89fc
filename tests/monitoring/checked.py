"""What the tests of deploy/monitoring and deploy/compose share: files as values, and the programs that judge them."""

import json
import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "clients"))
sys.path.insert(0, TESTS)
from harness import ROOT, run
from tools import python_tools

MONITORING = os.path.join(ROOT, "deploy", "monitoring")
COMPOSE = os.path.join(ROOT, "deploy", "compose")
RULES = os.path.join(MONITORING, "rules", "berth.rules.yml")
DASHBOARD = os.path.join(MONITORING, "grafana", "berth.json")
RUNBOOKS = os.path.join(ROOT, "docs", "runbooks")
# Prometheus' own programs sync what they write; nothing here has to outlive the test.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def bin_folder():
    """Of a Python environment with what requirements.txt pins."""
    return python_tools("monitoring", os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements.txt"))


def load_yaml(path):
    program = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    return json.loads(run(os.path.join(bin_folder(), "python"), "-c", program, path))


def load_json(path):
    with open(path) as f:
        return json.load(f)


def alerts():
    return [rule for group in load_yaml(RULES)["groups"] for rule in group["rules"] if "alert" in rule]

"""The files of deploy/compose and deploy/monitoring, without starting anything: schemas, what `up` makes of Alertmanager's
configuration with and without addresses, who would hear of which alert, and the dashboard's own rules."""

import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checked import COMPOSE, DASHBOARD, MONITORING, bin_folder, load_json, load_yaml
from harness import ROOT, Report, check, need, run

PROFILES = ("plain", "auth", "tls")


class Stack:
    """A copy of deploy/compose and deploy/monitoring that `up --prepare` may write to."""

    def __init__(self, work, slack="", mail=""):
        shutil.copytree(MONITORING, os.path.join(work, "monitoring"))
        self.folder = os.path.join(work, "compose")
        shutil.copytree(COMPOSE, self.folder, ignore=shutil.ignore_patterns("secrets", "state", "alerts.env"))
        if slack:
            os.makedirs(self.path("secrets"), mode=0o700)
            self.write("secrets/slack_url", slack)
        if mail:
            self.write("alerts.env", mail)
        self.prepare()

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name)) as f:
            return f.read()

    def prepare(self):
        run(self.path("up"), "--prepare")


def compose_file(work):
    run(os.path.join(bin_folder(), "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", os.path.join(COMPOSE, "compose.yaml"))
    stack = Stack(work)
    compose = need("docker-compose")
    for profile in PROFILES:
        told = run(compose, "config", "--services", cwd=stack.folder, env={"COMPOSE_PROFILES": profile}).split()
        berth = "berth" if profile == "plain" else f"berth-{profile}"
        check(set(told) >= {berth, "prometheus", "alertmanager", "grafana"}, f"{profile}: {told}")
    return f"{len(PROFILES)} profiles"


def nothing_past_loopback():
    document = load_yaml(os.path.join(COMPOSE, "compose.yaml"))
    for name, service in document["services"].items():
        for port in service.get("ports", []):
            check(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), f"{name} publishes {port}")
        check("network_mode" not in service and not service.get("privileged"), f"{name} is not confined")
        check(service["cap_drop"] == ["ALL"] and service["read_only"], f"{name} has more rights than it needs")
        check(re.fullmatch(r"[a-z/]+:(v?\d+\.\d+\.\d+|local)", service["image"]), f"{name}: {service['image']} is not pinned")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                check(mount.endswith(":ro"), f"{name} may write {source}")
                check(source.startswith("./state/") or os.path.exists(os.path.join(COMPOSE, source)), f"{name}: {source} is not there")


def secrets_are_made(work):
    one, two = Stack(os.path.join(work, "1")), Stack(os.path.join(work, "2"))
    check(oct(os.stat(one.path("secrets")).st_mode)[-3:] == "700", "others may look into secrets/")
    for name in ("berth_password", "grafana_password"):
        check(len(one.read(f"secrets/{name}")) >= 24 and one.read(f"secrets/{name}") != two.read(f"secrets/{name}"), f"{name} is not random")
        before = one.read(f"secrets/{name}")
        one.prepare()
        check(one.read(f"secrets/{name}") == before, f"{name} was made anew")
    for name in ("slack_url", "smtp_password"):
        check(one.read(f"secrets/{name}") == "", f"{name} has a default")
    known = [os.path.join(folder, name) for folder, _, names in os.walk(COMPOSE) for name in names
             if not {"secrets", "state"} & set(folder.split(os.sep))]
    for path in known:
        with open(path) as f:
            check(not re.search(r"(?i)password[^_\n]*[:=] *\"?[a-z0-9]{4,}", f.read()), f"{path} has a password in it")


MAIL = "SMTP_HOST=mail.example.com:587   # ours\nMAIL_TO=a@example.com, b@example.com\n"


def alertmanager(work):
    """Who hears of what, with every combination of addresses."""
    critical, warning = ["alertname=BerthDown", "severity=critical"], ["alertname=BerthLatencyHigh", "severity=warning"]
    other = ["alertname=DiskOfSomebodyElse", "severity=critical"]
    for name, slack, mail, told in [
        ("nothing", "", "", "nobody"),
        ("slack", "https://hooks.slack.example/x", "", "slack"),
        ("mail", "", MAIL, "mail"),
        ("both", "https://hooks.slack.example/x", MAIL + "SMTP_USER=berth\n", "slack,mail"),
    ]:
        stack = Stack(os.path.join(work, name), slack, mail)
        file = stack.path("state/alertmanager.yml")
        text = stack.read("state/alertmanager.yml")
        check(not re.search(r"^[^#\n]*@[A-Z_]+@", text, re.MULTILINE), f"{name}: something was not filled in:\n{text}")
        check(("smtp_auth_username" in text) == ("SMTP_USER" in mail), f"{name}: login at the mail server")
        run(need("amtool"), "check-config", file)
        for labels, wanted in ((critical, told), (warning, told), (other, "nobody")):
            got = run("amtool", "config", "routes", "test", f"--config.file={file}", *labels).split()[-1]
            check(got == wanted, f"{name}: {labels} goes to {got}, not to {wanted}")


def prometheus(work):
    """Its configuration, with the files where the stack mounts them."""
    with open(os.path.join(MONITORING, "prometheus/prometheus.yml")) as f:
        text = f.read()
    mounts = load_yaml(os.path.join(COMPOSE, "compose.yaml"))["services"]["prometheus"]["volumes"]
    target = next(m.split(":")[1] for m in mounts if "berth.rules.yml" in m)
    pattern = re.search(r"rule_files: \[(.*)\]", text)[1]
    check(os.path.dirname(target) == os.path.dirname(pattern) and target.endswith(".rules.yml"), f"{target} is not among {pattern}")
    file = os.path.join(work, "prometheus.yml")
    with open(file, "w") as f:
        f.write(text.replace(os.path.dirname(pattern), os.path.join(MONITORING, "rules")))
    check("1 rule files" in run(need("promtool"), "check", "config", file), "no rule file")


def links_to_runbooks(work):
    """The alerts as they are, or with the address where the runbooks are published, and otherwise the same."""
    with open(os.path.join(MONITORING, "rules/berth.rules.yml")) as f:
        original = f.read()
    for name, setting, base in [("none", "", "docs/runbooks"), ("empty", "RUNBOOK_BASE=\n", "docs/runbooks"),
                                ("one", "RUNBOOK_BASE=https://docs.example.com/a&b   # ours\n", "https://docs.example.com/a&b"),
                                ("with a slash", "RUNBOOK_BASE=https://docs.example.com/runbooks/\n", "https://docs.example.com/runbooks")]:
        stack = Stack(os.path.join(work, name), mail=setting)
        rules = load_yaml(stack.path("state/berth.rules.yml"))
        links = [rule["annotations"].pop("runbook_url") for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
        for link in links:
            check(re.fullmatch(re.escape(base) + r"/Berth\w+\.md", link), f"{name}: {link}")
        file = os.path.join(work, "original.yml")
        with open(file, "w") as f:
            f.write(re.sub(r" +runbook_url: .*\n", "", original))
        check(len(links) > 20 and rules == load_yaml(file), f"{name}: other rules than those of deploy/monitoring")
        run(need("promtool"), "check", "rules", stack.path("state/berth.rules.yml"))


# What a panel may show; others are a slip.
UNITS = {"short", "percentunit", "reqps", "ops", "s", "Bps", "bytes"}
ROWS = ["Overview", "Pull and push", "Latency", "Logins", "Storage", "Index (RocksDB)", "Collection", "Process"]


def dashboard():
    document = load_json(DASHBOARD)
    check(document["uid"] == "berth" and "id" not in document, "a dashboard that is provisioned has a uid and no id")
    names = [variable["name"] for variable in document["templating"]["list"]]
    check(names == ["datasource", "job", "instance"], f"variables {names}")
    panels = document["panels"]
    ids = [panel["id"] for panel in panels]
    check(len(set(ids)) == len(ids), "two panels have one id")
    check([p["title"] for p in panels if p["type"] == "row"] == ROWS, "other rows than docs/monitoring.md tells of")
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        check(place["x"] + place["w"] <= 24, f"{panel['title']} reaches over the edge")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                check((x, y) not in taken, f"{panel['title']} lies over another")
                taken.add((x, y))
        if panel["type"] == "row":
            continue
        check(len(panel.get("description", "")) > 5, f"{panel['title']} does not say what it shows")
        check(panel["fieldConfig"]["defaults"]["unit"] in UNITS, f"{panel['title']}: unit")
        if panel["type"] == "heatmap":
            check(panel["options"]["yAxis"]["unit"] in UNITS, f"{panel['title']}: unit of the y axis")
        for thing in (panel, *panel["targets"]):
            check(thing["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, f"{panel['title']}: data source")
        references = [target["refId"] for target in panel["targets"]]
        check(len(set(references)) == len(references), f"{panel['title']}: refId")
        for target in panel["targets"]:
            series = len(re.findall(r"\b(?:berth|process)_\w+\{", target["expr"]))
            chosen = target["expr"].count('job=~"$job",instance=~"$instance"')
            check(series == chosen > 0, f"{panel['title']}: {target['expr']} does not follow the variables")
    return f"{len(panels)} panels"


def provisioning():
    compose = load_yaml(os.path.join(COMPOSE, "compose.yaml"))["services"]["grafana"]
    folder = os.path.join(MONITORING, "grafana/provisioning")
    provider = load_yaml(os.path.join(folder, "dashboards/berth.yml"))["providers"][0]
    check(any(m.split(":")[1].startswith(provider["options"]["path"] + "/") for m in compose["volumes"]), "no dashboard is mounted where Grafana looks")
    source = load_yaml(os.path.join(folder, "datasources/prometheus.yml"))["datasources"][0]
    check(source["type"] == "prometheus" and source["url"] == "http://prometheus:9090", f"data source {source}")


def main():
    report = Report("stack files")
    with tempfile.TemporaryDirectory(prefix="berth-stack-") as work:
        for name in "compose", "secrets", "routes", "prometheus", "links":
            os.makedirs(os.path.join(work, name))
        report.case("compose file", compose_file, os.path.join(work, "compose"))
        report.case("nothing past loopback", nothing_past_loopback)
        report.case("secrets are made, never known", secrets_are_made, os.path.join(work, "secrets"))
        report.case("alertmanager tells whom it should", alertmanager, os.path.join(work, "routes"))
        report.case("prometheus' configuration", prometheus, os.path.join(work, "prometheus"))
        report.case("links to runbooks", links_to_runbooks, os.path.join(work, "links"))
        report.case("dashboard", dashboard)
        report.case("provisioning of grafana", provisioning)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""The alert rules: Prometheus takes them, each fires in its case and stays quiet in the near miss, each has a runbook."""

import glob
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checked import MEMORY, RULES, RUNBOOKS, alerts, load_yaml
from harness import Report, check, need, run
from shorten import shorten

CASES = sorted(glob.glob(os.path.join(os.path.dirname(RULES), "*.test.yml")))


def prometheus_takes_them():
    told = run(need("promtool"), "check", "rules", RULES)
    check("SUCCESS" in told, told)


def cases():
    with tempfile.TemporaryDirectory(dir=MEMORY) as memory:
        run(need("promtool"), "test", "rules", *CASES, env={"TMPDIR": memory}, timeout=600)


def every_alert_has_both_cases():
    fires, quiet = set(), set()
    for path in CASES:
        for test in load_yaml(path)["tests"]:
            for row in test["alert_rule_test"]:
                for expected in row["exp_alerts"]:
                    fires.add((row["alertname"], expected["exp_labels"]["severity"]))
                if not row["exp_alerts"]:
                    quiet.add(row["alertname"])
    wanted = {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}
    check(fires == wanted, f"no case that fires, or no such alert: {fires ^ wanted}")
    check(quiet == {name for name, _ in wanted}, f"no near miss, or no such alert: {quiet ^ {name for name, _ in wanted}}")
    return f"{len(wanted)} alerts"


def every_alert_says_what_to_do():
    for rule in alerts():
        notes = rule["annotations"]
        check(set(notes) == {"summary", "description", "runbook_url"}, f"{rule['alert']} has {sorted(notes)}")
        check(rule["labels"]["severity"] in ("warning", "critical"), f"{rule['alert']}: {rule['labels']}")
        check(notes["runbook_url"] == f"docs/runbooks/{rule['alert']}.md", f"{rule['alert']}: {notes['runbook_url']}")


def a_faster_copy():
    """In the copy for staged faults nothing lasts as long as before, and nothing else is different."""
    with open(RULES) as f:
        original = f.read()
    fast = shorten(original, 60)
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as copy:
        copy.write(fast)
        copy.flush()
        run(need("promtool"), "check", "rules", copy.name)
    code = re.sub(r"^ *#.*$", "", fast, flags=re.MULTILINE)
    left = re.findall(r"(?:for: |offset |\[)\d+(?:s|m|h|d)\b|24 \* 3600", code)
    check(not left, f"these stayed as they were: {left}")
    durations = [int(found) for found in re.findall(r"(?:for: |offset |\[)(\d+)ms", code)]
    check(max(durations) == 24 * 60_000 and min(durations) == 2000, f"{sorted(set(durations))}")
    check(re.sub(r"\d+ms|\d+[smhd]\b|24 \* 3600|1440", "", original) == re.sub(r"\d+ms|\d+[smhd]\b|24 \* 3600|1440", "", fast), "something else changed")


def runbooks():
    names = {rule["alert"] for rule in alerts()}
    found = {os.path.basename(path)[:-3] for path in glob.glob(os.path.join(RUNBOOKS, "*.md"))}
    check(found == names, f"alerts and runbooks differ: {found ^ names}")
    for name in sorted(found):
        with open(os.path.join(RUNBOOKS, name + ".md")) as f:
            text = f.read()
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        check(headings == [name, "Meaning", "How to look", "Remedy"], f"{name}: headings {headings}")
        for target in re.findall(r"\]\(([^)#]+)", text):
            check(os.path.exists(os.path.join(RUNBOOKS, target)), f"{name}: {target} is not there")
    return f"{len(found)} pages"


def main():
    report = Report("alert rules")
    report.case("Prometheus takes them", prometheus_takes_them)
    report.case("each fires, and not in the near miss", cases)
    report.case("each has a case that fires and one that does not", every_alert_has_both_cases)
    report.case("each has a summary, a description and a runbook", every_alert_says_what_to_do)
    report.case("a copy in which time passes faster", a_faster_copy)
    report.case("each runbook belongs to an alert", runbooks)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

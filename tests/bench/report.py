"""docs/performance.md and docs/performance.json: what was measured, on what, and what of the targets was met."""

import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import time

from harness import ROOT
from rows import shown, times
from work import MIB, hash_alone

PAGE = os.path.join(ROOT, "docs", "performance.md")
RAW = os.path.join(ROOT, "docs", "performance.json")
MARKS = ("<!-- measured: begin -->", "<!-- measured: end -->")
BUSY_SHARE = 0.1  # of all cores, by others, from which on a run is worth little


def cpu_times():
    """Jiffies of the whole machine: (all, not idle, stolen by the hypervisor)."""
    with open("/proc/stat") as f:
        fields = [int(x) for x in f.readline().split()[1:9]]
    return sum(fields), sum(fields) - fields[3] - fields[4], fields[7]


def share(before, after, index):
    return (after[index] - before[index]) / max(1, after[0] - before[0])


def first_line(*command):
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.stdout.strip().splitlines()[0]
    except (OSError, IndexError):
        return "?"


def kernel_tls():
    try:
        with open("/proc/sys/net/ipv4/tcp_available_ulp") as f:
            return "tls" in f.read().split()
    except OSError:
        return False


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*:\s*(.*)", f.read())
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) / MIB
    folder = os.environ.get("TMPDIR", "/tmp")
    return {"cores": os.cpu_count(), "processor": model[1] if model else platform.machine(), "memory GiB": round(memory),
            "kernel": platform.release(), "kernel TLS": kernel_tls(),
            "file system": first_line("findmnt", "-n", "-o", "FSTYPE", "-T", folder),
            "SHA-256 MiB/s": round(hash_alone()["MiB/s"]),
            "tools": {"OpenSSL": first_line("openssl", "version").split()[1], "curl": first_line("curl", "--version").split()[1],
                      "wrk": first_line("dpkg-query", "-W", "-f", "${Version}", "wrk")}}


def quietness(seconds=2):
    """How busy the machine is before anything is measured: {"load average": …, "busy": share of all cores}."""
    before = cpu_times()
    time.sleep(seconds)
    return {"load average": [round(x, 2) for x in os.getloadavg()], "busy": round(share(before, cpu_times(), 1), 3)}


def noise(quiet):
    """A sentence when the machine has other things to do; else empty."""
    if quiet["busy"] < BUSY_SHARE:
        return ""
    return (f"this machine is not quiet: {quiet['busy'] * 100:.0f} % of its cores were busy before the run, load average "
            f"{', '.join(str(x) for x in quiet['load average'])}; these figures are worth little")


def cell(values):
    middle = statistics.median(values)
    if len(values) < 3:
        return shown(middle)
    return f"{shown(middle)} ({shown(min(values))}–{shown(max(values))})"


def line(cells):
    return "| " + " | ".join(cells) + " |"


def table(row, results, problems, remark=""):
    lines = [f"### {row.title}", ""]
    if results:
        metrics = list(dict.fromkeys(metric for values in results.values() for metric in values))
        first = metrics[0]
        compares = results.get("berth", {}).get(first) and len(results) > 1
        lines += [line(["", *metrics] + (["berth is"] if compares else [])), line(["---"] * (len(metrics) + (2 if compares else 1)))]
        for name, values in results.items():
            cells = [name, *(cell(values[metric]) if metric in values else "" for metric in metrics)]
            if compares:
                pair = ("berth", name) if row.higher_is_better else (name, "berth")
                ratio = times(results, *pair, first) if name != "berth" else None
                cells.append(f"{shown(ratio)} ×" if ratio else "")
            lines.append(line(cells))
    how = getattr(row(False), "how", "")
    lines += ["", " ".join(text for text in (f"`{how}`." if how else "", row.note, remark) if text)]
    lines += [f"Not measured: {problem.splitlines()[-1]}" for problem in problems]
    return "\n".join(lines).strip() + "\n"


def verdicts(row, results):
    """[(target, reached, "met" | "missed")]; what could not be measured is said, too."""
    out = []
    for target in row.targets:
        judged = target.judge(results)
        of = f"{target.mine}: " if getattr(target, "mine", "berth") != "berth" else ""
        out.append((of + target.text, *((judged[0], "met" if judged[1] else "**missed**") if judged else ("–", "not measured"))))
    return out


def overview(rows, kept):
    lines = [line(["work", "berth must reach", "reached", ""]), line(["---"] * 4)]
    for key, row in rows.items():
        if key in kept:
            lines += [line([row.title, *verdict]) for verdict in verdicts(row, kept[key]["results"])]
    return "\n".join(lines) + "\n"


def page(rows, data):
    where, quiet = data["machine"], data["quiet"]
    lines = [f"Measured {data['date']} with `{data['command']}` on {where['cores']} cores ({where['processor']}), "
             f"{where['memory GiB']} GiB, Linux {where['kernel']}, {where['file system']}; SHA-256 {where['SHA-256 MiB/s']:,} MiB/s a "
             f"core (`openssl speed -evp sha256`). Kernel TLS {'is there' if where['kernel TLS'] else 'is not in this kernel and was not tried'}.",
             "", ", ".join(f"{name} {version}" for name, version in {**data["versions"], **where["tools"]}.items()) + ".", "",
             f"Load average before the run {quiet['load average'][0]}, cores busy with other things {quiet['busy'] * 100:.0f} %" +
             (f"; {data['stolen'] * 100:.1f} % of the cores' time went to the hypervisor's other guests during it; it took "
              f"{data['minutes']:.0f} minutes." if data["minutes"] else ". The rows were measured apart.")]
    if noise(quiet):
        lines += ["", f"**Warning: {noise(quiet)}.**"]
    if data["problems"]:
        lines += ["", *(f"- Problem: {' '.join(problem.split())}" for problem in data["problems"])]
    lines += ["", overview(rows, data["rows"])]
    for key, row in rows.items():
        if key in data["rows"]:
            one = data["rows"][key]
            remark = f"Measured {one['date']}, apart from the others." if one.get("apart") else ""
            lines.append(table(row, one["results"], one["problems"], remark))
    return "\n".join(lines)


def save(rows, data):
    """The raw results, and the page made of them: between its marks, for the words around are people's."""
    with open(RAW, "w") as f:
        json.dump(data, f, indent=1)
        f.write("\n")
    with open(PAGE) as f:
        before, rest = f.read().split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    with open(PAGE, "w") as f:
        f.write(before + MARKS[0] + "\n" + page(rows, data) + MARKS[1] + after)


def today():
    return str(datetime.date.today())


def kept_before(data):
    """What an earlier run kept, for one that measures some rows anew; `data` where there is none."""
    if not os.path.exists(RAW):
        return data
    with open(RAW) as f:
        return json.load(f)

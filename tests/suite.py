"""Builds and runs every test; called by tests/run, which installs what is missing first."""

import argparse
import concurrent.futures
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import ROOT

CI = os.environ.get("CI") == "true"
CORES = os.cpu_count() or 2


class Totals:
    passed, failed, skipped = 0, [], []
    times = []


def say(text):
    print(f"== {text}", flush=True)


def build(preset, *targets, definitions=()):
    """Configures and builds with a line every 15 s that says how far it is."""
    folder = os.path.join(ROOT, "build", preset)
    subprocess.run(["cmake", "--preset", preset, *definitions], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(["ninja", "-C", folder, *targets], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=dict(os.environ, NINJA_STATUS="[%f/%t] "))
    shown, tail = time.monotonic(), []
    for line in process.stdout:
        tail = (tail + [line])[-60:]
        if time.monotonic() - shown > 15:
            shown = time.monotonic()
            print(f"   {preset}: {line.strip()[:100]}", flush=True)
        if "warning:" in line or "error:" in line:
            print("   " + line.rstrip(), flush=True)
    if process.wait() != 0:
        print("".join(tail), flush=True)
        return False
    return True


def catch_program(preset, name, arguments=(), timeout=900, environment=None):
    """Runs one Catch2 program and counts its test cases."""
    path = os.path.join(ROOT, "build", preset, "tests", name)
    began = time.monotonic()
    env = dict(os.environ, ASAN_OPTIONS="detect_stack_use_after_return=0:strict_string_checks=1",
               UBSAN_OPTIONS="print_stacktrace=1", TSAN_OPTIONS=f"suppressions={ROOT}/tests/tsan.supp:halt_on_error=1:atexit_sleep_ms=0",
               **(environment or {}))
    try:
        done = subprocess.run([path, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, env=env)
        text, code = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        text, code = (late.stdout or b"").decode(errors="replace") + f"\nstopped after {timeout} s", 1
    # The last of each: a test that runs a child of itself has that one's closing line in its output, too.
    all_passed = re.findall(r"All tests passed \(\d+ assertions? in (\d+) test cases?\)", text)
    some = re.findall(r"test cases:\s+(\d+) \|(?:\s+(\d+) passed \|)?\s+(\d+) failed", text)
    if code == 0 and all_passed:
        passed, failed = int(all_passed[-1]), 0
    elif some:
        passed, failed = int(some[-1][1] or 0), int(some[-1][2])
    else:
        passed, failed = 0, 1
    if code != 0 and not failed:
        failed = 1  # a sanitizer's report at the end
    Totals.passed += passed
    Totals.failed += [f"{preset}/{name}"] * failed
    Totals.skipped += [f"{preset}/{name}: {why}" for why in re.findall(r"^skipped: (.*)$", text, re.MULTILINE)]
    print(f"[{preset}] {name}: {passed} passed, {failed} failed [{time.monotonic() - began:.1f} s]", flush=True)
    if failed:
        print(text[-6000:], flush=True)


def programs(preset):
    return sorted(os.path.basename(p) for p in glob.glob(os.path.join(ROOT, "build", preset, "tests", "*"))
                  if os.access(p, os.X_OK) and os.path.isfile(p) and not os.path.basename(p).startswith("fuzz_"))


def script(name, path, *arguments, timeout=3600):
    """Runs one of the Python programs, which reports its counts in a file."""
    with tempfile.NamedTemporaryFile(mode="r", suffix=".json") as result:
        try:
            code = subprocess.run([sys.executable, os.path.join(ROOT, "tests", path), *arguments], timeout=timeout,
                                  env=dict(os.environ, BERTH_REPORT=result.name)).returncode
        except subprocess.TimeoutExpired:
            code = 1
            print(f"{name}: stopped after {timeout} s", flush=True)
        lines = [json.loads(line) for line in result.read().splitlines()]
    for line in lines:
        Totals.passed += line["passed"]
        Totals.failed += [f"{line['title']}/{x}" for x in line["failed"]]
        Totals.skipped += [f"{line['title']}/{x}" for x in line["skipped"]]
    if not lines or (code != 0 and not any(line["failed"] or line["skipped"] for line in lines)):
        Totals.failed.append(f"{name}: exit {code}")


# ---- steps: name, what it is for ----

WERROR = ["-DBERTH_WERROR=ON"] if CI else []


def step_release(options):
    """the binary, as it ships"""
    if not build("release", "berth", definitions=["-DBERTH_TESTS=OFF", *WERROR]):
        Totals.failed.append("build release")


def step_address(options):
    """unit, fault and protocol tests under address and undefined sanitizers"""
    if not build("fuzz", definitions=WERROR):
        Totals.failed.append("build fuzz")
        return
    for name in programs("fuzz"):
        catch_program("fuzz", name)


def step_fuzz(options):
    """each fuzz target for a minute, from its corpus"""
    folder = os.path.join(ROOT, "build", "fuzz", "tests")
    targets = sorted(os.path.basename(p) for p in glob.glob(folder + "/fuzz_*") if os.access(p, os.X_OK) and os.path.isfile(p))
    if not targets:
        Totals.failed.append("no fuzz targets")

    def one(name):
        seeds = os.path.join(ROOT, "tests", "fuzz", "corpus", name[len("fuzz_"):])
        work = tempfile.mkdtemp(prefix="berth-fuzz-")
        must_fail = name == "fuzz_must_fail"
        command = [os.path.join(folder, name), f"-max_total_time={options.fuzz_seconds}", "-rss_limit_mb=2048", "-timeout=20",
                   "-print_final_stats=1", f"-artifact_prefix={work}/", work] + ([seeds] if os.path.isdir(seeds) else [])
        dictionary = os.path.join(ROOT, "tests", "fuzz", name[len("fuzz_"):] + ".dict")
        if os.path.exists(dictionary):
            command.append("-dict=" + dictionary)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = done.stdout.decode(errors="replace")
        runs = re.search(r"number_of_executed_units:\s*(\d+)", text)
        good = (done.returncode != 0) == must_fail
        if good:
            shutil.rmtree(work, ignore_errors=True)
        return name, good, f"{runs[1] if runs else '?'} runs", text

    with concurrent.futures.ThreadPoolExecutor(CORES) as pool:
        for name, good, told, text in pool.map(one, targets):
            print(f"[fuzz] {name}: {'ok' if good else 'FAILED'} ({told})", flush=True)
            Totals.passed += good
            if not good:
                Totals.failed.append(name)
                print(text[-4000:], flush=True)


def step_thread(options):
    """unit and protocol tests under the thread sanitizer"""
    if not build("tsan"):
        Totals.failed.append("build tsan")
        return
    for name in programs("tsan"):
        # No threads in there; and the faults are many runs of what the others run, in processes of their own.
        if name not in ("unit_tree", "unit_oci", "unit_config", "unit_cli", "faults"):
            catch_program("tsan", name)


def step_process(options):
    """start, settings, reload, stop, deploy/run around them, the commands that manage a running berth, and its metrics"""
    script("process", "clients/process.py")
    script("process", "clients/settings_swaps.py")
    script("process", "clients/commands.py")
    script("process", "clients/doctor.py")
    script("process", "clients/observe.py")


def step_packages(options):
    """completions, manual pages, systemd units, berth in the sandbox of its own, and the Debian package, installed and removed again"""
    script("packages", "deploy/packages.py")
    script("sandbox", "deploy/sandbox.py")


def step_clients(options):
    """real clients: docker, skopeo, podman, buildah, umoci, containerd, crane, oras, regctl, helm, cosign, BuildKit"""
    script("clients", "clients/clients.py")
    script("clients", "clients/over_tls.py")
    script("clients", "clients/client_config.py")
    script("clients", "clients/certificate_swaps.py")


def step_examples(options):
    """documents and examples: links, command lines, settings, pipelines, the scripts, the first steps, what each client needs and says when it goes wrong"""
    script("docs", "docs/check.py")
    script("examples", "clients/examples.py", *(["--syft"] if options.long else []))
    script("getting started", "clients/getting_started.py")
    script("clients page", "clients/clients_page.py")
    script("troubles", "clients/troubles.py")


def step_openapi(options):
    """the management API against its own description, for a minute"""
    script("openapi", "clients/openapi.py")


def step_accounts(options):
    """clients that log in; client certificates, an LDAP directory, an OpenID Connect issuer, robots; many logins at once; traces"""
    script("accounts", "clients/accounts.py")
    script("accounts", "clients/federation.py")
    script("accounts", "clients/login_load.py")
    script("traces", "clients/traces.py")


def step_monitoring(options):
    """alert rules in their cases, runbooks, dashboard, Compose stack; staged faults that reach Slack and a mailbox"""
    script("alert rules", "monitoring/rules.py")
    script("stack files", "monitoring/stack_files.py")
    script("stack", "monitoring/stack.py", timeout=900)


def step_deploy(options):
    """the container image, the Compose stack as it is typed, Kustomize and Helm, and nodes that pull from a cluster by each recipe"""
    script("deploy", "deploy/manifests.py")
    script("deploy", "deploy/recipes.py")
    with tempfile.TemporaryDirectory(prefix="berth-image-") as folder:
        saved = os.path.join(folder, "berth.tar")
        script("deploy", "deploy/image.py", "--save", saved)
        script("deploy", "deploy/compose.py", *(["--image", saved] if os.path.exists(saved) else []))


def step_durability(options):
    """kill -9 and power cuts under load"""
    if options.long:
        script("durability", "crash/crash.py", "kill", "200", timeout=7200)
        script("durability", "crash/crash.py", "power", "ext4", "100", timeout=7200)
        script("durability", "crash/crash.py", "power", "xfs", "100", timeout=7200)
        with tempfile.TemporaryDirectory(prefix="berth-million-") as folder:
            fill = os.path.join(ROOT, "build", "bench", "tests", "fill_store")
            if build("bench", "fill_store") and subprocess.run([fill, folder + "/index", "1000000", "1000"]).returncode == 0:
                script("durability", "crash/crash.py", "large", folder + "/index", "20")
            else:
                Totals.failed.append("durability: filling a large store")
    else:
        script("durability", "crash/crash.py", "all", "5")


def step_limits(options):
    """full disks, memory, a blob of up to 8 GiB, 10,000 idle connections, half-sent headers, slow bodies, stalled readers"""
    script("limits", "crash/limits.py")


def step_bench(options):
    """the benchmarks for a moment each: do they all still work?"""
    if not build("bench", "load", "fill_store", "micro", definitions=WERROR):
        Totals.failed.append("build bench")
        return
    script("bench", "bench/bench.py", "--short")


STEPS = [("release", step_release), ("address", step_address), ("fuzz", step_fuzz), ("thread", step_thread),
         ("process", step_process), ("packages", step_packages), ("clients", step_clients), ("accounts", step_accounts),
         ("examples", step_examples), ("openapi", step_openapi), ("monitoring", step_monitoring),
         ("deploy", step_deploy), ("durability", step_durability), ("limits", step_limits), ("bench", step_bench)]


def main():
    parser = argparse.ArgumentParser(prog="tests/run", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="STEP", choices=[s for s, _ in STEPS])
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--fuzz-seconds", type=int, default=60)
    options = parser.parse_args()
    if options.list:
        for name, function in STEPS:
            print(f"{name:12} {function.__doc__}")
        return 0
    for name, function in STEPS:
        if options.only and name not in options.only:
            continue
        say(f"{name}: {function.__doc__}")
        began = time.monotonic()
        function(options)
        Totals.times.append((name, time.monotonic() - began))
    print()
    for name, seconds in Totals.times:
        print(f"{name:12} {seconds / 60:5.1f} min")
    for line in Totals.skipped:
        print(f"skipped: {line}")
    for line in Totals.failed:
        print(f"failed: {line}")
    bad = len(Totals.failed) + (len(Totals.skipped) if CI else 0)
    if CI and Totals.skipped:
        print("in CI nothing may be skipped")
    skipped = f", {len(Totals.skipped)} skipped" if Totals.skipped else ""
    print(f"{Totals.passed} passed, {len(Totals.failed)} failed{skipped}", flush=True)
    return 1 if bad or not Totals.passed else 0


if __name__ == "__main__":
    sys.exit(main())

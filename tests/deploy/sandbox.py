"""berth in the sandbox of deploy/systemd/berth.service, rebuilt by hand: a service manager is not needed for it.

Each line of the unit that narrows what berth may do is applied with the kernel's own means, and one that is not known here
fails the test. In there berth starts, tells the service manager that it is ready, takes an image, gives it back, says of
itself what it says elsewhere, and stops.
"""

import ctypes
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, ROOT, Client, Report, check, need, need_root, run

UNIT = os.path.join(ROOT, "deploy", "systemd", "berth.service")
SETTINGS = os.path.join(ROOT, "deploy", "debian", "berth.yaml")
PLACE = "/mnt"  # in the sandbox: the program, its settings and its data
NOBODY = 65534
# What a service manager does beside a sandbox, or with it when there is one.
NOT_OF_A_SANDBOX = {"Type", "User", "Group", "Environment", "ExecStart", "ExecReload", "StateDirectory", "StateDirectoryMode",
                    "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec", "Restart", "RestartSec", "RestartPreventExitStatus", "RemoveIPC"}


def lines_of_unit():
    with open(UNIT) as f:
        section = f.read().split("[Service]\n")[1].split("\n[")[0]
    return dict(line.split("=", 1) for line in section.splitlines() if line and not line.startswith("#"))


def calls_of(group):
    """The names in a group of system calls, those of its groups too."""
    names = set()
    for word in run("systemd-analyze", "syscall-filter", group).split("\n")[1:]:
        word = word.strip()
        if word.startswith("@"):
            names |= calls_of(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


class Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    """A filter of system calls, by libseccomp."""
    ALLOW, EPERM, EAFNOSUPPORT, ENOSYS = 0x7fff0000, 0x00050001, 0x00050061, 0x00050026
    NE, EQ, GE, MASKED, GT = 1, 4, 5, 7, 6

    def __init__(self, otherwise):
        self.library = ctypes.CDLL("libseccomp.so.2")
        self.library.seccomp_init.restype = ctypes.c_void_p
        self.context = ctypes.c_void_p(self.library.seccomp_init(ctypes.c_uint32(otherwise)))
        check(self.context.value, "no filter")

    def rule(self, action, name, *comparisons):
        number = self.library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # another architecture has it
            return
        rows = (Compare * len(comparisons))(*[Compare(*c) for c in comparisons])
        said = self.library.seccomp_rule_add_array(self.context, ctypes.c_uint32(action), number, len(comparisons), rows)
        check(said == 0, f"{name}: {os.strerror(-said)}")

    def load(self):
        said = self.library.seccomp_load(self.context)
        check(said == 0, f"the filter is not loaded: {os.strerror(-said)}")


def system_calls(unit, wanted):
    """Both filters: who may be called at all, and what the other lines of the unit forbid."""
    allowed = Filter(Filter.EPERM)
    for name in wanted["SystemCallFilter"]:
        allowed.rule(Filter.ALLOW, name)
    denied = Filter(Filter.ALLOW)
    for name in wanted["ProtectClock"] | wanted["ProtectKernelModules"] | wanted["PrivateDevices"] | {"syslog", "sethostname", "setdomainname"}:
        denied.rule(Filter.EPERM, name)
    denied.rule(Filter.EPERM, "personality", (0, Filter.NE, 0, 0))  # LockPersonality
    families = [getattr(socket, name) for name in unit["RestrictAddressFamilies"].split()]
    for family in range(64):
        if family not in families:
            denied.rule(Filter.EAFNOSUPPORT, "socket", (0, Filter.EQ, family, 0))
    denied.rule(Filter.EAFNOSUPPORT, "socket", (0, Filter.GE, 64, 0))
    denied.rule(Filter.ENOSYS, "clone3")  # RestrictNamespaces: its flags cannot be looked at
    denied.rule(Filter.EPERM, "setns")
    denied.rule(Filter.EPERM, "unshare")
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        denied.rule(Filter.EPERM, "clone", (0, Filter.MASKED, flag, flag))
    denied.rule(Filter.EPERM, "sched_setscheduler", (1, Filter.GT, 0, 0))  # RestrictRealtime
    for bit in (0o4000, 0o2000):  # RestrictSUIDSGID
        for name, argument in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2), ("mkdir", 1), ("mkdirat", 2), ("open", 2), ("openat", 3)):
            denied.rule(Filter.EPERM, name, (argument, Filter.MASKED, bit, bit))
    allowed.rule(Filter.ALLOW, "seccomp")  # the one loaded second must get in
    return allowed, denied


def view(unit):
    """What of the machine's files is seen, and what may be written."""
    mount = lambda *arguments: run("mount", *arguments)
    check(unit["ProtectSystem"] == "strict" and unit["ProcSubset"] == "pid" and unit["ProtectProc"] == "invisible", "other protection")
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "none", PLACE)
    shutil.copy(BERTH, PLACE + "/berth")
    shutil.copy(SETTINGS, PLACE + "/berth.yaml")
    os.mkdir(PLACE + "/state", int(unit["StateDirectoryMode"], 8))
    os.chown(PLACE + "/state", NOBODY, NOBODY)
    mount("--bind", PLACE + "/state", PLACE + "/state")

    devices = tempfile.mkdtemp(dir=PLACE)
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        open(f"{devices}/{name}", "w").close()
        mount("--bind", f"/dev/{name}", f"{devices}/{name}")
    mount("--rbind", devices, "/dev")
    for folder in ("/home", "/root", "/run/user", "/lib/modules"):
        if os.path.isdir(folder):
            mount("-t", "tmpfs", "-o", "mode=000,ro", "none", folder)
    # Read-only all around, but what is mounted writable below. Kernel's /proc first, or it could not be mounted anew.
    mount("-t", "proc", "-o", "subset=pid,hidepid=invisible,nosuid,nodev,noexec", "proc", "/proc")
    for point in sorted({line.split()[4] for line in open("/proc/self/mountinfo")}):
        if not point.startswith(("/dev", "/proc", PLACE + "/state", PLACE + "/tmp")) and os.path.exists(point):
            subprocess.run(["mount", "-o", "remount,bind,ro", point], stderr=subprocess.DEVNULL)
    for folder in ("/tmp", "/var/tmp"):
        mount("-t", "tmpfs", "-o", "mode=1777", "none", folder)


def confined(command, environment):
    """In name spaces of its own: the sandbox, and then the program in it."""
    unit = lines_of_unit()
    known = NOT_OF_A_SANDBOX | {
        "UMask", "LimitCORE", "LimitNOFILE", "CapabilityBoundingSet", "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices",
        "PrivateTmp", "ProcSubset", "ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
        "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem", "RestrictAddressFamilies", "RestrictNamespaces",
        "RestrictRealtime", "RestrictSUIDSGID", "SystemCallArchitectures", "SystemCallErrorNumber", "SystemCallFilter"}
    check(set(unit) <= known, f"the unit has lines that this test does not apply: {set(unit) - known}")
    check(unit["SystemCallErrorNumber"] == "EPERM" and unit["CapabilityBoundingSet"] == "", "another error or capabilities")
    calls = {"SystemCallFilter": calls_of(unit["SystemCallFilter"]) | calls_of("@default"), "ProtectClock": calls_of("@clock"),
             "ProtectKernelModules": calls_of("@module"), "PrivateDevices": calls_of("@raw-io")}
    filters = system_calls(unit, calls)
    view(unit)
    check(os.listdir("/proc") and not os.path.exists("/proc/stat"), "/proc shows all")
    files = min(int(unit["LimitNOFILE"]), resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # a container's root may not raise it
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (int(unit["LimitCORE"]),) * 2)
    os.umask(int(unit["UMask"], 8))
    libc = ctypes.CDLL(None, use_errno=True)

    def control(what, *arguments):
        check(libc.prctl(what, *[ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)[:4]]) == 0, f"prctl {what}: {os.strerror(ctypes.get_errno())}")
    for capability in range(64):
        if libc.prctl(23, ctypes.c_ulong(capability), 0, 0, 0) == 1:  # PR_CAPBSET_READ
            control(24, capability)  # PR_CAPBSET_DROP
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    control(38, 1)  # PR_SET_NO_NEW_PRIVS
    control(65, 1)  # PR_SET_MDWE: MemoryDenyWriteExecute
    for one in filters:
        one.load()
    for forbidden in (lambda: socket.socket(socket.AF_NETLINK), lambda: open("/etc/berth-was-here", "w"),
                      lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)), lambda: os.kill(1, 0)):
        try:
            forbidden()
            raise SystemExit("the sandbox lets through what the unit forbids")
        except OSError:
            pass
    os.execve(command[0], command, environment)


def wait_for(notices, word, server, said):
    """What berth tells its service manager."""
    end, told = time.monotonic() + 30, ""
    while word not in told.split():
        check(server.poll() is None and time.monotonic() < end, f"berth does not tell {word}:\n{said()}")
        try:
            told += notices.recv(4096).decode() + "\n"
        except TimeoutError:
            pass


def in_sandbox(work):
    need_root()
    need("unshare")
    need("systemd-analyze")
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind("\0berth-sandbox-%d" % os.getpid())
    notices.settimeout(1)
    listeners = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0", "serve": ["metrics", "health"]}]
    command = [PLACE + "/berth", "serve", "--config", PLACE + "/berth.yaml", "--data", PLACE + "/state/berth", "--set",
               f"listeners={json.dumps(listeners)}", "--set", "auth.users=false"]
    environment = {"NOTIFY_SOCKET": "@berth-sandbox-%d" % os.getpid(), "WATCHDOG_USEC": "10000000"}
    log_path = os.path.join(work, "sandbox.log")
    with open(log_path, "wb") as log:
        server = subprocess.Popen(["unshare", "--mount", "--uts", sys.executable, os.path.abspath(__file__), "--inside",
                                   json.dumps([command, environment])], stdout=log, stderr=log)
    said = lambda: open(log_path, errors="replace").read()[-4000:]
    try:
        began = time.time()
        wait_for(notices, "READY=1", server, said)
        ports = [line["port"] for line in map(json.loads, said().splitlines()) if line["msg"] == "listening"]
        check(len(ports) == 2, f"ports: {ports}\n{said()}")
        client = Client(ports[0])
        client.push_image("team/app", "v1", [os.urandom(1 << 20)])
        client.expect(200, "GET", "/v2/team/app/manifests/v1")
        metrics = Client(ports[1]).expect(200, "GET", "/metrics")[1].decode()
        values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        started = float(values["process_start_time_seconds"])
        check(abs(started - began) < 10, f"process_start_time_seconds is {started}, {began - started:.0f} s before berth was started")
        # What comes from /proc or from the machine is there as it is outside.
        for name in ("process_threads", "process_virtual_memory_bytes", "process_resident_memory_bytes", "process_open_fds",
                     "process_max_fds", "process_cpu_seconds_total"):
            check(float(values[name]) > 0, f"{name} is {values[name]}")
        wait_for(notices, "WATCHDOG=1", server, said)
    finally:
        server.terminate()
        code = server.wait(30)
    check(code == 0, f"berth ended with {code}:\n{said()}")
    lines = [json.loads(line) for line in said().splitlines()]
    bad = [line for line in lines if line["level"] != "info"]
    check(not bad, f"in the log: {bad}")


def main():
    if sys.argv[1:2] == ["--inside"]:
        confined(*json.loads(sys.argv[2]))
    report = Report("sandbox")
    with tempfile.TemporaryDirectory(prefix="berth-sandbox-") as work:
        report.case("berth in the sandbox of its unit", in_sandbox, work)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

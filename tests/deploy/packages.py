"""What is installed with berth: completions in their shells, manual pages, systemd units, and the Debian package, which is
installed, used, upgraded, removed and purged on a copy of this machine that nothing of it outlives."""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, ROOT, Report, check, need, need_root, run

UNITS = os.path.join(ROOT, "deploy", "systemd")


class Completions:
    def __init__(self, work):
        self.work = work
        self.scripts = {}
        for shell in ("bash", "zsh", "fish"):
            self.scripts[shell] = os.path.join(work, f"berth.{shell}")
            with open(self.scripts[shell], "w") as f:
                f.write(run(BERTH, "completion", shell))

    def complete(self, line):
        """What bash offers after this line, of which the last word is being typed."""
        words = line.split(" ")
        script = (f"source {self.scripts['bash']}; COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; "
                  "compopt() { printf 'compopt %s\\n' \"$2\"; }; _berth; printf '%s\\n' \"${COMPREPLY[@]}\"")
        return run("bash", "--norc", "-c", script).split("\n")[:-1]

    def bash(self):
        rows = (("berth ser", ["serve"]), ("berth user ", None), ("berth user ad", ["add"]), ("berth serve --conf", ["--config"]),
                ("berth serve --config ", ["compopt default"]), ("berth serve --data ", ["compopt dirnames"]), ("berth version -o ", ["table", "json"]),
                ("berth client-config po", ["podman"]), ("berth completion ", ["bash", "zsh", "fish"]), ("berth serve --listen ", []),
                ("berth user add --no-such", [""]))
        for line, wanted in rows:
            got = self.complete(line)
            check(wanted is None or got in (wanted, wanted + [""], [""] * (not wanted)), f"{line!r} is completed by {got}, not {wanted}")
        check(set(self.complete("berth user ")) >= {"add", "list", "passwd"}, "berth user")
        # Every option that a command's help tells of is offered.
        offered = set(self.complete("berth serve -"))
        told = {word.rstrip(",") for line in run(BERTH, "serve", "--help").splitlines() for word in line.split()[:1] if word.startswith("--")}
        check(told and told <= offered, f"not offered: {told - offered}")

    def zsh(self):
        need("zsh")
        run("zsh", "-n", self.scripts["zsh"])
        # The function itself runs, with what it calls in place of a terminal.
        script = (f"compdef() {{ }}; source {self.scripts['zsh']}; _describe() {{ print -l -- ${{(P)${{@[-1]}}}} }}; "
                  "words=(berth user ''); CURRENT=3; _berth")
        check("add:" in run("zsh", "-f", "-c", script), "zsh does not offer `berth user add`")

    def fish(self):
        need("fish")
        run("fish", "--no-execute", self.scripts["fish"])
        offered = run("fish", "--no-config", "-c", f"source {self.scripts['fish']}; complete -C 'berth user '", env={"HOME": self.work})
        check("add\t" in offered and "serve" not in offered, f"fish offers {offered}")


def manual(work):
    need("man")
    folder = os.path.join(work, "man")
    os.makedirs(folder)
    run(BERTH, "man", "--out", folder)
    pages = sorted(glob.glob(folder + "/*"))
    check(len(pages) > 10 and os.path.join(folder, "berth.yaml.5") in pages, f"pages: {pages}")
    for page in pages:
        done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env=dict(os.environ, LC_ALL="C.UTF-8", MANROFFSEQ="", MANWIDTH="80"))
        check(done.returncode == 0 and not done.stderr, f"{os.path.basename(page)}: {done.stderr.decode()[:1000]}")
    shown = run("man", "-l", os.path.join(folder, "berth-user.1"), env={"MANPAGER": "cat", "MANWIDTH": "100"})
    check("berth user add" in shown, "man does not show `berth user add`")
    return f"{len(pages)} pages"


def units(work):
    need("systemd-analyze")
    folder = os.path.join(work, "units")
    os.makedirs(folder)
    for name in ("berth.service", "berth.socket"):
        with open(os.path.join(UNITS, name)) as f:
            text = f.read()
        with open(os.path.join(folder, name), "w") as f:  # where the program is on this machine
            f.write(text.replace("/usr/bin/berth", BERTH).replace("Documentation=", "#"))
    said = run("systemd-analyze", "verify", "--man=no", os.path.join(folder, "berth.service"), os.path.join(folder, "berth.socket"))
    check("berth" not in said, said)
    said = run("systemd-analyze", "security", "--offline=true", "--threshold=20", os.path.join(UNITS, "berth.service"))
    run("systemd-sysusers", "--dry-run", os.path.join(UNITS, "berth.sysusers"))
    return [line for line in said.splitlines() if "Overall exposure" in line][0].split(":")[1].strip()


class Package:
    def __init__(self, work):
        self.work, self.deb = work, None

    def build(self):
        need("cpack")
        need("dpkg-shlibdeps")
        run(os.path.join(ROOT, "deploy", "package"), BERTH)
        self.deb, = glob.glob(os.path.join(ROOT, "build", "package", "*.deb"))
        files = run("dpkg-deb", "--contents", self.deb)
        for path in ("./usr/bin/berth", "./etc/berth/berth.yaml", "./lib/systemd/system/berth.service", "./lib/systemd/system/berth.socket",
                     "./usr/lib/sysusers.d/berth.conf", "./usr/lib/tmpfiles.d/berth.conf", "./usr/share/man/man1/berth.1.gz",
                     "./usr/share/man/man5/berth.yaml.5.gz", "./usr/share/bash-completion/completions/berth",
                     "./usr/share/zsh/vendor-completions/_berth", "./usr/share/fish/vendor_completions.d/berth.fish",
                     "./usr/share/doc/berth/copyright", "./usr/share/doc/berth/changelog.Debian.gz"):
            check(f" {path}\n" in files, f"{path} is missing:\n{files}")
        check("root/root" in files and not [line for line in files.splitlines() if "root/root" not in line], "files of others than root")
        check("libssl3" in run("dpkg-deb", "--field", self.deb, "Depends"), "what it needs")
        return f"{os.path.getsize(self.deb) / 1e6:.1f} MB"

    def lintian(self):
        need("lintian")
        check(self.deb, "there is no package")
        said = run("lintian", "--allow-root", "--fail-on", "error,warning", self.deb)
        check("E: " not in said and "W: " not in said, said)

    def installed(self):
        need_root()
        need("unshare")
        check(self.deb, "there is no package")
        done = subprocess.run(["unshare", "--mount", "--net", sys.executable, os.path.abspath(__file__), "--inside", self.deb, self.work],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        check(done.returncode == 0, done.stdout.decode(errors="replace")[-4000:])


def inside(deb, work):
    """In name spaces of its own, on a copy of this machine that is gone at the end."""
    run("ip", "link", "set", "lo", "up")
    layer, root = os.path.join(work, "layer"), os.path.join(work, "root")
    os.makedirs(layer)
    os.makedirs(root)
    run("mount", "-t", "tmpfs", "none", layer)
    os.makedirs(layer + "/upper")
    os.makedirs(layer + "/work")
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work", root)
    for folder in ("dev", "proc"):
        run("mount", "--rbind", "/" + folder, f"{root}/{folder}")
    run("mount", "-t", "tmpfs", "none", f"{root}/run")  # no service manager in there
    os.makedirs(f"{root}/var/lib/berth-test")
    shutil.copy(deb, f"{root}/var/lib/berth-test/berth.deb")

    def there(*command, **options):
        return run("chroot", root, *command, env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}, **options)

    there("dpkg", "-i", "/var/lib/berth-test/berth.deb")
    check("systemd" in there("getent", "passwd", "berth") or "/var/lib/berth" in there("getent", "passwd", "berth"), "the user berth")
    check(there("stat", "-c", "%U %a", "/var/lib/berth") == "berth 700\n", "the data directory")
    check(there("stat", "-c", "%U:%G %a", "/etc/berth/tls") == "root:berth 750\n", "the folder of keys")
    config = ("--config", "/etc/berth/berth.yaml")
    there("berth", "config", "check", *config)
    there("man", "-w", "berth.yaml")
    as_berth = ["chroot", "--userspec=berth:berth", root, "env", "BERTH_CONFIG=/etc/berth/berth.yaml", "berth", "serve"]
    server = subprocess.Popen(as_berth, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while "ready" not in there("berth", "health", *config, ok=False).splitlines():
            check(server.poll() is None and time.monotonic() < end, "berth does not get ready")
            time.sleep(0.1)
        there("berth", "user", "add", "admin", "--role", "admin", "--password-stdin", *config, stdin=b"correct horse battery\n")
        check("admin" in there("berth", "user", "list", *config), "the administrator")
        said = json.loads(there("berth", "doctor", "-o", "json", *config, ok=False))
        bad = [f for f in said["findings"] if f["verdict"] == "problem" and f["check"] != "data.file_system"]
        check(not bad, f"doctor finds: {bad}")
    finally:
        server.terminate()
        check(server.wait(30) == 0, "berth did not stop well")

    with open(f"{root}/etc/berth/berth.yaml", "a") as f:
        f.write("log: {level: warning}\n")
    there("dpkg", "-i", "/var/lib/berth-test/berth.deb")
    check("level: warning" in there("cat", "/etc/berth/berth.yaml"), "an upgrade overwrote the settings")
    there("dpkg", "--remove", "berth")
    check(os.path.exists(f"{root}/etc/berth/berth.yaml") and not os.path.exists(f"{root}/usr/bin/berth"), "removal")
    there("dpkg", "--purge", "berth")
    check(not os.path.exists(f"{root}/etc/berth"), "a purge leaves the settings")
    check(os.path.exists(f"{root}/var/lib/berth/index"), "a purge took the images along")


def main():
    if sys.argv[1:2] == ["--inside"]:
        inside(*sys.argv[2:])
        return 0
    report = Report("packages")
    with tempfile.TemporaryDirectory(prefix="berth-packages-") as work:
        completions, package = Completions(work), Package(work)
        report.case("bash completion", completions.bash)
        report.case("zsh completion", completions.zsh)
        report.case("fish completion", completions.fish)
        report.case("manual pages", manual, work)
        report.case("systemd units", units, work)
        report.case("package", package.build)
        report.case("lintian", package.lintian)
        report.case("installed, upgraded, removed, purged", package.installed)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

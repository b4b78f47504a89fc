"""docs/clients.md, with the clients themselves: the commands of each section in their order, as alice, at a registry with a
private authority that nothing on the machine knows but by what the page says."""

import json
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from accounts import Containerd, Docker
from harness import ROOT, Report, Skip, check, need, run
from small_image import SmallImage
from tools import tool
from with_accounts import ADMIN, Registry, own_namespace

PAGE = os.path.join(ROOT, "docs", "clients.md")
NAMES = "registry.example.com"
# What cannot be had here: a cluster, nerdctl, a builder with an emulator.
LEFT_OUT = ("nerdctl ", "kubectl ", "docker buildx ", "berth ")


class Page:
    def __init__(self, registry, image, work):
        self.registry, self.image, self.work = registry, image, work
        with open(PAGE, encoding="utf-8") as f:
            parts = re.split(r"^## (.*)\n", f.read(), flags=re.MULTILINE)
        self.sections = dict(zip(parts[1::2], parts[2::2]))
        self.seen = set()
        self.bin = os.path.join(work, "bin")
        os.makedirs(self.bin)

    def program(self, name, *arguments):
        """A program that is called with these before those of the page, for a store of our own."""
        path = os.path.join(self.bin, name)
        real = need(name)
        with open(path, "w") as f:
            f.write(f"#!/bin/sh\nexec {real} {' '.join(arguments)} \"$@\"\n")
        os.chmod(path, 0o755)

    def go(self, section, more=None, trusted=False, replace=()):
        """Runs the blocks of one section. What is `trusted` has the authority by the variable that the page names."""
        self.seen.add(section)
        home = os.path.join(self.work, re.sub(r"\W", "-", section))
        os.makedirs(home + "/.config/containers")
        os.makedirs(home + "/.docker")
        for path, content in ((home + "/.config/containers/policy.json", {"default": [{"type": "insecureAcceptAnything"}]}),
                              (home + "/.docker/config.json", {})):
            with open(path, "w") as f:
                json.dump(content, f)
        shutil.copy(self.registry.ca, home + "/ca.crt")
        shutil.copytree(self.image.layout, home + "/layout")
        for name, data in (("secret", self.registry.passwords["alice"] + "\n"), ("data.bin", "data"), ("sbom.json", "{}")):
            with open(os.path.join(home, name), "w") as f:
                f.write(data)
        environment = dict({"HOME": home, "XDG_RUNTIME_DIR": home, "DOCKER_CONFIG": home + "/.docker", "PATH": f"{self.bin}:{os.environ['PATH']}",
                            "SSL_CERT_FILE": home + "/ca.crt" if trusted else "/dev/null", "SSL_CERT_DIR": "/nowhere"}, **(more or {}))
        count = 0
        for block in re.findall(r"^```sh\n(.*?)^```", self.sections[section], re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if not line or line.startswith(LEFT_OUT):
                    continue
                line = line.replace("sudo ", "").replace("sha256:0123…", self.image.digest).replace(NAMES, self.registry.address)
                if re.search(r"\blogin\b", line) and "-stdin" not in line:
                    line += " --password-stdin < secret"  # which is typed
                for old, new in replace:
                    line = line.replace(old, new)
                run("bash", "-e", "-c", line, env=environment, cwd=home, timeout=60)
                count += 1
        check(count, f"nothing was run of `{section}`")
        return f"{count} commands"

    def archive(self):
        """The image as docker and podman load it."""
        path = os.path.join(self.work, "app.tar")
        if not os.path.exists(path):
            policy = os.path.join(self.work, "policy.json")
            with open(policy, "w") as f:
                json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
            run("skopeo", "--policy", policy, "copy", f"oci:{self.image.layout}:image", f"docker-archive:{path}:app:latest")
        return path

    # ---- sections ----

    def docker(self):
        client = Docker(self.registry, self.image, os.path.join(self.work, "dockerd"))
        try:
            client.start()
            shutil.rmtree(f"/etc/docker/certs.d/{self.registry.address}")
            client.do(*client.docker, "load", "-i", self.archive())
            return self.go("docker", {"DOCKER_HOST": client.docker[2]})
        finally:
            client.stop()

    def podman(self):
        os.makedirs("/etc/containers", exist_ok=True)
        run("mount", "-t", "tmpfs", "none", "/etc/containers")  # podman and skopeo take no file that is not there amiss
        store = ["--root", self.work + "/store", "--runroot", self.work + "/run", "--storage-driver", "vfs"]
        self.program("podman", *store, "--cgroup-manager", "cgroupfs", "--events-backend", "file")
        self.program("buildah", *store)
        run(os.path.join(self.bin, "podman"), "load", "-q", "-i", self.archive(), "--signature-policy", self.work + "/policy.json")
        return self.go("podman, buildah, skopeo")

    def containerd(self):
        client = Containerd(self.registry, self.image, os.path.join(self.work, "containerd"))
        try:
            client.start()
            section = "containerd, nerdctl, ctr"
            settings = re.search(r"^```toml\n(server.*?)^```", self.sections[section], re.MULTILINE | re.DOTALL)[1]
            os.makedirs("/etc/containerd", exist_ok=True)
            run("mount", "-t", "tmpfs", "none", "/etc/containerd")
            place = f"/etc/containerd/certs.d/{self.registry.address}"
            os.makedirs(place)
            shutil.copy(self.registry.ca, place + "/ca.crt")
            with open(place + "/hosts.toml", "w") as f:
                f.write(settings.replace(NAMES, self.registry.address))
            return self.go(section, {"CONTAINERD_ADDRESS": client.ctr[2], "CONTAINERD_SNAPSHOTTER": "native"},
                           replace=[("--user alice", "--user alice:$(cat secret)")])
        finally:
            client.stop()

    def go_program(self, name, **more):
        link = os.path.join(self.bin, name)
        if not os.path.exists(link):
            os.symlink(tool(name), link)
        return self.go(name, **more)

    def helm(self):
        folder = os.path.join(self.work, "chart")
        os.makedirs(folder)
        run(tool("helm"), "create", "app", cwd=folder)
        run(tool("helm"), "package", "app", "--version", "1.0.0", cwd=folder)
        return self.go_program("helm", replace=[(" app-1.0.0.tgz", f" {folder}/app-1.0.0.tgz")])

    def cosign(self):
        folder = os.path.join(self.work, "keys")
        os.makedirs(folder)
        run(tool("cosign"), "generate-key-pair", cwd=folder, env={"COSIGN_PASSWORD": ""})
        private = os.path.join(ROOT, "docs", "examples", "cosign-private.json")  # nothing here leaves the machine
        return self.go_program("cosign", more={"COSIGN_PASSWORD": "", "COSIGN_YES": "true"}, trusted=True, replace=[
            ("cosign sign ", f"cosign sign --signing-config {private} "), ("cosign verify ", "cosign verify --insecure-ignore-tlog=true "),
            ("cosign.key", folder + "/cosign.key"), ("cosign.pub", folder + "/cosign.pub")])

    def all_sections(self):
        """No section with commands is left out but those for what cannot be had here."""
        left = {name for name, text in self.sections.items() if "```sh" in text} - self.seen - {"Kubernetes"}
        check(not left, f"nothing was tried of {left}")


def main():
    report = Report("clients page")
    if not own_namespace(report):
        return report.finish()
    work = tempfile.mkdtemp(prefix="berth-page-")
    try:
        grants = [{"subjects": ["anonymous"], "repositories": ["public/**"], "role": "reader"},
                  {"subjects": ["user:alice"], "repositories": ["team/**", "prod/**"], "role": "writer"}]
        image = SmallImage(os.path.join(work, "layout"))
        with Registry(work, ["alice"], grants) as registry:
            for name in ("team/app", "public/small"):
                image.push(registry.client(ADMIN), name)
            page = Page(registry, image, work)
            for name, function in [("docker", page.docker), ("podman", page.podman), ("containerd", page.containerd),
                                   ("crane", lambda: page.go_program("crane", trusted=True)), ("oras", lambda: page.go_program("oras")),
                                   ("regctl", lambda: page.go_program("regctl")), ("helm", page.helm), ("cosign", page.cosign)]:
                if not sys.argv[1:] or name in sys.argv[1:]:
                    report.case(name, function)
            if not sys.argv[1:]:
                report.case("all sections", page.all_sections)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

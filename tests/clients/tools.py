"""Builds the clients that Debian lacks from Go modules by exact version, once, into a cache outside the tree."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Skip, run

CACHE = os.environ.get("BERTH_TEST_TOOLS") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "berth-tests")

# name: (module version, package). The first kind installs by itself; the second needs a module around it.
DIRECT = {
    "crane": ("v0.22.1", "github.com/google/go-containerregistry/cmd/crane"),
    "regctl": ("v0.11.7", "github.com/regclient/regclient/cmd/regctl"),
    "helm": ("v3.22.0", "helm.sh/helm/v3/cmd/helm"),
    "kustomize": ("v5.7.1", "sigs.k8s.io/kustomize/kustomize/v5"),
    "cosign": ("v3.1.3", "github.com/sigstore/cosign/v3/cmd/cosign"),
    "actionlint": ("v1.7.12", "github.com/rhysd/actionlint/cmd/actionlint"),
    "syft": ("v1.52.0", "github.com/anchore/syft/cmd/syft"),
    "registry": ("v3.1.2", "github.com/distribution/distribution/v3/cmd/registry"),  # a peer for tests/bench
}
WRAPPED = {
    "oras": ("v1.3.1", "oras.land/oras/cmd/oras"),
    "buildctl": ("v0.23.2", "github.com/moby/buildkit/cmd/buildctl"),
    "buildkitd": ("v0.23.2", "github.com/moby/buildkit/cmd/buildkitd"),
    "olareg": ("v0.1.2", "github.com/olareg/olareg/cmd/olareg"),  # a peer for tests/bench
}
GO_MINIMUM = (1, 24)


def go():
    """The Go toolchain, or Skip."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and os.path.exists(candidate):
            found = re.search(r"go(\d+)\.(\d+)", subprocess.run([candidate, "version"], capture_output=True, text=True).stdout)
            if found and (int(found[1]), int(found[2])) >= GO_MINIMUM:
                return candidate
    raise Skip(f"no Go toolchain of {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer")


def tool(name):
    """The path of a client, built if need be. Skip without a Go toolchain."""
    version, package = DIRECT.get(name) or WRAPPED[name]
    path = os.path.join(CACHE, f"{name}-{version}", name)
    if os.path.exists(path):
        return path
    compiler = go()
    print(f"building {name} {version} (once; it is kept in {CACHE})", flush=True)
    target = os.path.dirname(path)
    partial = target + ".partial"
    os.makedirs(partial, exist_ok=True)
    environment = dict(os.environ, GOBIN=partial, GOFLAGS="-mod=mod", CGO_ENABLED="0")
    if name in DIRECT:
        commands, folder = [[compiler, "install", f"{package}@{version}"]], None
    else:
        # Modules that are no good for `go install pkg@version` (replace directives) are built from a module of ours,
        # with the versions that theirs asks for.
        folder = tempfile.mkdtemp(prefix="berth-tools-")
        commands = [[compiler, "mod", "init", "tools"], [compiler, "get", f"{package}@{version}"],
                    [compiler, "install", package]]
    for command in commands:
        done = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout.decode(errors='replace')[-3000:]}")
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(partial, target)
    return path


def python_tools(name, requirements):
    """The bin folder of a Python environment with what the file `requirements` pins, installed if need be."""
    with open(requirements, "rb") as f:
        version = hashlib.sha256(f.read()).hexdigest()[:12]
    folder = os.path.join(CACHE, f"{name}-{version}")
    if not os.path.exists(os.path.join(folder, "complete")):
        print(f"installing {name} (once; it is kept in {CACHE})", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        run(sys.executable, "-m", "venv", folder)
        run(os.path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", requirements, timeout=600)
        with open(os.path.join(folder, "complete"), "w"):
            pass
    return os.path.join(folder, "bin")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or [*DIRECT, *WRAPPED]:
        try:
            print(tool(wanted), flush=True)
        except Skip as skip:
            print(f"{wanted}: {skip}", flush=True)

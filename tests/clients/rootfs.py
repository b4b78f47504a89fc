"""A real image to push: a Debian root file system and two small layers on top, as an OCI layout."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Skip, MANIFEST, INDEX, need, need_root, run
from tools import CACHE


def debian_mirror():
    """Where this machine's own apt fetches Debian from."""
    folder = "/etc/apt/sources.list.d"
    files = ["/etc/apt/sources.list"] + sorted(os.path.join(folder, f) for f in (os.listdir(folder) if os.path.isdir(folder) else []))
    for name in files:
        try:
            text = open(name).read()
        except OSError:
            continue
        for line in text.splitlines():
            found = re.match(r"\s*(?:URIs:|deb\s+(?:\[[^]]*\]\s+)?)\s*(\S+/debian/?)(?:\s|$)", line)
            if found:
                return found[1]
    raise Skip("no Debian mirror in apt's sources")


def root_filesystem():
    """A tar of a minimal Debian, made by debootstrap once and kept."""
    path = os.path.join(CACHE, "debian-rootfs.tar")
    if os.path.exists(path):
        return path
    need_root()
    need("debootstrap")
    os.makedirs(CACHE, exist_ok=True)
    folder = os.path.join(CACHE, f"debian-rootfs.{os.getpid()}")
    print("making a Debian root file system (once)", flush=True)
    try:
        run("debootstrap", "--variant=minbase", "bookworm", folder, debian_mirror(), timeout=900)
        shutil.rmtree(os.path.join(folder, "var/cache/apt"), ignore_errors=True)
        run("tar", "--numeric-owner", "--sort=name", "-C", folder, "-cf", path + ".partial", "--exclude=./dev/*",
            "--exclude=./proc/*", "--exclude=./sys/*", ".", timeout=300)
        os.rename(path + ".partial", path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return path


def small_layer(name, content):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _blob(folder, data):
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(folder, "blobs/sha256", digest), "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def oci_layout(folder, architectures=("amd64",)):
    """Writes an OCI layout with the tag `image`: one manifest, or an index of one for each architecture (the same
    files; only the config says otherwise). Returns the list of manifest digests."""
    os.makedirs(os.path.join(folder, "blobs/sha256"), exist_ok=True)
    with open(root_filesystem(), "rb") as f:
        base = f.read()
    manifests = []
    packed = gzip.compress(base, compresslevel=1, mtime=0)
    for architecture in architectures:
        layers, diff_ids = [], []
        extra = [small_layer("etc/berth-one", b"one\n" * 100), small_layer("etc/berth-" + architecture, os.urandom(300_000))]
        for index, tar in enumerate([base] + extra):
            data = packed if index == 0 else gzip.compress(tar, mtime=0)
            layers.append(dict(_blob(folder, data), mediaType="application/vnd.oci.image.layer.v1.tar+gzip"))
            diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
        config = json.dumps({"architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                             "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
        document = {"schemaVersion": 2, "mediaType": MANIFEST,
                    "config": dict(_blob(folder, config), mediaType="application/vnd.oci.image.config.v1+json"),
                    "layers": layers}
        entry = dict(_blob(folder, json.dumps(document).encode()), mediaType=MANIFEST)
        if len(architectures) > 1:
            entry["platform"] = {"architecture": architecture, "os": "linux"}
        manifests.append(entry)
    top = manifests[0]
    if len(architectures) > 1:
        top = dict(_blob(folder, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()),
                   mediaType=INDEX)
    top = dict(top, annotations={"org.opencontainers.image.ref.name": "image"})
    with open(os.path.join(folder, "oci-layout"), "w") as f:
        json.dump({"imageLayoutVersion": "1.0.0"}, f)
    with open(os.path.join(folder, "index.json"), "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [top]}, f)
    return [m["digest"] for m in manifests], top["digest"]

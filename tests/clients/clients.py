"""Real clients against a running berth: each pushes and pulls what it is for, and gets the same bytes back."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Berth, Failure, INDEX, MANIFEST, Report, Skip, check, image, need, need_root, run, sha256
from rootfs import oci_layout, root_filesystem
from tools import tool

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Daemon:
    """A server program of a client (dockerd, containerd, buildkitd) with its own state, ended by its own pid."""

    def __init__(self, name, command, ready, timeout=60):
        self.log = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log", delete=False)
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        end = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                raise Failure(f"{name} ended:\n" + open(self.log.name, errors="replace").read()[-3000:])
            if ready():
                return
            if time.monotonic() > end:
                self.stop()
                raise Failure(f"{name} is not ready:\n" + open(self.log.name, errors="replace").read()[-3000:])
            time.sleep(0.2)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        os.unlink(self.log.name)


def succeeds(*command, env=None):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          env=dict(os.environ, **(env or {}))).returncode == 0


class Clients:
    def __init__(self, berth, work):
        self.berth, self.work = berth, work
        self.http = berth.client()
        self.home = {"HOME": os.path.join(work, "home"), "XDG_RUNTIME_DIR": os.path.join(work, "run"),
                     "DOCKER_CONFIG": os.path.join(work, "home", ".docker")}
        for folder in self.home.values():
            os.makedirs(folder, mode=0o700, exist_ok=True)
        # skopeo, podman and buildah: take anything, from a registry on this machine without TLS.
        self.policy = os.path.join(work, "policy.json")
        with open(self.policy, "w") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
        with open(os.path.join(self.home["DOCKER_CONFIG"], "config.json"), "w") as f:
            f.write("{}")  # podman and buildah insist on the file once DOCKER_CONFIG is set
        self._layouts = {}

    def ref(self, name):
        return f"{self.berth.address}/{name}"

    def layout(self, architectures):
        if architectures not in self._layouts:
            folder = os.path.join(self.work, "layout-" + "-".join(architectures))
            self._layouts[architectures] = (folder, *oci_layout(folder, architectures))
        return self._layouts[architectures]

    def manifest(self, repository, reference):
        """The bytes and media type that berth serves; checked against the digest it claims."""
        headers, body = self.http.expect(200, "GET", f"/v2/{repository}/manifests/{reference}", headers={"Accept": f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, */*"})
        check(sha256(body) == headers["docker-content-digest"], "the digest header is not the digest of the bytes")
        return headers["docker-content-digest"], headers["content-type"], body

    def same_files(self, layout_a, layout_b):
        """Every blob of layout a is in layout b with the same bytes."""
        names = os.listdir(os.path.join(layout_a, "blobs/sha256"))
        check(names, "an empty layout")
        for name in names:
            a, b = (os.path.join(x, "blobs/sha256", name) for x in (layout_a, layout_b))
            check(os.path.exists(b), f"{name} did not come back")
            check(hashlib.sha256(open(b, "rb").read()).hexdigest() == name, f"{name} came back with other bytes")
            check(os.path.getsize(a) == os.path.getsize(b), f"{name} came back with another size")
        return f"{len(names)} blobs"

    # ---- Debian's own ----

    def skopeo(self):
        need("skopeo")
        folder, _, top = self.layout(("amd64",))
        run("skopeo", "--policy", self.policy, "copy", "--dest-tls-verify=false", f"oci:{folder}:image",
            f"docker://{self.ref('skopeo/debian:1')}", env=self.home)
        check(self.manifest("skopeo/debian", "1")[0] == top, "the digest changed on the way")
        back = os.path.join(self.work, "skopeo-back")
        run("skopeo", "--policy", self.policy, "copy", "--src-tls-verify=false", f"docker://{self.ref('skopeo/debian:1')}",
            f"oci:{back}:image", env=self.home)
        told = self.same_files(folder, back)
        # The second push finds everything and another repository mounts it.
        run("skopeo", "--policy", self.policy, "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
            f"docker://{self.ref('skopeo/debian:1')}", f"docker://{self.ref('skopeo/copy:2')}", env=self.home)
        check(self.manifest("skopeo/copy", "2")[0] == top, "the copy has another digest")
        listed = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{self.ref('skopeo/copy')}", env=self.home))
        check(listed["Tags"] == ["2"], f"list-tags says {listed}")
        run("skopeo", "delete", "--tls-verify=false", f"docker://{self.ref('skopeo/copy:2')}", env=self.home)
        self.http.expect(404, "GET", "/v2/skopeo/copy/manifests/2")
        return told

    def multi_arch(self):
        need("skopeo")
        folder, manifests, top = self.layout(("amd64", "arm64"))
        run("skopeo", "--policy", self.policy, "copy", "--all", "--dest-tls-verify=false", f"oci:{folder}:image",
            f"docker://{self.ref('multi/debian:1')}", env=self.home)
        digest, kind, body = self.manifest("multi/debian", "1")
        check(digest == top and kind == INDEX, f"{digest} {kind}")
        check([m["digest"] for m in json.loads(body)["manifests"]] == manifests, "other children")
        back = os.path.join(self.work, "multi-back")
        run("skopeo", "--policy", self.policy, "copy", "--all", "--src-tls-verify=false",
            f"docker://{self.ref('multi/debian:1')}", f"oci:{back}:image", env=self.home)
        return self.same_files(folder, back)

    def umoci(self):
        """umoci makes and unpacks; skopeo is its transport."""
        need("umoci")
        need("skopeo")
        folder, _, _ = self.layout(("amd64",))
        edited = os.path.join(self.work, "umoci")
        shutil.copytree(folder, edited)
        run("umoci", "config", "--image", f"{edited}:image", "--tag", "edited", "--config.label", "made.by=umoci")
        run("skopeo", "--policy", self.policy, "copy", "--dest-tls-verify=false", f"oci:{edited}:edited",
            f"docker://{self.ref('umoci/debian:edited')}", env=self.home)
        back = os.path.join(self.work, "umoci-back")
        run("skopeo", "--policy", self.policy, "copy", "--src-tls-verify=false",
            f"docker://{self.ref('umoci/debian:edited')}", f"oci:{back}:edited", env=self.home)
        bundle = os.path.join(self.work, "umoci-bundle")
        need_root()
        run("umoci", "unpack", "--image", f"{back}:edited", bundle)
        check(os.path.exists(os.path.join(bundle, "rootfs/etc/debian_version")), "no Debian inside")
        shutil.rmtree(bundle)

    def podman(self):
        need("podman")
        need_root()
        store = ["--root", os.path.join(self.work, "podman"), "--runroot", os.path.join(self.work, "podman-run"),
                 "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        run("podman", *store, "import", root_filesystem(), "localhost/debian:1", env=self.home, timeout=600)
        run("podman", *store, "push", "--signature-policy", self.policy, "--tls-verify=false", "localhost/debian:1",
            self.ref("podman/debian:1"), env=self.home)
        before = run("podman", *store, "image", "inspect", "--format", "{{.Id}}", "localhost/debian:1", env=self.home).split()[-1]
        run("podman", *store, "rmi", "-f", "localhost/debian:1", env=self.home)
        run("podman", *store, "pull", "--signature-policy", self.policy, "--tls-verify=false", self.ref("podman/debian:1"), env=self.home)
        after = run("podman", *store, "image", "inspect", "--format", "{{.Id}}", self.ref("podman/debian:1"), env=self.home).split()[-1]
        check(before == after, f"{before} became {after}")

    def buildah(self):
        need("buildah")
        need_root()
        store = ["--root", os.path.join(self.work, "buildah"), "--runroot", os.path.join(self.work, "buildah-run"),
                 "--storage-driver", "vfs"]
        context = os.path.join(self.work, "buildah-context")
        os.makedirs(context)
        with open(os.path.join(context, "hello"), "wb") as f:
            f.write(os.urandom(200_000))
        with open(os.path.join(context, "Containerfile"), "w") as f:
            f.write("FROM scratch\nCOPY hello /hello\nLABEL made.by=buildah\n")
        run("buildah", *store, "bud", "--signature-policy", self.policy, "--isolation", "chroot", "-t", "built", context, env=self.home)
        run("buildah", *store, "push", "--signature-policy", self.policy, "--tls-verify=false", "built",
            f"docker://{self.ref('buildah/hello:1')}", env=self.home)
        run("buildah", *store, "rmi", "-f", "built", env=self.home)
        run("buildah", *store, "pull", "--signature-policy", self.policy, "--tls-verify=false", f"docker://{self.ref('buildah/hello:1')}", env=self.home)
        name = run("buildah", *store, "from", "--signature-policy", self.policy, self.ref("buildah/hello:1"), env=self.home).split()[-1]
        mounted = run("buildah", *store, "mount", name, env=self.home).split()[-1]
        check(open(os.path.join(mounted, "hello"), "rb").read() == open(os.path.join(context, "hello"), "rb").read(),
              "the file came back with other bytes")
        run("buildah", *store, "rm", "-a", env=self.home)

    def docker(self):
        need("dockerd")
        need_root()
        docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else need("docker")
        base = os.path.join(self.work, "docker")
        os.makedirs(base)
        socket = f"unix://{base}/docker.sock"
        client = [docker, "-H", socket]
        daemon = Daemon("dockerd", ["dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root",
                                    base + "/data", "--exec-root", base + "/exec", "-H", socket, "--pidfile", base + "/pid"],
                        lambda: succeeds(*client, "version", env=self.home))
        try:
            with open(root_filesystem(), "rb") as tar:
                subprocess.run([*client, "import", "-", "debian:base"], stdin=tar, check=True, stdout=subprocess.DEVNULL)
            # Several layers: docker commits a file on top of the imported root.
            context = os.path.join(self.work, "docker-context")
            os.makedirs(context)
            for name in ("one", "two"):
                with open(os.path.join(context, name), "wb") as f:
                    f.write(os.urandom(150_000))
            with open(os.path.join(context, "Dockerfile"), "w") as f:
                f.write("FROM debian:base\nCOPY one /one\nCOPY two /two\n")
            built = run(*client, "build", "-q", "-t", "app", context, env=dict(self.home, DOCKER_BUILDKIT="0")).split()[-1]
            target = self.ref("docker/app:1")
            run(*client, "tag", "app", target, env=self.home)
            pushed = run(*client, "push", target, env=self.home)
            digest, kind, _ = self.manifest("docker/app", "1")
            check(digest in pushed, f"docker names another digest than {digest}:\n{pushed}")
            check(kind == DOCKER_MANIFEST, kind)
            # A second repository: docker mounts instead of sending again.
            other = self.ref("docker/other:1")
            run(*client, "tag", "app", other, env=self.home)
            again = run(*client, "push", other, env=self.home)
            check("Mounted from docker/app" in again, f"nothing was mounted:\n{again}")
            run(*client, "rmi", "-f", target, other, "app", "debian:base", env=self.home)
            run(*client, "pull", target, env=self.home)
            back = run(*client, "image", "inspect", "--format", "{{.Id}}", target, env=self.home).split()[-1]
            check(back == built, f"{built} came back as {back}")
            run(*client, "pull", f"{self.ref('docker/app')}@{digest}", env=self.home)
            return "multi-layer image of a Debian root file system"
        finally:
            daemon.stop()

    def containerd(self):
        need("containerd")
        ctr = need("ctr")
        need_root()
        self.skopeo_once()
        base = os.path.join(self.work, "containerd")
        os.makedirs(base)
        with open(base + "/config.toml", "w") as f:
            f.write(f'version = 2\nroot = "{base}/root"\nstate = "{base}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri", '
                    f'"io.containerd.internal.v1.opt"]\n[grpc]\n  address = "{base}/sock"\n[ttrpc]\n  address = "{base}/sock.ttrpc"\n')
        client = [ctr, "-a", base + "/sock"]
        daemon = Daemon("containerd", ["containerd", "-c", base + "/config.toml"],
                        lambda: succeeds(*client, "version"))
        try:
            source, target = self.ref("base/debian:1"), self.ref("containerd/debian:1")
            run(*client, "images", "pull", "--plain-http", "--snapshotter", "native", source)
            run(*client, "images", "tag", source, target)
            run(*client, "images", "push", "--plain-http", target)
            check(self.manifest("containerd/debian", "1")[0] == self.manifest("base/debian", "1")[0], "another digest")
            run(*client, "images", "rm", source, target)
            run(*client, "images", "pull", "--plain-http", "--snapshotter", "native", target)
            run(*client, "images", "check", timeout=60)
        finally:
            daemon.stop()

    def skopeo_once(self):
        """An image for clients that begin with a pull."""
        folder, _, top = self.layout(("amd64",))
        if self.http.request("HEAD", "/v2/base/debian/manifests/1")[0] != 200:
            need("skopeo")
            run("skopeo", "--policy", self.policy, "copy", "--dest-tls-verify=false", f"oci:{folder}:image",
                f"docker://{self.ref('base/debian:1')}", env=self.home)
        return top

    # ---- from Go modules ----

    def crane(self):
        crane = tool("crane")
        folder, _, top = self.layout(("amd64", "arm64"))
        run(crane, "push", "--index", folder, self.ref("crane/debian:1"), env=self.home)
        digest, _, body = self.manifest("crane/debian", "1")
        run(crane, "validate", "--remote", self.ref("crane/debian:1"), env=self.home)
        run(crane, "copy", self.ref("crane/debian:1"), self.ref("crane/copy:1"), env=self.home)
        check(run(crane, "digest", self.ref("crane/copy:1"), env=self.home).strip() == digest, "the copy differs")
        run(crane, "tag", self.ref("crane/copy:1"), "two", env=self.home)
        check(run(crane, "ls", self.ref("crane/copy"), env=self.home).split() == ["1", "two"], "ls")
        check("crane/copy" in run(crane, "catalog", self.berth.address, env=self.home).split(), "catalog")
        layer = json.loads(self.manifest("crane/debian", json.loads(body)["manifests"][0]["digest"])[2])
        check("manifests" in layer or "layers" in layer, "no child")
        run(crane, "delete", f"{self.ref('crane/copy')}@{digest}", env=self.home)
        self.http.expect(404, "HEAD", "/v2/crane/copy/manifests/two")

    def regctl(self):
        regctl = tool("regctl")
        folder, _, top = self.layout(("amd64", "arm64"))
        env = dict(self.home, REGCTL_CONFIG=os.path.join(self.work, "regctl.json"))
        run(regctl, "registry", "set", "--tls", "disabled", self.berth.address, env=env)
        run(regctl, "image", "copy", f"ocidir://{folder}:image", self.ref("regctl/debian:1"), env=env)
        check(self.manifest("regctl/debian", "1")[0] == top, "another digest")
        run(regctl, "image", "copy", "--referrers", "--digest-tags", self.ref("regctl/debian:1"), self.ref("regctl/copy:1"), env=env)
        check(self.manifest("regctl/copy", "1")[0] == top, "the copy differs")
        back = os.path.join(self.work, "regctl-back")
        run(regctl, "image", "copy", self.ref("regctl/copy:1"), f"ocidir://{back}:image", env=env)
        told = self.same_files(folder, back)
        note = os.path.join(self.work, "note.txt")
        with open(note, "w") as f:
            f.write("a note")
        run(regctl, "artifact", "put", "--artifact-type", "application/vnd.example.note", "--subject",
            self.ref("regctl/debian:1"), "-f", note, env=env)
        check("application/vnd.example.note" in run(regctl, "artifact", "tree", self.ref("regctl/debian:1"), env=env), "tree")
        self.no_fallback_tags("regctl/debian")
        check(run(regctl, "tag", "ls", self.ref("regctl/copy"), env=env).split() == ["1"], "tag ls")
        run(regctl, "tag", "delete", self.ref("regctl/copy:1"), env=env)
        self.http.expect(404, "HEAD", "/v2/regctl/copy/manifests/1")
        self.http.expect(200, "HEAD", f"/v2/regctl/copy/manifests/{top}")
        return told

    def no_fallback_tags(self, repository):
        """With a referrers API no client may write a fallback tag."""
        _, body = self.http.expect(200, "GET", f"/v2/{repository}/tags/list")
        odd = [t for t in json.loads(body)["tags"] if t.startswith("sha256-") and "." not in t]
        check(not odd, f"fallback tags were written: {odd}")

    def oras(self):
        oras = tool("oras")
        self.skopeo_once()
        folder = os.path.join(self.work, "oras")
        os.makedirs(folder)
        payload = os.urandom(500_000)
        with open(os.path.join(folder, "data.bin"), "wb") as f:
            f.write(payload)
        target = self.ref("oras/artifact:1")
        run(oras, "push", "--plain-http", "--artifact-type", "application/vnd.example.data", target,
            "data.bin:application/octet-stream", env=self.home, cwd=folder)
        run(oras, "attach", "--plain-http", "--artifact-type", "application/vnd.example.sbom", target,
            "data.bin:application/octet-stream", env=self.home, cwd=folder)
        found = run(oras, "discover", "--plain-http", "--format", "json", target, env=self.home)
        check("application/vnd.example.sbom" in found, f"discover does not see it:\n{found}")
        self.no_fallback_tags("oras/artifact")
        back = os.path.join(self.work, "oras-back")
        run(oras, "pull", "--plain-http", "-o", back, target, env=self.home)
        check(open(os.path.join(back, "data.bin"), "rb").read() == payload, "other bytes came back")
        run(oras, "cp", "-r", "--from-plain-http", "--to-plain-http", target, self.ref("oras/copy:1"), env=self.home)
        check("application/vnd.example.sbom" in run(oras, "discover", "--plain-http", "--format", "json",
                                                    self.ref("oras/copy:1"), env=self.home), "the referrer was not copied")
        check("oras/copy" in run(oras, "repo", "ls", "--plain-http", self.berth.address, env=self.home), "repo ls")
        run(oras, "manifest", "delete", "--plain-http", "--force", self.ref("oras/copy:1"), env=self.home)
        self.http.expect(404, "HEAD", "/v2/oras/copy/manifests/1")

    def helm(self):
        helm = tool("helm")
        folder = os.path.join(self.work, "helm")
        os.makedirs(folder)
        run(helm, "create", "demo", env=self.home, cwd=folder)
        run(helm, "package", "demo", "--version", "1.2.3+build.5", env=self.home, cwd=folder)
        package = os.path.join(folder, "demo-1.2.3+build.5.tgz")
        run(helm, "push", "--plain-http", package, f"oci://{self.ref('charts')}", env=self.home)
        _, body = self.http.expect(200, "GET", "/v2/charts/demo/tags/list")
        check(json.loads(body)["tags"] == ["1.2.3_build.5"], body.decode())
        back = os.path.join(folder, "back")
        os.makedirs(back)
        run(helm, "pull", "--plain-http", f"oci://{self.ref('charts/demo')}", "--version", "1.2.3+build.5", "-d", back, env=self.home)
        check(open(package, "rb").read() == open(os.path.join(back, os.path.basename(package)), "rb").read(), "other bytes")
        run(helm, "template", "--plain-http", "x", f"oci://{self.ref('charts/demo')}", env=self.home)

    def cosign(self):
        cosign = tool("cosign")
        top = self.skopeo_once()
        folder = os.path.join(self.work, "cosign")
        os.makedirs(folder)
        env = dict(self.home, COSIGN_PASSWORD="", COSIGN_YES="true")
        run(cosign, "generate-key-pair", env=env, cwd=folder)
        subject = f"{self.ref('base/debian')}@{top}"
        offline = os.path.join(folder, "signing.json")
        # No transparency log here: an empty signing configuration, and verification is told not to expect one.
        with open(offline, "w") as f:
            json.dump({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}, f)
        run(cosign, "sign", "--key", "cosign.key", "--signing-config", offline, "--allow-http-registry",
            "--allow-insecure-registry", subject, env=env, cwd=folder)
        verified = run(cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", "--allow-http-registry",
                       "--allow-insecure-registry", subject, env=env, cwd=folder)
        check(top in verified, f"the signature is not over {top}:\n{verified}")
        _, body = self.http.expect(200, "GET", f"/v2/base/debian/referrers/{top}")
        types = [m.get("artifactType") for m in json.loads(body)["manifests"]]
        check("application/vnd.dev.sigstore.bundle.v0.3+json" in types, f"referrers: {types}")
        self.no_fallback_tags("base/debian")

    def buildkit(self):
        buildkitd, buildctl = tool("buildkitd"), tool("buildctl")
        need_root()
        need("runc")
        base = os.path.join(self.work, "buildkit")
        os.makedirs(base)
        with open(base + "/buildkitd.toml", "w") as f:
            f.write(f'[registry."{self.berth.address}"]\n  http = true\n')
        socket = f"unix://{base}/sock"
        daemon = Daemon("buildkitd", [buildkitd, "--addr", socket, "--root", base + "/root", "--config",
                                      base + "/buildkitd.toml", "--oci-worker-snapshotter=native", "--oci-worker-net=host",
                                      "--containerd-worker=false"],
                        lambda: succeeds(buildctl, "--addr", socket, "debug", "workers"))
        context = os.path.join(self.work, "buildkit-context")
        os.makedirs(context)
        with open(os.path.join(context, "payload"), "wb") as f:
            f.write(os.urandom(400_000))
        with open(os.path.join(context, "Dockerfile"), "w") as f:
            f.write("FROM scratch AS one\nCOPY payload /payload\nFROM scratch\nCOPY --from=one /payload /copied\n")
        build = [buildctl, "--addr", socket, "build", "--progress=plain", "--frontend", "dockerfile.v0", "--local",
                 f"context={context}", "--local", f"dockerfile={context}"]
        try:
            for form in ("true", "false"):  # as an image manifest, and as an index of blobs
                repository = f"buildkit/cache-{form}"
                cache = f"type=registry,ref={self.ref(repository + ':cache')},mode=max,image-manifest={form},oci-mediatypes=true"
                run(*build, "--output", f"type=image,name={self.ref('buildkit/app:' + form)},push=true,registry.insecure=true",
                    "--export-cache", cache)
                self.manifest(repository, "cache")
                self.manifest("buildkit/app", form)
                run(buildctl, "--addr", socket, "prune", "--all")
                again = run(*build, "--output", f"type=image,name={self.ref('buildkit/again:' + form)},push=true,registry.insecure=true",
                            "--import-cache", f"type=registry,ref={self.ref(repository + ':cache')}")
                check("CACHED" in again, f"nothing came from the cache:\n{again[-2000:]}")
        finally:
            daemon.stop()


def main():
    report = Report("clients")
    work = tempfile.mkdtemp(prefix="berth-clients-")
    only = sys.argv[1:]
    try:
        with Berth() as berth:
            clients = Clients(berth, work)
            for name in ("docker", "skopeo", "multi_arch", "podman", "buildah", "umoci", "containerd", "crane", "oras",
                         "regctl", "helm", "cosign", "buildkit"):
                if not only or name in only:
                    report.case(name, getattr(clients, name))
            check(berth.process.poll() is None, "berth died")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

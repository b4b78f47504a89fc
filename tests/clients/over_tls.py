"""Real clients over TLS with the authority of `berth certs dev`: a small pull and push each, nothing skipped or trusted
blindly.

docker alone is told nothing by this: it takes any certificate from a registry on loopback. That it speaks TLS there is
certain, because the port answers nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from clients import Daemon, succeeds
from harness import BERTH, Berth, MANIFEST, Report, check, need, need_root, run
from small_image import SmallImage
from tools import tool


class Clients:
    def __init__(self, berth, certs, work):
        self.berth, self.certs, self.work = berth, certs, work
        self.address = f"127.0.0.1:{berth.tls_port}"
        self.http = berth.client()
        self.ca = os.path.join(certs, "ca.crt")
        self.folder = os.path.join(work, "trust")  # of podman and skopeo: a folder with the authority alone
        os.makedirs(self.folder)
        shutil.copy(self.ca, self.folder)
        self.env = {"HOME": os.path.join(work, "home"), "XDG_RUNTIME_DIR": os.path.join(work, "run"),
                    "DOCKER_CONFIG": os.path.join(work, "home", ".docker")}
        for folder in self.env.values():
            os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.path.join(self.env["DOCKER_CONFIG"], "config.json"), "w") as f:
            f.write("{}")
        self.trusting = dict(self.env, SSL_CERT_FILE=self.ca)
        self.policy = os.path.join(work, "policy.json")
        with open(self.policy, "w") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
        self.layout = os.path.join(work, "layout")
        small = SmallImage(self.layout)
        small.push(self.http, "base/small")
        self.top = small.digest

    def ref(self, name):
        return f"{self.address}/{name}"

    def pushed(self, repository, tag="1"):
        """The client's push is there, byte for byte."""
        headers, _ = self.http.expect(200, "HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": f"{MANIFEST}, */*"})
        check(headers["docker-content-digest"] == self.top, f"{repository} holds another digest")

    def refused(self, *command, **options):
        """Without the authority nothing may work."""
        env = dict(options.pop("env", self.env), SSL_CERT_FILE="/dev/null", SSL_CERT_DIR="/nonexistent")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ, **env), **options)
        text = done.stdout.decode(errors="replace")
        check(done.returncode != 0 and ("x509" in text or "certificate" in text), f"{command[0]} trusted a stranger:\n{text[-1000:]}")

    def curl(self):
        need("curl")
        url = f"https://localhost:{self.berth.tls_port}/v2/"
        check(run("curl", "-sS", "--cacert", self.ca, "--tlsv1.3", url) == "{}", "TLS 1.3")
        check(run("curl", "-sS", "--cacert", self.ca, "--tls-max", "1.2", url) == "{}", "TLS 1.2")
        check("this port speaks TLS" in run("curl", "-sS", url.replace("https", "http")), "plain HTTP is told nothing")
        check(not succeeds("curl", "-sS", url), "curl trusted a stranger")

    def skopeo(self):
        need("skopeo")
        self.refused("skopeo", "inspect", f"docker://{self.ref('base/small:1')}")
        run("skopeo", "--policy", self.policy, "copy", "--src-cert-dir", self.folder, "--dest-cert-dir", self.folder,
            f"docker://{self.ref('base/small:1')}", f"docker://{self.ref('tls/skopeo:1')}", env=self.env)
        self.pushed("tls/skopeo")

    def podman(self):
        need("podman")
        need_root()
        store = ["--root", os.path.join(self.work, "podman"), "--runroot", os.path.join(self.work, "podman-run"),
                 "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        trust = ["--signature-policy", self.policy, "--cert-dir", self.folder]
        run("podman", *store, "pull", *trust, self.ref("base/small:1"), env=self.env)
        run("podman", *store, "push", *trust, self.ref("base/small:1"), self.ref("tls/podman:1"), env=self.env)
        self.http.expect(200, "HEAD", "/v2/tls/podman/manifests/1")

    def docker(self):
        need("dockerd")
        need_root()
        docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else need("docker")
        base = os.path.join(self.work, "docker")
        os.makedirs(base)
        client = [docker, "-H", f"unix://{base}/docker.sock"]
        trust = f"/etc/docker/certs.d/{self.address}"
        os.makedirs(trust)
        shutil.copy(self.ca, trust)
        daemon = None
        try:
            daemon = Daemon("dockerd", ["dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root",
                                        base + "/data", "--exec-root", base + "/exec", "-H", client[2], "--pidfile", base + "/pid"],
                            lambda: succeeds(*client, "version", env=self.env))
            run(*client, "pull", self.ref("base/small:1"), env=self.env)
            run(*client, "tag", self.ref("base/small:1"), self.ref("tls/docker:1"), env=self.env)
            run(*client, "push", self.ref("tls/docker:1"), env=self.env)
            self.http.expect(200, "HEAD", "/v2/tls/docker/manifests/1")
        finally:
            shutil.rmtree(trust)
            if daemon:
                daemon.stop()

    def containerd(self):
        need("containerd")
        ctr = need("ctr")
        need_root()
        base = os.path.join(self.work, "containerd")
        hosts = os.path.join(base, "hosts", self.address)
        os.makedirs(hosts)
        with open(hosts + "/hosts.toml", "w") as f:
            f.write(f'server = "https://{self.address}"\n[host."https://{self.address}"]\n  ca = "{self.ca}"\n')
        with open(base + "/config.toml", "w") as f:
            f.write(f'version = 2\nroot = "{base}/root"\nstate = "{base}/state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri", '
                    f'"io.containerd.internal.v1.opt"]\n[grpc]\n  address = "{base}/sock"\n[ttrpc]\n  address = "{base}/sock.ttrpc"\n')
        client = [ctr, "-a", base + "/sock", "images"]
        daemon = Daemon("containerd", ["containerd", "-c", base + "/config.toml"],
                        lambda: succeeds(ctr, "-a", base + "/sock", "version"))
        try:
            source, target = self.ref("base/small:1"), self.ref("tls/containerd:1")
            run(*client, "pull", "--hosts-dir", base + "/hosts", "--snapshotter", "native", source)
            run(*client, "tag", source, target)
            run(*client, "push", "--hosts-dir", base + "/hosts", target)
            self.pushed("tls/containerd")
        finally:
            daemon.stop()

    def crane(self):
        crane = tool("crane")
        self.refused(crane, "digest", self.ref("base/small:1"))
        run(crane, "push", self.layout, self.ref("tls/crane:1"), env=self.trusting)
        self.pushed("tls/crane")
        run(crane, "validate", "--remote", self.ref("tls/crane:1"), env=self.trusting)

    def oras(self):
        oras = tool("oras")
        self.refused(oras, "repo", "ls", self.address)
        run(oras, "cp", "--from-ca-file", self.ca, "--to-ca-file", self.ca, self.ref("base/small:1"), self.ref("tls/oras:1"), env=self.env)
        self.pushed("tls/oras")
        check("tls/oras" in run(oras, "repo", "ls", "--ca-file", self.ca, self.address, env=self.env), "repo ls")

    def regctl(self):
        regctl = tool("regctl")
        env = dict(self.env, REGCTL_CONFIG=os.path.join(self.work, "regctl.json"))
        self.refused(regctl, "image", "digest", self.ref("base/small:1"), env=env)
        with open(self.ca) as f:
            run(regctl, "registry", "set", "--cacert", f.read(), "--tls", "enabled", self.address, env=env)
        run(regctl, "image", "copy", f"ocidir://{self.layout}:image", self.ref("tls/regctl:1"), env=env)
        self.pushed("tls/regctl")
        check(self.top in run(regctl, "image", "digest", self.ref("tls/regctl:1"), env=env), "another digest")

    def helm(self):
        helm = tool("helm")
        folder = os.path.join(self.work, "helm")
        os.makedirs(folder)
        run(helm, "create", "demo", env=self.env, cwd=folder)
        run(helm, "package", "demo", "--version", "1.0.0", env=self.env, cwd=folder)
        package = os.path.join(folder, "demo-1.0.0.tgz")
        self.refused(helm, "push", package, f"oci://{self.ref('charts')}")
        run(helm, "push", "--ca-file", self.ca, package, f"oci://{self.ref('charts')}", env=self.env)
        os.makedirs(folder + "/back")
        run(helm, "pull", "--ca-file", self.ca, f"oci://{self.ref('charts/demo')}", "--version", "1.0.0", "-d", folder + "/back", env=self.env)
        with open(package, "rb") as a, open(folder + "/back/demo-1.0.0.tgz", "rb") as b:
            check(a.read() == b.read(), "other bytes")

    def cosign(self):
        cosign = tool("cosign")
        folder = os.path.join(self.work, "cosign")
        os.makedirs(folder)
        env = dict(self.trusting, COSIGN_PASSWORD="", COSIGN_YES="true")
        run(cosign, "generate-key-pair", env=env, cwd=folder)
        subject = f"{self.ref('base/small')}@{self.top}"
        with open(os.path.join(folder, "signing.json"), "w") as f:
            json.dump({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}, f)
        run(cosign, "sign", "--key", "cosign.key", "--signing-config", "signing.json", subject, env=env, cwd=folder)
        verified = run(cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", subject, env=env, cwd=folder)
        check(self.top in verified, f"the signature is not over {self.top}:\n{verified}")


def main():
    report = Report("clients over TLS")
    work = tempfile.mkdtemp(prefix="berth-tls-clients-")
    only = sys.argv[1:]
    try:
        certs = os.path.join(work, "certs")
        run(BERTH, "certs", "dev", "--out", certs)
        with Berth(tls=certs) as berth:
            clients = Clients(berth, certs, work)
            for name in ("curl", "docker", "skopeo", "podman", "containerd", "crane", "oras", "regctl", "helm", "cosign"):
                if not only or name in only:
                    report.case(name, getattr(clients, name))
            check(berth.process.poll() is None, "berth died")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

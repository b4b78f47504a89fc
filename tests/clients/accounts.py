"""Real clients that log in, over TLS with a private authority: each pulls what is public as nobody, is refused with a
wrong password, pushes and pulls with the right one, pulls but does not push as a reader, and is nobody again after it
logged out."""

import json
import os
import re
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from clients import Daemon, succeeds
from harness import MANIFEST, Failure, Report, check, need, run
from tools import tool
from small_image import SmallImage
from with_accounts import ADMIN, READER, Registry, own_namespace

PUBLIC, PRIVATE = "public/small:1", "team/small:1"
# The last is containerd's, when the refusal comes while it still hands the body over to its HTTP client.
REFUSED = (r"unauthori[sz]ed|denied|\b401\b|\b403\b|authentication required|authorization failed|invalid username/password"
           r"|read/write on closed pipe")


def refused(action, *arguments):
    """The action fails, and because of who asks."""
    try:
        action(*arguments)
    except Failure as failure:
        check(re.search(REFUSED, str(failure), re.IGNORECASE), f"refused for another reason: {failure}")
        return
    raise Failure(f"{type(getattr(action, '__self__', None)).__name__} did {action.__name__}{arguments}, which must be refused")


class Client:
    """What a test asks a client to do. A login that the client only writes down is not `checked`."""

    checked = True

    def __init__(self, registry, image, work):
        self.registry, self.image = registry, image
        self.name = type(self).__name__.lower()
        self.folder = os.path.join(work, self.name)
        self.env = {"HOME": self.folder, "XDG_RUNTIME_DIR": self.folder, "DOCKER_CONFIG": os.path.join(self.folder, ".docker"),
                    "REGISTRY_AUTH_FILE": os.path.join(self.folder, "auth.json"), "SSL_CERT_FILE": registry.ca}
        os.makedirs(self.env["DOCKER_CONFIG"], mode=0o700)
        for file in (os.path.join(self.env["DOCKER_CONFIG"], "config.json"), self.env["REGISTRY_AUTH_FILE"]):
            with open(file, "w") as f:
                f.write("{}")
        # podman, buildah and skopeo: a folder with the authority alone, and signatures do not matter.
        self.trust = os.path.join(self.folder, "trust")
        os.makedirs(self.trust)
        shutil.copy(registry.ca, self.trust)
        self.policy = os.path.join(self.folder, "policy.json")
        with open(self.policy, "w") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)

    def ref(self, name):
        return f"{self.registry.address}/{name}"

    def do(self, *command, stdin=None):
        return run(*command, env=self.env, cwd=self.folder, stdin=stdin, timeout=60)

    def start(self):
        pass

    def stop(self):
        pass

    def pushed(self, name):
        """Checks, as somebody else, that what was pushed is there."""
        repository, tag = name.split(":")
        self.registry.client(ADMIN).expect(200, "HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": f"{MANIFEST}, */*"})

    def absent(self, name):
        """Checks, as somebody else, that nothing came of a push that was refused."""
        repository, tag = name.split(":")
        self.registry.client(ADMIN).expect(404, "HEAD", f"/v2/{repository}/manifests/{tag}")


class Docker(Client):
    def start(self):
        need("dockerd")
        binary = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else need("docker")
        base = os.path.join(self.folder, "daemon")
        os.makedirs(base)
        socket = f"unix://{base}/docker.sock"
        self.docker = [binary, "-H", socket]
        self.daemon = Daemon("dockerd", ["dockerd", "--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root",
                                         base + "/data", "--exec-root", base + "/exec", "-H", socket, "--pidfile", base + "/pid"],
                             lambda: succeeds(*self.docker, "version", env=self.env))
        told = ""
        try:
            self.do(*self.docker, "pull", self.ref(PUBLIC))
        except Failure as failure:
            told = str(failure)
        check("x509" in told, f"the daemon trusts an authority that it was not given: {told}")
        certificates = f"/etc/docker/certs.d/{self.registry.address}"
        os.makedirs(certificates)
        shutil.copy(self.registry.ca, certificates)

    def stop(self):
        if hasattr(self, "daemon"):
            self.daemon.stop()

    def login(self, user, password):
        self.do(*self.docker, "login", "-u", user, "--password-stdin", self.registry.address, stdin=password.encode())

    def logout(self):
        self.do(*self.docker, "logout", self.registry.address)

    def pull(self, name):
        self.do(*self.docker, "pull", self.ref(name))
        # Whoever holds the image may use it; the next pull must ask again.
        if name != PUBLIC:
            self.do(*self.docker, "rmi", self.ref(name))

    def push(self, name):
        self.do(*self.docker, "tag", self.ref(PUBLIC), self.ref(name))
        self.do(*self.docker, "push", self.ref(name))


class Store(Client):
    """podman and buildah."""

    always = []

    def login(self, user, password):
        self.do(*self.command, "login", "--cert-dir", self.trust, "-u", user, "--password-stdin", self.registry.address,
                stdin=password.encode())

    def logout(self):
        self.do(*self.command, "logout", self.registry.address)

    def pull(self, name):
        self.do(*self.command, "pull", *self.always, "--signature-policy", self.policy, "--cert-dir", self.trust, self.ref(name))

    def push(self, name):
        self.do(*self.command, "push", "--signature-policy", self.policy, "--cert-dir", self.trust, self.ref(PUBLIC),
                "docker://" + self.ref(name))


class Podman(Store):
    def start(self):
        need("podman")
        self.command = ["podman", "--root", os.path.join(self.folder, "store"), "--runroot", os.path.join(self.folder, "run"),
                        "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]


class Buildah(Store):
    always = ["--policy", "always"]  # else what is in the store is not asked for

    def start(self):
        need("buildah")
        self.command = ["buildah", "--root", os.path.join(self.folder, "store"), "--runroot", os.path.join(self.folder, "run"),
                        "--storage-driver", "vfs"]


class Skopeo(Client):
    def start(self):
        need("skopeo")
        self.copies = 0

    def login(self, user, password):
        self.do("skopeo", "login", "--cert-dir", self.trust, "-u", user, "--password-stdin", self.registry.address,
                stdin=password.encode())

    def logout(self):
        self.do("skopeo", "logout", self.registry.address)

    def pull(self, name):
        self.copies += 1
        self.do("skopeo", "--policy", self.policy, "copy", "--src-cert-dir", self.trust, "docker://" + self.ref(name),
                f"oci:{self.folder}/back:{self.copies}")

    def push(self, name):
        self.do("skopeo", "--policy", self.policy, "copy", "--dest-cert-dir", self.trust, f"oci:{self.image.layout}:image",
                "docker://" + self.ref(name))


class Containerd(Client):
    checked = False

    def start(self):
        need("containerd")
        self.ctr = [need("ctr"), "-a", os.path.join(self.folder, "sock"), "images"]
        self.hosts = os.path.join(self.folder, "hosts")
        place = os.path.join(self.hosts, self.registry.address)
        os.makedirs(place)
        with open(place + "/hosts.toml", "w") as f:
            url = f"https://{self.registry.address}"
            f.write(f'server = "{url}"\n[host."{url}"]\n  ca = "{self.registry.ca}"\n')
        with open(self.folder + "/config.toml", "w") as f:
            f.write(f'version = 2\nroot = "{self.folder}/root"\nstate = "{self.folder}/state"\ndisabled_plugins = '
                    f'["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]\n[grpc]\n  address = "{self.folder}/sock"\n'
                    f'[ttrpc]\n  address = "{self.folder}/sock.ttrpc"\n')
        self.daemon = Daemon("containerd", ["containerd", "-c", self.folder + "/config.toml"],
                             lambda: succeeds(*self.ctr[:-1], "version"))
        self.user = []

    def stop(self):
        if hasattr(self, "daemon"):
            self.daemon.stop()

    def login(self, user, password):
        self.user = ["--user", f"{user}:{password}"]

    def logout(self):
        self.user = []

    def pull(self, name):
        self.do(*self.ctr, "pull", "--hosts-dir", self.hosts, *self.user, "--snapshotter", "native", self.ref(name))

    def push(self, name):
        if self.ref(name) not in self.do(*self.ctr, "ls", "-q").split():
            self.do(*self.ctr, "tag", self.ref(PUBLIC), self.ref(name))
        self.do(*self.ctr, "push", "--hosts-dir", self.hosts, *self.user, self.ref(name))


class Crane(Client):
    checked = False

    def start(self):
        self.crane = tool("crane")

    def login(self, user, password):
        self.do(self.crane, "auth", "login", self.registry.address, "-u", user, "--password-stdin", stdin=password.encode())

    def logout(self):
        self.do(self.crane, "auth", "logout", self.registry.address)

    def pull(self, name):
        self.do(self.crane, "validate", "--remote", self.ref(name))

    def push(self, name):
        self.do(self.crane, "push", self.image.layout, self.ref(name))


class Oras(Client):
    def start(self):
        self.oras = tool("oras")

    def login(self, user, password):
        self.do(self.oras, "login", "--ca-file", self.registry.ca, "-u", user, "--password-stdin", self.registry.address,
                stdin=password.encode())

    def logout(self):
        self.do(self.oras, "logout", self.registry.address)

    def pull(self, name):
        self.do(self.oras, "cp", "--from-ca-file", self.registry.ca, self.ref(name), "--to-oci-layout", f"{self.folder}/back:1")

    def push(self, name):
        self.do(self.oras, "cp", "--from-oci-layout", f"{self.image.layout}:image", "--to-ca-file", self.registry.ca, self.ref(name))


class Regctl(Client):
    def start(self):
        self.regctl = tool("regctl")
        self.env["REGCTL_CONFIG"] = os.path.join(self.folder, "regctl.json")
        with open(self.registry.ca) as f:
            self.do(self.regctl, "registry", "set", "--skip-check", "--cacert", f.read(), "--tls", "enabled", self.registry.address)

    def login(self, user, password):
        self.do(self.regctl, "registry", "login", "-u", user, "--pass-stdin", self.registry.address, stdin=password.encode())

    def logout(self):
        self.do(self.regctl, "registry", "logout", self.registry.address)

    def pull(self, name):
        self.do(self.regctl, "image", "copy", self.ref(name), f"ocidir://{self.folder}/back:1")

    def push(self, name):
        self.do(self.regctl, "image", "copy", f"ocidir://{self.image.layout}:image", self.ref(name))


class Helm(Client):
    """A chart of its own in place of the image."""

    def start(self):
        self.helm = tool("helm")
        self.do(self.helm, "create", "small")
        self.do(self.helm, "package", "small", "--version", "1.0.0")
        self.login(ADMIN, self.registry.passwords[ADMIN])
        for repository in ("public", "team"):
            self.do(self.helm, "push", "--ca-file", self.registry.ca, "small-1.0.0.tgz", f"oci://{self.ref(repository + '/charts')}")
        self.logout()

    def login(self, user, password):
        self.do(self.helm, "registry", "login", "--ca-file", self.registry.ca, "-u", user, "--password-stdin",
                self.registry.address, stdin=password.encode())

    def logout(self):
        self.do(self.helm, "registry", "logout", self.registry.address)

    def chart(self, name):
        return name.split(":")[0].split("/")[0] + "/charts" if name in (PUBLIC, PRIVATE) else name.split(":")[0]

    def pull(self, name):
        back = os.path.join(self.folder, "back")
        shutil.rmtree(back, ignore_errors=True)
        os.makedirs(back)
        self.do(self.helm, "pull", "--ca-file", self.registry.ca, f"oci://{self.ref(self.chart(name))}/small", "--version", "1.0.0",
                "-d", back)
        with open(os.path.join(self.folder, "small-1.0.0.tgz"), "rb") as a, open(os.path.join(back, "small-1.0.0.tgz"), "rb") as b:
            check(a.read() == b.read(), "other bytes")

    def push(self, name):
        self.do(self.helm, "push", "--ca-file", self.registry.ca, "small-1.0.0.tgz", f"oci://{self.ref(self.chart(name))}")

    def pushed(self, name):
        super().pushed(self.chart(name) + "/small:1.0.0")

    def absent(self, name):
        super().absent(self.chart(name) + "/small:1.0.0")


class Cosign(Client):
    """Signs what it is asked to push, and verifies what it is asked to pull. What it signs is there before."""

    checked = False

    def start(self):
        self.cosign, self.crane = tool("cosign"), tool("crane")
        self.env.update(COSIGN_PASSWORD="", COSIGN_YES="true")
        self.do(self.cosign, "generate-key-pair")
        # No transparency log here: an empty signing configuration, and verification is told not to expect one.
        with open(os.path.join(self.folder, "signing.json"), "w") as f:
            json.dump({"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}, f)
        self.image.push(self.registry.client(ADMIN), "team/cosign")
        self.login(ADMIN, self.registry.passwords[ADMIN])
        for name in (PUBLIC, PRIVATE):
            self.push(name)
        self.logout()

    def login(self, user, password):
        self.do(self.cosign, "login", self.registry.address, "-u", user, "--password-stdin", stdin=password.encode())

    def logout(self):
        self.do(self.crane, "auth", "logout", self.registry.address)  # where both keep it; cosign itself has no such command

    def subject(self, name):
        return f"{self.ref(name.split(':')[0])}@{self.image.digest}"

    def pull(self, name):
        told = self.do(self.cosign, "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", self.subject(name))
        check(self.image.digest in told, f"the signature is over something else:\n{told}")

    def push(self, name):
        self.do(self.cosign, "sign", "--key", "cosign.key", "--signing-config", "signing.json", self.subject(name))

    def pushed(self, name):
        _, body = self.registry.client(ADMIN).expect(200, "GET", f"/v2/{name.split(':')[0]}/referrers/{self.image.digest}")
        check(json.loads(body)["manifests"], "no signature arrived")

    def absent(self, name):
        pass  # its tag was there before


CLIENTS = [Docker, Podman, Buildah, Skopeo, Containerd, Crane, Oras, Regctl, Helm, Cosign]


def life(client):
    passwords, own = client.registry.passwords, f"team/{client.name}:1"
    try:
        client.start()
        client.pull(PUBLIC)
        refused(client.pull, PRIVATE)
        refused(client.push, own)
        client.absent(own)
        if client.checked:
            refused(client.login, client.name, "wrong")
        else:
            client.login(client.name, "wrong")
            refused(client.pull, PRIVATE)
        client.login(client.name, passwords[client.name])
        client.push(own)
        client.pushed(own)
        client.pull(own)
        client.pull(PRIVATE)
        client.logout()
        refused(client.pull, PRIVATE)
        refused(client.pull, own)
        client.pull(PUBLIC)
        client.login(READER, passwords[READER])
        client.pull(PRIVATE)
        refused(client.push, own.replace(":1", ":2"))
        client.logout()
    finally:
        client.stop()


def main():
    report = Report("clients with accounts")
    if not own_namespace(report):
        return report.finish()
    work = tempfile.mkdtemp(prefix="berth-accounts-")
    try:
        names = [kind.__name__.lower() for kind in CLIENTS]
        grants = [{"subjects": ["anonymous"], "repositories": ["public/**"], "role": "reader"},
                  {"subjects": [f"user:{name}" for name in names], "repositories": ["team/**"], "role": "writer"},
                  {"subjects": [f"user:{READER}"], "repositories": ["team/**"], "role": "reader"}]
        image = SmallImage(os.path.join(work, "layout"))
        with Registry(work, [*names, READER], grants) as registry:
            for name in (PUBLIC, PRIVATE):
                image.push(registry.client(ADMIN), name.split(":")[0])
            for name, kind in zip(names, CLIENTS):
                if not sys.argv[1:] or name in sys.argv[1:]:
                    report.case(name, life, kind(registry, image, work))
            check(registry.process.poll() is None, "berth died")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

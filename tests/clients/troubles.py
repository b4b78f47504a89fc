"""The messages of docs/troubleshooting.md, from the clients that print them: each is made to happen, and what the client
says must hold what the page quotes. A message that no client prints any more is found here, not by a reader."""

import http.server
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from accounts import Containerd, Crane, Docker, Podman, Skopeo
from harness import INDEX, MANIFEST, ROOT, Berth, Failure, Report, check, need, run
from small_image import SmallImage
from with_accounts import ADMIN, HOST, Registry, free_port, own_namespace

PAGE = os.path.join(ROOT, "docs", "troubleshooting.md")
SHOW = os.environ.get("BERTH_SHOW_TROUBLES")


def quoted():
    """The messages in the page: headings of code, without what differs from machine to machine (…)."""
    with open(PAGE, encoding="utf-8") as f:
        return re.findall(r"^- `(.+)`$", f.read(), re.MULTILINE)


def fits(message, output):
    pattern = r"[\s\S]*?".join(re.escape(part.strip()) for part in message.split("…"))
    return re.search(pattern, output) is not None


class Troubles:
    def __init__(self, registry, image, work):
        self.registry, self.image, self.work = registry, image, work
        self.seen, self.outputs = set(), []
        self.clients = {}

    def client(self, kind):
        if kind not in self.clients:
            self.clients[kind] = kind(self.registry, self.image, os.path.join(self.work, kind.__name__))
            self.clients[kind].start()
        return self.clients[kind]

    def fails(self, action, *arguments):
        """What somebody reads when this goes wrong."""
        try:
            action(*arguments)
        except Failure as failure:
            output = str(failure)
        else:
            raise Failure(f"{action}{arguments} did not fail")
        self.outputs.append(output)
        if SHOW:
            print("----", output, flush=True)
        found = [message for message in quoted() if fits(message, output)]
        self.seen.update(found)
        check(found or SHOW, f"docs/troubleshooting.md has no message like\n{output}")

    def stop(self):
        for client in self.clients.values():
            client.stop()

    # ---- what goes wrong ----

    def nobody_there(self):
        address = f"{HOST}:{free_port()}"
        self.fails(run, "curl", "-sS", f"https://{address}/v2/")
        crane = self.client(Crane)
        self.fails(crane.do, crane.crane, "ls", f"{address}/team/app")
        docker = self.client(Docker)
        self.fails(docker.do, *docker.docker, "pull", f"{address}/team/app:1")

    def plain_http(self):
        """A registry without TLS for clients that want it."""
        plain = Berth(log=os.path.join(self.work, "plain.log"), settings={"public_url": f"http://{HOST}:1"})
        with plain:
            # Under the name of another machine: docker and others speak plain HTTP to loopback by themselves.
            address = f"{HOST}:{self.forward(plain.port)}"
            docker, skopeo, containerd, podman = (self.client(kind) for kind in (Docker, Skopeo, Containerd, Podman))
            self.fails(docker.do, *docker.docker, "pull", f"{address}/team/app:1")
            self.fails(skopeo.do, "skopeo", "inspect", f"docker://{address}/team/app:1")
            self.fails(podman.do, *podman.command, "pull", "--signature-policy", podman.policy, f"{address}/team/app:1")
            self.fails(containerd.do, *containerd.ctr, "pull", f"{address}/team/app:1")

    def forward(self, port):
        """A port on ::1 that leads to 127.0.0.1."""
        listener = socket.socket(socket.AF_INET6)
        listener.bind(("::1", 0))
        listener.listen()

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        def serve():
            while True:
                try:
                    one, _ = listener.accept()
                    other = socket.create_connection(("127.0.0.1", port))
                except OSError:
                    return
                for pair in ((one, other), (other, one)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()
        threading.Thread(target=serve, daemon=True).start()
        self.listeners = getattr(self, "listeners", []) + [listener]
        return listener.getsockname()[1]

    def tls_for_plain(self):
        self.fails(run, "curl", "-sSf", f"http://{self.registry.address}/v2/")
        containerd = self.client(Containerd)
        self.fails(containerd.do, *containerd.ctr, "pull", "--plain-http", self.registry.address + "/public/small:1")

    def unknown_authority(self):
        docker, skopeo, podman, crane, containerd = (self.client(kind) for kind in (Docker, Skopeo, Podman, Crane, Containerd))
        place = f"/etc/docker/certs.d/{self.registry.address}"
        os.rename(place, place + ".away")
        none = {"SSL_CERT_FILE": "/dev/null", "SSL_CERT_DIR": "/nowhere"}
        try:  # podman and skopeo look there, too
            self.fails(docker.do, *docker.docker, "pull", docker.ref("public/small:1"))
            for client, command in [
                (skopeo, ["skopeo", "inspect", "docker://" + skopeo.ref("public/small:1")]),
                (podman, [*podman.command, "pull", "--signature-policy", podman.policy, podman.ref("public/small:1")]),
                (crane, [crane.crane, "digest", crane.ref("public/small:1")]),
                (containerd, [*containerd.ctr, "pull", containerd.ref("public/small:1")]),
            ]:
                self.fails(lambda: run(*command, env=dict(client.env, **none), cwd=client.folder))
        finally:
            os.rename(place + ".away", place)
        self.fails(run, "curl", "-sS", "--cacert", "/etc/ssl/certs/ca-certificates.crt", f"https://{self.registry.address}/v2/")

    def other_name(self):
        crane = self.client(Crane)
        with open("/etc/hosts") as f:
            hosts = f.read()
        with open("/etc/hosts", "w") as f:
            f.write(hosts + "::1 other.test\n")
        self.fails(crane.do, crane.crane, "digest", f"other.test:{self.registry.port}/public/small:1")

    def expired(self):
        """As with a clock that is wrong: a server whose certificate ended long ago. berth itself does not start with one."""
        folder = os.path.join(self.work, "expired")
        os.makedirs(folder)
        with open(folder + "/ca.cnf", "w") as f:
            f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index\nnew_certs_dir={folder}\nserial={folder}/serial\ndefault_md=sha256\npolicy=p\n"
                    f"x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:{HOST}\nbasicConstraints=CA:TRUE\n")
        open(folder + "/index", "w").close()
        with open(folder + "/serial", "w") as f:
            f.write("01\n")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={HOST}", "-keyout", "key", "-out", "csr", cwd=folder)
        run("openssl", "ca", "-batch", "-config", "ca.cnf", "-selfsign", "-keyfile", "key", "-in", "csr", "-out", "crt", "-startdate",
            "20200101000000Z", "-enddate", "20200201000000Z", cwd=folder)
        server = http.server.ThreadingHTTPServer(("::1", 0), http.server.BaseHTTPRequestHandler, bind_and_activate=False)
        server.address_family, server.socket = socket.AF_INET6, socket.socket(socket.AF_INET6)
        server.server_bind()
        server.server_activate()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + "/crt", folder + "/key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            crane = self.client(Crane)
            address = f"{HOST}:{server.server_port}"
            self.fails(lambda: run(crane.crane, "digest", address + "/team/app:1", env=dict(crane.env, SSL_CERT_FILE=folder + "/crt")))
        finally:
            server.shutdown()
            server.server_close()

    def other_platform(self):
        """An image that was made for machines of another kind alone."""
        admin = self.registry.client(ADMIN)
        self.image.push(admin, "public/foreign", self.image.digest)
        admin.push_manifest("public/foreign", "1", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": MANIFEST, "digest": self.image.digest, "size": len(self.image.manifest),
             "platform": {"os": "linux", "architecture": "s390x"}}]}, media_type=INDEX)
        for kind in (Docker, Podman, Skopeo, Containerd):
            self.fails(self.client(kind).pull, "public/foreign:1")

    def not_logged_in(self):
        for kind in (Docker, Podman, Skopeo, Containerd, Crane):
            client = self.client(kind)
            self.fails(client.pull, "team/small:1")
            if kind in (Docker, Skopeo, Crane):
                if kind is Docker:
                    client.pull("public/small:1")
                self.fails(client.push, "team/pushed:1")

    def wrong_password(self):
        for kind in (Docker, Podman, Skopeo):
            client = self.client(kind)
            self.fails(client.login, "reader", "wrong")
        crane = self.client(Crane)
        crane.login("reader", "wrong")
        self.fails(crane.pull, "team/small:1")
        crane.logout()

    def not_allowed(self):
        for kind in (Docker, Podman, Skopeo, Crane):
            client = self.client(kind)
            client.login("reader", self.registry.passwords["reader"])
            client.pull("public/small:1")
            self.fails(client.push, "team/pushed:1")
            client.logout()

    def too_many_logins(self):
        docker = self.client(Docker)

        def try_again():
            for _ in range(20):
                try:
                    docker.login("nobody-knows", "wrong")
                except Failure as failure:
                    if "429" in str(failure) or "oo many" in str(failure) or "toomany" in str(failure):
                        raise
        self.fails(try_again)

    def not_there(self):
        for kind in (Docker, Podman, Skopeo, Containerd, Crane):
            client = self.client(kind)
            client.login(ADMIN, self.registry.passwords[ADMIN])
            self.fails(client.pull, "public/small:absent")
            self.fails(client.pull, "public/absent:1")
            client.logout()

    def proxy_limit(self):
        """nginx as it comes lets bodies of 1 MB through."""
        need("nginx")
        folder = os.path.join(self.work, "nginx")
        os.makedirs(folder)
        with Berth(log=os.path.join(self.work, "behind.log"), settings={"public_url": f"http://{HOST}:1"}) as berth:
            port = free_port()
            with open(folder + "/nginx.conf", "w") as f:
                f.write(f"user root; daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
                        f"events {{}}\nhttp {{ access_log off; client_max_body_size 1m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;"
                        f" fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
                        f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{berth.address}; proxy_set_header Host $host:{port}; }} }} }}\n")
            nginx = subprocess.Popen(["nginx", "-p", folder, "-c", folder + "/nginx.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                big = os.path.join(self.work, "big")
                with open(big, "wb") as f:
                    f.write(os.urandom(3 << 20))
                docker, skopeo, crane = self.client(Docker), self.client(Skopeo), self.client(Crane)
                context = os.path.join(self.work, "context")
                os.makedirs(context)
                shutil.copy(big, context + "/big")
                with open(context + "/Dockerfile", "w") as f:
                    f.write("FROM scratch\nCOPY big /big\n")
                target = f"127.0.0.1:{port}/team/big:1"
                docker.do(*docker.docker, "build", "-q", "-t", target, context)
                # docker would try for a minute before it says the same as skopeo.
                layout = os.path.join(self.work, "big-layout")
                docker.do(*docker.docker, "save", "-o", layout + ".tar", target)
                self.fails(skopeo.do, "skopeo", "--policy", skopeo.policy, "copy", "--dest-tls-verify=false", f"docker-archive:{layout}.tar", "docker://" + target)
                self.fails(crane.do, crane.crane, "push", layout + ".tar", target)
            finally:
                nginx.terminate()
                nginx.wait()

    def full_disk(self):
        place = os.path.join(self.work, "small-disk")
        os.makedirs(place)
        run("mount", "-t", "tmpfs", "-o", "size=40m", "none", place)
        try:
            with Berth(data=place + "/data", log=os.path.join(self.work, "full.log")) as berth:
                with open(place + "/other", "wb") as f:
                    try:
                        while True:
                            f.write(bytes(1 << 16))
                            f.flush()
                    except OSError:
                        pass
                skopeo, crane = self.client(Skopeo), self.client(Crane)
                target = f"127.0.0.1:{berth.port}/team/small:1"
                self.fails(skopeo.do, "skopeo", "--policy", skopeo.policy, "copy", "--dest-tls-verify=false", f"oci:{self.image.layout}:image", "docker://" + target)
                self.fails(crane.do, crane.crane, "push", self.image.layout, target)
        finally:
            run("umount", "-l", place)

    def too_large(self):
        with Berth(log=os.path.join(self.work, "limits.log"), settings={"limits.blob_size": "10KiB"}) as berth:
            target = f"127.0.0.1:{berth.port}/team/small:1"
            skopeo, docker = self.client(Skopeo), self.client(Docker)
            self.fails(skopeo.do, "skopeo", "--policy", skopeo.policy, "copy", "--dest-tls-verify=false", f"oci:{self.image.layout}:image", "docker://" + target)
            docker.pull("public/small:1")
            docker.do(*docker.docker, "tag", docker.ref("public/small:1"), target)
            self.fails(docker.do, *docker.docker, "push", target)

    def deletion_off(self):
        with Berth(log=os.path.join(self.work, "nodelete.log"), settings={"registry.deletion": "false"}) as berth:
            self.image.push(berth.client(), "team/small")
            skopeo, crane = self.client(Skopeo), self.client(Crane)
            target = f"127.0.0.1:{berth.port}/team/small"
            self.fails(skopeo.do, "skopeo", "delete", "--tls-verify=false", f"docker://{target}:1")
            self.fails(crane.do, crane.crane, "delete", f"{target}@{self.image.digest}")

    def read_only(self):
        with Berth(log=os.path.join(self.work, "readonly.log"), settings={"registry.read_only": "true"}) as berth:
            target = f"127.0.0.1:{berth.port}/team/small:1"
            skopeo, docker, crane = self.client(Skopeo), self.client(Docker), self.client(Crane)
            docker.pull("public/small:1")
            docker.do(*docker.docker, "tag", docker.ref("public/small:1"), target)
            self.fails(docker.do, *docker.docker, "push", target)
            self.fails(skopeo.do, "skopeo", "--policy", skopeo.policy, "copy", "--dest-tls-verify=false", f"oci:{self.image.layout}:image", "docker://" + target)
            self.fails(crane.do, crane.crane, "push", self.image.layout, target)

    def foreign_host(self):
        with Berth(log=os.path.join(self.work, "host.log")) as berth:
            self.fails(run, "curl", "-sS", "-f", "--resolve", f"registry.example.com:{berth.port}:127.0.0.1", f"http://registry.example.com:{berth.port}/v2/")
            crane = self.client(Crane)
            with open("/etc/hosts") as f:
                hosts = f.read()
            with open("/etc/hosts", "w") as f:
                f.write(hosts + "127.0.0.1 registry.localdomain\n")
            self.fails(crane.do, crane.crane, "--insecure", "digest", f"registry.localdomain:{berth.port}/team/app:1")

    def unlisted(self):
        """Every message of the page came from a client, but for those that say so."""
        with open(PAGE, encoding="utf-8") as f:
            made_elsewhere = set(re.findall(r"^- `(.+)`$", f.read().partition("<!-- not made by tests/clients/troubles.py -->")[2], re.MULTILINE))
        left = set(quoted()) - self.seen - made_elsewhere
        check(not left, "no client said\n" + "\n".join(sorted(left)))
        return f"{len(self.seen)} messages"


CASES = ["nobody_there", "plain_http", "tls_for_plain", "unknown_authority", "other_name", "expired", "other_platform", "not_logged_in", "wrong_password",
         "not_allowed", "too_many_logins", "not_there", "proxy_limit", "full_disk", "too_large", "deletion_off", "read_only",
         "foreign_host"]


def main():
    report = Report("troubles")
    if not own_namespace(report):
        return report.finish()
    work = tempfile.mkdtemp(prefix="berth-troubles-")
    try:
        grants = [{"subjects": ["anonymous"], "repositories": ["public/**"], "role": "reader"},
                  {"subjects": ["user:reader"], "repositories": ["team/**"], "role": "reader"}]
        image = SmallImage(os.path.join(work, "layout"))
        # Wrong passwords are part of this, and only one case is about their number.
        auth = {"login": {"failures": 6}}
        with Registry(work, ["reader"], grants, auth) as registry:
            for name in ("public/small", "team/small"):
                image.push(registry.client(ADMIN), name)
            troubles = Troubles(registry, image, work)
            try:
                for name in CASES:
                    if not sys.argv[1:] or name in sys.argv[1:]:
                        report.case(name, getattr(troubles, name))
                if not sys.argv[1:]:
                    report.case("unlisted", troubles.unlisted)
            finally:
                troubles.stop()
            check(registry.process.poll() is None, "berth died")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

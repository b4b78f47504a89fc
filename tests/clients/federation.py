"""Who comes in without an account of berth's: a client certificate, a user of a real LDAP directory, a token of a real
OpenID Connect issuer; and robots, personal tokens, and tokens of users who are gone."""

import json
import os
import shutil
import ssl
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from accounts import Containerd, Crane, Docker, Skopeo, refused
from directory import Directory
from harness import BERTH, Report, check, need, run
from issuer import Issuer, SigningKey
from small_image import SmallImage
from with_accounts import ADMIN, Registry, basic, own_namespace

AUDIENCE = "berth"


class Machines:
    """An authority for client certificates and what it vouches for."""

    def __init__(self, folder):
        need("openssl")
        os.makedirs(folder)
        self.folder, self.ca = folder, os.path.join(folder, "ca.crt")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/O=example/CN=machines", "-keyout", os.path.join(folder, "ca.key"), "-out", self.ca)

    def certificate(self, name, unit="machines"):
        """(certificate, key)"""
        base = os.path.join(self.folder, name)
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            f"/O=example/OU={unit}/CN={name}", "-keyout", base + ".key", "-out", base + ".csr")
        with open(base + ".ext", "w") as f:
            f.write("extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n")
        run("openssl", "x509", "-req", "-in", base + ".csr", "-CA", self.ca, "-CAkey", os.path.join(self.folder, "ca.key"),
            "-CAcreateserial", "-days", "2", "-extfile", base + ".ext", "-out", base + ".crt")
        return base + ".crt", base + ".key"


class Federation:
    def __init__(self, registry, image, machines, directory, issuer, work):
        self.registry, self.image, self.work = registry, image, work
        self.machines, self.directory, self.issuer = machines, directory, issuer
        self.started = 0

    def started_client(self, kind):
        self.started += 1
        client = kind(self.registry, self.image, os.path.join(self.work, f"client-{self.started}"))
        client.start()
        return client

    def denied(self, client, method, path, headers=None, status=(401, 403), body=None):
        client.expect(status, method, path, headers=headers, body=body)

    # ---- certificates ----

    def certificate(self):
        """A client certificate alone pushes and pulls, and one that no rule knows is nobody."""
        pair = self.machines.certificate("builder")
        client = self.registry.client(certificate=pair[0], key=pair[1])
        self.image.push(client, "machines/python")
        self.image.pull(client, "machines/python")
        self.denied(client, "GET", "/v2/private/small/manifests/1", status=(403, 404))
        self.denied(client, "DELETE", f"/v2/machines/python/manifests/{self.image.digest}", status=403)
        stranger = self.machines.certificate("stranger", unit="others")
        self.denied(self.registry.client(certificate=stranger[0], key=stranger[1]), "GET", "/v2/machines/python/manifests/1", status=(401, 403, 404))
        self.denied(self.registry.client(), "GET", "/v2/machines/python/manifests/1", status=401)
        # An authority of the same name that is not the one.
        other = Machines(os.path.join(self.work, "others")).certificate("builder")
        try:
            self.registry.client(certificate=other[0], key=other[1]).request("GET", "/v2/")
            check(False, "a certificate of another authority was taken")
        except (ssl.SSLError, OSError):
            pass

    def certificate_of_skopeo(self):
        skopeo = self.started_client(Skopeo)
        refused(skopeo.push, "machines/skopeo:1")
        pair = self.machines.certificate("ci-runner")
        for source, name in zip(pair, ("client.cert", "client.key")):
            shutil.copy(source, os.path.join(skopeo.trust, name))
        skopeo.push("machines/skopeo:1")
        skopeo.pull("machines/skopeo:1")

    # ---- the directory ----

    def directory_user(self):
        """A user of the directory has the rights of the groups that it has there."""
        for kind in (Skopeo, Crane):
            client = self.started_client(kind)
            name = f"directory/{client.name}:1"
            client.login("lena", "wrong") if not client.checked else refused(client.login, "lena", "wrong")
            refused(client.push, name)
            client.login("lena", "let lena in")
            client.push(name)
            client.pushed(name)
            client.pull(name)
            client.logout()
            client.login("otto", "let otto in")  # is there, but in no group that may do anything
            refused(client.pull, name)
        self.denied(self.registry.client(headers=basic("lena", "")), "GET", "/v2/", status=401)
        self.denied(self.registry.client(headers=basic("*", "let lena in")), "GET", "/v2/", status=401)

    # ---- the issuer ----

    def pod(self):
        """The token that a cluster gave a pod pulls in place of a password; no secret is stored anywhere."""
        token = self.issuer.service_account_token("prod", "puller", AUDIENCE)
        pod = self.registry.client(headers=basic("kubernetes", token))
        self.image.pull(pod, "prod/app")
        self.denied(pod, "GET", "/v2/private/small/manifests/1", status=(403, 404))
        self.denied(pod, "POST", "/v2/prod/app/blobs/uploads/", status=403)
        for kind in (Docker, Containerd, Skopeo, Crane):
            client = self.started_client(kind)
            try:
                refused(client.pull, "prod/app:1")
                client.login("kubernetes", token)
                client.pull("prod/app:1")
                refused(client.pull, "private/small:1")
                if kind in (Skopeo, Crane):
                    refused(client.push, "prod/other:1")
            finally:
                client.stop()
        asked = sum(self.issuer.asked.values())
        check(2 <= asked <= 4, f"the issuer was asked {self.issuer.asked}")

    def short_lived(self):
        """What is had for a token ends with it."""
        for left, most in ((3600, 300), (120, 120)):
            token = self.issuer.service_account_token("prod", "puller", AUDIENCE, lifetime=left)
            _, body = self.registry.client(headers=basic("pod", token)).expect(
                200, "GET", f"/token?service={self.registry.address}&scope=repository:prod/app:pull")
            lifetime = json.loads(body)["expires_in"]
            check(most - 30 <= lifetime <= most, f"{left} s are left to the token, and {lifetime} s to what it was exchanged for")

    def strangers(self):
        """Tokens that look alike and are worth nothing."""
        make, now = self.issuer.service_account_token, int(time.time())
        unknown = SigningKey(self.work, "unknown")
        impostor = SigningKey(self.work, "impostor")
        impostor.kid = self.issuer.key.kid
        for number, (name, token) in enumerate([
            ("another audience", make("prod", "puller", "https://kubernetes.default.svc")),
            ("another namespace", make("dev", "puller", AUDIENCE)),
            ("run out", make("prod", "puller", AUDIENCE, lifetime=-600)),
            ("not yet", make("prod", "puller", AUDIENCE, nbf=now + 600)),
            ("another issuer", make("prod", "puller", AUDIENCE, iss="https://localhost:1")),
            ("an unknown key", make("prod", "puller", AUDIENCE, key=unknown)),
            ("a key of the same name", make("prod", "puller", AUDIENCE, key=impostor)),
            ("cut short", make("prod", "puller", AUDIENCE)[:-8]),
        ]):
            for way, headers in (("Bearer", {"Authorization": f"Bearer {token}"}), ("password", basic(f"pod-{number}", token))):
                status, _, _ = self.registry.client(headers=headers).request("GET", "/v2/prod/app/manifests/1")
                check(status == 401, f"{name} as {way}: {status}")

    # ---- berth's own ----

    def robot(self):
        secret = self.registry.add_robot("ci")
        crane = self.started_client(Crane)
        crane.login("ci", secret)
        crane.push("robots/crane:1")
        crane.pushed("robots/crane:1")
        refused(crane.pull, "private/small:1")
        crane.login("ci", secret[:-1] + ("a" if secret[-1] != "a" else "b"))
        refused(crane.pull, "robots/crane:1")

    def personal_token(self):
        token = self.registry.add_token("alice")
        skopeo = self.started_client(Skopeo)
        skopeo.login("alice", token)
        skopeo.push("alice/skopeo:1")
        skopeo.pull("alice/skopeo:1")
        self.denied(self.registry.client(headers=basic("alice", token)), "GET", "/v2/bob/app/manifests/1", status=(403, 404))

    def removed_user(self):
        """What a user got before is worth nothing at the next request after the user is gone."""
        status, token = self.registry.token("repository:bob/app:pull,push", "bob")
        check(status == 200 and token, f"{status}")
        held = self.registry.client(headers={"Authorization": f"Bearer {token}"})
        self.image.push(held, "bob/app")
        personal = self.registry.client(headers=basic("bob", self.registry.add_token("bob")))
        password = self.registry.client("bob")
        for client in (held, personal, password):
            client.expect(200, "GET", "/v2/bob/app/manifests/1")
        self.registry.remove_user("bob")
        for what, client in (("access token", held), ("personal token", personal), ("password", password)):
            status, _, _ = client.request("GET", "/v2/bob/app/manifests/1")
            check(status == 401, f"{what}: {status}")

    def removed_grant(self):
        grant = self.registry.add_grant("user:alice", "lent/**", "reader")
        status, token = self.registry.token("repository:lent/app:pull", "alice")
        held = self.registry.client(headers={"Authorization": f"Bearer {token}"})
        held.expect(200, "GET", "/v2/lent/app/manifests/1")
        self.registry.remove_grant(grant)
        status, _, _ = held.request("GET", "/v2/lent/app/manifests/1")
        check(status in (401, 403), f"{status}")


def main():
    report = Report("federation")
    if not own_namespace(report):
        return report.finish()
    work = tempfile.mkdtemp(prefix="berth-federation-")
    stops = []
    try:
        # The directory and the issuer have a certificate of another authority than the registry's.
        other = os.path.join(work, "other")
        run(BERTH, "certs", "dev", "--out", other)
        ca, certificate, key = (os.path.join(other, name) for name in ("ca.crt", "tls.crt", "tls.key"))
        machines = Machines(os.path.join(work, "machines"))
        directory = Directory(os.path.join(work, "directory"), {"lena": "let lena in", "otto": "let otto in"},
                              {"developers": ["lena"], "others": ["otto"]}, ca, certificate, key)
        stops.append(directory)
        issuer = Issuer(work, certificate, key)
        stops.append(issuer)
        auth = {"ldap": directory.settings(ca),
                "oidc": [{"name": "cluster", "issuer": issuer.url, "audience": AUDIENCE, "ca": ca, "reach": "private",
                          "rules": [{"claims": {"sub": "system:serviceaccount:prod:*", "/kubernetes.io/namespace": "prod"},
                                     "roles": [{"role": "reader", "repositories": ["prod/**"]}]}]}],
                "certificates": [{"subject": "*,OU=machines,O=example", "identity": "certificate:{cn}", "groups": ["machines"]}]}
        grants = [{"subjects": ["anonymous"], "repositories": ["public/**"], "role": "reader"},
                  {"subjects": ["group:machines"], "repositories": ["machines/**"], "role": "writer"},
                  {"subjects": ["group:developers"], "repositories": ["directory/**"], "role": "writer"},
                  {"subjects": ["robot:ci"], "repositories": ["robots/**"], "role": "writer"},
                  {"subjects": ["user:alice"], "repositories": ["alice/**"], "role": "writer"},
                  {"subjects": ["user:bob"], "repositories": ["bob/**"], "role": "writer"}]
        image = SmallImage(os.path.join(work, "layout"))
        with Registry(work, ["alice", "bob"], grants, auth, client_ca=machines.ca) as registry:
            for repository in ("public/small", "private/small", "prod/app", "lent/app"):
                image.push(registry.client(ADMIN), repository)
            federation = Federation(registry, image, machines, directory, issuer, work)
            for name in ("certificate", "certificate_of_skopeo", "directory_user", "pod", "short_lived", "strangers",
                         "robot", "personal_token", "removed_user", "removed_grant"):
                if not sys.argv[1:] or name in sys.argv[1:]:
                    report.case(name, getattr(federation, name))
            check(registry.process.poll() is None, "berth died")
    finally:
        for server in stops:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

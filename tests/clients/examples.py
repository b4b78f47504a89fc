"""The scripts of docs/examples/scripts, as a pipeline runs them: tags, login by a CI system's token, signature and SBOM,
promotion, and migration from another registry that is cut and goes on. And the README's rules and grants: what each kind
of run of each pipeline pushes is let in, and nothing of another kind."""

import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, INDEX, MANIFEST, ROOT, Client, Failure, Report, check, need, run, sha256
from ci_runs import RUNS
from issuer import Issuer
from small_image import SmallImage
from tools import tool
from with_accounts import ADMIN, Registry, basic, own_namespace

SCRIPTS = os.path.join(ROOT, "docs", "examples", "scripts")
COMMIT = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
TIME = "20261121201500"
OF_CI = ("GITHUB_", "GITLAB_", "CI_", "BUILD_", "TF_", "JENKINS_", "ACTIONS_", "SYSTEM_", "REGISTRY_", "DOCKER_")

# what stands in the environment; tags that are there already; what comes out
TAGS = [
    ("a release", {"GIT_TAG": "v1.2.3"}, None, ["1.2.3", "1.2", "1", "latest", "sha-0a1b2c3d4e5f"]),
    ("without a v", {"GIT_TAG": "1.2.3"}, None, ["1.2.3", "1.2", "1", "latest", "sha-0a1b2c3d4e5f"]),
    ("before 1.0", {"GIT_TAG": "v0.3.1"}, None, ["0.3.1", "0.3", "latest", "sha-0a1b2c3d4e5f"]),
    ("a candidate", {"GIT_TAG": "v2.0.0-rc.1"}, None, ["2.0.0-rc.1", "sha-0a1b2c3d4e5f"]),
    ("build metadata", {"GIT_TAG": "v1.2.3+build.5"}, None, ["1.2.3_build.5", "1.2", "1", "latest", "sha-0a1b2c3d4e5f"]),
    ("no version at all", {"GIT_TAG": "nightly/7"}, None, ["nightly-7", "sha-0a1b2c3d4e5f"]),
    ("a leading zero is no version", {"GIT_TAG": "v01.2.3"}, None, ["v01.2.3", "sha-0a1b2c3d4e5f"]),
    ("the newest", {"GIT_TAG": "v1.10.0"}, ["1.9.0", "1.2.3", "0.99.0", "latest", "3.0.0-rc.1"],
     ["1.10.0", "1.10", "1", "latest", "sha-0a1b2c3d4e5f"]),
    ("an old line", {"GIT_TAG": "v1.4.7"}, ["2.0.0", "1.4.6", "1.5.0", "latest"], ["1.4.7", "1.4", "sha-0a1b2c3d4e5f"]),
    ("an old line's newest", {"GIT_TAG": "v1.4.7"}, ["2.0.0", "1.4.6"], ["1.4.7", "1.4", "1", "sha-0a1b2c3d4e5f"]),
    ("built again", {"GIT_TAG": "v1.4.7"}, ["1.4.7", "1.4.8"], ["1.4.7", "sha-0a1b2c3d4e5f"]),
    ("a branch", {"BRANCH": "main"}, None, ["main", f"main-{TIME}-0a1b2c3", "sha-0a1b2c3d4e5f"]),
    ("a release branch", {"BRANCH": "release/1.x"}, None, ["release-1.x", f"release-1.x-{TIME}-0a1b2c3", "sha-0a1b2c3d4e5f"]),
    ("another branch", {"BRANCH": "feature/#12 login", "BUILD_NUMBER": "42", "ENVIRONMENT": "staging"}, None,
     ["branch-feature--12-login", f"branch-feature--12-login-{TIME}-0a1b2c3"]),
    ("a branch like main's builds", {"BRANCH": f"main-{TIME}-0a1b2c3"}, None,
     [f"branch-main-{TIME}-0a1b2c3", f"branch-main-{TIME}-0a1b2c3-{TIME}-0a1b2c3"]),
    ("a branch like a release branch's tag", {"BRANCH": "release-1.x"}, None, ["branch-release-1.x", f"branch-release-1.x-{TIME}-0a1b2c3"]),
    ("a branch that begins with a dot", {"BRANCH": ".-hidden"}, None, ["branch-.-hidden", f"branch-.-hidden-{TIME}-0a1b2c3"]),
    ("a branch like a release", {"BRANCH": "1.2"}, None, ["branch-1.2", f"branch-1.2-{TIME}-0a1b2c3"]),
    ("a branch called latest", {"BRANCH": "latest"}, None, ["branch-latest", f"branch-latest-{TIME}-0a1b2c3"]),
    ("a long branch", {"BRANCH": "x" * 300}, None, [f"branch-{'x' * 93}", f"branch-{'x' * 93}-{TIME}-0a1b2c3"]),
    ("a pull request", {"PULL_REQUEST": "17", "BRANCH": "main", "BUILD_NUMBER": "42"}, None, ["pr-17", "pr-17-0a1b2c3d4e5f"]),
    ("number and environment", {"BRANCH": "main", "BUILD_NUMBER": "42", "ENVIRONMENT": "staging"}, None,
     ["main", f"main-{TIME}-0a1b2c3", "sha-0a1b2c3d4e5f", "build-42", "env-staging"]),
    ("GitHub, a branch", {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/heads/release/1.x", "GITHUB_SHA": COMMIT, "GITHUB_RUN_NUMBER": "9"},
     None, ["release-1.x", f"release-1.x-{TIME}-0a1b2c3", "sha-0a1b2c3d4e5f", "build-9"]),
    ("GitHub, a tag", {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/tags/v3.0.0", "GITHUB_SHA": COMMIT}, None,
     ["3.0.0", "3.0", "3", "latest", "sha-0a1b2c3d4e5f"]),
    ("GitHub, a pull request", {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/8/merge", "GITHUB_SHA": COMMIT}, None,
     ["pr-8", "pr-8-0a1b2c3d4e5f"]),
    ("GitLab, a branch", {"GITLAB_CI": "true", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": COMMIT, "CI_PIPELINE_IID": "3"}, None,
     ["main", f"main-{TIME}-0a1b2c3", "sha-0a1b2c3d4e5f", "build-3"]),
    ("GitLab, a tag", {"GITLAB_CI": "true", "CI_COMMIT_TAG": "v0.1.0", "CI_COMMIT_SHA": COMMIT}, None,
     ["0.1.0", "0.1", "latest", "sha-0a1b2c3d4e5f"]),
    ("GitLab, a merge request", {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "5", "CI_COMMIT_SHA": COMMIT}, None,
     ["pr-5", "pr-5-0a1b2c3d4e5f"]),
    ("Azure, a branch", {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/heads/main", "BUILD_SOURCEVERSION": COMMIT, "BUILD_BUILDID": "77"},
     None, ["main", f"main-{TIME}-0a1b2c3", "sha-0a1b2c3d4e5f", "build-77"]),
    ("Azure, a pull request", {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/pull/4/merge", "BUILD_SOURCEVERSION": COMMIT}, None,
     ["pr-4", "pr-4-0a1b2c3d4e5f"]),
    ("Jenkins, a branch", {"JENKINS_URL": "https://jenkins.test/", "BRANCH_NAME": "main", "GIT_COMMIT": COMMIT, "BUILD_NUMBER": "6"}, None,
     ["main", f"main-{TIME}-0a1b2c3", "sha-0a1b2c3d4e5f", "build-6"]),
    ("Jenkins, a pull request", {"JENKINS_URL": "https://jenkins.test/", "BRANCH_NAME": "PR-2", "CHANGE_ID": "2", "GIT_COMMIT": COMMIT}, None,
     ["pr-2", "pr-2-0a1b2c3d4e5f"]),
]


def clean_environment(more=None):
    """This machine's own pipeline must not be taken for the one of the test."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(OF_CI)}
    return dict(kept, **(more or {}))


def script(name, *arguments, env, stdin=None, code=0, timeout=120):
    """(standard output, standard error) of a script that ends with `code`."""
    done = subprocess.run([os.path.join(SCRIPTS, name), *arguments], env=env, input=stdin, text=True, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    check(done.returncode == code, f"{name} {' '.join(arguments)}: exit {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
    return done.stdout, done.stderr


def tags(work):
    for name, given, existing, wanted in TAGS:
        more = dict({"BUILD_TIME": TIME}, **given)
        if not any(key.endswith(("SHA", "COMMIT", "SOURCEVERSION")) for key in given):
            more["COMMIT"] = COMMIT
        arguments = []
        if existing is not None:
            path = os.path.join(work, "existing")
            with open(path, "w") as f:
                f.write("\n".join(existing) + "\n")
            arguments = ["--existing", path]
        out, _ = script("tags.sh", *arguments, env=clean_environment(more))
        check(out.split("\n")[:-1] == wanted, f"{name}: {out.split()}, not {wanted}")
    for given, wanted in [({"GIT_TAG": "v1.2.3", "BRANCH": "v1.2.3"}, "buildcache"), ({"BRANCH": "main"}, "buildcache"),
                          ({"BRANCH": "release/1.x"}, "buildcache"), ({"BRANCH": "feature/login"}, "buildcache-branch"),
                          ({"BRANCH": "main", "PULL_REQUEST": "17"}, "buildcache-pr")]:
        out, _ = script("tags.sh", "--cache", env=clean_environment(given))
        check(out == wanted + "\n", f"the cache of {given}: {out}")
    script("tags.sh", "--nothing", env=clean_environment(), code=2)
    return f"{len(TAGS)} rows"


# A tag of each kind, and who may push it to team/app.
KINDS = {
    **dict.fromkeys(("1.2.3", "1.2", "1", "latest", "2.0.0-rc.1"), {"team-releases"}),
    **dict.fromkeys(("main", "main-20261121201500-0a1b2c3", "release-1.x", "sha-0a1b2c3d4e5f", "build-42", "env-staging", "buildcache"),
                    {"team-releases", "team-main"}),
    **dict.fromkeys(("branch-feature-login", "buildcache-branch"), {"team-releases", "team-main", "team-branches"}),
    **dict.fromkeys(("pr-17", "pr-17-0a1b2c3d4e5f", "buildcache-pr"), {"team-releases", "team-pulls"}),
    "anything": {"team-releases"},
}


def readme_settings():
    """The YAML of the examples' README with berth's side of all four systems."""
    with open(os.path.join(ROOT, "docs", "examples", "README.md")) as f:
        found = [block for block in re.findall(r"^```yaml\n(.*?)^```$", f.read(), re.DOTALL | re.MULTILINE) if "oidc:" in block]
    check(len(found) == 1, f"{len(found)} blocks with rules")
    return found[0]


class Grants:
    """A berth with the README's own rules and grants, and an issuer in the place of each system."""

    def __init__(self, work, ca, certificate, key):
        self.work = os.path.join(work, "grants")
        os.makedirs(self.work)
        self.issuers = {}
        self.registry = Registry(self.work, [], [])
        text = readme_settings()
        self.audiences = dict(zip(re.findall(r"- name: (\S+)", text), re.findall(r"audience: (\S+)", text), strict=True))
        for name in self.audiences:
            folder = os.path.join(self.work, name)
            os.makedirs(folder)
            self.issuers[name] = Issuer(folder, certificate, key)
        urls = iter([issuer.url for issuer in self.issuers.values()])
        text = re.sub(r" +reach: .*\n", "", text)
        text = re.sub(r"( +)issuer: .*\n", lambda found: f"{found[1]}issuer: {next(urls)}\n{found[1]}ca: {ca}\n{found[1]}reach: private\n", text)
        with open(self.registry.config) as f:
            listeners = "".join(line for line in f if line.startswith(("public_url:", "listeners:")))
        with open(self.registry.config, "w") as f:
            f.write(listeners + text.replace("auth:\n", "auth:\n  users: true\n", 1))

    def stop(self):
        self.registry.stop()
        for issuer in self.issuers.values():
            issuer.stop()

    def client(self, system, claims):
        """A client that logs in as a job does, with its token as a password."""
        now = int(time.time())
        token = self.issuers[system].key.jwt(dict({"iss": self.issuers[system].url, "aud": self.audiences[system], "iat": now, "nbf": now,
                                                   "exp": now + 300}, **claims))
        return self.registry.client(headers=basic("ci", token))

    def __call__(self):
        """Each kind of run may push what tags.sh makes for it, and of all other kinds only what KINDS says."""
        self.registry.start()
        image = SmallImage(os.path.join(self.work, "layout"))
        other = SmallImage(os.path.join(self.work, "other"))
        admin = self.registry.client(ADMIN)
        for repository in ("team/app", "prod/app", "ci/tools"):
            image.push(admin, repository, "there")
        pushed, groups = 0, set()
        for system, kind, (environment, claims), group in RUNS:
            name = f"{system}, {kind}"
            client = self.client(system, claims)
            if group is None:
                status, _, _ = client.request("GET", "/v2/")
                check(status == 401, f"{name}: it is let in with {status}")
                continue
            groups.add(group)
            made = script("tags.sh", env=clean_environment(environment))[0].split()
            made += script("tags.sh", "--cache", env=clean_environment(environment))[0].split()
            for tag in made:
                other.push(client, "team/app", tag)
                image.push(client, "team/app", tag)  # built again
                pushed += 1
            for tag, allowed in KINDS.items():
                self.push(name, client, "team/app", tag, image, group in allowed)
            for tag in ("env-production", "env-staging"):
                self.push(name, client, "prod/app", tag, image, group == "team-main")
            for tag in ("latest", "1.2.3", "buildcache", "there"):
                self.push(name, client, "prod/app", tag, image, False)
            self.push(name, client, "ci/tools", "1", image, False)
            image.pull(client, "ci/tools", "there")
            image.pull(client, "team/app", "there")
            client.expect(403, "DELETE", f"/v2/team/app/manifests/{image.digest}")
        check(groups == {"team-releases", "team-main", "team-branches", "team-pulls"}, f"{groups}")
        return f"{len(RUNS)} kinds of run, {pushed} tags"

    def push(self, name, client, repository, tag, image, allowed):
        status, _, body = client.request("PUT", f"/v2/{repository}/manifests/{tag}", body=image.manifest, headers={"Content-Type": MANIFEST})
        check(status == (201 if allowed else 403), f"{name}: a push of {repository}:{tag} is answered with {status}: {body}")


class Runner:
    """What GitHub and Azure put beside a job: an address that gives its token to who shows the job's own secret."""

    def __init__(self, issuer, claims):
        self.issuer, self.claims, self.asked = issuer, dict(claims), 0
        runner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def give(self, audience, field):
                runner.asked += 1
                good = self.headers["Authorization"] == "Bearer of the job"
                body = json.dumps({field: runner.token(audience)} if good else {}).encode()
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):  # GitHub
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                self.give(query["audience"][0], "value")

            def do_POST(self):  # Azure
                self.rfile.read(int(self.headers["Content-Length"]))
                self.give("api://AzureADTokenExchange", "oidcToken")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, audience, **more):
        now = int(time.time())
        return self.issuer.key.jwt(dict({"iss": self.issuer.url, "aud": audience, "iat": now, "nbf": now, "exp": now + 300,
                                         "sub": "repo:example/app:ref:refs/heads/main"}, **dict(self.claims, **more)))

    def github(self):
        return {"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": self.url + "/token?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the job"}

    def azure(self):
        return {"TF_BUILD": "True", "SYSTEM_OIDCREQUESTURI": self.url + "/oidctoken", "SYSTEM_ACCESSTOKEN": "of the job"}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class OldRegistry:
    """Debian's docker-registry, which is what most leave."""

    def __init__(self, folder):
        program = need("docker-registry")
        self.data = os.path.join(folder, "data")
        os.makedirs(self.data)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        with open(folder + "/config.yml", "w") as f:
            json.dump({"version": 0.1, "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": self.data},
                       "delete": {"enabled": True}}, "http": {"addr": f"127.0.0.1:{self.port}"}}, f)
        self.log = open(folder + "/log", "wb")
        self.process = subprocess.Popen([program, "serve", folder + "/config.yml"], stdout=self.log, stderr=self.log)
        self.client = Client(self.port)
        for _ in range(500):
            try:
                if self.client.request("GET", "/v2/")[0] == 200:
                    return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise Failure("docker-registry is not ready: " + open(folder + "/log").read()[-2000:])

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Examples:
    def __init__(self, registry, runner, work):
        self.registry, self.runner, self.work = registry, runner, work
        self.image = SmallImage(os.path.join(work, "layout"))
        self.homes = 0
        self.tools = os.path.join(work, "tools")
        os.makedirs(self.tools)
        for name in ("crane", "regctl", "cosign"):
            os.symlink(tool(name), os.path.join(self.tools, name))

    def job(self, more=None):
        """The environment of a job on a machine of its own."""
        self.homes += 1
        home = os.path.join(self.work, f"home-{self.homes}")
        os.makedirs(home)
        with open(os.path.join(home, "policy.json"), "w") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
        return clean_environment(dict({
            "HOME": home, "DOCKER_CONFIG": home + "/.docker", "XDG_RUNTIME_DIR": home, "SSL_CERT_FILE": self.registry.ca,
            "CURL_CA_BUNDLE": self.registry.ca,
            "PATH": f"{SCRIPTS}:{self.tools}:{os.environ['PATH']}", "COSIGN_PASSWORD": ""}, **(more or {})))

    def log_in(self, job, user=ADMIN):
        run("crane", "auth", "login", self.registry.address, "-u", user, "--password-stdin", env=job,
            stdin=self.registry.passwords[user].encode())

    def ref(self, name):
        return f"{self.registry.address}/{name}"

    # ---- login ----

    def login(self):
        """Each CI system's way to a token; then every client pushes without a secret, and asks for a new one each time."""
        registry, scope = self.registry.address, "repository:team/app:pull,push"
        pod = os.path.join(self.work, "pod-token")
        with open(pod, "w") as f:
            f.write(self.runner.token(f"https://{registry}"))
        for name, given in [("github", self.runner.github()), ("azure", self.runner.azure()),
                            ("gitlab", {"GITLAB_CI": "true", "REGISTRY_TOKEN": self.runner.token(f"https://{registry}")}),
                            ("pod", {"REGISTRY_TOKEN_FILE": pod})]:
            job = self.job(given)
            out, _ = script("login.sh", registry, scope, env=job)
            check("logged in" in out, out)
            check(("##vso[task.prependpath]" in out) == (name == "azure"), out)
            with open(job["DOCKER_CONFIG"] + "/config.json") as f:
                text = f.read()
            check(json.loads(text)["credHelpers"] == {registry: "ci-token"} and "eyJ" not in text, f"{name}: {text}")
            before = self.runner.asked
            run("crane", "push", self.image.layout, self.ref(f"team/app:{name}"), env=job)
            if name in ("github", "azure"):
                check(self.runner.asked > before, "the client did not ask for a token of its own")
        # The other clients by the same helper.
        job = self.job(self.runner.github())
        script("login.sh", registry, env=job)
        run("skopeo", "--policy", job["HOME"] + "/policy.json", "copy", f"oci:{self.image.layout}:image",
            f"docker://{self.ref('team/app:skopeo')}", env=job)
        run("regctl", "image", "copy", f"ocidir://{self.image.layout}:image", self.ref("team/app:regctl"), env=job)
        for tag in ("github", "azure", "gitlab", "pod", "skopeo", "regctl"):
            self.image.pull(self.registry.client(ADMIN), "team/app", tag)

    def login_keeps_others(self):
        """What stands in the client's file beside it stays; and twice is as good as once."""
        job = self.job(self.runner.github())
        os.makedirs(job["DOCKER_CONFIG"])
        path = job["DOCKER_CONFIG"] + "/config.json"
        with open(path, "w") as f:
            json.dump({"auths": {"other.test": {"auth": "eDp5"}, self.registry.address: {"auth": "b2xkOm9sZA=="}}}, f)
        for _ in range(2):
            script("login.sh", self.registry.address, env=job)
        with open(path) as f:
            told = json.load(f)
        check(told == {"auths": {"other.test": {"auth": "eDp5"}}, "credHelpers": {self.registry.address: "ci-token"}}, f"{told}")

    def login_refused(self):
        """It ends at once, says what the registry says, and what the token claims; the token itself is not shown."""
        registry = self.registry.address
        audience = f"https://{registry}"
        for name, token, sentence in [
            ("another branch", self.runner.token(audience, ref="refs/heads/evil"), "refs/heads/evil"),
            ("another audience", self.runner.token("https://other.test"), "https://other.test"),
            ("no token", "nonsense", "it is not a JWT"),
        ]:
            _, err = script("login.sh", registry, env=self.job({"REGISTRY_TOKEN": token}), code=1)
            check("does not take the token" in err and sentence in err, f"{name}: {err}")
            check(token.rsplit(".", 1)[-1] not in err or token == "nonsense", f"{name}: the signature is shown")
        for scope, sentence in [("repository:private/app:pull", "no pull in private/app"),
                                ("repository:team/app:pull,delete", "no delete in team/app")]:
            job = self.job(self.runner.github())
            _, err = script("login.sh", registry, scope, env=job, code=1)
            check(sentence in err, err)
            check(not os.path.exists(job["DOCKER_CONFIG"]), "it wrote the login all the same")
        _, err = script("login.sh", registry, env=self.job(), code=1)
        check("no CI system here" in err, err)
        _, err = script("login.sh", registry, env=self.job(dict(self.runner.github(), ACTIONS_ID_TOKEN_REQUEST_TOKEN="x")), code=22)

    def existing(self):
        """The tags that are there; none before the first push; and no answer at all is no reason to go on."""
        job = self.job()
        self.log_in(job)
        for tag in ("1.2.3", "latest"):
            self.image.push(self.registry.client(ADMIN), "team/existing", tag)
        check(script("existing-tags.sh", self.ref("team/existing"), env=job)[0].split() == ["1.2.3", "latest"], "other tags")
        check(script("existing-tags.sh", self.ref("team/new"), env=job)[0] == "", "tags of nothing")
        for name, where, environment in [("no registry", "localhost:1/team/app", job), ("not logged in", self.ref("team/existing"), self.job()),
                                         ("no crane", self.ref("team/existing"), dict(job, PATH="/usr/bin:/bin"))]:
            out, err = script("existing-tags.sh", where, env=environment, code=1)
            check(out == "" and err.startswith("existing-tags.sh: "), f"{name}: {out}{err}")

    # ---- signatures and promotion ----

    def promotion(self):
        """Only what is signed, by digest, with all that refers to it; and what was there before is told."""
        job = self.job()
        self.log_in(job)
        run("cosign", "generate-key-pair", env=job, cwd=job["HOME"])
        signing = job["HOME"] + "/signing.json"
        shutil.copy(os.path.join(ROOT, "docs", "examples", "cosign-private.json"), signing)
        sbom = job["HOME"] + "/sbom.spdx.json"
        job.update(COSIGN_KEY=job["HOME"] + "/cosign.key", COSIGN_SIGNING_CONFIG=signing)
        first, second = self.image, SmallImage(os.path.join(self.work, "second"))
        for tag, image in (("1", first), ("2", second)):
            image.push(self.registry.client(ADMIN), "team/shop", tag)
        with open(sbom, "w") as f:
            f.write(self.sbom(job))
        script("attest.sh", self.ref("team/shop:1"), env=job, code=2)
        script("attest.sh", f"{self.ref('team/shop')}@{first.digest}", sbom, env=job)
        told = run("cosign", "verify-attestation", "--type", "spdxjson", "--key", job["HOME"] + "/cosign.pub",
                   "--insecure-ignore-tlog=true", f"{self.ref('team/shop')}@{first.digest}", env=job)
        check("payload" in told, told)

        guarded = dict(job, COSIGN_PUBLIC_KEY=job["HOME"] + "/cosign.pub", COSIGN_VERIFY="--insecure-ignore-tlog=true")
        target = self.ref("prod/shop:env-production")
        done = subprocess.run([SCRIPTS + "/promote.sh", self.ref("team/shop:2"), target], env=guarded, capture_output=True, text=True)
        check(done.returncode != 0 and "signature" in done.stderr, f"an unsigned image was promoted: {done}")
        self.registry.client(ADMIN).expect(404, "HEAD", "/v2/prod/shop/manifests/env-production")
        out, _ = script("promote.sh", self.ref("team/shop:1"), target, env=guarded)
        check(out == f"{target} is {first.digest}, was nothing\n", out)
        first.pull(self.registry.client(ADMIN), "prod/shop", "env-production")
        _, body = self.registry.client(ADMIN).expect(200, "GET", f"/v2/prod/shop/referrers/{first.digest}")
        check(len(json.loads(body)["manifests"]) == 2, f"the signature and the SBOM stayed behind: {body}")
        run("cosign", "verify", "--key", guarded["COSIGN_PUBLIC_KEY"], "--insecure-ignore-tlog=true", f"{self.ref('prod/shop')}@{first.digest}", env=job)

        # Without a check of signatures; and by digest, within one repository.
        out, _ = script("promote.sh", f"{self.ref('team/shop')}@{second.digest}", target, env=job)
        check(out == f"{target} is {second.digest}, was {first.digest}\n", out)
        out, _ = script("promote.sh", self.ref("prod/shop") + "@" + first.digest, target, env=job)
        check(out == f"{target} is {first.digest}, was {second.digest}\n", out)
        for wrong in (self.ref("prod/shop"), f"{self.ref('prod/shop')}@{first.digest}"):
            script("promote.sh", self.ref("team/shop:1"), wrong, env=job, code=2)
        script("promote.sh", self.ref("team/shop:absent"), target, env=job, code=1)

    def sbom(self, job):
        """syft's where it is (tests/run --long builds it), else one that it could have made."""
        if "--syft" in sys.argv:
            return run(tool("syft"), "scan", f"registry:{self.ref('team/shop')}@{self.image.digest}", "-q", "-o", "spdx-json", env=job)
        return json.dumps({"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "shop",
                           "documentNamespace": "https://example.com/shop", "creationInfo": {
                               "created": "2026-11-21T20:15:00Z", "creators": ["Tool: test"]}, "packages": []})

    # ---- migration ----

    def old_images(self, old):
        """{repository: {tag: digest}}: several repositories, one image for two platforms."""
        images = {}
        for number, repository in enumerate(("team/app", "team/web", "base")):
            for tag in ("1", "2", "latest"):
                if tag == "latest":
                    continue
                small = SmallImage(os.path.join(self.work, f"old-{old.port}-{number}-{tag}"))
                small.push(old.client, repository, tag)
                images.setdefault(repository, {})[tag] = small.digest
        children = [SmallImage(os.path.join(self.work, f"old-{old.port}-child-{n}")) for n in range(2)]
        for child in children:
            child.push(old.client, "team/app", child.digest)
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": MANIFEST, "digest": c.digest, "size": len(c.manifest), "platform": {"os": "linux", "architecture": a}}
            for c, a in zip(children, ("amd64", "arm64"))]}).encode()
        images["team/app"]["latest"] = old.client.push_manifest("team/app", "latest", index, media_type=INDEX)
        return images, children

    def expect_copied(self, images, children, where):
        client = self.registry.client(ADMIN)
        for repository, of_tags in images.items():
            for tag, digest in of_tags.items():
                headers, _ = client.expect(200, "GET", f"/v2/{where}{repository}/manifests/{tag}", headers={"Accept": f"{MANIFEST}, {INDEX}"})
                check(headers["docker-content-digest"] == digest, f"{repository}:{tag} is another image")
        for child in children:
            child.pull(client, where + "team/app", child.digest)

    def old_registry(self, name):
        folder = os.path.join(self.work, name)
        os.makedirs(folder)
        return OldRegistry(folder)

    def migrate_crane(self):
        old = self.old_registry("old-crane")
        try:
            images, children = self.old_images(old)
            job = self.job({"ATTEMPTS": "1"})
            self.log_in(job)
            target = self.registry.address
            # Cut after the first tag, by a signal to it and its children.
            cut = subprocess.Popen([SCRIPTS + "/migrate-crane.sh", old.address, target], env=job, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True, start_new_session=True)
            check(cut.stdout.readline().startswith("copied\t"), "nothing was copied")
            os.killpg(cut.pid, signal.SIGKILL)
            cut.wait()
            cut.stdout.close()
            out, err = script("migrate-crane.sh", old.address, target, env=job)
            words = [line.split("\t") for line in out.splitlines()]
            check(len(words) == 7 and any(w[0] == "same" for w in words) and any(w[0] == "copied" for w in words), out)
            check(" 0 failed" in err, err)
            self.expect_copied(images, children, "")
            # A tag that moved in the meantime is taken, the rest is left alone.
            newer = SmallImage(os.path.join(self.work, "newer"))
            newer.push(old.client, "team/web", "2")
            images["team/web"]["2"] = newer.digest
            out, err = script("migrate-crane.sh", f"{old.address}/team", f"{target}/team", "app", "web", env=job)
            check(f"copied\tweb:2\t{newer.digest}" in out and "1 copied, 4 the same before, 0 failed" in err, out + err)
            self.expect_copied(images, children, "")
            # A layer that the old one has lost: all else is copied, and the exit code tells.
            lost = SmallImage(os.path.join(self.work, "lost"))
            lost.push(old.client, "team/lost", "1")
            name = sha256(lost.layer)[7:]
            shutil.rmtree(os.path.join(old.data, "docker/registry/v2/blobs/sha256", name[:2], name))
            lost_tag = SmallImage(os.path.join(self.work, "lost-2"))
            lost_tag.push(old.client, "team/lost", "2")
            out, err = script("migrate-crane.sh", old.address, target, "team/lost", env=job, code=7)
            check(f"FAILED\tteam/lost:1\t{lost.digest}" in out and f"copied\tteam/lost:2\t{lost_tag.digest}" in out, out + err)
            self.registry.client(ADMIN).expect(404, "HEAD", "/v2/team/lost/manifests/1")
            out, _ = script("migrate-crane.sh", old.address, target, "team/absent", env=job, code=7)
            check("FAILED\tteam/absent" in out, out)
            script("migrate-crane.sh", old.address, env=job, code=2)
            script("migrate-crane.sh", old.address + "/team", target, env=job, code=2)
        finally:
            old.stop()

    def migrate_skopeo(self):
        old = self.old_registry("old-skopeo")
        try:
            images, children = self.old_images(old)
            # The archive is skopeo's own: it keeps no place for a policy among the options of `inspect`.
            job = self.job({"ATTEMPTS": "1", "SYNC_OPTIONS": "--src-tls-verify=false", "INSPECT_SOURCE": "--tls-verify=false"})
            self.log_in(job)
            os.makedirs(job["HOME"] + "/.config/containers")
            shutil.copy(job["HOME"] + "/policy.json", job["HOME"] + "/.config/containers")
            target = self.registry.address + "/synced"
            for _ in range(2):
                out, err = script("migrate-skopeo.sh", old.address, target, *images, env=job)
                check(out.count("same\t") == 7 and "7 tags are the same, 0 are not" in err, out + err)
            self.expect_copied(images, children, "synced/")
            lost = SmallImage(os.path.join(self.work, "lost-3"))
            lost.push(old.client, "base", "lost")
            name = sha256(lost.layer)[7:]
            shutil.rmtree(os.path.join(old.data, "docker/registry/v2/blobs/sha256", name[:2], name))
            out, _ = script("migrate-skopeo.sh", old.address, target, "base", env=job, code=7)
            check(f"DIFFERS\tbase:lost\t{lost.digest}\tnothing" in out and out.count("same\t") == 2, out)
            script("migrate-skopeo.sh", old.address, target, env=job, code=2)
        finally:
            old.stop()


def main():
    report = Report("examples")
    if not own_namespace(report):
        return report.finish()
    work = tempfile.mkdtemp(prefix="berth-examples-")
    stops = []
    try:
        other = os.path.join(work, "other")
        run(BERTH, "certs", "dev", "--out", other)
        ca, certificate, key = (os.path.join(other, name) for name in ("ca.crt", "tls.crt", "tls.key"))
        issuer = Issuer(work, certificate, key)
        stops.append(issuer)
        grants = Grants(work, ca, certificate, key)
        stops.append(grants)
        runner = Runner(issuer, {"repository_owner_id": "1234567", "ref": "refs/heads/main"})
        stops.append(runner)
        registry = Registry(work, [], [])
        auth = {"oidc": [{"name": "ci", "issuer": issuer.url, "audience": [f"https://{registry.address}", "api://AzureADTokenExchange"],
                          "ca": ca, "reach": "private", "rules": [{
                              "claims": {"repository_owner_id": "1234567", "ref": "refs/heads/main"},
                              "roles": [{"role": "writer", "repositories": ["team/**"]}]}]}]}
        registry.write_settings([], auth)
        with registry:
            examples = Examples(registry, runner, work)
            for name, function in [("tags", lambda: tags(work)), ("grants", grants), ("existing", examples.existing),
                                   ("login", examples.login), ("login_keeps_others", examples.login_keeps_others), ("login_refused", examples.login_refused),
                                   ("promotion", examples.promotion), ("migrate_crane", examples.migrate_crane),
                                   ("migrate_skopeo", examples.migrate_skopeo)]:
                only = [argument for argument in sys.argv[1:] if argument != "--syft"]
                if not only or name in only:
                    report.case(name, function)
            check(registry.process.poll() is None, "berth died")
    finally:
        for server in stops:
            server.stop()
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

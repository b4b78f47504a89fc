"""Dockerfile, Kustomize and Helm as their own tools see them, what they render against the schemas of Kubernetes, and what
no schema knows: that the parts of a rendering fit together and that berth takes the configuration in it."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "clients"))
sys.path.insert(0, TESTS)
from harness import BERTH, ROOT, Report, check, run
from tools import python_tools, tool

REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "requirements.txt")
CHART = os.path.join(ROOT, "deploy/helm/berth")
KUBERNETES = os.path.join(ROOT, "deploy/kubernetes")
VERSIONS = ("1.25", "1.36")  # of Kubernetes: the oldest that the chart takes, and a new one
# Kinds that are no part of Kubernetes, each with the function below that looks at it.
WITHOUT_SCHEMA = ("ServiceMonitor", "PrometheusRule", "HTTPRoute")


def bin_folder():
    return python_tools("deploy-validators", REQUIREMENTS)


def load(text):
    import yaml
    return [document for document in yaml.safe_load_all(text) if document]


class Rendering:
    """What one overlay or one file of values comes to."""

    def __init__(self, name, text, folder):
        self.name, self.documents = name, load(text)
        self.path = os.path.join(folder, name.replace("/", "-") + ".yaml")
        with open(self.path, "w") as f:
            f.write(text)

    def all(self, kind):
        return [d for d in self.documents if d["kind"] == kind]

    def one(self, kind):
        found = self.all(kind)
        check(len(found) == 1, f"{self.name} has {len(found)} of {kind}")
        return found[0]

    def pod(self):
        return self.one("StatefulSet")["spec"]["template"]

    def config(self):
        """The text of berth.yaml in the ConfigMap that the pod mounts."""
        volume = next(v for v in self.pod()["spec"]["volumes"] if v["name"] == "config")
        found = [d for d in self.all("ConfigMap") if d["metadata"]["name"] == volume["configMap"]["name"]]
        check(len(found) == 1, f"{self.name}: no ConfigMap {volume}")
        return found[0]["data"]["berth.yaml"]


def matches(selector, labels):
    return bool(selector) and all(labels.get(k) == v for k, v in selector.items())


class Manifests:
    def __init__(self, work):
        self.work = work
        self.renderings = []
        self.bin = bin_folder()
        # The version of Kubernetes that a helm built from its module believes in is ancient.
        self.version = ["--kube-version", VERSIONS[-1]]

    def template(self, *arguments):
        done = subprocess.run([tool("helm"), "template", "images", CHART, "--namespace", "registry", *self.version, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    # ---- cases ----

    def hadolint(self):
        told = run(os.path.join(self.bin, "hadolint"), os.path.join(ROOT, "deploy/Dockerfile"))
        check(not told.strip(), told)

    def context(self):
        """What a build of the image is sent is enough to build berth."""
        with open(os.path.join(ROOT, ".dockerignore")) as f:
            sent = [line[1:].strip() for line in f if line.startswith("!")]
        with open(os.path.join(ROOT, "CMakeLists.txt")) as f:
            folders = {line.split()[0].removeprefix("berth_folder(") for line in f if line.startswith("berth_folder(")}
        check(len(folders) > 5 and folders <= set(sent), f"not sent: {folders - set(sent)}")
        copy = os.path.join(self.work, "context")
        for path in sent:
            target = os.path.join(copy, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            (shutil.copytree if os.path.isdir(os.path.join(ROOT, path)) else shutil.copy)(os.path.join(ROOT, path), target)
        # The Dockerfile's own command, with no more in its environment than the stage declares.
        with open(os.path.join(ROOT, "deploy/Dockerfile")) as f:
            stage = re.split(r"^FROM ", f.read(), flags=re.MULTILINE)[1]
        command = re.search(r"cmake --preset .*?(?= &&)", stage)
        before = stage[:command.start()]
        given = {"REVISION": "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", "VERSION": "1.2.3"}
        declared = {name: given[name] for name in re.findall(r"^ARG (\w+)", before, re.MULTILINE)}
        done = subprocess.run(["sh", "-ec", command.group()], cwd=copy, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=dict({k: v for k, v in os.environ.items() if k not in given}, **declared))
        check(done.returncode == 0, done.stdout.decode(errors="replace")[-2000:])
        planned = run("ninja", "-C", copy + "/build/release", "-t", "commands", "berth")
        check(planned.count(".cpp.o -c ") > 100, f"a short plan:\n{planned[-2000:]}")
        revisions = set(re.findall(r'BERTH_REVISION=\\"(.*?)\\"', planned))
        check(revisions == {given["REVISION"][:12]}, f"berth_build_info would have the revision {revisions}")

    def kustomize(self):
        overlays = sorted(os.path.dirname(p) for p in glob.glob(KUBERNETES + "/overlays/*/kustomization.yaml"))
        check(len(overlays) >= 2, overlays)
        for folder in [*overlays, KUBERNETES + "/base", KUBERNETES + "/recipes/node-port"]:
            text = run(tool("kustomize"), "build", folder)
            self.renderings.append(Rendering("kustomize " + os.path.relpath(folder, KUBERNETES), text, self.work))

    def helm(self):
        values = sorted(glob.glob(CHART + "/ci/*-values.yaml"))
        check(len(values) >= 5, values)
        for path in values:
            run(tool("helm"), "lint", "--strict", CHART, "--values", path)
            code, text, errors = self.template("--values", path)
            check(code == 0, f"{path}:\n{errors}")
            self.renderings.append(Rendering("helm " + os.path.basename(path), text, self.work))

    def refusals(self):
        """What must not be installed is refused with what to do instead."""
        url, secret = ["--set", "publicUrl=https://registry.example.com"], ["--set", "tls.existingSecret=berth-tls"]
        elsewhere = ["--set", "tls.mode=elsewhere", "--set-json", 'networkPolicy.registryFrom=[{"podSelector": {}}]']
        ingress, route = ["--set", "ingress.enabled=true"], ["--set-json", 'httpRoute={"enabled": true, "parentRefs": [{"name": "public"}]}']

        def annotation(where, key, value):
            return ["--set-json", f"{where}.annotations={json.dumps({key: value})}"]

        for name, arguments, word in (
                ("no address before a proxy", ["--set", "tls.mode=elsewhere"], "publicUrl is empty"),
                ("no certificate", url, "tls.existingSecret is empty"),
                ("in clear for everybody", [*url, "--set", "tls.mode=elsewhere"], "networkPolicy.registryFrom"),
                ("an address without TLS", [*secret, "--set", "publicUrl=http://registry.example.com"], "publicUrl"),
                ("a misspelt value", [*url, *secret, "--set", "persistance.size=1Gi"], "persistance"),
                ("a misspelt value below another", [*url, *secret, "--set", "service.nodeport=30500"], "nodeport"),
                ("a size that is none", [*url, *secret, "--set", "persistence.size=big"], "size"),
                ("a route without a gateway", [*url, *elsewhere, "--set", "httpRoute.enabled=true"], "httpRoute.parentRefs"),
                ("an ingress that talks HTTP to TLS", [*url, *secret, *ingress], "backend-protocol: HTTPS"),
                ("an ingress with other annotations", [*url, *secret, *ingress, *annotation("ingress", "nginx.ingress.kubernetes.io/ssl-redirect", "true"),
                                                       *annotation("service", "alb.ingress.kubernetes.io/healthcheck-protocol", "HTTPS")], "backend-protocol: HTTPS"),
                ("an ingress that is told HTTP", [*url, *secret, *ingress, *annotation("ingress", "nginx.ingress.kubernetes.io/backend-protocol", "HTTP")],
                 "backend-protocol: HTTPS"),
                ("a passthrough that is off", [*url, *secret, *ingress, *annotation("ingress", "nginx.ingress.kubernetes.io/ssl-passthrough", "false")],
                 "backend-protocol: HTTPS"),
                ("a gateway that talks HTTP to TLS", [*url, *secret, *route], "BackendTLSPolicy"),
                ("no address for runbooks", [*url, *secret, "--set", "prometheusRule.runbookBase=docs/runbooks"], "runbookBase"),
                ("a slash too many for runbooks", [*url, *secret, "--set", "prometheusRule.runbookBase=https://docs.example.com/"], "runbookBase")):
            code, _, errors = self.template(*arguments)
            check(code != 0 and word in errors, f"{name}: exit {code}: {errors[-500:]}")
        for name, arguments in (
                ("nothing more", secret),
                ("an ingress before HTTP", [*elsewhere, *ingress]), ("a gateway before HTTP", [*elsewhere, *route]),
                *((f"{where} {key}: {value}", [*secret, *ingress, *annotation(where, key, value)]) for where, key, value in (
                    ("ingress", "nginx.ingress.kubernetes.io/backend-protocol", "HTTPS"),
                    ("ingress", "nginx.ingress.kubernetes.io/ssl-passthrough", "true"),
                    ("ingress", "haproxy.org/server-ssl", "true"), ("ingress", "haproxy-ingress.github.io/backend-protocol", "h1-ssl"),
                    ("ingress", "alb.ingress.kubernetes.io/backend-protocol", "HTTPS"), ("ingress", "nginx.org/ssl-services", "images-berth"),
                    ("ingress", "route.openshift.io/termination", "reencrypt"),
                    ("service", "traefik.ingress.kubernetes.io/service.serversscheme", "https"),
                    ("service", "cloud.google.com/app-protocols", '{"https":"HTTPS"}'),
                    ("service", "projectcontour.io/upstream-protocol.tls", "5000"), ("service", "konghq.com/protocol", "https")))):
            code, _, errors = self.template(*url, *arguments)
            check(code == 0, f"{name}: {errors}")

    def notes(self):
        """What a person reads after the installation names the way to log in."""
        copy = os.path.join(self.work, "chart")
        shutil.copytree(CHART, copy)
        with open(copy + "/templates/NOTES.txt") as f:
            text = f.read()
        with open(copy + "/templates/_notes.tpl", "w") as f:
            f.write('{{- define "notes" -}}\n' + text + "{{- end -}}\n")
        # helm shows notes to whoever has a cluster; here they are the text of a document like the others.
        with open(copy + "/templates/notes.yaml", "w") as f:
            f.write('kind: Notes\ntext: {{ include "notes" . | quote }}\n')
        for values, words in (("own-tls", ["docker login registry.example.com --username admin",
                                           "exec -it images-berth-0 -- berth user add admin --role admin"]),
                              ("nodeport", ["docker login images-berth.registry.svc:5000 "]),
                              ("federation", ["Nothing outside the cluster reaches this release yet"]),
                              ("everything", ["docker login registry.example.com:8443 ", "/api/v1/setup", "secret berth-setup"])):
            told = run(tool("helm"), "template", "images", copy, *self.version, "--namespace", "registry", "--values",
                       f"{copy}/ci/{values}-values.yaml", "--show-only", "templates/notes.yaml")
            notes = load(told[told.index("---"):])[0]["text"]
            for word in words:
                check(word in notes, f"{values}: no {word!r} in\n{notes}")
            check("--arg" not in notes, f"{values}: a secret stands among the arguments of a process:\n{notes}")

    def schemas(self):
        """Every field of every document is one that Kubernetes knows."""
        for version in VERSIONS:
            done = subprocess.run([os.path.join(self.bin, "kubernetes-validate"), "-k", version, "--strict",
                                   *[r.path for r in self.renderings]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            text = done.stdout.decode(errors="replace")
            check(done.returncode == 0, f"{version}:\n" + "\n".join(l for l in text.splitlines() if not l.startswith("INFO"))[-3000:])
            unknown = [l for l in text.splitlines() if l.startswith("WARN") and not any(f"kind {k} " in l for k in WITHOUT_SCHEMA)]
            check(not unknown, "\n".join(unknown))
            passed = sum(l.startswith("INFO") and "passed" in l for l in text.splitlines())
            check(passed > 8 * len(self.renderings) // 2, f"only {passed} documents were looked at")
        return f"{passed} documents"

    def schemas_can_refuse(self):
        """A misspelt field is found, or the case above says nothing."""
        wrong = os.path.join(self.work, "wrong.yaml")
        with open(wrong, "w") as f:
            f.write("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{prot: 5000}]}\n")
        done = subprocess.run([os.path.join(self.bin, "kubernetes-validate"), "-k", VERSIONS[-1], "--strict", wrong],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        check(done.returncode != 0, "a misspelt field passed")

    def settings(self):
        """berth takes the configuration, and the listeners are where probes and services look for them."""
        # Of what is mounted, what is looked into when settings are checked.
        mounted = os.path.join(self.work, "mounted")
        run(BERTH, "certs", "dev", "--out", mounted)
        for name in ("secret", "token"):
            with open(os.path.join(mounted, name), "w") as f:
                f.write("not a secret at all\n")
        for rendering in self.with_pod():
            path = os.path.join(self.work, "berth.yaml")
            with open(path, "w") as f:
                f.write(rendering.config().replace("/etc/berth/setup", mounted).replace("/var/run/berth/cluster", mounted))
            done = subprocess.run([BERTH, "config", "check", "--config", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            check(done.returncode == 0, f"{rendering.name}: {done.stdout.decode()}")
            settings = load(rendering.config())[0]
            ports = {int(l["address"].rsplit(":", 1)[1]): l["serve"] for l in settings["listeners"]}
            check(ports == {5000: ["registry"], 9090: ["health", "metrics"]}, f"{rendering.name}: {ports}")
            # What is named in the configuration is mounted.
            mounts = [m["mountPath"] for m in rendering.pod()["spec"]["containers"][0]["volumeMounts"]]
            for word in rendering.config().replace(",", " ").replace("}", " ").split():
                if word.startswith(("/etc/", "/var/")):
                    check(any(word == m or word.startswith(m + "/") for m in mounts), f"{rendering.name}: {word} is in no mount")

    def image_settings(self):
        run(BERTH, "config", "check", "--config", os.path.join(ROOT, "deploy/image/berth.yaml"))

    def pods(self):
        """One pod, hardened, with probes and time to drain; and whatever selects it does."""
        for rendering in self.with_pod():
            stateful, pod = rendering.one("StatefulSet"), rendering.pod()
            spec, labels, name = pod["spec"], pod["metadata"]["labels"], rendering.name
            container = spec["containers"][0]
            check(stateful["spec"]["replicas"] == 1, f"{name}: one writer")
            check(matches(stateful["spec"]["selector"]["matchLabels"], labels), f"{name}: selector")
            check(spec["terminationGracePeriodSeconds"] >= 120, f"{name}: grace")
            check(spec["automountServiceAccountToken"] is False, f"{name}: token")
            context = spec["securityContext"]
            check(context["runAsNonRoot"] and context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 10001
                  and context["fsGroupChangePolicy"] == "OnRootMismatch" and context["seccompProfile"] == {"type": "RuntimeDefault"},
                  f"{name}: {context}")
            check(container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                   "capabilities": {"drop": ["ALL"]}}, f"{name}: {container['securityContext']}")
            ports = {p["name"]: p["containerPort"] for p in container["ports"]}
            check(ports == {"registry": 5000, "metrics": 9090}, f"{name}: {ports}")
            for probe, path in (("startupProbe", "/startupz"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
                check(container[probe]["httpGet"] == {"path": path, "port": "metrics"}, f"{name}: {probe}")
            volumes = {v["name"] for v in spec["volumes"]} | {c["metadata"]["name"] for c in stateful["spec"].get("volumeClaimTemplates", [])}
            for mount in container["volumeMounts"]:
                check(mount["name"] in volumes, f"{name}: no volume {mount['name']}")
            services = rendering.all("Service")
            check(stateful["spec"]["serviceName"] in [s["metadata"]["name"] for s in services if s["spec"].get("clusterIP") == "None"],
                  f"{name}: serviceName")
            for service in services:
                check(matches(service["spec"]["selector"], labels), f"{name}: service {service['metadata']['name']} finds no pod")
                check(all(p["targetPort"] in ports for p in service["spec"]["ports"]), f"{name}: ports")
            for budget in rendering.all("PodDisruptionBudget"):
                check(budget["spec"]["maxUnavailable"] == 1 and matches(budget["spec"]["selector"]["matchLabels"], labels), f"{name}: budget")
            for policy in rendering.all("NetworkPolicy"):
                check(matches(policy["spec"]["podSelector"]["matchLabels"], labels), f"{name}: policy")
            for account in rendering.all("ServiceAccount"):
                check(account["metadata"]["name"] == spec["serviceAccountName"], f"{name}: account")
            for ingress in rendering.all("Ingress"):
                for rule in ingress["spec"]["rules"]:
                    backend = rule["http"]["paths"][0]["backend"]["service"]
                    self.serves(rendering, backend["name"], backend["port"]["number"])

    def daemon_sets(self):
        """What the nodes are told is where the service is, and the developer's name leads there, too."""
        dev = next(r for r in self.renderings if r.name == "kustomize overlays/dev")
        recipe = next(r for r in self.renderings if r.name == "kustomize recipes/node-port")
        node_port = next(s for s in dev.all("Service") if s["spec"].get("type") == "NodePort")["spec"]["ports"][0]["nodePort"]
        with open(KUBERNETES + "/recipes/kind/cluster.yaml") as f:
            mapping = load(f.read())[0]["nodes"][0]["extraPortMappings"][0]
        hosting = load(next(c for c in dev.all("ConfigMap") if c["metadata"]["name"] == "local-registry-hosting")["data"]
                       ["localRegistryHosting.v1"])[0]
        check(set(hosting) == {"host", "hostFromContainerRuntime", "hostFromClusterNetwork", "help"}, hosting)
        environment = {e["name"]: e["value"] for e in dev.one("DaemonSet")["spec"]["template"]["spec"]["containers"][0]["env"]}
        check(environment == {"REGISTRY": hosting["host"], "UPSTREAM": f"http://localhost:{node_port}"}, environment)
        check(mapping["containerPort"] == node_port and hosting["host"] == f"localhost:{mapping['hostPort']}"
              and mapping["listenAddress"] == "127.0.0.1", mapping)
        check(hosting["hostFromContainerRuntime"] == f"localhost:{node_port}", hosting)
        nodes = next(r for r in self.renderings if r.name == "helm nodeport-values.yaml")
        helm_port = next(s for s in nodes.all("Service") if s["spec"].get("type") == "NodePort")["spec"]["ports"][0]["nodePort"]
        environment = {e["name"]: e["value"] for e in recipe.one("DaemonSet")["spec"]["template"]["spec"]["containers"][0]["env"]}
        check(environment["UPSTREAM"] == f"https://localhost:{helm_port}", environment)
        with open(KUBERNETES + "/recipes/k3s/registries.yaml") as f:
            k3s = load(f.read())[0]
        check(k3s["mirrors"][environment["REGISTRY"]]["endpoint"] == [environment["UPSTREAM"]], k3s)

    def without_schema(self):
        """What Prometheus's operator and the Gateway API read."""
        seen = set()
        for rendering in self.renderings:
            for monitor in rendering.all("ServiceMonitor"):
                seen.add("ServiceMonitor")
                check(set(monitor["spec"]) == {"selector", "endpoints"}, monitor["spec"])
                found = [s for s in rendering.all("Service") if matches(monitor["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])]
                check(len(found) == 1, f"{rendering.name}: it finds {len(found)} services")
                for endpoint in monitor["spec"]["endpoints"]:
                    check(set(endpoint) == {"port", "path", "interval"} and endpoint["path"] == "/metrics", endpoint)
                    check(endpoint["port"] in [p["name"] for p in found[0]["spec"]["ports"]], f"{rendering.name}: no port {endpoint['port']}")
            for rule in rendering.all("PrometheusRule"):
                seen.add("PrometheusRule")
                with open(os.path.join(ROOT, "deploy/monitoring/rules/berth.rules.yml")) as f:
                    original = f.read()
                # One rendering says where the runbooks are published, and has other links and no other difference.
                if rendering.name == "helm everything-values.yaml":
                    original = original.replace("docs/runbooks/Berth", "https://docs.example.com/berth/runbooks/Berth")
                    links = [one["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for one in group["rules"] if "alert" in one]
                    check(links and all(re.fullmatch(r"https://docs\.example\.com/berth/runbooks/Berth\w+\.md", link) for link in links), links)
                check(rule["spec"] == load(original)[0], f"{rendering.name}: other rules than those of deploy/monitoring")
            for dashboard in rendering.all("ConfigMap"):
                if "berth.json" in dashboard["data"]:
                    seen.add("dashboard")
                    with open(os.path.join(ROOT, "deploy/monitoring/grafana/berth.json")) as f:
                        check(dashboard["data"]["berth.json"].strip() == f.read().strip(), f"{rendering.name}: another dashboard")
            for route in rendering.all("HTTPRoute"):
                seen.add("HTTPRoute")
                spec = route["spec"]
                check(set(spec) == {"parentRefs", "hostnames", "rules"} and spec["parentRefs"][0]["name"] and spec["hostnames"], spec)
                for one in spec["rules"]:
                    check(set(one) == {"matches", "backendRefs", "timeouts"}, one)
                    self.serves(rendering, one["backendRefs"][0]["name"], one["backendRefs"][0]["port"])
        check(seen == {*WITHOUT_SCHEMA, "dashboard"}, f"only {seen} were rendered")

    def serves(self, rendering, name, port):
        found = [s for s in rendering.all("Service") if s["metadata"]["name"] == name and port in [p["port"] for p in s["spec"]["ports"]]]
        check(len(found) == 1, f"{rendering.name}: no service {name}:{port}")

    def with_pod(self):
        found = [r for r in self.renderings if r.all("StatefulSet")]
        check(len(found) >= 9, f"only {len(found)} renderings with a pod")
        return found


CASES = ("hadolint", "context", "kustomize", "helm", "refusals", "notes", "schemas", "schemas_can_refuse", "settings",
         "image_settings", "pods", "daemon_sets", "without_schema")


def main():
    python = os.path.join(bin_folder(), "python")
    if os.path.realpath(sys.prefix) != os.path.realpath(os.path.dirname(os.path.dirname(python))):
        os.execv(python, [python, os.path.abspath(__file__), *sys.argv[1:]])  # where PyYAML is
    report = Report("manifests")
    work = tempfile.mkdtemp(prefix="berth-manifests-")
    try:
        manifests = Manifests(work)
        for name in CASES if not sys.argv[1:] else sys.argv[1:]:
            report.case(name, getattr(manifests, name))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

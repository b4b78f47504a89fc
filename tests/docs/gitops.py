"""The examples for Flux and Argo CD: objects by their fields, references that lead somewhere, and patterns that pick the
right ones of the tags that tags.sh prints."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import ROOT, check

FOLDER = os.path.join(ROOT, "docs", "examples", "gitops")
# What the controllers' definitions know below `spec`; kubernetes-validate has the schemas of Kubernetes itself only.
SPECS = {
    ("image.toolkit.fluxcd.io/v1", "ImageRepository"): {
        "image", "interval", "timeout", "secretRef", "serviceAccountName", "certSecretRef", "proxySecretRef", "suspend", "accessFrom",
        "exclusionList", "provider", "insecure"},
    ("image.toolkit.fluxcd.io/v1", "ImagePolicy"): {
        "imageRepositoryRef", "policy", "filterTags", "digestReflectionPolicy", "interval", "suspend"},
    ("image.toolkit.fluxcd.io/v1", "ImageUpdateAutomation"): {
        "sourceRef", "git", "interval", "policySelector", "update", "suspend"},
    ("source.toolkit.fluxcd.io/v1", "OCIRepository"): {
        "url", "ref", "layerSelector", "provider", "secretRef", "verify", "serviceAccountName", "certSecretRef", "proxySecretRef",
        "interval", "timeout", "ignore", "insecure", "suspend"},
    ("argocd-image-updater.argoproj.io/v1alpha1", "ImageUpdater"): {"writeBackConfig", "applicationRefs", "commonUpdateSettings"},
}
STRATEGIES = {"semver", "newest-build", "digest", "alphabetical"}


def load(name):
    import yaml
    with open(os.path.join(FOLDER, name)) as f:
        return list(yaml.safe_load_all(f))


def objects(bin_folder):
    import kubernetes_validate
    count = 0
    for name in ("flux.yaml", "argocd-image-updater.yaml"):
        for thing in load(name):
            count += 1
            kind = (thing["apiVersion"], thing["kind"])
            check(thing["metadata"].get("name") and thing["metadata"].get("namespace"), f"{kind} has no name or namespace")
            if kind in SPECS:
                unknown = set(thing["spec"]) - SPECS[kind]
                check(not unknown, f"{kind} has no {unknown}")
                check(set(thing) == {"apiVersion", "kind", "metadata", "spec"}, f"{kind}: {set(thing)}")
            else:
                check("/" not in kind[0], f"{kind} is not known to this test")
                kubernetes_validate.validate(thing, "1.36", strict=True)
    return f"{count} objects"


def printed(**given):
    """The tags that tags.sh prints."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
    environment = dict(kept, COMMIT="0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", BUILD_NUMBER="42", **given)
    script = os.path.join(ROOT, "docs", "examples", "scripts", "tags.sh")
    return subprocess.run([script], env=environment, check=True, capture_output=True, text=True).stdout.split()


def picked(pattern, tags):
    return [tag for tag in tags if re.search(pattern, tag)]


def tags():
    builds = [printed(BRANCH="main", BUILD_TIME=time, ENVIRONMENT="production") for time in ("20261121201500", "20261121201501")]
    release, candidate = printed(GIT_TAG="v1.2.3"), printed(GIT_TAG="v1.3.0-rc.1")
    others = printed(BRANCH="maintenance", BUILD_TIME="20991231235959") + printed(PULL_REQUEST="7")
    every = [tag for group in (*builds, release, candidate, others) for tag in ([group] if isinstance(group, str) else group)]
    newest = "main-20261121201501-0a1b2c3"

    flux = {thing["metadata"]["name"]: thing for thing in load("flux.yaml")}
    policies = [thing["spec"] for thing in flux.values() if thing["kind"] == "ImagePolicy"]
    for spec in policies:
        check(flux[spec["imageRepositoryRef"]["name"]]["kind"] in ("ImageRepository", "ImageUpdateAutomation"), "no such repository")
    found = picked(flux["app-main"]["spec"]["filterTags"]["pattern"].replace("?P<", "?P<"), every)
    check(sorted(found)[-1] == newest and len(found) == 2, f"Flux's builds: {found}")
    pattern, extract = (flux["app-main"]["spec"]["filterTags"][key] for key in ("pattern", "extract"))
    values = {tag: int(re.search(pattern, tag).group(extract.removeprefix("$"))) for tag in found}
    check(max(values, key=values.get) == newest, f"{values}")
    check(picked(flux["app-production"]["spec"]["filterTags"]["pattern"], every) == ["env-production"] * 2, "Flux's environment")
    for spec in policies:
        for hidden in load("flux.yaml")[0]["spec"]["exclusionList"]:
            check(not picked(hidden, [t for t in every if not t.startswith("sha256-")]), f"{hidden} hides tags of builds")

    updater = [thing for thing in load("argocd-image-updater.yaml") if thing["kind"] == "ImageUpdater"][0]["spec"]
    images = {ref["namePattern"]: ref["images"][0] for ref in updater["applicationRefs"]}
    for name, image in images.items():
        check(image["commonUpdateSettings"]["updateStrategy"] in STRATEGIES, name)
        check(image["imageName"].startswith("registry.example.com/prod/app"), name)
    allowed = {name: image["commonUpdateSettings"].get("allowTags", "").removeprefix("regexp:") for name, image in images.items()}
    check(sorted(picked(allowed["app-main"], every))[-1] == newest, "Argo CD's builds")
    check(picked(allowed["app-releases"], every) == ["1.2.3"], f"Argo CD's releases: {picked(allowed['app-releases'], every)}")
    check(images["app-production"]["imageName"].endswith(":env-production"), "Argo CD's environment")
    return f"{len(every)} tags"

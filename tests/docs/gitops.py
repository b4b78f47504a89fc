"""The examples for Flux and Argo CD: objects by their fields, references that lead somewhere, patterns that pick the right
ones of the tags that the pipelines push, in the repository where they push them, and a login that reads that."""

import glob
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
PUSHED, PROMOTED = "registry.example.com/team/app", "registry.example.com/prod/app"
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
    builds = [printed(BRANCH="main", BUILD_TIME=time) for time in ("20261121201500", "20261121201501")]
    release, candidate = printed(GIT_TAG="v1.2.3"), printed(GIT_TAG="v1.3.0-rc.1")
    others = printed(BRANCH="maintenance", BUILD_TIME="20991231235959") + printed(PULL_REQUEST="7") + ["buildcache", "buildcache-pr"]
    # What the pipelines push where: all that tags.sh prints, and by promote.sh the environments.
    pushed = {PUSHED: [tag for group in (*builds, release, candidate, others) for tag in group], PROMOTED: ["env-production", "env-staging"]}
    for path in sorted(glob.glob(os.path.join(ROOT, "docs", "examples", "ci", "*"))):
        with open(path) as f:
            text = f.read()
        if "tags.sh" in text:
            check("team/app" in text and "prod/app:env-" in text, f"{path} pushes elsewhere than this test believes")
    newest = "main-20261121201501-0a1b2c3"

    flux = {thing["metadata"]["name"]: thing for thing in load("flux.yaml") if thing["kind"] in ("ImageRepository", "ImagePolicy")}
    seen = {}
    for name, policy in flux.items():
        if policy["kind"] != "ImagePolicy":
            continue
        repository = flux[policy["spec"]["imageRepositoryRef"]["name"]]
        check(repository["kind"] == "ImageRepository", f"{name}: no such repository")
        hidden = repository["spec"].get("exclusionList", [])
        there = [tag for tag in pushed[repository["spec"]["image"]] if not any(re.search(one, tag) for one in hidden)]
        check(not [tag for tag in there if tag.startswith("buildcache")], f"{name}: a build cache is an image")
        seen[name] = picked(policy["spec"].get("filterTags", {}).get("pattern", ""), there)
        if "semver" in policy["spec"]["policy"]:
            seen[name] = versions(seen[name], policy["spec"]["policy"]["semver"]["range"])
    check(seen.get("app-releases") == ["1.2.3"], f"Flux's releases: {seen.get('app-releases')}")
    check(sorted(seen["app-main"])[-1] == newest and len(seen["app-main"]) == 2, f"Flux's builds: {seen['app-main']}")
    pattern, extract = (flux["app-main"]["spec"]["filterTags"][key] for key in ("pattern", "extract"))
    values = {tag: int(re.search(pattern, tag).group(extract.removeprefix("$"))) for tag in seen["app-main"]}
    check(max(values, key=values.get) == newest, f"{values}")
    check(seen["app-production"] == ["env-production"], f"Flux's environment: {seen['app-production']}")

    updater = [thing for thing in load("argocd-image-updater.yaml") if thing["kind"] == "ImageUpdater"][0]["spec"]
    found = {}
    for ref in updater["applicationRefs"]:
        image = ref["images"][0]
        check(image["commonUpdateSettings"]["updateStrategy"] in STRATEGIES, ref["namePattern"])
        repository, _, constraint = image["imageName"].partition(":")
        there = picked(image["commonUpdateSettings"].get("allowTags", "").removeprefix("regexp:"), pushed[repository])
        strategy = image["commonUpdateSettings"]["updateStrategy"]
        if strategy == "semver":
            there = versions(there, constraint)
        elif strategy == "digest":
            there = [tag for tag in there if tag == constraint]
        found[ref["namePattern"]] = there
    check(found.get("app-releases") == ["1.2.3"], f"Argo CD's releases: {found.get('app-releases')}")
    check(sorted(found["app-main"])[-1:] == [newest], f"Argo CD's builds: {found['app-main']}")
    check(found.get("app-production") == ["env-production"], f"Argo CD's environment: {found.get('app-production')}")
    return f"{sum(len(group) for group in pushed.values())} tags"


def versions(tags, constraint):
    """Releases of a range as `1.x`, as far as the examples use them."""
    major = re.fullmatch(r"(\d+)\.x", constraint)
    check(major, f"{constraint} is unknown to this test")
    return [tag for tag in tags if re.fullmatch(rf"{major[1]}\.\d+\.\d+", tag)]


def robots():
    """The login in each file reads all that is watched there, and nothing more."""
    for name in ("flux.yaml", "argocd-image-updater.yaml"):
        with open(os.path.join(FOLDER, name)) as f:
            text = f.read()
        watched = set()
        for thing in load(name):
            spec = thing.get("spec", {})
            named = [spec.get("image", ""), spec.get("url", "")]
            named += [image["imageName"] for ref in spec.get("applicationRefs", []) for image in ref["images"]]
            watched |= {re.sub(r"^(oci://)?registry\.example\.com/|:[^/]*$", "", one) for one in named if "registry.example.com/" in one}
        scopes = set(re.findall(r"--scope (\S+):pull(?= )", text))
        granted = set(re.findall(r"--repository (\S+)", text))
        check(watched and scopes == watched == granted, f"{name} watches {watched}; scopes {scopes}, grant {granted}")

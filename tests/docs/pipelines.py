"""The examples of pipelines: each against the schema of its system, and what it runs against shellcheck. What sets them off
are kinds of run that tests/clients/examples.py pushes with."""

import fnmatch
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients"))
from ci_runs import RUNS
from harness import ROOT, Failure, check, need, run
from tools import tool

CI = os.path.join(ROOT, "docs", "examples", "ci")
SCRIPTS = os.path.join(ROOT, "docs", "examples", "scripts")


def schema(bin_folder, name, file):
    # The patterns of Azure's schema are for another kind of regular expressions than the standard's.
    run(os.path.join(bin_folder, "check-jsonschema"), "--regex-variant", "python", "--builtin-schema", name, os.path.join(CI, file))


def shell(work, kind, scripts, excluded=()):
    """shellcheck, and every script of ours that is called is there."""
    need("shellcheck")
    check(scripts, "no script was found in it")
    for number, text in enumerate(scripts):
        path = os.path.join(work, f"{kind}-{number}.sh")
        with open(path, "w") as f:
            f.write(text + "\n")
        run("shellcheck", f"--shell={'sh' if kind == 'gitlab' else 'bash'}", *[f"--exclude={code}" for code in excluded], path)
        for name in re.findall(r"(?:^|[\s(/])((?:tags|existing-tags|login|attest|promote|ci-token|migrate-\w+)\.sh)\b", text):
            check(os.path.exists(os.path.join(SCRIPTS, name)), f"there is no {name}")
    return f"{len(scripts)} scripts"


def tags_and_cache(file):
    """A release must not take `latest` from a newer one, and a pull request must not write what a release is built from."""
    with open(os.path.join(CI, file)) as f:
        text = f.read()
    calls = re.findall(r"(?<!-)tags\.sh (.*)", text)
    check(any(call.startswith("--existing existing") for call in calls) and any(call.startswith("--cache") for call in calls), f"{calls}")
    check(all(call.startswith(("--existing existing", "--cache")) for call in calls), f"{file} does not look at the tags that are there: {calls}")
    check(re.search(r"existing-tags\.sh \S+ > existing$", text, re.MULTILINE), f"{file} does not ask for the tags that are there")
    written = re.findall(r"(?:cache-to:?|export-cache) \S*type=registry,(.*?),mode", text)
    check(len(written) == 1 and not written[0].endswith(":buildcache"), f"{file} writes the cache of releases: {written}")


def runs(system, field):
    """What runs of this system say in this field of their token, of those that are let in."""
    return {claims[field] for name, _, (_, claims), group in RUNS if name == system and group}


def tried(system, field, patterns):
    """Every trigger is one of the runs that push in tests/clients/examples.py."""
    for pattern in patterns:
        check(any(fnmatch.fnmatch(value, pattern.replace("**", "*")) for value in runs(system, field)),
              f"{system}: no run is tried that {pattern} sets off")


def load(file):
    import yaml
    with open(os.path.join(CI, file)) as f:
        return yaml.safe_load(f)


def github(bin_folder, work):
    file = "github-actions.yml"
    schema(bin_folder, "vendor.github-workflows", file)
    tags_and_cache(file)
    workflow = load(file)
    pushes = workflow[True]["push"]  # what YAML 1.1 makes of `on`
    tried("github", "ref", [f"refs/heads/{name}" for name in pushes["branches"]] + [f"refs/tags/{name}" for name in pushes["tags"]])
    check(set(workflow[True]) == {"push", "pull_request"} == runs("github", "event_name"), f"{set(workflow[True])}")
    shell(work, "github", [re.sub(r"\$\{\{.*?\}\}", "x", step["run"]) for job in workflow["jobs"].values()
                                                  for step in job["steps"] if "run" in step])
    need("shellcheck")
    run(tool("actionlint"), "-shellcheck", "shellcheck", os.path.join(CI, file))
    # actionlint finds what the schema does not; a checker that finds nothing is none.
    with open(os.path.join(CI, file)) as f:
        broken = f.read().replace("needs.image.outputs.digest", "needs.image.outputs.digset", 1)
    path = os.path.join(work, "broken.yml")
    with open(path, "w") as f:
        f.write(broken)
    try:
        run(tool("actionlint"), path)
    except Failure as failure:
        check("digset" in str(failure), str(failure))
        return None
    raise Failure("actionlint takes an output that nothing has")


def gitlab(bin_folder, work):
    schema(bin_folder, "vendor.gitlab-ci", "gitlab-ci.yml")
    tags_and_cache("gitlab-ci.yml")
    jobs = {name: job for name, job in load("gitlab-ci.yml").items() if isinstance(job, dict) and name not in ("variables", "workflow")}
    for name, job in jobs.items():
        check(job.get("extends", name) in jobs, f"{name} extends {job.get('extends')}, which is not there")
        for needed in job.get("needs", ()):
            check(needed in jobs, f"{name} needs {needed}, which is not there")
    stages = load("gitlab-ci.yml")["stages"]
    check(all(job.get("stage", stages[0]) in stages for job in jobs.values()), "a job has a stage that is not there")
    return shell(work, "gitlab", ["\n".join(job.get("before_script", []) + job.get("script", [])) for job in jobs.values()
                                  if "before_script" in job or "script" in job])


def azure(bin_folder, work):
    schema(bin_folder, "vendor.azure-pipelines", "azure-pipelines.yml")
    tags_and_cache("azure-pipelines.yml")
    trigger = load("azure-pipelines.yml")["trigger"]
    tried("azure", "rpo_ref", [f"refs/heads/{name}" for name in trigger["branches"]["include"]]
          + [f"refs/tags/{name}" for name in trigger["tags"]["include"]] + ["refs/pull/*"])
    scripts, shown = [], []

    def walk(node):
        if isinstance(node, dict):
            if "bash" in node:
                # $(name) is put in by the system before the shell sees it.
                scripts.append(re.sub(r"\$\(([A-Za-z.]+)\)", r"${\1}", node["bash"]))
                if re.search(r"login\.sh|docker|trivy|syft|attest\.sh|promote\.sh", node["bash"]):
                    shown.append("SYSTEM_ACCESSTOKEN" in node.get("env", {}))
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    walk(load("azure-pipelines.yml"))
    check(shown and all(shown), "a step that talks to the registry does not hand on SYSTEM_ACCESSTOKEN")
    return shell(work, "azure", scripts, ["SC2154"])


def dockerfile(bin_folder):
    # DL3008: Debian's own versions change under a stable name, and old ones are gone.
    run(os.path.join(bin_folder, "hadolint"), "--ignore", "DL3008", os.path.join(CI, "tools.Dockerfile"))


# What may stand in each block of a declarative pipeline; "code" is anything.
BLOCKS = {
    "": {"pipeline"},
    "pipeline": {"agent", "options", "environment", "parameters", "triggers", "tools", "stages", "post", "libraries", "input", "when"},
    "stages": {"stage"},
    "stage": {"agent", "options", "environment", "tools", "stages", "steps", "post", "input", "when", "parallel", "matrix"},
    "post": {"always", "success", "failure", "changed", "fixed", "regression", "aborted", "unstable", "unsuccessful", "cleanup"},
}


def jenkins(work):
    """Jenkins has its parser in the server alone, and the one linter for it needs a Java and 300 MB. So the form of a
    declarative pipeline by rules of our own: blocks where they may stand, brackets that match, and the shell in it."""
    with open(os.path.join(CI, "Jenkinsfile")) as f:
        text = f.read()
    jenkinsfile(text)
    for broken in (text.replace("stages {", "stagess {", 1), text.rstrip()[:-1], text.replace("steps {", "step {", 1), text + "}"):
        try:
            jenkinsfile(broken)
        except Failure:
            continue
        raise Failure("a broken Jenkinsfile passes")
    ids = set(re.findall(r"credentialsId: '([^']+)'", text))
    check("registry-token" in ids, f"{ids}")
    tags_and_cache("Jenkinsfile")
    # A cache in a registry needs a builder of buildx, which belongs to the DOCKER_CONFIG of the build and ends with it.
    create, build = text.find('docker buildx create --use --name "$BUILDER"'), text.find("docker buildx build")
    post = text.find("post {\n        always {")
    check(0 < create < build and "BUILDER = " in text, "the build has no builder of its own")
    check(post > build and 'docker buildx rm "$BUILDER"' in text[post:], "the builder stays")
    shells = [s.replace("\\$", "$") for s in re.findall(r"sh '''(.*?)'''", text, re.DOTALL) + re.findall(r"sh '([^'].*)'$", text, re.MULTILINE)]
    return shell(work, "jenkins", shells, ["SC2046"])  # $(cat tags) is meant to be several words


def jenkinsfile(text):
    text = re.sub(r"'''.*?'''|\"\"\".*?\"\"\"", "''", text, flags=re.DOTALL)
    text = re.sub(r"//.*", "", re.sub(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"", "''", text))
    open_blocks = [""]
    brackets = []
    for token in re.finditer(r"([A-Za-z]\w*)\s*(?:\([^(){}]*\))?\s*\{|[{}()\[\]]", text):
        word = token.group(1)
        if word:
            parent = open_blocks[-1]
            allowed = BLOCKS.get(parent)
            check(allowed is None or word in allowed, f"`{word}` may not stand in `{parent or 'the file'}`")
            open_blocks.append(word if parent != "code" and word in BLOCKS else "code")
            brackets.append("{")
        elif token.group() in "([{":
            brackets.append(token.group())
            if token.group() == "{":
                open_blocks.append("code")
        else:
            check(brackets and brackets[-1] + token.group() in ("()", "[]", "{}"), f"a {token.group()} too many")
            brackets.pop()
            if token.group() == "}":
                open_blocks.pop()
    check(not brackets, f"{brackets[-1:]} is not closed")
    check(re.search(r"\bagent\s*\{", text) and re.search(r"\bsteps\s*\{", text), "a pipeline needs an agent and steps")

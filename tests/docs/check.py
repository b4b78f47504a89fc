"""Documents that do not drift: links and their anchors exist, command lines are taken by the real `berth`, settings are
loaded by it, and the examples fit the systems they are for."""

import glob
import os
import re
import shlex
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients"))
import gitops
import pipelines
from harness import BERTH, ROOT, Failure, Report, check, need, run
from tools import python_tools

HERE = os.path.dirname(os.path.abspath(__file__))


def pages():
    """Every Markdown file of the project, as (path from the root, text)."""
    found = [os.path.join(ROOT, "README.md")]
    for folder in ("docs", "deploy"):
        found += glob.glob(os.path.join(ROOT, folder, "**", "*.md"), recursive=True)
    for path in sorted(found):
        with open(path, encoding="utf-8") as f:
            yield os.path.relpath(path, ROOT), f.read()


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    """As GitHub makes them of headings."""
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", without_code(text), re.MULTILINE):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count, unique = 0, slug
        while unique in found:
            count += 1
            unique = f"{slug}-{count}"
        found.add(unique)
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def links():
    texts, wrong, count = dict(pages()), [], 0
    for path, text in texts.items():
        prose = re.sub(r"`[^`\n]*`", "", without_code(text))
        for target in re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", prose):
            if re.match(r"[a-z][a-z0-9+.-]*:", target):
                continue
            count += 1
            file, _, anchor = target.partition("#")
            place = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if not os.path.exists(os.path.join(ROOT, place)):
                wrong.append(f"{path}: {target} leads nowhere")
            elif anchor and place in texts and anchor not in anchors(texts[place]):
                wrong.append(f"{path}: {target}: {place} has no such heading")
    check(not wrong, "\n".join(wrong))
    check(count > 30, f"only {count} links")
    return f"{count} links"


def index():
    """Each page of docs/ can be reached from its index."""
    texts = dict(pages())
    listed = re.findall(r"\]\(([^)#\s]+)", texts["docs/README.md"])
    there = {os.path.relpath(path, "docs") for path in texts if path.startswith("docs" + os.sep)} - {"README.md"}
    # A folder's own index stands for what is in it.
    missing = [path for path in there if path not in listed and not any(
        path != entry and entry.endswith("README.md") and path.startswith(os.path.dirname(entry) + "/") for entry in listed)
        and not any(entry.rstrip("/") == os.path.dirname(path) for entry in listed)]
    check(not missing, f"docs/README.md does not lead to {missing}")


class Command:
    """What `berth … --help` says of one command."""

    known = {}

    def __init__(self, words):
        text = run(BERTH, *words, "--help")
        self.subcommands = set(re.findall(r"^  ([a-z][a-z-]*)\s", text.split("Subcommands:\n")[1], re.MULTILINE)) if "Subcommands:\n" in text else set()
        self.options, self.required, self.repeats = {}, set(), set()
        for line in re.findall(r"^  (-.*)$", text, re.MULTILINE):
            names = re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", line.split("  ")[0].split(":{")[0].split(" ")[0])
            rest = line[len(line.split(" ")[0]):]
            takes = bool(re.match(r" [A-Z]", rest) and not rest.startswith(" Excludes")) or ":{" in line or ":" in line.split(" ")[0]
            for name in names:
                self.options[name] = takes
            if " REQUIRED" in line:
                self.required.add(names[-1])
        self.least = self.most = 0
        if "Positionals:\n" in text:
            for line in re.findall(r"^  (\S.*)$", text.split("Positionals:\n")[1].split("\n\n")[0], re.MULTILINE):
                self.most += 1000 if "..." in line else 1
                self.least += "REQUIRED" in line

    @classmethod
    def of(cls, words):
        key = tuple(words)
        if key not in cls.known:
            cls.known[key] = cls(words)
        return cls.known[key]


def problem(words, whole):
    """What `berth` would have against these words, or None. Of a line that is not `whole` only what it says is looked at."""
    path = []
    while words and not words[0].startswith("-"):
        command = Command.of(path)
        if words[0] not in command.subcommands:
            break
        path.append(words.pop(0))
    command = Command.of(path)
    if command.subcommands:
        if not words and not whole or words[:1] in (["--help"], ["--version"]):
            return None
        return f"`berth {' '.join(path)}` has no `{words[0]}`" if words else f"`berth {' '.join(path)}` needs a subcommand"
    said, values = set(), 0
    while words:
        word = words.pop(0)
        if word.startswith("-") and word != "-":
            name, _, value = word.partition("=")
            if name not in command.options:
                return f"`berth {' '.join(path)}` has no {name}"
            said.add(name)
            if command.options[name] and not value:
                if not words and whole:
                    return f"{name} needs a value"
                words = words[1:]
        elif "…" not in word:
            values += 1
    if values > command.most:
        return f"`berth {' '.join(path)}` takes {command.most} names and not {values}"
    if whole and "--help" not in said and (values < command.least or command.required - said):
        return f"`berth {' '.join(path)}` lacks {command.required - said or 'a name'}"
    return None


def command_lines(text):
    """(line, whole) for what calls `berth` in blocks of shell, in comments of examples, and in running text."""
    for block in re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").split("\n"):
            yield line.removeprefix("$ "), True
    for inline in re.findall(r"`([^`\n]+)`", without_code(text)):
        if re.match(r"(?:\S*/)?berth [a-z]", inline):
            yield inline, False


def calls(line):
    """The words after `berth` of each call in a shell line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError:
        return
    i = 0
    while i < len(tokens):
        if re.fullmatch(r"(?:.*/)?berth", tokens[i]) and i + 1 < len(tokens):
            words = []
            for token in tokens[i + 1:]:
                if re.fullmatch(r"[|&;<>()]+", token):
                    break
                words.append(token)
            # After a path it is a file, as in `cp build/release/berth /usr/bin`.
            if words and (i == 0 or tokens[i - 1] not in ("cp", "mv", "install", "-u", "-o", "-g", "chown", "useradd", "systemctl")):
                yield words
            i += len(words)
        i += 1


def commands():
    wrong, count = [], 0
    sources = list(pages())
    for path in sorted(glob.glob(os.path.join(ROOT, "docs/examples/**/*.y*ml"), recursive=True)):
        with open(path) as f:
            comments = "\n".join(line.lstrip()[1:].strip() for line in f if line.lstrip().startswith("#   "))
        sources.append((os.path.relpath(path, ROOT), "```sh\n" + "\n".join(l for l in re.sub(r"\\\n", " ", comments).split("\n") if l.startswith("berth ")) + "\n```\n"))
    for path, text in sources:
        for line, whole in command_lines(text):
            for words in calls(line):
                if re.fullmatch(r"[A-Z]+|…", words[0]):
                    continue  # `berth COMMAND`
                count += 1
                found = problem(list(words), whole)
                if found:
                    wrong.append(f"{path}: berth {' '.join(words)}: {found}")
    check(not wrong, "\n".join(wrong))
    check(count > 50, f"only {count} commands")
    # What must not pass.
    for words in (["usr", "add"], ["user", "add"], ["user", "add", "a", "--rol", "admin"], ["user", "add", "a", "b"], ["grant", "add"]):
        check(problem(words, True), f"the check takes `berth {' '.join(words)}`")
    return f"{count} commands"


def settings(work):
    """Examples of settings are loaded; those that other systems read are told by their first key."""
    keys = set(re.findall(r'^    "([a-z_]+)": \{', run(BERTH, "config", "schema"), re.MULTILINE))
    check({"listeners", "auth", "data"} <= keys, f"the schema has {keys}")
    count, wrong = 0, []
    for path, text in pages():
        for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            top = set(re.findall(r"^([A-Za-z_]+):", block, re.MULTILINE))
            if not top or not top <= keys:
                continue
            count += 1
            file = os.path.join(work, "example.yaml")
            with open(file, "w") as f:
                f.write(block)
            try:
                run(BERTH, "config", "check", "--config", file)
            except Failure as failure:
                # The files that they name are not here; everything else must be right.
                said = [line for line in str(failure).split("\n")[1:] if line and not line.endswith("No such file or directory")]
                if said:
                    wrong.append(f"{path}:\n{block}" + "\n".join(said))
    check(not wrong, "\n".join(wrong))
    check(count > 15, f"only {count} examples")
    return f"{count} examples"


def scripts():
    """Every shell script of the project, and none of them is forgotten."""
    need("shellcheck")
    found = []
    for folder in ("docs/examples/scripts", "deploy", "tests", ".ci"):
        for path in glob.glob(os.path.join(ROOT, folder, "**", "*"), recursive=True):
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    first = f.readline()
                if re.match(rb"#!.*\b(?:ba|da)?sh\b", first) or path.endswith(".sh"):
                    found.append(path)
    found += [path for path in [os.path.join(ROOT, ".ci/run")] if os.path.exists(path) and path not in found]
    check(len(found) > 8, f"only {found}")
    run("shellcheck", "-x", "--shell=bash", *sorted(found), cwd=ROOT)
    return f"{len(found)} scripts"


def main():
    bin_folder = python_tools("docs-checkers", os.path.join(HERE, "requirements.txt"))
    if os.environ.get("BERTH_DOCS_PYTHON") != bin_folder:
        # For its YAML library.
        python = os.path.join(bin_folder, "python")
        os.execve(python, [python, os.path.abspath(__file__), *sys.argv[1:]], dict(os.environ, BERTH_DOCS_PYTHON=bin_folder))
    import tempfile
    report = Report("docs")
    with tempfile.TemporaryDirectory(prefix="berth-docs-") as work:
        for name, function, *arguments in [
            ("links", links), ("index", index), ("commands", commands), ("settings", settings, work), ("scripts", scripts),
            ("github", pipelines.github, bin_folder, work), ("gitlab", pipelines.gitlab, bin_folder, work),
            ("azure", pipelines.azure, bin_folder, work), ("jenkins", pipelines.jenkins, work), ("dockerfile", pipelines.dockerfile, bin_folder),
            ("gitops", gitops.objects, bin_folder), ("gitops_tags", gitops.tags), ("gitops_robots", gitops.robots),
        ]:
            if not sys.argv[1:] or name in sys.argv[1:]:
                report.case(name, function, *arguments)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""The management API against its own description: schemathesis makes up requests, right and wrong ones, from
/api/v1/openapi.json, and every answer must be one that stands there. No answer may be a 5xx, and none without a
credential may be anything but 401."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, Berth, Failure, Report, check, run
from tools import CACHE

REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "openapi-requirements.txt")
SECONDS = int(os.environ.get("BERTH_OPENAPI_SECONDS", "60"))
SETUP = "/api/v1/setup"  # asks for a secret of its own
NAME, PASSWORD = "the-administrator", "a password that nobody guesses"
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
          "allow_header_conformance", "use_after_free", "ensure_resource_availability", "ignored_auth"]
# Wrong passwords are part of the game here, and all come from one address.
SETTINGS = {"auth.users": "true", "auth.login.failures": "1000", "auth.login.account_failures": "10000",
            "auth.login.address_failures": "10000"}


def schemathesis():
    """The program, installed if need be."""
    with open(REQUIREMENTS, "rb") as f:
        version = hashlib.sha256(f.read()).hexdigest()[:12]
    folder = os.path.join(CACHE, f"schemathesis-{version}")
    program = os.path.join(folder, "bin", "schemathesis")
    if os.path.exists(os.path.join(folder, "complete")):
        return program
    print(f"installing schemathesis (once; it is kept in {CACHE})", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", folder)
    run(os.path.join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS,
        timeout=600)
    with open(os.path.join(folder, "complete"), "w"):
        return program


def make_administrator(berth):
    run(BERTH, "user", "add", NAME, "--role", "admin", "--password-stdin", "--data", berth.data,
        stdin=(PASSWORD + "\n").encode())


def authorization():
    return {"Authorization": "Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()}


def nobody_gets_in(berth):
    client = berth.client()
    _, body = client.expect(200, "GET", "/api/v1/openapi.json", headers=authorization())
    paths = json.loads(body)["paths"]
    count = 0
    for path, operations in paths.items():
        if path == SETUP:
            continue
        asked = path.replace("{", "").replace("}", "")
        for method in operations:
            headers, _ = client.expect(401, method.upper(), asked, body=b"{}" if method in ("post", "put", "patch") else None,
                                       headers={"Content-Type": "application/json"})
            check("www-authenticate" in headers, f"{method} {path}: no challenge")
            count += 1
    check(count > 30, f"only {count} operations are described")
    return f"{count} operations"


def conforms(berth, work):
    command = [schemathesis(), "run", f"http://{berth.address}/api/v1/openapi.json", "--auth", f"{NAME}:{PASSWORD}",
               "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing,stateful", "--workers", "2",
               "--max-time", str(SECONDS), "--request-timeout", "30", "--continue-on-failure", "--suppress-health-check", "all",
               "--warnings", "off", "--exclude-path", SETUP]
    if os.environ.get("BERTH_SEED"):
        command += ["--seed", os.environ["BERTH_SEED"]]
    done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS * 5 + 300,
                          env=dict(os.environ, NO_COLOR="1", HYPOTHESIS_STORAGE_DIRECTORY=work))
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        raise Failure(f"schemathesis: exit {done.returncode} (its seed repeats it with BERTH_SEED)\n{text[-12000:]}")
    berth.client().expect(200, "GET", "/api/v1/me", headers=authorization())
    # A machine that is too busy to try anything has shown nothing.
    tried = re.search(r"(\d[\d,]*) generated", text)
    check(tried, f"schemathesis tried nothing\n{text[-3000:]}")
    return f"{tried[1]} requests and sequences"


def main():
    report = Report("openapi")
    work = tempfile.mkdtemp(prefix="berth-openapi-")
    with Berth(settings=SETTINGS) as berth:
        report.case("the first administrator comes by the local socket", make_administrator, berth)
        report.case("nobody gets in without a credential", nobody_gets_in, berth)
        report.case("every answer is one that is described", conforms, berth, work)
    shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

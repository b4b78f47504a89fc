"""The management API against its own description: schemathesis makes up requests, right and wrong ones, from
/api/v1/openapi.json, and every answer must be one that stands there. No answer may be a 5xx, and none without a
credential may be anything but 401."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Berth, Failure, Report, check
from tools import python_tools

REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "openapi-requirements.txt")
SECONDS = int(os.environ.get("BERTH_OPENAPI_SECONDS", "60"))
SETUP = "/api/v1/setup"  # asks for a secret of its own
# Of a file and of the configuration, so that nothing that is tried can take the password or the right away.
NAME, PASSWORD = "the-administrator", "a password that nobody guesses"
HTPASSWD = NAME + ":$2b$05$X39rIcdv9G8YUQfwLwHV7u8FCYPvdHZaTGdXSI7Xje6skFk3pEV02\n"
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
          "allow_header_conformance", "use_after_free", "ignored_auth"]
# An If-Match that names no version is refused as well, before anything else of the request is looked at.
CONFIGURATION = """[checks]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "409", "412", "429"]
"""
GRANTS = [{"subjects": [f"user:{NAME}"], "repositories": ["**"], "role": "admin"}]
# Wrong passwords are part of the game here, and all come from one address.
SETTINGS = {"auth.users": "true", "auth.methods": '["htpasswd"]', "grants": json.dumps(GRANTS), "auth.login.failures": "1000",
            "auth.login.account_failures": "10000", "auth.login.address_failures": "10000"}


def schemathesis():
    """The program, installed if need be."""
    return os.path.join(python_tools("schemathesis", REQUIREMENTS), "schemathesis")


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
    with open(os.path.join(work, "schemathesis.toml"), "w") as f:
        f.write(CONFIGURATION)
    # One worker: two threads that parse Python at the same time trip over each other in CPython 3.11.
    command = [schemathesis(), "run", f"http://{berth.address}/api/v1/openapi.json", "--auth", f"{NAME}:{PASSWORD}",
               "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing,stateful", "--workers", "1",
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
    htpasswd = os.path.join(work, "htpasswd")
    with open(htpasswd, "w") as f:
        f.write(HTPASSWD)
    with Berth(settings=dict(SETTINGS, **{"auth.htpasswd": htpasswd})) as berth:
        report.case("nobody gets in without a credential", nobody_gets_in, berth)
        report.case("every answer is one that is described", conforms, berth, work)
    shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""The `berth` commands against a running berth: by the local socket, and over the network with a login."""

import base64
import json
import os
import pty
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, Berth, Client, Report, check, need_root

NOBODY = 65534
PASSWORD = "correct horse battery"


def berth(*arguments, code=0, stdin="", environment=None):
    """Both streams of a command that must end with `code`."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("BERTH_")}
    done = subprocess.run([BERTH, *arguments], input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env=dict(clean, **(environment or {})))
    out, err = done.stdout.decode(), done.stderr.decode()
    check(done.returncode == code, f"berth {' '.join(arguments)}: exit {done.returncode}, expected {code}\n{out}{err}")
    return out, err


def as_nobody(path):
    """What somebody else gets who connects to a local socket."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(path)
            os.write(writer, connection.recv(4096))
        except OSError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


def type_twice(command, secret):
    """Runs a command on a terminal and types a secret at each prompt. Answers all that the terminal showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    shown = b""
    try:
        for prompt in (b": ", b"again: "):
            while not shown.endswith(prompt):
                shown += os.read(terminal, 1024)
            os.write(terminal, secret.encode() + b"\r")
            shown += os.read(terminal, 2)  # the line's end
        while True:
            shown += os.read(terminal, 1024)
    except OSError:  # the other side is closed
        pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    check(os.waitstatus_to_exitcode(status) == 0, f"{command}: {shown.decode()}")
    return shown.decode()


class Commands:
    def __init__(self, work):
        self.work = work

    def path(self, name):
        return os.path.join(self.work, name)

    def local_socket(self):
        """There with the server, for its user and root; a killed server's is replaced, a stopped one's is gone."""
        data = self.path("data")
        path = data + "/berth.sock"
        with Berth(data=data) as server:
            check(os.stat(path).st_mode & 0o7777 == 0o600, "the socket's mode")
            server.client().push_image("team/app", "1", [b"layer"])
            check(berth("repo", "ls", "--data", data)[0] == "team/app\n", "repo ls")
            check(berth("tag", "ls", "team/app", "--socket", path, "-o", "json")[0] == '[\n  "1"\n]\n', "tag ls")
            check("\nberth_storage_tags 1\n" in berth("metrics", "--data", data)[0], "metrics")
            server.kill()
            check(os.path.exists(path), "a killed server leaves its socket")
            _, err = berth("repo", "ls", "--data", data, code=6)
            check("nobody answers at" in err and "Connection refused" in err, err)
            server.start()
            check(berth("repo", "ls", "--data", data)[0] == "team/app\n", "repo ls after a kill")
            berth("repo", "rm", "team/app", "--yes", "--data", data)
            server.stop()
            check(not os.path.exists(path), "a stopped server leaves its socket")

    def deep_folder(self):
        data = os.path.join(self.work, "d" * 120)
        with Berth(data=data):
            check(berth("repo", "ls", "--data", data) == ("", ""), "repo ls by a long path")

    def strangers(self):
        """Neither the mode nor the kernel's word alone keeps others out."""
        need_root()
        data = self.path("strangers")
        with Berth(data=data):
            os.chmod(self.work, 0o755)
            os.chmod(data, 0o755)
            text = as_nobody(data + "/berth.sock")
            check("Permission denied" in text, text)
            os.chmod(data + "/berth.sock", 0o666)
            text = as_nobody(data + "/berth.sock")
            check("403" in text and "DENIED" in text, text)

    def accounts(self):
        """From nothing to a first administrator, and what that one can do over the network."""
        data = self.path("accounts")
        with Berth(data=data, settings={"auth.users": "true"}) as server:
            here = ["--data", data]
            there = ["--server", f"http://{server.address}", "--user", "admin", "--login-stdin"]
            status = lambda user, password: Client(server.port).request("GET", "/v2/", headers={
                "Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()})[0]
            check(server.client().request("GET", "/v2/")[0] == 401, "an open registry")
            _, err = berth("user", "add", "admin", "--role", "admin", "--password-stdin", *here, stdin=PASSWORD + "\n")
            check("with the role admin on **" in err, err)
            check(status("admin", PASSWORD) == 200, "the administrator cannot log in")
            check(status("admin", PASSWORD + "x") == 401, "with a wrong password, too")
            berth("user", "add", "admin", "--no-password", *here, code=5)

            login = PASSWORD + "\n"
            users = json.loads(berth("user", "list", "-o", "json", *there, stdin=login)[0])
            check([u["name"] for u in users] == ["admin"] and "password" not in users[0], users)
            berth("user", "list", *there, stdin="wrong password\n", code=4)
            berth("user", "list", "--server", f"http://{server.address}", code=4)
            berth("metrics", "--server", f"http://{server.address}", code=4)
            check("\nberth_ready 1\n" in berth("metrics", *there, stdin=login)[0], "metrics of an administrator")
            check("\nberth_ready 1\n" in berth("metrics", *here)[0], "metrics by the socket")
            berth("user", "show", "nobody", *there, stdin=login, code=3)
            berth("user", "disable", "admin", *there, stdin=login, code=5)  # nobody would be left who may
            me = berth("access", "me", *there, stdin=login)[0]
            check("user:admin" in me and "administrator  yes" in me, me)

            berth("group", "add", "dev", "--description", "who develops", *here)
            shown = type_twice([BERTH, "user", "add", "alice", "--group", "dev", *here], "alice's secret")
            check("secret" not in shown and "password for alice again: " in shown, shown)
            check(status("alice", "alice's secret") == 200, "a password that was typed")
            check("alice" in berth("group", "show", "dev", *here)[0], "group show")
            explained = berth("access", "explain", "user:alice", "push", "team/app", *here)[0]
            check(explained.startswith("no: "), explained)
            grant = berth("grant", "add", "--subject", "group:dev", "--repository", "team/**", "--role", "writer", "-q", *here)[0].strip()
            check(berth("access", "explain", "user:alice", "push", "team/app", *here)[0].startswith("yes: "), "explain")
            check(grant in berth("grant", "list", "-q", *here)[0].split(), "grant list")
            berth("role", "remove", "writer", "--yes", *here, code=5)
            berth("role", "add", "pusher", "--actions", "pull,push", *here)

            secret = berth("robot", "add", "ci", "--scope", "team/**:pull", "-q", *here)[0].strip()
            check(secret.startswith("berth_r_") and status("ci", secret) == 200, "a robot's secret")
            second = json.loads(berth("robot", "rotate", "ci", "-o", "json", *here)[0])
            check(status("ci", second["secret"]) == 200 == status("ci", secret), "two secrets")
            berth("robot", "rotate", "ci", *here, code=1)  # a third one
            first = [s["id"] for s in json.loads(berth("robot", "show", "ci", "-o", "json", *here)[0])["secrets"]
                     if s["id"] != second["id"]][0]
            berth("robot", "revoke", "ci", first, *here)
            check(status("ci", secret) == 401, "a revoked secret")

            token = berth("token", "create", "laptop", "--expires", "1h", "-q", *there, stdin=login)[0].strip()
            with_token = {"BERTH_TOKEN": token, "BERTH_SERVER": f"http://{server.address}"}
            check("user:admin" in berth("access", "me", environment=with_token)[0], "a token alone")
            number = berth("token", "list", "--for", "admin", "-q", *here)[0].strip()
            berth("token", "revoke", number, "--for", "admin", *here)
            berth("access", "me", environment=with_token, code=4)

            berth("user", "disable", "alice", *here)
            check(status("alice", "alice's secret") == 401, "a disabled user")
            berth("user", "remove", "alice", *here, code=2)
            berth("user", "remove", "alice", "--yes", *here)
            berth("grant", "remove", grant, "--yes", *here)
            berth("group", "remove", "dev", "--yes", *here)
            log = server.log_tail(1 << 20)
            check(not any(s in log for s in (PASSWORD, secret, second["secret"], token)), "a secret is in the log")
            check('"local socket"' in log or "local" in log, "the log does not say who")


def main():
    report = Report("commands")
    work = tempfile.mkdtemp(prefix="berth-commands-")
    try:
        commands = Commands(work)
        for name in ("local_socket", "deep_folder", "strangers", "accounts"):
            if not sys.argv[1:] or name in sys.argv[1:]:
                report.case(name, getattr(commands, name))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""What may be changed while berth runs, changed under load: the settings' file 100 times, read-only, the log's level; and
SIGTERM under load. No request may fail that had a right to an answer, and no secret may reach the log."""

import base64
import http.client
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, Berth, Client, Report, check, run, sha256

SWAPS = 100


class SettingsFile:
    """A file in a folder whose content Kubernetes swaps by a symlink, or an editor writes over."""

    def __init__(self, folder, symlink):
        self.folder, self.symlink, self.turn = folder, symlink, 0
        os.makedirs(folder)
        self.path = os.path.join(folder, "berth.yaml")
        self.write("{}\n")
        if symlink:
            os.symlink(os.path.join("..data", "berth.yaml"), self.path)

    def write(self, text):
        self.turn += 1
        if not self.symlink:
            with open(self.path, "w") as f:
                f.write(text)
            return
        target = os.path.join(self.folder, f"..{self.turn}")
        os.makedirs(target)
        with open(os.path.join(target, "berth.yaml"), "w") as f:
            f.write(text)
        os.symlink(os.path.basename(target), os.path.join(self.folder, "..data_tmp"))
        os.rename(os.path.join(self.folder, "..data_tmp"), os.path.join(self.folder, "..data"))
        shutil.rmtree(os.path.join(self.folder, f"..{self.turn - 1}"), ignore_errors=True)


class Load:
    """Clients that pull, push and begin connections, and must not notice anything."""

    def __init__(self, port, pushes=True):
        self.port, self.end, self.lock = port, threading.Event(), threading.Lock()
        self.done, self.failures = {}, []
        seeded = Client(port).push_image("load/app", "1", [b"layer" * 1000])[0]
        self.pull_path = f"/v2/load/app/manifests/{seeded}"
        ways = [self.pull, self.pull, self.new_connection] + ([self.push] if pushes else [])
        self.threads = [threading.Thread(target=self.keep_on, args=(way, number)) for number, way in enumerate(ways)]
        for thread in self.threads:
            thread.start()

    def keep_on(self, way, number):
        client, turn = Client(self.port, timeout=30), 0
        while not self.end.is_set():
            turn += 1
            try:
                way(client, number, turn)
                with self.lock:
                    self.done[way.__name__] = self.done.get(way.__name__, 0) + 1
            except Exception as error:  # whatever it is, a client saw it
                with self.lock:
                    self.failures.append(f"{way.__name__}: {error!r}")
                return
            time.sleep(0.002)

    def pull(self, client, number, turn):
        client.expect(200, "GET", self.pull_path)

    def new_connection(self, client, number, turn):
        Client(self.port, timeout=30).expect(200, "GET", "/readyz")

    def push(self, client, number, turn):
        client.push_image(f"load/pushed-{number}", f"t{turn % 10}", [b"%d %d" % (number, turn)])

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join()


def wait_for(what, condition, load=None, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, f"{what} did not happen in {seconds} s")
        check(load is None or not load.failures, load.failures[:3] if load else "")
        time.sleep(0.005)


def swaps(work, symlink):
    file = SettingsFile(os.path.join(work, "symlink" if symlink else "rewrite"), symlink)
    log = os.path.join(work, f"swaps-{symlink}.log")
    with Berth(environment={"BERTH_CONFIG": file.path}, settings={"log.access": "false"}, log=log) as berth:
        load = Load(berth.port)
        lines = lambda text: berth.log_tail(1 << 26).count(text)
        broken = 0
        try:
            for number in range(SWAPS // 2):
                if number % 5 == 4:  # nothing changes, and the line is told
                    broken += 1
                    file.write(f"log: {{level: info}}\n\nlimits: {{conections: {number}}}\n")
                    wait_for("the problem", lambda: lines("berth.yaml:3:10: limits.conections: unknown key") == broken, load)
                else:
                    file.write(f"limits: {{connections: {20000 + number}}}\nlog: {{slow_request: {number + 1}s}}\n")
                    if number % 2:
                        berth.process.send_signal(signal.SIGHUP)
                    wait_for("the swap", lambda: f'"after":"{20000 + number}"' in berth.log_tail(1 << 20), load)
        finally:
            load.stop()
        check(not load.failures, load.failures[:3])
        check(lines("the settings have problems; nothing was changed") >= broken, "broken files were not told")
        check(lines("needs a restart") == 0, "a live setting was said to need a restart")
        check(load.done.keys() == {"pull", "push", "new_connection"}, f"only {load.done}")
        return f"{SWAPS // 2} swaps, {broken} broken, no failure among {load.done}"


def read_only(work):
    """Pushes and deletes are refused in the protocol's form, pulls go on, and so does what is being pushed."""
    file = SettingsFile(os.path.join(work, "read-only"), False)
    with Berth(environment={"BERTH_CONFIG": file.path}, log=os.path.join(work, "read-only.log")) as berth:
        load = Load(berth.port, pushes=False)
        berthctl = lambda *words: run(BERTH, *words, "--data", berth.data)
        client = berth.client()

        def expect(on):
            want = (405, 405, 405) if on else (202, 404, 404)
            ways = (("POST", "/v2/load/app/blobs/uploads/"), ("DELETE", "/v2/load/app/manifests/none"),
                    ("DELETE", f"/v2/load/app/blobs/{sha256(b'none')}"))
            for status, (method, path) in zip(want, ways):
                _, body = client.expect(status, method, path, headers={"Content-Length": "0"})
                if on:
                    error = json.loads(body)["errors"][0]
                    check(error["code"] == "UNSUPPORTED" and "read-only" in error["message"], error)
            _, body = client.expect(200, "GET", "/readyz")
            check(body == (b"ok, read-only\n" if on else b"ok\n"), body)
            _, body = client.expect(200, "GET", "/v2/load/app/tags/list")
        try:
            expect(False)
            for turn in range(5):
                berthctl("read-only", "on")
                expect(True)
                check('"read_only": true' in berthctl("read-only", "status", "-o", "json"), "status")
                check("ready, read-only" in run(BERTH, "health", "--address", berth.address), "health")
                berthctl("read-only", "off")
                expect(False)
            file.write("registry: {read_only: true}\n")
            wait_for("the setting", lambda: client.request("GET", "/readyz")[2] == b"ok, read-only\n", load)
            expect(True)
            berthctl("read-only", "off")  # a command has the last word until the setting changes
            berth.process.send_signal(signal.SIGHUP)
            wait_for("the reload", lambda: berth.log_tail(1 << 20).count("settings read again") == 2, load)
            expect(False)
        finally:
            load.stop()
        check(not load.failures, load.failures[:3])
        return f"no failure among {load.done}"


def terminated(work):
    """SIGTERM under load: who was sent an answer's first byte, or a request before it, gets it whole; a cut upload goes on
    after the restart."""
    berth = Berth(settings={"limits.drain_timeout": "3s"}, log=os.path.join(work, "term.log")).start()
    try:
        slow = os.urandom(1 << 20)
        client = berth.client()
        headers, _ = client.expect(202, "POST", "/v2/load/cut/blobs/uploads/", headers={"Content-Length": "0"})
        location = headers["location"]
        answered, failures, stop = [0], [], threading.Event()

        def finishing():  # slower than a moment, and well within the drain time
            mine, digest = Client(berth.port, timeout=30), sha256(slow)
            place, _ = mine.expect(202, "POST", "/v2/load/done/blobs/uploads/", headers={"Content-Length": "0"})

            def pieces():
                for at in range(0, len(slow), len(slow) // 8):
                    yield slow[at:at + len(slow) // 8]
                    time.sleep(0.15)
            mine.expect(201, "PUT", f"{place['location']}?digest={digest}", body=pieces(),
                        headers={"Transfer-Encoding": "chunked"})
            answered[0] += 1

        def never_finishing():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", berth.port, timeout=30)
                connection.putrequest("PATCH", location)
                connection.putheader("Content-Length", str(len(slow)))
                connection.endheaders()
                connection.send(slow[:len(slow) // 2])
                time.sleep(20)
                connection.close()
            except OSError:
                pass

        def guarded(work_to_do):
            try:
                work_to_do()
            except Exception as error:
                failures.append(f"{work_to_do.__name__}: {error!r}")
        threads = [threading.Thread(target=guarded, args=(finishing,)) for _ in range(4)]
        cut = threading.Thread(target=never_finishing, daemon=True)
        for thread in [*threads, cut]:
            thread.start()
        time.sleep(0.5)
        berth.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        check(not failures and answered[0] == len(threads), f"{answered[0]} of {len(threads)}: {failures[:3]}")
        check(berth.process.wait(30) == 0, "exit code")
        berth.start()
        client = berth.client()
        headers, _ = client.expect(204, "GET", location)
        end = int(headers["range"].split("-")[1]) + 1
        check(0 < end <= len(slow) // 2, f"{end} bytes are left of {len(slow) // 2}")
        client.expect(202, "PATCH", location, body=slow[end:],
                      headers={"Content-Range": f"{end}-{len(slow) - 1}", "Content-Type": "application/octet-stream"})
        client.expect(201, "PUT", f"{location}?digest={sha256(slow)}", headers={"Content-Length": "0"})
        client.expect(200, "GET", f"/v2/load/done/blobs/{sha256(slow)}")
        berth.stop()
        return f"{len(threads)} uploads ended within the drain time, one went on at byte {end}"
    finally:
        berth.kill()
        shutil.rmtree(berth.data, ignore_errors=True)


def secrets(work):
    """At level trace, set while running, nothing that opens a door reaches the log."""
    log = os.path.join(work, "secrets.log")
    with Berth(settings={"auth.users": "true", "public_url": "https://registry.example.com"}, log=log) as berth:
        password = "correct horse battery"
        run(BERTH, "user", "add", "ann", "--role", "admin", "--password-stdin", "--data", berth.data, stdin=password.encode() + b"\n")
        check("trace" in run(BERTH, "log", "level", "trace", "--data", berth.data), "log level")
        client = berth.client()
        basic = base64.b64encode(f"ann:{password}".encode()).decode()
        _, body = client.expect(200, "GET", "/token?scope=repository:a:pull&secret_query=querysecret",
                                headers={"Authorization": "Basic " + basic})
        token = json.loads(body)["token"]
        wrong = base64.b64encode(b"ann:wrongsecret").decode()
        client.expect((200, 404), "GET", "/v2/a/tags/list?token=querysecret", headers={"Authorization": "Bearer " + token})
        client.expect(401, "GET", "/v2/", headers={"Authorization": "Basic " + wrong})
        client.expect(401, "GET", "/v2/", headers={"Authorization": "Bearer brokentoken.secret.part"})
        robot = run(BERTH, "robot", "add", "ci", "--quiet", "--data", berth.data).strip()
        client.expect(200, "GET", "/v2/", headers={"Authorization": "Basic " + base64.b64encode(f"ci:{robot}".encode()).decode(),
                                                   "User-Agent": "agent/1", "X-Secret": "headersecret"})
        said = lambda: berth.log_tail(1 << 24)
        wait_for("the access line", lambda: '"user_agent":"agent/1"' in said())
        check('"ttfb_ms":' in said() and '"duration_ms":' in said(), "the access line")
        for secret in (password, basic, wrong, "wrongsecret", token, token.split(".")[2], robot, "querysecret", "brokentoken",
                       "headersecret"):
            check(secret not in said(), f"{secret!r} is in the log")
        run(BERTH, "log", "level", "warning", "--data", berth.data)
        time.sleep(0.3)  # lines on their way
        before = said().count('"msg":"request"')
        client.expect(200, "GET", "/readyz")
        client.expect(401, "GET", "/v2/")
        time.sleep(0.2)
        check(said().count('"msg":"request"') == before, "level warning still tells of requests")


def main():
    report = Report("settings")
    work = tempfile.mkdtemp(prefix="berth-settings-")
    try:
        for name, case in (("symlink swaps", lambda: swaps(work, True)), ("rewritten", lambda: swaps(work, False)),
                           ("read-only", lambda: read_only(work)), ("SIGTERM under load", lambda: terminated(work)),
                           ("secrets", lambda: secrets(work))):
            if not sys.argv[1:] or name in sys.argv[1:]:
                report.case(name, case)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

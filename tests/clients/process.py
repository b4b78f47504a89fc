"""The life of the process: start, health, settings, reload, stop, and deploy/run around it."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, ROOT, Berth, Client, Failure, Report, check, run, sha256


def outcome(*arguments, timeout=30, environment=None):
    """Exit code and standard error of a berth that ends by itself."""
    done = subprocess.run([BERTH, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=timeout,
                          env=dict(os.environ, **(environment or {})))
    return done.returncode, done.stderr.decode(errors="replace")


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise Failure(f"{what} did not happen in {seconds} s")


class Life:
    def __init__(self, work):
        self.work = work

    def path(self, name):
        return os.path.join(self.work, name)

    def config(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def health(self):
        with Berth() as berth:
            for path in ("/livez", "/readyz", "/startupz"):
                berth.client().expect(200, "GET", path)
            code, _ = outcome("health", "--address", berth.address)
            check(code == 0, f"berth health of a ready server: {code}")
            address = berth.address
        code, _ = outcome("health", "--address", address)
        check(code == 6, f"berth health of nobody: {code}")

    def refusals(self):
        """What cannot start says so in a sentence and ends with the code that tells a supervisor whether to try again."""
        with Berth() as berth:
            for name, code, sentence, arguments in [
                ("same data", 1, f"in use by another berth (process {berth.process.pid})",
                 ["--listen", "127.0.0.1:0", "--data", berth.data]),
                ("same port", 1, f"cannot listen on {berth.address}", ["--listen", berth.address, "--data", self.path("x")]),
                ("no parent", 1, "does not exist; make that first",
                 ["--listen", "127.0.0.1:0", "--data", self.path("no/parent")]),
                ("open to others", 2, "can be reached by other machines", ["--listen", "0.0.0.0:0", "--data", self.path("x")]),
                ("unknown key", 2, "did you mean limits.manifest_size?",
                 ["--set", "limits.manifest_siz=1MiB", "--data", self.path("x")]),
                ("no file", 2, "cannot be read: No such file", ["--config", self.path("nothing.yaml")]),
                ("unknown flag", 2, "--nonsense", ["--nonsense"]),
            ]:
                got, said = outcome("serve", *arguments)
                check(got == code and sentence in said, f"{name}: exit {got}, expected {code}\n{said}")
            berth.client().expect(200, "GET", "/readyz")  # the one that was there noticed nothing
        check(not os.path.exists(self.path("no")), "a missing parent was made")

    def listeners(self):
        """A listener that serves health alone knows nothing else, and needs no sentence to be open."""
        file = self.config("listeners.yaml", 'listeners: [{address: "127.0.0.1:0", serve: [registry]}, '
                                             '{address: "0.0.0.0:0", serve: [health]}]\n')
        ports = self.path("ports")
        with open(self.path("listeners.log"), "wb") as log:
            process = subprocess.Popen([BERTH, "serve", "--config", file, "--data", self.path("listeners"), "--port-file", ports],
                                       stderr=log)
        try:
            wait_for("the port file", lambda: os.path.exists(ports))
            registry, health = (int(line) for line in open(ports).read().split())
            wait_for("ready", lambda: Client(health).request("GET", "/readyz")[0] == 200)
            Client(health).expect(404, "GET", "/v2/")
            Client(registry).expect(404, "GET", "/readyz")
            Client(registry).expect(200, "GET", "/v2/")
        finally:
            process.send_signal(signal.SIGINT)
            check(process.wait(30) == 0, "SIGINT did not end it with 0")

    def tls(self):
        """A listener with a certificate: bad files stop the start, new ones are taken without one."""
        certs = self.path("certs")
        run(BERTH, "certs", "dev", "--out", certs)
        section = f'tls: {{certificate: "{certs}/tls.crt", key: "{certs}/tls.key"}}'
        for broken, sentence in ((section.replace("tls.key", "ca.key"), "the key belongs to another certificate"),
                                 (section.replace("tls.crt", "none.crt"), "none.crt: cannot be opened: No such file")):
            code, said = outcome("serve", "--data", self.path("tls"), "--set",
                                 f'listeners=[{{address: "127.0.0.1:0", {broken}}}]')
            check(code == 1 and sentence in said, f"a bad pair: exit {code}\n{said}")
        with Berth(tls=certs, log=self.path("tls.log")) as berth:
            said = lambda text: (lambda: text in berth.log_tail(1 << 20))
            code, text = outcome("health", "--set", f'listeners=[{{address: "127.0.0.1:{berth.tls_port}", {section}}}]')
            check(code == 0, f"berth health over TLS: {code}\n{text}")
            trust = ssl.create_default_context(cafile=certs + "/ca.crt")

            def serial():
                with trust.wrap_socket(socket.create_connection(("127.0.0.1", berth.tls_port)), server_hostname="localhost") as peer:
                    return peer.getpeercert()["serialNumber"]
            first = serial()
            run(BERTH, "certs", "dev", "--out", certs)
            wait_for("the new certificate", lambda: serial() != first)
            second = serial()
            with open(certs + "/tls.crt", "w") as f:
                f.write("broken")
            berth.process.send_signal(signal.SIGHUP)
            wait_for("the problem", said("the one loaded before stays in use"))
            check(serial() == second, "a broken file changed the certificate")

    def names(self):
        """On loopback only this machine's names are served, and the public one when it is told."""
        for settings, status in (({}, 403), ({"public_url": "https://registry.example.com"}, 200)):
            with Berth(settings=settings) as berth:
                berth.client().expect(200, "GET", "/v2/")
                berth.client().expect(status, "GET", "/v2/", headers={"Host": "registry.example.com"})
                berth.client().expect(403, "GET", "/v2/", headers={"Host": "other.example.com"})

    def reload(self):
        file = self.config("reload.yaml", "log: {level: info}\n")
        berth = Berth(environment={"BERTH_CONFIG": file}, log=self.path("reload.log"))
        said = lambda text: (lambda: text in berth.log_tail(1 << 20))
        with berth:
            berth.client().expect(200, "GET", "/v2/")
            wait_for("an access line", said('"path":"/v2/"'))
            self.config("reload.yaml", "log: {level: loud}\n")
            berth.process.send_signal(signal.SIGHUP)
            wait_for("the problem", said("reload.yaml:1:14: log.level"))
            self.config("reload.yaml", "log: {access: false}\nlimits: {page_entries: 10}\n")
            berth.process.send_signal(signal.SIGHUP)
            wait_for("the reload", said("settings read again"))
            check(said("a setting changed that needs a restart")(), "limits.page_entries was not named")
            berth.client().expect(200, "GET", "/v2/?after")
            berth.client().expect(200, "GET", "/v2/after/referrers/" + sha256(b""))
            for turn in range(100):  # a third of them broken, and connections go on
                self.config("reload.yaml", "{" if turn % 3 == 0 else "log: {access: false}\n")
                berth.process.send_signal(signal.SIGHUP)
                berth.client().expect(200, "GET", "/v2/")
        check("/v2/after/" not in berth.log_tail(1 << 20), "log.access: false was not applied")

    def sockets(self):
        """The service manager's protocol: sockets it passes are served, those that nobody has are refused, and it is told."""
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.bind(self.path("notify"))
        told.settimeout(30)
        passed = socket.create_server(("127.0.0.1", 0))
        port = passed.getsockname()[1]

        def begin(listen, log):
            environment = dict(os.environ, LISTEN_FDS="1", LISTEN_FDNAMES="berth.socket", NOTIFY_SOCKET=self.path("notify"))
            # Only the process itself knows its number; and the first passed descriptor is 3.
            return subprocess.Popen(["/bin/bash", "-c", f'exec 3<&{passed.fileno()}; LISTEN_PID=$$ exec "$0" "$@"', BERTH, "serve",
                                     "--listen", listen, "--data", self.path("sockets")], stderr=log,
                                    pass_fds=(passed.fileno(),), env=environment)
        with open(self.path("sockets.log"), "w+") as log:
            process = begin("127.0.0.1:1", log)
            check(process.wait(30) == 1, "a socket that no listener has was taken")
            log.seek(0)
            said = log.read()
            check(f"passes a socket berth.socket at 127.0.0.1:{port}, and no listener has that address (they have 127.0.0.1:1)"
                  in said, said)
        early = Client(port)  # in the queue before there is a process
        early.connection = early.connect()
        early.connection.connect()
        with open(self.path("sockets2.log"), "w+") as log:
            process = begin(f"127.0.0.1:{port}", log)
            try:
                check(told.recv(1000).startswith(b"READY=1\n"), "READY")
                early.expect(200, "GET", "/v2/")
                process.send_signal(signal.SIGHUP)
                check(told.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC="), "RELOADING")
                check(told.recv(1000).startswith(b"READY=1\n"), "READY after RELOADING")
            finally:
                process.send_signal(signal.SIGTERM)
                check(process.wait(30) == 0, "exit code")
            check(told.recv(1000).startswith(b"STOPPING=1\n"), "STOPPING")

    def begin_upload(self, berth, first):
        """A PUT whose second half is still to come: the socket."""
        headers, _ = berth.client().expect(202, "POST", "/v2/drain/blobs/uploads/", headers={"Content-Length": "0"})
        whole = first * 2
        peer = socket.create_connection(("127.0.0.1", berth.port), timeout=30)
        peer.sendall(f"PUT {headers['location']}?digest={sha256(whole)} HTTP/1.1\r\nHost: localhost\r\n"
                     f"Content-Length: {len(whole)}\r\n\r\n".encode() + first)
        time.sleep(0.3)
        return peer

    def drain(self):
        """SIGTERM: not ready, nobody new, and who is being served is served to the end."""
        piece = os.urandom(300_000)
        berth = Berth().start()
        try:
            peer = self.begin_upload(berth, piece)
            idle = berth.client()
            idle.expect(200, "GET", "/v2/")
            berth.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            try:
                Client(berth.port, timeout=5).request("GET", "/v2/")
                raise Failure("a new connection was served while stopping")
            except OSError:
                pass
            check(berth.process.poll() is None, "it did not wait for the upload")
            peer.sendall(piece)
            answer = peer.recv(4096)
            check(answer.startswith(b"HTTP/1.1 201 "), f"the upload that was under way: {answer[:100]!r}")
            check(berth.process.wait(20) == 0, "exit code")
            berth.start()
            berth.client().expect(200, "GET", f"/v2/drain/blobs/{sha256(piece * 2)}")
            berth.stop()
        finally:
            berth.kill()
            shutil.rmtree(berth.data, ignore_errors=True)

    def drain_deadline(self):
        """Who does not finish in time is cut, and what they sent can be gone on with."""
        berth = Berth(settings={"limits.drain_timeout": "1s"}).start()
        try:
            peer = self.begin_upload(berth, os.urandom(300_000))
            began = time.monotonic()
            berth.process.send_signal(signal.SIGTERM)
            check(berth.process.wait(20) == 0, "exit code")
            check(0.9 < time.monotonic() - began < 10, f"took {time.monotonic() - began:.1f} s")
            peer.close()
        finally:
            berth.kill()
            shutil.rmtree(berth.data, ignore_errors=True)

    def insist(self):
        """A second signal does not wait for anybody."""
        berth = Berth().start()
        try:
            peer = self.begin_upload(berth, os.urandom(300_000))
            berth.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            check(berth.process.poll() is None, "it did not wait for the upload")
            berth.process.send_signal(signal.SIGINT)
            check(berth.process.wait(5) == 128 + signal.SIGINT, f"exit code {berth.process.returncode}")
            peer.close()
            berth.start()
            berth.stop()
        finally:
            berth.kill()
            shutil.rmtree(berth.data, ignore_errors=True)

    def supervisor(self):
        """deploy/run starts berth again after kill -9, with its data, and passes on being told to stop."""
        # A parent may have left SIGINT ignored, which a shell script cannot undo.
        restore = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        with open(self.path("run.log"), "wb") as log:
            process = subprocess.Popen([os.path.join(ROOT, "deploy", "run")], stderr=log, cwd="/", start_new_session=True,
                                       preexec_fn=restore,
                                       env=dict(os.environ, BERTH_LISTEN="127.0.0.1:0", BERTH_DATA=self.path("run")))
        said = lambda: open(self.path("run.log"), errors="replace").read()
        port = lambda: int(re.findall(r'"listening","address":"127.0.0.1","port":(\d+)', said())[-1])
        starts = lambda: said().count('"berth starts"')
        pid = lambda: int(open(self.path("run/berth.lock")).read())
        ready = lambda: outcome("health", "--address", f"127.0.0.1:{port()}")[0] == 0
        try:
            wait_for("the instructions", lambda: "docker push localhost:" in said(), 600)
            digest = Client(port()).push_blob("kept", b"kept")
            os.kill(pid(), signal.SIGKILL)
            wait_for("another start", lambda: starts() == 2 and ready())
            check("exit code 137; starting it again in 1 s" in said(), "the restart was not told")
            check("Killed" not in said(), "the shell talks, too")
            Client(port()).expect(200, "GET", f"/v2/kept/blobs/{digest}")
            os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
            check(process.wait(30) == 0, f"exit code {process.returncode}:\n{said()[-2000:]}")
            check('"stopped"' in said(), "berth was not stopped in order")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)

    def supervisor_settings(self):
        """deploy/run leaves listeners and the data directory to settings that name them."""
        file = self.config("run.yaml", 'listeners: [{address: "127.0.0.1:0", serve: [health]}, {address: "localhost:0", '
                                       f'serve: [registry]}}]\ndata: {{directory: {self.path("of settings")}}}\n')
        with open(self.path("settings.log"), "wb") as log:
            process = subprocess.Popen([os.path.join(ROOT, "deploy", "run")], stderr=log, cwd="/", start_new_session=True,
                                       env=dict(os.environ, BERTH_CONFIG=file))
        said = lambda: open(self.path("settings.log"), errors="replace").read()
        try:
            wait_for("the instructions", lambda: "Ctrl-C stops berth" in said(), 600)
            port = int(re.findall(r'"listening","address":"localhost","port":(\d+)', said())[0])
            check(f"docker push localhost:{port}/" in said(), said())
            check(f"images are kept in {self.path('of settings')}\n" in said(), said())
            wait_for("ready", lambda: '"ready"' in said())  # port 0 of settings cannot be asked for its health
            Client(port).expect(200, "GET", "/v2/")
        finally:
            process.terminate()
            check(process.wait(60) == 0, f"exit code {process.returncode}")

    def supervisor_refusals(self):
        """What can never start is not tried again and again."""
        with Berth() as berth:
            for name, code, sentence, environment in [
                ("same data", 1, "in use by another berth", {"BERTH_LISTEN": "127.0.0.1:0", "BERTH_DATA": berth.data}),
                ("same port", 1, "Address already in use", {"BERTH_LISTEN": berth.address, "BERTH_DATA": self.path("x")}),
                ("wrong settings", 2, "log.level", {"BERTH__LOG__LEVEL": "loud", "BERTH_DATA": self.path("x")}),
            ]:
                with open(self.path("refusal.log"), "wb") as log:
                    process = subprocess.Popen([os.path.join(ROOT, "deploy", "run")], stderr=log, start_new_session=True,
                                               env=dict(os.environ, **environment))
                try:
                    got = process.wait(60)
                except subprocess.TimeoutExpired:
                    process.terminate()
                    got = f"{process.wait(60)}, but only when told to"
                said = open(self.path("refusal.log"), errors="replace").read()
                check(got == code and said.count(sentence) == 1, f"{name}: exit {got}, expected {code}\n{said}")


def main():
    report = Report("process")
    work = tempfile.mkdtemp(prefix="berth-process-")
    try:
        life = Life(work)
        for name in ("health", "refusals", "listeners", "tls", "names", "reload", "sockets", "drain", "drain_deadline", "insist", "supervisor",
                     "supervisor_settings", "supervisor_refusals"):
            if not sys.argv[1:] or name in sys.argv[1:]:
                report.case(name, getattr(life, name))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

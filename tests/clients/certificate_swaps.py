"""Certificate and key are swapped 100 times under a load of new, resumed and long-lived connections: half of them by a
symlink as Kubernetes does it, half by writing over the files, some while the files do not belong together. Every swap is
served, and no request fails."""

import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import BERTH, Berth, Report, check, run
from small_image import SmallImage

SWAPS = 100


class Swapped:
    """A folder with tls.crt and tls.key, and the pairs that take turns in it."""

    def __init__(self, folder, pairs, symlink):
        self.folder, self.pairs, self.symlink, self.turn = folder, pairs, symlink, 0
        os.makedirs(folder)
        if symlink:
            self.swap()
            for name in ("tls.crt", "tls.key"):
                os.symlink(os.path.join("..data", name), os.path.join(folder, name))
        else:
            self.swap()

    def swap(self, halfway=lambda: None):
        """Answers the certificate that comes next. `halfway` is called while the files do not belong together."""
        self.turn += 1
        source = self.pairs[self.turn % len(self.pairs)]
        if self.symlink:
            target = os.path.join(self.folder, f"..{self.turn}")
            shutil.copytree(source, target)
            os.symlink(os.path.basename(target), os.path.join(self.folder, "..data_tmp"))
            os.rename(os.path.join(self.folder, "..data_tmp"), os.path.join(self.folder, "..data"))
            shutil.rmtree(os.path.join(self.folder, f"..{self.turn - 1}"), ignore_errors=True)
        else:
            shutil.copyfile(os.path.join(source, "tls.crt"), os.path.join(self.folder, "tls.crt"))
            halfway()
            shutil.copyfile(os.path.join(source, "tls.key"), os.path.join(self.folder, "tls.key"))
        with open(os.path.join(source, "tls.crt")) as f:
            return ssl.PEM_cert_to_DER_cert(f.read().split("-----END")[0] + "-----END CERTIFICATE-----\n")


class SwapLoad:
    """Clients that must not notice."""

    def __init__(self, ports, authority, path):
        self.ports, self.authority, self.path = ports, authority, path
        self.end = threading.Event()
        self.lock = threading.Lock()
        self.counts, self.failures = {}, []
        self.threads = []
        for port in ports:
            for way in (self.new, self.new, self.resumed, self.long_lived):
                self.threads.append(threading.Thread(target=self.keep_on, args=(way, port)))
        for thread in self.threads:
            thread.start()

    def keep_on(self, way, port):
        context = ssl.create_default_context(cafile=self.authority)
        held = {}
        while not self.end.is_set():
            try:
                what = way(context, port, held) or way.__name__
                with self.lock:
                    self.counts[what] = self.counts.get(what, 0) + 1
            except Exception as error:  # whatever it is, a client saw it
                with self.lock:
                    self.failures.append(f"{way.__name__}: {error!r}")
                return
            time.sleep(0.005)

    def ask(self, tls):
        tls.sendall(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            data = tls.recv(65536)
            check(data, "closed before the answer")
            answer += data
        head, body = answer.split(b"\r\n\r\n", 1)
        check(head.startswith(b"HTTP/1.1 200"), head)
        size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < size:
            data = tls.recv(65536)
            check(data, "closed inside the answer")
            body += data

    def connect(self, context, port, session=None):
        return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname="localhost",
                                   session=session)

    def new(self, context, port, held):
        with self.connect(context, port) as tls:
            self.ask(tls)

    def resumed(self, context, port, held):
        with self.connect(context, port, held.get("session")) as tls:
            self.ask(tls)
            held["session"] = tls.session
            return "resumed" if tls.session_reused else "new"

    def long_lived(self, context, port, held):
        if "tls" not in held:
            held["tls"] = self.connect(context, port)
        self.ask(held["tls"])

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join()


def swaps(work):
    made, pairs = os.path.join(work, "certs"), []
    for number in range(4):
        run(BERTH, "certs", "dev", "--out", made)
        pairs.append(os.path.join(work, f"pair-{number}"))
        os.makedirs(pairs[-1])
        for name in ("tls.crt", "tls.key"):
            shutil.copy(os.path.join(made, name), pairs[-1])
    authority = os.path.join(made, "ca.crt")
    folders = [Swapped(os.path.join(work, kind), pairs, kind == "symlink") for kind in ("symlink", "rewrite")]
    with Berth(tls=[folder.folder for folder in folders]) as berth:
        image = SmallImage(os.path.join(work, "layout"))
        image.push(berth.client(), "load/small")
        context = ssl.create_default_context(cafile=authority)

        def served(port):
            with context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname="localhost") as tls:
                return tls.getpeercert(binary_form=True)

        load = SwapLoad(berth.tls_ports, authority, "/v2/load/small/manifests/1")
        try:
            reload = lambda: berth.process.send_signal(signal.SIGHUP)
            for number in range(SWAPS // 2):
                asked = number % 5 != 0  # most are asked for, the rest noticed
                wanted = [folder.swap(reload if asked else lambda: None) for folder in folders]
                if asked:
                    reload()
                end = time.monotonic() + 10
                while [served(port) for port in berth.tls_ports] != wanted:
                    check(time.monotonic() < end, f"swap {number} is not served:\n{berth.log_tail()}")
                    check(not load.failures, load.failures[:3])
                    time.sleep(0.01)
        finally:
            load.stop()
        check(not load.failures, load.failures[:3])
        check(load.counts.keys() == {"new", "resumed", "long_lived"}, f"only {load.counts}")
        return f"{SWAPS} swaps, no failure among {', '.join(f'{n} {way}' for way, n in sorted(load.counts.items()))} connections or requests"


def main():
    report = Report("certificates")
    work = tempfile.mkdtemp(prefix="berth-swaps-")
    try:
        report.case("swaps", swaps, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""Staged faults: each makes a real berth fail as it would in earnest, until Slack and a mailbox have heard of it.

They run in lanes, one for each berth, because most of the time is waiting; within a lane one comes after the other.

Not staged: BerthMetricsCardinality. berth has no label that grows, so there is nothing to make it fire with; its rule has
a case in berth.test.yml as all others have.

Two are staged by what stands for their cause, because that would take days or a special disk: BerthGCStale by a boot time
of four days ago, which makes the process as old; BerthMetadataWriteStalled by threads of the index that stand still.
"""

import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from checked import MEMORY
from directory import Directory
from harness import BERTH, MANIFEST, Client, check, image, run, sha256
from machine import GUESSER_ADDRESS, OTHERS, OUTER_ADDRESS, STACK, Held
from world import CERTIFICATES, PATIENCE, World, basic, make_certificate

NOT_STAGED = {"BerthMetricsCardinality"}
DISK = 256 << 20
ANYBODY = {"insecure": "i-know-that-anyone-can-read-and-write-this"}


def large_manifest(client, repository, layer=b"layer"):
    """An image whose manifest is nearly as large as may be, and its digest."""
    config, digest = client.push_blob(repository, b"{}"), client.push_blob(repository, layer)
    document = image(config, 2, [(digest, len(layer))], annotations={"padding": os.urandom(1_900_000).hex()})
    return client.push_manifest(repository, sha256(os.urandom(8))[7:19], document)


class Faults(World):
    # ---- the stack's own berth ----

    def guess(self):
        """Somebody guesses passwords, at an address of their own, so that only they are made to wait."""
        client, n, end = self.guesser(), 0, time.monotonic() + PATIENCE
        while not self.was_told("BerthAuthFailuresSpike", "berth") and time.monotonic() < end:
            n += 1
            client.headers = basic(f"guess{n}", "password")
            check(client.request("GET", "/v2/")[0] in (401, 429), "a guess was right")
            time.sleep(0.1)
        self.told("BerthAuthFailuresSpike", "berth", seconds=1)

    def free(self):
        found = os.statvfs("/var/lib/berth")
        return found.f_bavail * found.f_frsize

    def fill_disk(self):
        """To a quarter, then on and on; what is pushed decides how fast, the alert how long."""
        client = self.client()
        while self.free() > DISK * 0.29:
            client.push_blob("team/big", os.urandom(4 << 20))
        end = time.monotonic() + PATIENCE
        while not self.was_told("BerthDiskFillingSoon", "berth") and time.monotonic() < end:
            if self.free() > DISK * 0.14:
                client.push_blob("team/big", os.urandom(256 << 10))
            time.sleep(0.25)
        self.told("BerthDiskFillingSoon", "berth", seconds=1)
        while self.free() > DISK * 0.09:
            client.push_blob("team/big", os.urandom(1 << 20))
        self.told("BerthDiskAlmostFull", "berth")

    def push_to_full_disk(self):
        """Nothing more fits: what is pushed now fails, by no fault of the client."""
        client, wanted, codes = self.client(), ("BerthErrorRateHigh", "BerthPushSuccessLow"), set()
        document, _ = client.push_image("team/full", "1", [b"layer"])
        _, manifest = client.expect(200, "GET", f"/v2/team/full/manifests/{document}")
        file = "/var/lib/berth/somebody-elses-file"
        with open(file, "wb") as f:
            while self.free() > 1 << 20:
                f.write(bytes(256 << 10))
                f.flush()
        end = time.monotonic() + PATIENCE
        while not all(self.was_told(alert, "berth") for alert in wanted) and time.monotonic() < end:
            codes.add(client.request("PUT", "/v2/team/full/manifests/more", manifest, {"Content-Type": MANIFEST})[0])
            time.sleep(0.1)
        for alert in wanted:
            self.told(alert, "berth", seconds=1)
        os.remove(file)
        check(503 in codes and codes <= {201, 503}, f"a disk that fills answers {codes}")

    def damage_certificate(self):
        """It has ended soon for as long as the stack runs; now its files are no pair, and descriptors are few as well."""
        with open(f"{CERTIFICATES}/tls.crt", "w") as f:
            f.write("half a certif")
        self.machine.descriptors_left("berth", 0.9)
        for alert in ("BerthFDsNearLimit", "BerthCertReloadFailed"):
            self.told(alert, "berth")
        self.told("BerthCertExpiring", "berth", severity="critical")

    def started(self):
        found = self.query(f'process_start_time_seconds{{instance="{STACK}"}}')
        return found[0]["value"][1] if found else None

    def restart_and_end(self):
        # The certificate on the disk is no good; berth would not start with it.
        self.machine.run_berth("berth", "certs", "dev", "--out", CERTIFICATES, "--name", "localhost", "--force")
        for _ in range(3):
            before = self.started()
            self.machine.stop("berth", signal.SIGKILL)
            self.machine.start("berth")
            self.wait_for("a scrape of the new process", lambda: self.started() not in (before, None))
        self.told("BerthRestarting", "berth")
        self.machine.stop("berth", signal.SIGKILL)
        self.told("BerthDown", "berth")

    # ---- logins ----

    def start_logins(self):
        """One thread hashes passwords, slowly, and none is remembered; other users are in a directory."""
        self.work = tempfile.mkdtemp(prefix="berth-directory-", dir=MEMORY)
        run(BERTH, "certs", "dev", "--out", self.work)
        ca, certificate, key = (os.path.join(self.work, name) for name in ("ca.crt", "tls.crt", "tls.key"))
        self.directory = Directory(os.path.join(self.work, "directory"), {"lena": "let lena in"}, {"developers": ["lena"]}, ca, certificate, key)
        ldap = dict(self.directory.settings(ca), remember="0s", timeout="2s")
        self.machine.configure("logins", {"auth": {"users": True, "anonymous": "pull", "ldap": ldap,
                                                   "password": {"workers": 1, "iterations": 4, "remember": "0s"}}})
        self.machine.start("logins")
        self.machine.run_berth("logins", "user", "add", "admin", "--role", "admin", "--password-stdin", stdin=b"a good password\n")

    def stop_logins(self):
        self.directory.stop()
        shutil.rmtree(self.work)

    def until_told(self, alert, name, clients, headers, what="manifests/latest", seconds=PATIENCE):
        """So many clients ask again and again, until the alert has come."""
        end, failures = time.monotonic() + seconds, []

        def ask():
            client = self.client_of(name, headers=headers, timeout=PATIENCE)
            while not self.was_told(alert, name) and time.monotonic() < end:
                try:
                    client.request("HEAD", f"/v2/team/app/{what}")
                except OSError as error:
                    failures.append(error)
                time.sleep(0.01)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        return threads, failures

    def log_in_at_once(self):
        """Two dozen clients with a good password each time, and one thread that hashes."""
        threads, failures = self.until_told("BerthWorkerPoolSaturated", "logins", 24, basic("admin", "a good password"))
        for thread in threads:
            thread.join()
        self.told("BerthWorkerPoolSaturated", "logins", seconds=1)
        check(not failures, failures[:3])

    def slow_directory(self):
        threads, _ = self.until_told("BerthLatencyHigh", "logins", 4, basic("lena", "let lena in"))
        while any(thread.is_alive() for thread in threads):
            self.machine.pulses(self.directory.process.pid, 0.9, 0.1)
        self.told("BerthLatencyHigh", "logins", seconds=1)

    def no_directory(self):
        self.directory.stop()
        threads, _ = self.until_told("BerthAuthBackendDown", "logins", 2, basic("lena", "let lena in"))
        for thread in threads:
            thread.join()
        self.told("BerthAuthBackendDown", "logins", seconds=1)

    # ---- storage ----

    def start_storage(self):
        """Deleted content goes at once; few connections from one address."""
        self.machine.configure("storage", dict(ANYBODY, undo={"window": "0s"}, limits={"connections_per_address": 8},
                                               collection={"grace": "10s", "interval": "500ms", "reap_delay": "1s"}), address=OUTER_ADDRESS)
        self.machine.start("storage")

    def storage(self, **more):
        return self.client_of("storage", address=OUTER_ADDRESS, **more)

    def files(self):
        folder = os.path.join(self.machine.data("storage"), "blobs")
        return {os.path.join(at, name) for at, _, names in os.walk(folder) for name in names}

    def pushed_file(self, client, repository, layer):
        """Pushes an image with that layer; its digest and the file."""
        before = self.files()
        digest, _ = client.push_image(repository, "latest", [layer])
        (file,) = self.files() - before
        return digest, file

    def hold_file(self):
        """A file that collection may not remove: something is mounted on it."""
        client = self.storage()
        digest, file = self.pushed_file(client, "team/held", os.urandom(300_000))
        run("mount", "--bind", file, file)
        try:
            client.expect(202, "DELETE", f"/v2/team/held/manifests/{digest}")
            self.told("BerthGCFailing", "storage")
        finally:
            run("umount", file)
        self.wait_for("removal of the file", lambda: not os.path.exists(file))

    def damage_file(self):
        """A file that has lost its last byte: readers are told that it is not there, and a push heals it."""
        client, layer = self.storage(), os.urandom(300_000)
        _, file = self.pushed_file(client, "team/damaged", layer)
        with open(file, "r+b") as f:
            f.truncate(len(layer) - 1)
        for status in (500, 404):  # the reader who finds it, and all others
            client.expect(status, "GET", f"/v2/team/damaged/blobs/{sha256(layer)}")
        self.told("BerthScrubCorruption", "storage")
        client.push_image("team/damaged", "latest", [layer])
        _, body = client.expect(200, "GET", f"/v2/team/damaged/blobs/{sha256(layer)}")
        check(body == layer, "the push did not heal it")

    def many_connections(self):
        """Of one address; those too many are told so, and the rest goes on."""
        held, answers = [], set()
        end = time.monotonic() + PATIENCE
        while not self.was_told("BerthConnectionsRejected", "storage") and time.monotonic() < end:
            one = socket.create_connection((OUTER_ADDRESS, OTHERS["storage"][0]), timeout=10, source_address=(GUESSER_ADDRESS, 0))
            if select.select([one], [], [], 0.3)[0]:
                answers.add(one.recv(100)[:12])
                one.close()
            else:
                held.append(one)  # there was room, perhaps because another was closed for saying nothing
        self.told("BerthConnectionsRejected", "storage", seconds=1)
        for one in held:
            one.close()
        check(answers == {b"HTTP/1.1 503"}, f"connections too many hear {answers}")

    def stall_index(self):
        """Its files are not written while changes come in: writes stop until they are, and then all of them are done."""
        problems = []

        def push():
            try:
                client = self.storage(timeout=PATIENCE)
                for _ in range(6):
                    large_manifest(client, "team/large")
            except Exception as error:
                problems.append(error)

        pushes = [threading.Thread(target=push, daemon=True) for _ in range(4)]
        with Held(self.machine.pid("storage"), "rocksdb:"):
            for thread in pushes:
                thread.start()
            self.told("BerthMetadataWriteStalled", "storage")
            waiting = sum(thread.is_alive() for thread in pushes)
        for thread in pushes:
            thread.join(PATIENCE)
        check(waiting > 0 and not problems and not any(thread.is_alive() for thread in pushes), f"{waiting} pushes waited; {problems[:2]}")
        return f"{waiting} pushes waited"

    # ---- a start that does not end ----

    def start_opening(self):
        self.machine.configure("opening", {})
        self.machine.start("opening")

    def slow_start(self):
        """The index cannot be read: its first file is a pipe into which nobody writes."""
        current = os.path.join(self.machine.data("opening"), "index", "CURRENT")
        self.machine.stop("opening")
        os.rename(current, current + ".kept")
        os.mkfifo(current)
        self.machine.start("opening", ready=False)
        self.told("BerthNotReady", "opening")
        self.machine.stop("opening", signal.SIGKILL)
        os.rename(current + ".kept", current)
        self.machine.start("opening")
        self.well_again("BerthNotReady", "opening")

    def little_processor(self):
        """berth gets a third of the time."""
        end = time.monotonic() + PATIENCE
        while not self.was_told("BerthEventLoopLagHigh", "opening") and time.monotonic() < end:
            self.machine.pulses(self.machine.pid("opening"), 0.6, 0.3)
        self.told("BerthEventLoopLagHigh", "opening", seconds=1)

    # ---- years and days ----

    def start_idle(self):
        """Four days old, by when its process began, read-only ever since, with a certificate that has ten days left."""
        folder = self.stack.path("idle-certs")
        make_certificate(folder, 10)
        self.machine.configure("idle", {"registry": {"read_only": True}}, tls={"certificate": f"{folder}/tls.crt", "key": f"{folder}/tls.key"})
        self.stack.write("stat", "")
        stat = self.stack.path("stat")
        ticks = 4 * 86400 * os.sysconf("SC_CLK_TCK")
        older = f"awk '{{$22 -= {ticks}; print}}' /proc/$$/stat > {stat} && mount --bind {stat} /proc/$$/stat && exec \"$@\""
        self.machine.start("idle", through=["unshare", "--mount", "--propagation", "private", "sh", "-c", older, "sh"])

    def wait_for_idle(self):
        self.told("BerthCertExpiring", "idle", severity="warning")
        self.told("BerthGCStale", "idle")

    # ---- all of it ----

    def lanes(self):
        """(name of the fault, how it is staged) in lanes that run side by side."""
        return [
            [("failed logins", self.guess), ("the disk fills", self.fill_disk), ("errors", self.push_to_full_disk),
             ("a certificate that is no good and near its end, few descriptors", self.damage_certificate),
             ("restarts, and the end", self.restart_and_end)],
            [("a start that does not end", self.slow_start), ("little processor", self.little_processor)],
            [("a file that cannot be removed", self.hold_file), ("damaged content", self.damage_file),
             ("too many connections", self.many_connections), ("an index that cannot write", self.stall_index)],
            [("a slow directory", self.slow_directory), ("many logins at once", self.log_in_at_once), ("no directory", self.no_directory)],
            [("no collection for days, a certificate that ends within weeks", self.wait_for_idle)],
        ]

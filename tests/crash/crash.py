"""kill -9 and power cuts under load: what was acknowledged is there and whole, nothing else is, no repair is needed.

    crash.py kill   [rounds]          SIGKILL at a random moment
    crash.py power  ext4|xfs [cuts]   the file system under the data is shut down at a random moment (root)
    crash.py large  INDEX [kills]     SIGKILL over a large store, of which tests/bench/fill_store made the index
"""

import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Berth, Failure, Report, Skip, check, need, need_root, run, seed
from model import Model, files_that_remain, load, verify

GRACE = 40  # seconds: longer than a round, so that what a push relies on stays; short enough to wait for at the end
SETTINGS = {"collection.grace": f"{GRACE}s", "undo.window": "1s", "collection.reap_delay": "1s", "collection.interval": "500ms"}


BLOB_AGE_MAX = GRACE * 0.8
# A store grows with every round, and all of it is compared after each: a long set is many short ones.
ROUNDS_PER_STORE = 20


def in_series(one, rounds, number, *what):
    """`one` with a store of its own for every ROUNDS_PER_STORE rounds."""
    said = []
    for first in range(0, rounds, ROUNDS_PER_STORE):
        said.append(one(*what, min(ROUNDS_PER_STORE, rounds - first), number + first))
    return "; ".join(said)


def kill_rounds(rounds, number):
    chance = random.Random(number)
    model = Model()
    done, slowest, data = 0, 0.0, tempfile.mkdtemp(prefix="berth-kill-")
    berth = Berth(data=data, settings=SETTINGS)
    try:
        berth.start()
        for n in range(rounds):
            finish = load(berth.port, model, number + n, blob_age_max=BLOB_AGE_MAX)
            time.sleep(chance.uniform(0.3, 4.0))
            berth.kill()
            done += finish()
            berth.start()
            slowest = max(slowest, berth.ready_seconds)
            verify(berth.port, model, blob_age_max=BLOB_AGE_MAX)
        # Nothing unreferenced stays: wait until the grace time of the last deletes has passed.
        end = time.monotonic() + GRACE + 30
        while True:
            wanted, found = files_that_remain(data, model)
            extra = {d for d in found if d not in wanted}
            doubled = [d for d, files in found.items() if len(files) > 1]
            missing = wanted - set(found)
            check(not missing, f"files of live manifests are missing: {missing}")
            if not extra and not doubled:
                break
            check(time.monotonic() < end, f"files that nothing refers to stay: {len(extra)} digests, doubled: {len(doubled)}: "
                                          f"{sorted(extra)[:5]}")
            time.sleep(0.5)
        uploads = os.listdir(os.path.join(data, "uploads"))
        verify(berth.port, model, blob_age_max=0)
        berth.stop()
        return f"{rounds} kills, {done} acknowledged changes, slowest start {slowest * 1000:.0f} ms, {len(uploads)} open sessions kept"
    finally:
        berth.kill()
        shutil.rmtree(data, ignore_errors=True)


READY_SECONDS_MAX = 1.0


def large_store(index, kills, number):
    """How long berth takes to be ready after a kill under load, whatever lies in the store."""
    chance = random.Random(number)
    data = tempfile.mkdtemp(prefix="berth-large-")
    shutil.copytree(index, data + "/index")
    berth = Berth(data=data, settings=SETTINGS)
    model, ready = Model(), []
    try:
        berth.start()
        client = berth.client()
        before = len(json.loads(client.expect(200, "GET", "/v2/_catalog?n=1000")[1])["repositories"])
        check(before == 1000, "the index is not that of a large store")
        for n in range(kills):
            finish = load(berth.port, model, number + n, blob_age_max=BLOB_AGE_MAX)
            time.sleep(chance.uniform(5, 10))
            berth.kill()
            finish()
            berth.start()
            ready.append(berth.ready_seconds)
            for key, allowed in list(model.state.items()):
                if len(allowed) == 1 and key[0] == "tag":
                    status, headers, _ = berth.client().request("HEAD", f"/v2/{key[1]}/manifests/{key[2]}")
                    check((headers.get("docker-content-digest") if status == 200 else None) in allowed, f"{key}: {status}")
        berth.stop()
        check(max(ready) < READY_SECONDS_MAX, f"ready after {max(ready):.2f} s")
        return f"ready {sorted(ready)[len(ready) // 2] * 1000:.0f} ms after a kill (median of {kills}), {max(ready) * 1000:.0f} ms at worst"
    finally:
        berth.kill()
        shutil.rmtree(data, ignore_errors=True)


class Disk:
    """A file system of its own on a loop file, that can vanish."""

    def __init__(self, kind, megabytes=8192):
        need_root()
        need("mkfs." + kind)
        self.folder = tempfile.mkdtemp(prefix=f"berth-{kind}-")
        self.image, self.mount = self.folder + "/disk", self.folder + "/mnt"
        os.mkdir(self.mount)
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        run("mkfs." + kind, "-q", *(["-F"] if kind == "ext4" else ["-f"]), self.image)
        self.attach()

    def attach(self):
        done = subprocess.run(["mount", "-o", "loop", self.image, self.mount], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise Skip("mounting a loop file is not allowed: " + done.stdout.decode().strip())

    def cut(self):
        """EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same call; 2 = without flushing the log."""
        handle = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, 0x8004587D, (2).to_bytes(4, "little"))
        finally:
            os.close(handle)

    def detach(self):
        for _ in range(100):
            if subprocess.run(["umount", self.mount], stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        raise Failure(f"{self.mount} stays busy")

    def close(self):
        subprocess.run(["umount", "-l", self.mount], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)


def power_cuts(kind, cuts, number):
    chance = random.Random(number)
    model = Model()
    disk = Disk(kind)
    berth = Berth(data=disk.mount + "/data", settings=SETTINGS)
    done, checked = 0, 0
    try:
        for n in range(cuts):
            berth.start()
            finish = load(berth.port, model, number + n, blob_age_max=BLOB_AGE_MAX)
            time.sleep(chance.uniform(0.3, 3.0))
            disk.cut()
            # The server meets I/O errors now; whatever it answers from here on must still be true after the cut.
            time.sleep(chance.choice([0, 0, 0.2]))
            berth.kill()
            # A 5xx is the honest answer of a server whose disk is gone.
            done += finish(errors_may=lambda text: any(code in text for code in (": 500,", ": 503,")))
            disk.detach()
            disk.attach()
            berth.start()
            checked += verify(berth.port, model, blob_age_max=BLOB_AGE_MAX)
            berth.stop()
        return f"{cuts} cuts, {done} acknowledged changes, {checked} keys compared"
    finally:
        berth.kill()
        disk.close()


def main():
    report = Report("durability")
    number = seed()
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what == "large":
        kills = int(sys.argv[3]) if len(sys.argv) > 3 else 5
        report.case(f"kill -9 over a large store x {kills}", large_store, sys.argv[2], kills, number)
        return report.finish()
    rounds = int(sys.argv[-1]) if len(sys.argv) > 1 and sys.argv[-1].isdigit() else 5
    if what in ("kill", "all"):
        report.case(f"kill -9 x {rounds}", in_series, kill_rounds, rounds, number)
    for kind in ("ext4", "xfs"):
        if what == "all" or (what == "power" and (len(sys.argv) < 3 or sys.argv[2] in (kind, str(rounds)))):
            report.case(f"power cut on {kind} x {rounds}", in_series, power_cuts, rounds, number, kind)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

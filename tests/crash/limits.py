"""What must hold when space, memory or time run short: a full disk, a blob of many GiB, memory after start.

    limits.py [full_disk] [memory] [restart] [large_blob] [connections]
"""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from crash import Disk
from harness import BERTH, Berth, Client, Failure, MANIFEST, Report, Skip, check, image, need_root, run, sha256

MIB = 1 << 20


class Tmpfs:
    def __init__(self, megabytes):
        need_root()
        self.mount = tempfile.mkdtemp(prefix="berth-tmpfs-")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", self.mount],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            os.rmdir(self.mount)
            raise Skip("mounting a tmpfs is not allowed: " + done.stdout.decode().strip())

    def close(self):
        subprocess.run(["umount", "-l", self.mount], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.mount, ignore_errors=True)


def full_disk(disk):
    filler = disk.mount + "/filler"
    try:
        with Berth(data=disk.mount + "/data") as berth:
            client = berth.client()
            old, _ = client.push_image("full/app", "latest", [os.urandom(300_000), b"small"])
            kept = client.push_blob("full/app", os.urandom(MIB))
            client.push_image("full/app", "doomed", [b"doomed"])
            new_config = client.push_blob("full/app", b'{"new":1}')
            # The disk fills up from outside, to the last byte.
            with open(filler, "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(b"\0" * 65536)
                except OSError:
                    pass
            refused = 0
            overwrite = json.dumps(image(new_config, 9, [])).encode()
            for attempt in range(30):
                headers = status = None
                try:
                    status, headers, _ = client.request("POST", f"/v2/full/app/blobs/uploads/?digest={sha256(b'x' * 400_000)}", body=b"x" * 400_000)
                except (ConnectionError, http.client.HTTPException):
                    client = berth.client()  # refused while the body was on its way
                    continue
                if status == 503:
                    check("retry-after" in headers, "503 without Retry-After")
                    refused += 1
                else:
                    check(status == 201, f"a push into a full disk: {status}")
                # The overwrite of a tag: refused, or done whole; the tag is never lost.
                status, _, body = client.request("PUT", "/v2/full/app/manifests/latest", body=overwrite, headers={"Content-Type": MANIFEST})
                check(status in (201, 503), f"tag overwrite: {status} {body[:200]!r}")
                check(status != 201 or attempt < 29, "the disk is full and tags are still written")
                answer, _ = client.expect(200, "GET", "/v2/full/app/manifests/latest")
                check(answer["docker-content-digest"] in (old, sha256(overwrite)), "the tag holds something else")
                client.expect(200, "GET", f"/v2/full/app/blobs/{kept}")
                if refused >= 3:
                    break
                time.sleep(0.2)
            check(refused >= 3, "pushes were never refused")
            now = client.expect(200, "GET", "/v2/full/app/manifests/latest")[0]["docker-content-digest"]
            check(client.request("GET", "/readyz")[0] == 200, "a full disk made it unready")
            client.expect(202, "DELETE", "/v2/full/app/manifests/doomed")
            client.expect(404, "GET", "/v2/full/app/manifests/doomed")
            # A restart on the full disk, in order and by a kill: everything is readable still.
            berth.stop()
            berth.start()
            berth.kill()
            berth.start()
            client = berth.client()
            check(client.expect(200, "GET", "/v2/full/app/manifests/latest")[0]["docker-content-digest"] == now, "the restart lost the tag")
            client.expect(404, "GET", "/v2/full/app/manifests/doomed")
            os.remove(filler)
            began = time.monotonic()
            while True:
                status, _, body = client.request("POST", f"/v2/full/app/blobs/uploads/?digest={sha256(b'y' * 300_000)}", body=b"y" * 300_000)
                if status == 201:
                    break
                check(status == 503 and time.monotonic() - began < 5, f"no push within 5 s of space: {status} {body[:200]!r}")
                time.sleep(0.1)
            client.push_manifest("full/app", "latest", overwrite)
            for line in ("the disk is nearly full: pushes are refused", "there is room on the disk again: pushes are taken"):
                check(line in berth.log_tail(1 << 20), f"the log does not say: {line}")
            return f"pushes again {time.monotonic() - began:.1f} s after space returned"
    finally:
        disk.close()


def full_mid_push(disk):
    """The disk fills in the middle of one large upload: 503, and the session goes on when space returns."""
    filler = disk.mount + "/filler"
    try:
        with Berth(data=disk.mount + "/data") as berth:
            client = berth.client()
            data = os.urandom(2 * MIB)
            headers, _ = client.expect(202, "POST", "/v2/mid/app/blobs/uploads/", headers={"Content-Length": "0"})
            location = headers["location"]
            client.expect(202, "PATCH", location, body=data[:MIB])
            with open(filler, "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(b"\0" * 65536)
                except OSError:
                    pass
            status = None
            for _ in range(20):
                try:
                    status, _, _ = berth.client().request("PATCH", location, body=data[MIB:])
                except (ConnectionError, http.client.HTTPException):
                    continue
                if status == 503:
                    break
                time.sleep(0.2)
            check(status == 503, f"PATCH on a full disk: {status}")
            os.remove(filler)
            began = time.monotonic()
            while True:
                client = berth.client()
                answer, _ = client.expect(204, "GET", location)
                offset = int(answer["range"].split("-")[1]) + 1
                check(offset >= MIB, f"the session lost bytes: {offset}")
                if offset == len(data):
                    break
                status, _, _ = client.request("PATCH", location, body=data[offset:], headers={"Content-Range": f"{offset}-{len(data) - 1}"})
                check(time.monotonic() - began < 5, f"not within 5 s of space: {status}")
                time.sleep(0.1)
            client.expect(201, "PUT", f"{location}?digest={sha256(data)}", headers={"Content-Length": "0"})
            _, body = client.expect(200, "GET", f"/v2/mid/app/blobs/{sha256(data)}")
            check(body == data, "other bytes")
    finally:
        disk.close()


def memory_after_start():
    with Berth() as berth:
        for _ in range(20):
            berth.client().request("GET", "/v2/")
        resident = berth.memory()
        check(resident < 20 * MIB, f"{resident / MIB:.1f} MiB resident after start")
        return f"{resident / MIB:.1f} MiB resident, ready in {berth.ready_seconds * 1000:.0f} ms"


def large_blob(gigabytes=8):
    """A blob more than twenty times as large as the memory a push may take, even where the disk is nearly full."""
    spare = 2  # GiB: the registry's own reserve, and what others write meanwhile
    gigabytes = min(gigabytes, (shutil.disk_usage(tempfile.gettempdir()).free >> 30) - spare)
    if gigabytes < 2:
        raise Skip("needs 4 GiB of disk")
    size = gigabytes << 30
    piece = os.urandom(4 * MIB)
    digest = hashlib.sha256()
    for _ in range(size // len(piece)):
        digest.update(piece)
    name = "sha256:" + digest.hexdigest()
    with Berth() as berth:
        peak = [0]
        stop = threading.Event()

        def watch():
            while not stop.wait(0.1):
                # Anonymous memory: the page cache of mapped files is not the process's own.
                peak[0] = max(peak[0], berth.memory("RssAnon"))
        threading.Thread(target=watch, daemon=True).start()
        client = berth.client(timeout=600)
        headers, _ = client.expect(202, "POST", "/v2/large/blob/blobs/uploads/", headers={"Content-Length": "0"})
        began = time.monotonic()
        client.expect(201, "PUT", f"{headers['location']}?digest={name}", body=(piece for _ in range(size // len(piece))),
                      headers={"Content-Length": str(size)})
        pushed = time.monotonic() - began
        connection = http.client.HTTPConnection("127.0.0.1", berth.port, timeout=600)
        began = time.monotonic()
        connection.request("GET", f"/v2/large/blob/blobs/{name}")
        answer = connection.getresponse()
        check(answer.status == 200 and int(answer.headers["Content-Length"]) == size, f"{answer.status}")
        back, got = hashlib.sha256(), 0
        while True:
            data = answer.read(4 * MIB)
            if not data:
                break
            back.update(data)
            got += len(data)
        check(got == size and back.digest() == digest.digest(), f"{got} bytes came back, or other ones")
        stop.set()
        whole = max(peak[0], berth.memory("RssAnon"))
        check(whole < 64 * MIB, f"{whole / MIB:.1f} MiB of process memory")
        return f"{gigabytes} GiB pushed in {pushed:.0f} s, pulled in {time.monotonic() - began:.0f} s, peak {whole / MIB:.1f} MiB"


def connections():
    """10,000 idle connections, then half-sent headers, slow bodies and stalled readers for 75 s."""
    with Berth() as berth:
        program = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients", "connections.py")
        text = run(sys.executable, program, "--pid", str(berth.process.pid), berth.address, timeout=600)
        print(text, flush=True)


def tls_connections():
    """Idle connections over TLS and what they cost."""
    certs = tempfile.mkdtemp(prefix="berth-certs-")
    try:
        run(BERTH, "certs", "dev", "--out", certs)
        with Berth(tls=certs) as berth:
            program = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients", "connections.py")
            text = run(sys.executable, program, "--pid", str(berth.process.pid), "--idle", "4000", "--tls", certs + "/ca.crt",
                       f"127.0.0.1:{berth.tls_port}", timeout=600)
            print(text, flush=True)
    finally:
        shutil.rmtree(certs)


def restart_keeps_sessions():
    data = os.urandom(3 * MIB)
    with Berth() as berth:
        client = berth.client()
        headers, _ = client.expect(202, "POST", "/v2/resume/app/blobs/uploads/", headers={"Content-Length": "0"})
        location = headers["location"]
        client.expect(202, "PATCH", location, body=data[:MIB])
        berth.kill()
        berth.start()
        client = berth.client()
        answer, _ = client.expect(204, "GET", location)
        check(answer["range"] == f"0-{MIB - 1}", answer["range"])
        answer, _ = client.expect(416, "PATCH", location, body=data[:10], headers={"Content-Range": "0-9"})
        check(answer["range"] == f"0-{MIB - 1}" and answer["location"] == location, str(answer))
        client.expect(202, "PATCH", location, body=data[MIB:], headers={"Content-Range": f"{MIB}-{len(data) - 1}"})
        client.expect(201, "PUT", f"{location}?digest={sha256(data)}", headers={"Content-Length": "0"})
        check(client.expect(200, "GET", f"/v2/resume/app/blobs/{sha256(data)}")[1] == data, "other bytes")


def main():
    report = Report("limits")
    wanted = sys.argv[1:] or ["full_disk", "memory", "restart", "large_blob", "connections", "tls"]
    if "full_disk" in wanted:
        report.case("full tmpfs of 24 MiB", lambda: full_disk(Tmpfs(24)))
        report.case("full ext4 of 40 MiB", lambda: full_disk(Disk("ext4", 40)))
        report.case("tmpfs fills in the middle of a push", lambda: full_mid_push(Tmpfs(24)))
        report.case("ext4 fills in the middle of a push", lambda: full_mid_push(Disk("ext4", 40)))
    if "memory" in wanted:
        report.case("memory after start", memory_after_start)
    if "restart" in wanted:
        report.case("an upload goes on after kill -9", restart_keeps_sessions)
    if "large_blob" in wanted:
        report.case("a blob of many GiB", large_blob)
    if "connections" in wanted:
        report.case("connections that do nothing good", connections)
    if "tls" in wanted:
        report.case("idle connections over TLS", tls_connections)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""Loads a running berth with connections that do nothing good, and says what they cost and whether they are let go.

    connections.py [--pid PID] [--idle 10000] [--heads 10000] [--bodies 200] [--readers 200] HOST:PORT
    connections.py [--pid PID] [--idle 10000] --tls CA.CRT HOST:PORT

Three steps: idle keep-alive connections and their memory (needs --pid of the server on this machine); then half-sent
headers, slow bodies and stalled readers at once for 75 seconds, while a good client goes on; then a count of who is
left. Over TLS only the first step. Prints the figures and exits with 1 when a bound is broken, with 2 when the load could not be made. Nothing but
Python is needed; the limit of open files must allow for the connections, here and in the server.
"""

import argparse
import hashlib
import http.client
import multiprocessing
import os
import resource
import select
import socket
import ssl
import statistics
import sys
import time

SECONDS = 75
IDLE_BYTES_EACH = 8 << 10  # 80 MiB for 10,000
IDLE_TLS_BYTES_EACH = 40 << 10
REPOSITORY = "load/connections"
BLOB_BYTES = 64 << 20
PORTS_EACH = 8000  # connections from one source address, below the range of local ports
SLACK_SECONDS = 0.020  # a p99 up to this is good whatever it was before: the load itself shares the machine


class Unable(Exception):
    pass


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address", metavar="HOST:PORT")
    parser.add_argument("--tls", metavar="CA.CRT", help="the port speaks TLS; the authority that vouches for it")
    parser.add_argument("--pid", type=int, help="the server's process, for its memory")
    for name, count in (("idle", 10000), ("heads", 10000), ("bodies", 200), ("readers", 200)):
        parser.add_argument(f"--{name}", type=int, default=count, metavar="N", help=f"(default {count})")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"how long the load stays (default {SECONDS})")
    arguments = parser.parse_args()
    host, _, port = arguments.address.rpartition(":")
    arguments.host, arguments.port = host.strip("[]"), int(port)
    return arguments


def raise_file_limit(connections):
    need = connections + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= need:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, max(hard, need)))
    except (ValueError, OSError) as error:
        raise Unable(f"{need} open files are needed and {hard} allowed: {error}") from error


class Connections:
    """Sockets from as many loopback addresses as it takes."""

    def __init__(self, host, port, authority=None):
        self.address = (host, port)
        self.tls = ssl.create_default_context(cafile=authority) if authority else None
        self.sources = host.startswith("127.")
        self.made = 0

    def connect(self, receive_buffer=0):
        family = socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.settimeout(10)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if self.sources:
            sock.bind((f"127.0.0.{2 + self.made // PORTS_EACH % 250}", 0))
        self.made += 1
        sock.connect(self.address)
        return self.tls.wrap_socket(sock, server_hostname=self.address[0]) if self.tls else sock


def count_open(sockets):
    """Those whose other side is still there, without reading from them."""
    gone = select.POLLRDHUP | select.POLLHUP | select.POLLERR
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLRDHUP)
    ended = sum(1 for _, events in poll.poll(0) if events & gone)
    return len(sockets) - ended


def close_all(sockets):
    for sock in sockets:
        sock.close()


def resident_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def request(method, target, host, *fields):
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "")).encode()


def read_answer(sock):
    """The status of an answer to HEAD, or of one whose body comes with its head and is not wanted."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = sock.recv(65536)
        if not piece:
            raise Unable("the server closed a connection before it answered")
        answer += piece
    return int(answer.split(b" ", 2)[1])


def push_blob(arguments):
    """A blob that no socket buffer holds; its digest."""
    content = hashlib.sha256(b"berth").digest() * (BLOB_BYTES // 32)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    client = http.client.HTTPConnection(arguments.host, arguments.port, timeout=60)
    client.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest}", body=content,
                   headers={"Content-Type": "application/octet-stream"})
    answer = client.getresponse()
    answer.read()
    if answer.status != 201:
        raise Unable(f"a blob could not be pushed: {answer.status}")
    client.close()
    return digest


def open_upload(arguments):
    client = http.client.HTTPConnection(arguments.host, arguments.port, timeout=60)
    client.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/", headers={"Content-Length": "0"})
    answer = client.getresponse()
    answer.read()
    location = answer.getheader("Location")
    client.close()
    if answer.status != 202 or not location:
        raise Unable(f"an upload could not be begun: {answer.status}")
    return location


def good_client(host, port, digest, stop, results):
    """Small requests, one after the other, every tenth on a connection of its own."""
    latencies, failures = [], 0
    client = http.client.HTTPConnection(host, port, timeout=10)
    number = 0
    while not stop.is_set():
        number += 1
        begun = time.monotonic()
        try:
            if number % 10 == 0:
                client.close()
            client.request("HEAD", f"/v2/{REPOSITORY}/blobs/{digest}")
            answer = client.getresponse()
            answer.read()
            if answer.status != 200:
                failures += 1
        except (OSError, http.client.HTTPException):
            failures += 1
            client.close()
        latencies.append(time.monotonic() - begun)
        time.sleep(0.005)
    results.put((latencies, failures))


class GoodClient:
    """Runs in a process of its own, so that making the load does not slow it."""

    def __init__(self, arguments, digest):
        self.stop = multiprocessing.Event()
        self.results = multiprocessing.Queue()
        self.process = multiprocessing.Process(
            target=good_client, args=(arguments.host, arguments.port, digest, self.stop, self.results))
        self.process.start()

    def finish(self):
        self.stop.set()
        latencies, failures = self.results.get(timeout=60)
        self.process.join()
        return statistics.quantiles(latencies, n=100)[98], len(latencies), failures


class Report:
    def __init__(self):
        self.broken = 0

    def bound(self, text, kept):
        self.broken += not kept
        print(f"{'ok    ' if kept else 'BROKEN'} {text}", flush=True)


def load_idle(arguments, report):
    connections = Connections(arguments.host, arguments.port, arguments.tls)
    bound = IDLE_TLS_BYTES_EACH if arguments.tls else IDLE_BYTES_EACH
    ping = request("HEAD", "/v2/", arguments.address)
    before = resident_bytes(arguments.pid) if arguments.pid else 0
    sockets = []
    for _ in range(arguments.idle):
        sock = connections.connect()
        sock.sendall(ping)
        if read_answer(sock) != 200:
            raise Unable("HEAD /v2/ was refused")
        sockets.append(sock)
    time.sleep(1)
    still_open = count_open(sockets)
    report.bound(f"{still_open} of {len(sockets)} idle connections are open", still_open == len(sockets))
    if arguments.pid:
        added = resident_bytes(arguments.pid) - before
        each = added / max(1, len(sockets))
        report.bound(f"they added {added / (1 << 20):.1f} MiB, {each:.0f} bytes each", each < bound)
    # And each still serves.
    for sock in sockets[:: max(1, len(sockets) // 100)]:
        sock.sendall(ping)
        if read_answer(sock) != 200:
            report.bound("an idle connection serves its next request", False)
    close_all(sockets)
    time.sleep(1)


def load_bad(arguments, digest, report):
    connections = Connections(arguments.host, arguments.port)
    before = resident_bytes(arguments.pid) if arguments.pid else 0

    good = GoodClient(arguments, digest)
    time.sleep(5)
    quiet_p99, _, quiet_failures = good.finish()
    print(f"       good client alone: p99 {quiet_p99 * 1000:.1f} ms", flush=True)

    uploads = [open_upload(arguments) for _ in range(arguments.bodies)]
    good = GoodClient(arguments, digest)
    heads, bodies, readers = [], [], []
    for _ in range(arguments.readers):
        sock = connections.connect(receive_buffer=4096)
        sock.sendall(request("GET", f"/v2/{REPOSITORY}/blobs/{digest}", arguments.address))
        readers.append(sock)
    for upload in uploads:
        sock = connections.connect()
        sock.sendall(request("PATCH", upload, arguments.address, "Content-Length: 100000000",
                             "Content-Type: application/octet-stream"))
        bodies.append(sock)
    for _ in range(arguments.heads):
        sock = connections.connect()
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: " + arguments.address.encode() + b"\r\nX-Slow: ")
        heads.append(sock)
    begun = time.monotonic()
    peak = 0
    while time.monotonic() - begun < arguments.seconds:
        if arguments.pid:
            peak = max(peak, resident_bytes(arguments.pid) - before)
        for sock in bodies:
            try:
                sock.send(b"x")
            except OSError:
                pass  # It was let go; counted below.
        time.sleep(1)
    p99, requests, failures = good.finish()

    for name, sockets in (("half-sent headers", heads), ("slow bodies", bodies), ("stalled readers", readers)):
        left = count_open(sockets)
        report.bound(f"{left} of {len(sockets)} {name} are left after {arguments.seconds} s", left == 0)
    report.bound(f"good client: {failures + quiet_failures} of {requests} requests failed", failures + quiet_failures == 0)
    report.bound(f"good client: p99 {p99 * 1000:.1f} ms", p99 <= max(2 * quiet_p99, SLACK_SECONDS))
    if arguments.pid:
        print(f"       memory added at the peak: {peak / (1 << 20):.1f} MiB", flush=True)
    close_all(heads + bodies + readers)


def main():
    arguments = parse_arguments()
    report = Report()
    try:
        if arguments.tls:
            raise_file_limit(arguments.idle)
            load_idle(arguments, report)
            return 1 if report.broken else 0
        raise_file_limit(max(arguments.idle, arguments.heads + arguments.bodies + arguments.readers))
        digest = push_blob(arguments)
        load_idle(arguments, report)
        load_bad(arguments, digest, report)
    except (Unable, OSError) as error:
        print(f"connections.py: {error}", file=sys.stderr)
        return 2
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())

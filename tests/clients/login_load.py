"""What logins do to everybody else: 200 at once, each with a slow hash to check, beside a client that reads a manifest all
the time. Its 99th percentile during the logins and between them is printed."""

import concurrent.futures
import json
import multiprocessing
import os
import secrets
import select
import shutil
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import Client, Report, check
from small_image import SmallImage
from with_accounts import ADMIN, HOST, Registry, basic, own_namespace

LOGINS = 200
ROUNDS = 2


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def read_all_the_time(port, tls, path, headers, end, results):
    """In a process of its own: (when, seconds) of each request, some hundred a second."""
    client, times, failures = Client(port, host=HOST, timeout=30, tls=tls, headers=headers), [], []
    while not end.is_set():
        began = time.monotonic()
        status, _, _ = client.request("GET", path)
        times.append((began, time.monotonic() - began))
        if status != 200:
            failures.append(status)
        time.sleep(0.002)
    results.put((times, failures))


class LoginsAtOnce:
    """Many connections that are open already, and one login on each at the same moment."""

    def __init__(self, service, port, users):
        self.requests = [f"GET /token?service={service}&account={user} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: "
                         f"{basic(user, password)['Authorization']}\r\nConnection: close\r\n\r\n".encode() for user, password in users]
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in users]

    def run(self, timeout=60):
        """The statuses, when all are there."""
        for sock, request in zip(self.sockets, self.requests):
            sock.sendall(request)
        answers, end = {sock: b"" for sock in self.sockets}, time.monotonic() + timeout
        left = set(self.sockets)
        while left and time.monotonic() < end:
            for sock in select.select(list(left), [], [], 1)[0]:
                data = sock.recv(65536)
                answers[sock] += data
                if not data:
                    left.discard(sock)
                    sock.close()
        check(not left, f"{len(left)} logins had no answer in {timeout} s")
        return [int(answer.split(b" ", 2)[1]) if answer else 0 for answer in answers.values()]


def add_users(registry, admin, count):
    """[(name, password)], made over the management API by some at a time."""
    users = [(f"user-{number}", secrets.token_urlsafe(12)) for number in range(count)]

    def some(part):
        client = registry.client(headers=admin)
        for name, password in part:
            client.expect(201, "POST", "/api/v1/users", body=json.dumps({"name": name, "password": password}),
                          headers={"Content-Type": "application/json"})

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(some, [users[i::4] for i in range(4)]))
    return users


def logins(work):
    image = SmallImage(os.path.join(work, "layout"))
    grants = [{"subjects": ["authenticated"], "repositories": ["team/**"], "role": "reader"}]
    # No password is remembered from one round to the next.
    with Registry(work, ["reader"], grants, {"password": {"remember": "0s"}}, plain=True) as registry:
        admin = basic(ADMIN, registry.add_token(ADMIN))
        image.push(registry.client(headers=admin), "team/small")
        users = add_users(registry, admin, LOGINS)
        status, token = registry.token("repository:team/small:pull", "reader")
        check(status == 200, f"the reader's token: {status}")
        quiet, busy, seconds = [], [], []
        end, results = multiprocessing.Event(), multiprocessing.Queue()
        reader = multiprocessing.Process(target=read_all_the_time, args=(
            registry.port, registry.trust(), "/v2/team/small/manifests/1", {"Authorization": f"Bearer {token}"}, end, results))
        reader.start()
        phases = []
        try:
            for _ in range(ROUNDS):
                crowd = LoginsAtOnce(registry.address, registry.plain_port, users)
                time.sleep(0.2)
                began = time.monotonic()
                time.sleep(2)
                crowded = time.monotonic()
                statuses = crowd.run()
                phases.append((began, crowded, time.monotonic()))
                check(statuses == [200] * LOGINS, f"logins: {sorted((s, statuses.count(s)) for s in set(statuses))}")
        finally:
            end.set()
            times, failures = results.get(timeout=60)
            reader.join()
        check(not failures, f"reads: {failures[:5]}")
        for began, crowded, done in phases:
            quiet += [took for when, took in times if began <= when < crowded]
            busy += [took for when, took in times if crowded <= when < done]
            seconds.append(done - crowded)
        before, during = (percentile(values, 0.99) * 1000 for values in (quiet, busy))
        told = (f"p99 of a manifest {before:.2f} ms quiet ({len(quiet)} requests), {during:.2f} ms beside {LOGINS} logins "
                f"({len(busy)} requests, {', '.join(f'{s:.1f}' for s in seconds)} s): {during / before:.2f} times")
        # The figure is for people: a busy machine and this client's own share of its cores blur it. This bound is for
        # hashes that run where requests are served.
        check(during < max(10 * before, 200), told)
        return told


def main():
    report = Report("load of logins")
    if not own_namespace(report):
        return report.finish()
    work = tempfile.mkdtemp(prefix="berth-logins-")
    try:
        report.case("logins", logins, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

"""Measures berth beside the registries that can be had and beside nginx, in turns on this machine; called by tests/bench/run.

    tests/bench/run                  everything, into docs/performance.md and docs/performance.json
    tests/bench/run --only ROW…      some rows, printed
    tests/bench/run --only ROW… --keep   and put in the place of what was kept of them
    tests/bench/run --micro          the microbenchmarks alone
    tests/bench/run --short          a moment for everything: does it all work? (CI; nothing is kept)
"""

import argparse
import os
import resource
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import growth
import microbenchmarks
import report as pages
import secured
import table
from harness import Failure, Report, Skip, check
from peers import Certificate, PEERS

ROWS = {
    "start": table.Start,
    "push1": table.PushOne,
    "push4": table.PushFour,
    "pull1": table.PullOne,
    "pull4": table.PullFour,
    "manifest": table.ManifestGet,
    "blob2k": table.BlobGet,
    "observed": table.Observed,
    "images8": table.ImagesOfEight,
    "images1": table.ImagesOfOne,
    "tags": table.Tags,
    "pages": table.TagPages,
    "catalog": table.Catalog,
    "tls_pull": secured.TlsPull,
    "tls_manifest": secured.TlsManifest,
    "tls_full": secured.FullHandshakes,
    "tls_resumed": secured.ResumedHandshakes,
    "auth_manifest": secured.AccountsManifest,
    "auth_blob": secured.AccountsBlob,
    "growth_start": growth.GrowthStart,
    "growth_tags": growth.GrowthTags,
    "growth_repositories": growth.GrowthRepositories,
    "growth_connections": growth.GrowthConnections,
    "streams": growth.Streams,
    "micro": microbenchmarks.Micro,
}


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=list(ROWS), help=", ".join(ROWS))
    parser.add_argument("--micro", action="store_true", help="the same as --only micro")
    parser.add_argument("--keep", action="store_true", help="with --only: into docs/performance.*, beside the rows that are there")
    parser.add_argument("--peers", nargs="+", metavar="SERVER", choices=list(PEERS), help=", ".join(PEERS))
    parser.add_argument("--repeat", "--repeats", type=int, metavar="N", help="instead of each row's own")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    if options.micro:
        options.only = ["micro"]
    options.wanted = list(options.only or ROWS)
    return options


def start_servers(options, certificate, report, problems):
    """Those that the wanted rows need, as far as they can be had."""
    needed = {name for key in options.wanted for name in ROWS[key].servers}
    names = [name for name in options.peers or (["berth", "nginx"] if options.short else PEERS) if name in needed]
    servers = {}
    for name in names:
        def one(name=name):
            server = PEERS[name](certificate) if name in ("berth", "nginx") else PEERS[name]()
            try:
                servers[name] = server.start()
            except BaseException as error:
                server.close()
                if not isinstance(error, Skip):
                    problems.append(f"{name}: {str(error).strip()[-300:]}")
                raise
            return server.version()
        report.case(f"start {name}", one)
    return servers


def revive(servers, problems):
    """Who ended is started again, on the data it had, and named."""
    for name, server in servers.items():
        if server.process.poll() is not None:
            problems.append(f"{name} ended with {server.process.returncode} and was started again")
            print(f"warning: {problems[-1]}", flush=True)
            try:
                server.start()
            except Failure as error:
                print(f"warning: {error}", flush=True)  # and each of its rows will say so


def measure(key, options, servers):
    row = ROWS[key](options.short)
    results, problems = row.run(servers, 1 if options.short else options.repeat or row.repeats)
    if not options.short:
        print(pages.table(ROWS[key], results, problems), flush=True)
        for verdict in pages.verdicts(ROWS[key], results):
            print("   " + " | ".join(verdict), flush=True)
    return {"title": row.title, "date": pages.today(), "apart": bool(options.only), "results": results, "problems": problems}


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    report = Report("bench")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # servers and idle connections inherit it
    quiet = pages.quietness(0.5 if options.short else 2)
    if pages.noise(quiet):
        print(f"warning: {pages.noise(quiet)}", flush=True)
    began, times_before = time.monotonic(), pages.cpu_times()
    data = {"date": pages.today(), "command": "tests/bench/run" + (f" --repeat {options.repeat}" if options.repeat else ""),
            "machine": pages.machine(), "quiet": quiet, "versions": {}, "problems": [], "rows": {},
            "minutes": 0, "stolen": 0}
    kept = not options.short and (options.keep or not (options.only or options.peers))
    if kept and options.only:
        data = pages.kept_before(data)
    growth.STORES.want([ROWS[key] for key in options.wanted], options.short)

    def keep():
        if kept and data["rows"]:
            if not options.only:
                data["minutes"] = (time.monotonic() - began) / 60
                data["stolen"] = round(pages.share(times_before, pages.cpu_times(), 2), 4)
            pages.save(ROWS, data)

    certificate = Certificate()
    servers = {}
    try:
        servers = start_servers(options, certificate, report, data["problems"])
        data["versions"].update({name: server.version() for name, server in servers.items()})
        for key in options.wanted:
            def one(key=key):
                data["rows"][key] = measure(key, options, servers)
                check(not data["rows"][key]["problems"], "\n".join(data["rows"][key]["problems"]))

            revive(servers, data["problems"])
            failed = len(report.failed)
            report.case(key, one)
            if len(report.failed) > failed and key not in data["rows"]:
                data["problems"].append(f"the row {key} could not be measured")
            keep()  # after each row: what a later one breaks does not take it along
    finally:
        for server in servers.values():
            server.close()
        growth.STORES.close()
        certificate.close()
        print(f"{(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())

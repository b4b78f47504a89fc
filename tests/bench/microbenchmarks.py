"""tests/bench/micro as a row: what single functions cost, by Google Benchmark."""

import json

from harness import run
from rows import Row
from work import MICRO

NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


class Micro(Row):
    title = "microbenchmarks"
    how = "build/bench/tests/micro --benchmark_repetitions=3"
    note = "Google Benchmark. `changes` go through the committer and wait until they are durable; `rocksdb` syncs to the disk."
    servers = ()
    repeats = 3
    higher_is_better = False

    def run(self, servers, repeats):
        arguments = ["--benchmark_format=json", f"--benchmark_repetitions={repeats}",
                     f"--benchmark_min_time={'0.0001' if self.short else '0.2'}"]
        text = run(MICRO, *arguments)
        results = {}
        for one in json.loads(text[text.index("{"):])["benchmarks"]:
            if one["run_type"] != "iteration":
                continue
            # Of what runs alone the CPU's time, which others cannot stretch; of threads that wait, the clock's.
            waits = "/real_time" in one["run_name"]
            values = results.setdefault(one["run_name"].replace("/real_time", ""), {})
            values.setdefault("ns", []).append(one["real_time" if waits else "cpu_time"] * NANOSECONDS[one["time_unit"]])
            if "items_per_second" in one:
                values.setdefault("per second", []).append(one["items_per_second"])
        return results, []

"""What a row of the benchmark is, how it is run in turns, and what berth must reach in it."""

import statistics
import traceback

from harness import Failure, check

REGISTRIES = ["berth", "distribution", "docker-registry", "olareg"]


class Row:
    """One row: contestants do the same work in turns. The first metric is the one that `berth is` compares.

    The class says what needs no run (title, targets), so that a report can be written from results that were kept.
    """

    title = "?"
    how = ""       # the commands, for people who want to do it by hand
    note = ""      # what else a reader must know
    servers = REGISTRIES + ["nginx"]
    repeats = 5
    higher_is_better = True
    targets = ()
    stores = ()    # filled stores that it needs, see growth.py

    def __init__(self, short):
        self.short = short

    def open(self, servers):
        """Before everything else. `servers` are those that run, by name."""

    def contestants(self, servers):
        """By their name in the table: what prepare() and measure() are given."""
        return {name: servers[name] for name in self.servers if name in servers}

    def prepare(self, name, contestant):
        """Once each."""

    def measure(self, name, contestant):
        """{metric: value}."""
        raise NotImplementedError

    def close(self):
        """After everything else, also when something failed."""

    def run(self, servers, repeats):
        """In turns, so that a change of the machine's mood hits all alike. Who fails is out, with a problem that is told.
        Answers ({contestant: {metric: [values]}}, problems)."""
        problems, results = [], {}
        try:
            self.open(servers)
            left = self.contestants(servers)
            check(left, "there is nobody to measure")

            def attempt(name, action):
                try:
                    return action(name, left[name])
                except Exception as error:  # one contestant's trouble is not the others'
                    told = str(error) if isinstance(error, Failure) else traceback.format_exc()
                    problems.append(f"{name}: {told.strip()[-600:]}")
                    del left[name]
                    return None

            for name in list(left):
                attempt(name, self.prepare)
            for n in range(repeats):
                order = list(left)
                for name in order[n % max(1, len(order)):] + order[:n % max(1, len(order))]:
                    for metric, value in (attempt(name, self.measure) or {}).items():
                        results.setdefault(name, {}).setdefault(metric, []).append(float(f"{value:.6g}"))
        finally:
            self.close()
        return {name: results[name] for name in left if name in results}, problems


# ---- targets ----

def middle(results, name, metric):
    """The median; None when it was not measured."""
    values = results.get(name, {}).get(metric)
    return statistics.median(values) if values else None


def times(results, mine, theirs, metric):
    """How many times what `theirs` has `mine` has: the median over the turns, so that a machine which is slow for a while
    is slow for both. None when one of them was not measured."""
    ours, others = (results.get(name, {}).get(metric) or [] for name in (mine, theirs))
    if len(ours) == len(others):
        ratios = [a / b for a, b in zip(ours, others) if b]
        return statistics.median(ratios) if ratios else None
    below = statistics.median(others) if others else 0
    return statistics.median(ours) / below if ours and below else None


def shown(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.995 else f"{value:.3f}"


def who(results, whom, metric):
    """The contestant that is meant: `whom` is one, or "the best registry" or "the fastest", by the medians. None when it
    was not measured."""
    groups = {"the best registry": [name for name in REGISTRIES if name != "berth"],
              "the fastest": [name for name in results if name != "berth"]}
    measured = [name for name in groups.get(whom, [whom]) if middle(results, name, metric) is not None]
    return max(measured, key=lambda name: middle(results, name, metric), default=None)


class AtLeast:
    """`mine` has at least `factor` times what `whom` has. `why` says where an odd factor comes from."""

    sign = "≥"

    def __init__(self, metric, factor, whom, mine="berth", why=""):
        self.metric, self.factor, self.whom, self.mine = metric, factor, whom, mine
        self.text = f"{metric} {self.sign} {f'{factor:.3g} × ' if factor != 1 else ''}{whom}{f' ({why})' if why else ''}"

    def enough(self, ratio):
        return ratio >= self.factor

    def judge(self, results):
        """(what was reached, whether that is enough), or None."""
        ratio = times(results, self.mine, who(results, self.whom, self.metric), self.metric)
        return None if ratio is None else (f"{shown(ratio)} ×", self.enough(ratio))


class AtMost(AtLeast):
    """… at most; of one contestant, since the groups are those of the fastest."""

    sign = "≤"

    def enough(self, ratio):
        return ratio <= self.factor


class Bound:
    """A figure of its own, whatever others do."""

    def __init__(self, metric, most, mine="berth"):
        self.metric, self.most, self.mine = metric, most, mine
        self.text = f"{metric} ≤ {most:,}"

    def judge(self, results):
        mine = middle(results, self.mine, self.metric)
        return None if mine is None else (shown(mine), mine <= self.most)


class HashAndWrite:
    """A push may cost the hash of its bytes, and 1.2 times what it costs nginx to take and write them."""

    text = "CPU s/GiB ≤ SHA-256 of the bytes + 1.2 × nginx"

    def judge(self, results):
        mine, digest, nginx = (middle(results, name, "CPU s/GiB") for name in ("berth", "SHA-256 alone", "nginx"))
        if None in (mine, digest, nginx):
            return None
        allowed = digest + 1.2 * nginx
        return f"{shown(mine)} of {shown(allowed)}", mine <= allowed

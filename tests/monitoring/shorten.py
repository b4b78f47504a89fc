"""Makes a copy of a rule file, or of the configuration of Prometheus or Alertmanager, in which time passes faster.

    python3 tests/monitoring/shorten.py 60 < berth.rules.yml > fast.rules.yml

Every duration is divided: `for`, ranges as [5m], `offset`, how far predict_linear looks (written as `24 * 3600`), and the
intervals of both programs. Thresholds stay as they are. Scrapes and evaluations happen at most once a second.
"""

import re
import sys

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
KEYS = "for|scrape_interval|evaluation_interval|group_wait|group_interval|repeat_interval|resolve_timeout"


def shorten(text, factor):
    def duration(written, least=1):
        number, unit = re.fullmatch(r"(\d+)([a-z]+)", written).groups()
        return f"{max(least, round(int(number) * MILLISECONDS[unit] / factor))}ms"

    def key(match):
        return match[1] + duration(match[2], least=1000 if "_interval" in match[1] and "group" not in match[1] else 1)

    text = re.sub(rf"(\b(?:{KEYS}): )(\d+[a-z]+)\b", key, text)
    text = re.sub(r"\[(\d+[a-z]+)\]", lambda match: f"[{duration(match[1])}]", text)
    text = re.sub(r"(\boffset )(\d+[a-z]+)", lambda match: match[1] + duration(match[2]), text)
    return text.replace(", 24 * 3600)", f", {24 * 3600 / factor:g})")


if __name__ == "__main__":
    sys.stdout.write(shorten(sys.stdin.read(), int(sys.argv[1])))

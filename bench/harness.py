# SPDX-License-Identifier: MIT
"""How every benchmark here measures: us and the peer alternating in one run, medians and ratios, JSON with the machine.

    report = Report("verity")
    report.compare("1 GiB, one core", us=lambda: …, peer=["fsverity", "digest", path], goal=3.1)
    report.write()

A runner is a command (timed from start to exit) or a callable (timed around the call). Both sides run once to warm up,
then turn by turn. The ratio is the median of the pairwise ratios, so a machine that slows down slows down both.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"
Runner = Callable[[], object] | Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    seconds: float
    max_rss_kib: int = 0


def once(runner: Runner, cpus: set[int]) -> Sample:
    """One run on these CPUs; commands also tell their memory."""
    before_cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        if callable(runner):
            start = time.perf_counter()
            runner()
            return Sample(seconds=time.perf_counter() - start)
        return _command(runner)
    finally:
        os.sched_setaffinity(0, before_cpus)


def _command(command: Sequence[str]) -> Sample:
    # wait4 gives the memory of this child alone; subprocess would only have the maximum of all children so far.
    start = time.perf_counter()
    null = os.open(os.devnull, os.O_WRONLY)
    pid = os.posix_spawnp(command[0], list(command), os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    os.close(null)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return Sample(seconds=seconds, max_rss_kib=usage.ru_maxrss)


def machine() -> dict[str, object]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def version_of(command: Sequence[str]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return (result.stdout or result.stderr).strip().splitlines()[0]


@dataclass(slots=True)
class Report:
    name: str
    rows: list[dict[str, object]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=machine)

    def compare(
        self,
        title: str,
        *,
        us: Runner,
        peer: Runner,
        goal: float | None = None,
        runs: int = 7,
        cpus: int = 2,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Prints a row: medians, how many times faster we are, and whether that is the goal."""
        chosen = set(sorted(os.sched_getaffinity(0))[:cpus])
        ours: list[Sample] = []
        theirs: list[Sample] = []
        for turn in range(runs + 1):
            for runner, samples in ((us, ours), (peer, theirs)):
                if before is not None:
                    before()
                sample = once(runner, chosen)
                if turn:  # the first one warms up
                    samples.append(sample)
        ratio = statistics.median(theirs[i].seconds / ours[i].seconds for i in range(runs))
        row = {
            "title": title,
            "cpus": cpus,
            "runs": runs,
            "us": _figures(ours),
            "peer": _figures(theirs),
            "ratio": round(ratio, 2),
            "goal": goal,
        }
        self.rows.append(row)
        verdict = "" if goal is None else f"  goal {goal:.1f}x {'reached' if ratio >= goal else 'MISSED'}"
        memory = ""
        if ours[0].max_rss_kib and theirs[0].max_rss_kib:
            memory = f"  {max(s.max_rss_kib for s in ours) >> 10} / {max(s.max_rss_kib for s in theirs) >> 10} MiB"
        print(f"{title:52} {_ms(ours)} {_ms(theirs)} {ratio:6.2f}x{verdict}{memory}", flush=True)

    def rate(self, title: str, value: float, unit: str, goal: float) -> None:
        """A row without a peer: a rate that must reach a number."""
        self.rows.append({"title": title, "value": round(value, 3), "unit": unit, "goal": goal})
        print(f"{title:52} {value:9.2f} {unit}  goal {goal} {'reached' if value >= goal else 'MISSED'}", flush=True)

    def write(self) -> None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
        path.write_text(json.dumps({"name": self.name, "machine": self.facts, "rows": self.rows}, indent=1) + "\n")
        print(f"\nkept in {path.relative_to(ROOT)}")


def _figures(samples: list[Sample]) -> dict[str, object]:
    seconds = [sample.seconds for sample in samples]
    return {
        "median_ms": round(1e3 * statistics.median(seconds), 3),
        "min_ms": round(1e3 * min(seconds), 3),
        "max_ms": round(1e3 * max(seconds), 3),
        "max_rss_kib": max(sample.max_rss_kib for sample in samples),
    }


def _ms(samples: list[Sample]) -> str:
    return f"{1e3 * statistics.median(sample.seconds for sample in samples):9.2f} ms"


def header(what: str) -> None:
    print(f"{what}\n{'':52} {'us':>12} {'peer':>12}  ratio")


def run_measures(bench: object, names: str) -> None:
    """The methods `measure_NAME` that a comma list names, in its order."""
    for name in names.split(","):
        measure: Callable[[], None] | None = getattr(bench, f"measure_{name}", None)
        if measure is None:
            sys.exit(f"no measure is called {name}")
        measure()


if __name__ == "__main__":
    sys.exit("this is the harness; run bench/verity.py or bench/composefs.py")

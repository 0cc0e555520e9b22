"""Hostile inputs by the thousand, counted: the table of docs/security.md, or one input with what it printed.

python -m tests.hostile --many 10000 --record there.jsonl
python -m tests.hostile videos --many 2000 --first 5000
python -m tests.hostile videos 17 --keep there
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .assets import build_assets
from .judge import Bench, Judge, tally
from .many import GENERATORS, Record, generator, rounds


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("generator", nargs="?", choices=GENERATORS, help="one kind of input (default: all)")
    parser.add_argument("seed", nargs="?", type=int, help="one input of that kind")
    parser.add_argument("--many", type=int, help="inputs in all (default: some seventy)")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="a folder for the files of the input")
    parser.add_argument("--record", type=Path, help="a file of verdicts: what stands in it is not run again")
    options = parser.parse_args()
    record = Record(options.record)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "assets").mkdir()
        assets = build_assets(Path(scratch) / "assets")
        (Path(scratch) / "bench").mkdir()
        bench = Bench(Path(scratch) / "bench")
        for name, seeds in wanted(options):
            if reason := getattr(generator(name), "MISSING", ""):
                print(f"{name}: {reason}", file=sys.stderr)
                continue
            seeds = [seed for seed in seeds if seed not in record.verdicts[name]]
            for verdict in Judge(generator(name), assets, bench).judge(seeds, options.keep) if seeds else ():
                if verdict.troubles or options.seed is not None:
                    print(name, verdict, flush=True)
                if options.seed is not None:
                    print(f"exit code {verdict.code}, {verdict.memory / 1e6:.0f} MB\n{verdict.output}")
                record.add(name, verdict)
        bench.close()
    counts = {name: tally(verdicts.values()) for name, verdicts in record.verdicts.items()}
    counts["all"] = {kind: sum(row[kind] for row in counts.values()) for kind in tally(())}
    print("| input | " + " | ".join(counts["all"]) + " |\n|---" + "|---:" * len(counts["all"]) + "|")
    for name, row in counts.items():
        print(f"| {name.replace('_', ' ')} | " + " | ".join(f"{value:,}" for value in row.values()) + " |")
    print(f"{record.seconds:.0f} s")
    return 0 if counts["all"]["tried"] == counts["all"]["refused"] + counts["all"]["harmless"] else 1


def wanted(options: argparse.Namespace) -> Iterable[tuple[str, Iterable[int]]]:
    """Which seeds of which kind, in the order in which they are tried."""
    if options.seed is not None:
        return [(options.generator, [options.seed])]
    if options.generator and options.many:
        return [(options.generator, range(options.first, options.first + options.many))]
    return rounds([options.generator] if options.generator else GENERATORS, options.many, options.first)


if __name__ == "__main__":
    sys.exit(main())

"""Hostile inputs by the thousand, counted: the table of docs/security.md, or one input with what it printed.

python -m tests.hostile --many 10000
python -m tests.hostile videos --many 2000 --first 5000
python -m tests.hostile videos 17 --keep there
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .assets import build_assets
from .judge import Bench, Judge, tally
from .many import GENERATORS, generator, shares


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("generator", nargs="?", choices=GENERATORS, help="one kind of input (default: all)")
    parser.add_argument("seed", nargs="?", type=int, help="one input of that kind")
    parser.add_argument("--many", type=int, help="inputs in all (default: some hundred)")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--keep", type=Path, help="a folder for the files of the input")
    options = parser.parse_args()
    names = [options.generator] if options.generator else list(GENERATORS)
    counts, troubles = {}, 0
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "assets").mkdir()
        assets = build_assets(Path(scratch) / "assets")
        (Path(scratch) / "bench").mkdir()
        bench = Bench(Path(scratch) / "bench")
        for name in names:
            of_all = shares(options.many)[name]
            last = options.first + (options.many if options.generator and options.many else of_all)
            seeds = range(options.first, last) if options.seed is None else [options.seed]
            if reason := getattr(generator(name), "MISSING", ""):
                print(f"{name}: {reason}", file=sys.stderr)
                continue
            verdicts = []
            for verdict in Judge(generator(name), assets, bench).judge(seeds, options.keep):
                if verdict.troubles or options.seed is not None:
                    print(name, verdict, flush=True)
                if options.seed is not None:
                    print(f"exit code {verdict.code}, {verdict.memory / 1e6:.0f} MB\n{verdict.output}")
                verdict.output = ""
                verdicts.append(verdict)
            counts[name] = tally(verdicts)
            troubles += sum(bool(verdict.troubles) for verdict in verdicts)
            print(f"{name}: {counts[name]}", file=sys.stderr, flush=True)
        bench.close()
    columns = list(next(iter(counts.values())))
    print("| input | " + " | ".join(columns) + " |\n|---" + "|---:" * len(columns) + "|")
    for name, row in counts.items():
        print(f"| {name.replace('_', ' ')} | " + " | ".join(f"{value:,}" for value in row.values()) + " |")
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())

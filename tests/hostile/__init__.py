"""Inputs of somebody with bad intentions, made by the thousand from seeds, each of them run and judged.

A generator is a module of this folder. It says how many seeds a usual test run gets, what a good input looks like, and
makes one bad input of every seed, always the same one:

    from pathlib import Path

    from .assets import Assets
    from .judge import Case

    SEEDS = 40                                             # of a usual run; `--many` asks for more

    def valid(folder: Path, assets: Assets) -> list[Case]:
        '''Good inputs of every kind: they must succeed, and their peak of memory is what the bad ones are held to.'''
        return [Case("inspect", ("inspect", assets.motion))]

    def case(seed: int, folder: Path, assets: Assets) -> Case:
        chance = random.Random(seed)
        (folder / "evil.safetensors").write_bytes(...)     # whatever a stranger may have made
        return Case("header cut short", ("inspect", "evil.safetensors"))

`folder` is empty and the case's own: the command runs there, files that stand there must still be there unchanged
afterwards unless the case names them in `writes`. Beside it is `folder.parent / "outside"` with the file `secret.txt`,
and whatever else a generator puts there: a case fails as soon as anything in it is opened or changed. `assets` are a
tiny model, a clip and a motion that all cases share and none may change. A payload that wants to show that it was run
may write to `outside` as well; what runs other programs, asks the network or runs code of the case's folder is seen
without its help. Every module here that has a function `case` is found by itself. One that needs another Python names
in COMMAND how to start its worker, and in MISSING why that cannot be, if it cannot.

    pytest tests/hostile                                   # all of them, SEEDS each
    pytest tests/hostile --many 10000                      # ten thousand, shared out as SEEDS are
    python -m tests.hostile --many 10000 --record there    # the same as a table for docs/security.md, to be carried on
    python -m tests.hostile videos 17 --keep there    # one of them, with what it printed
"""

"""Fuzz what reads mail, for a while.

    python -m tests.fuzz [--seconds 60] [--seed 0]

Uses atheris, which follows the code that an input reaches, where it is installed; otherwise mails are mutated blindly.
An input that breaks something is written to `var/fuzz/` and ends the run with 1.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from time import monotonic

from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import SEEDS

FOUND = Path("var/fuzz")
_SLOWED_BY_TRACING = 8.0


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what reads mail.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    FOUND.mkdir(parents=True, exist_ok=True)
    run = _traced if find_spec("atheris") else _blindly
    return run(options.seconds, options.seed)


def _blindly(seconds: int, seed: int) -> int:
    from tests.fuzz.oracle import check

    until = monotonic() + seconds
    number = 0
    while monotonic() < until:
        raw = mutated(Random(f"{seed}:{number}"))
        try:
            check(raw)
        except Exception:
            kept = FOUND / f"{sha256(raw).hexdigest()[:16]}.eml"
            kept.write_bytes(raw)
            traceback.print_exc()
            print(f"Mail {number} of seed {seed} breaks it: {kept}")
            return 1
        number += 1
    print(f"{number} mails in {seconds} s, and nothing found.")
    return 0


def _traced(seconds: int, seed: int) -> int:
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["core.mail", "core.gateway.reading"]):
        from tests.fuzz.oracle import check

    corpus = FOUND / "corpus"
    corpus.mkdir(exist_ok=True)
    for raw in SEEDS:
        (corpus / sha256(raw).hexdigest()[:16]).write_bytes(raw)

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        return atheris.Mutate(data, max_size) if number % 3 else mutated(Random(number))[:max_size]

    options = [f"-max_total_time={seconds}", f"-seed={seed + 1}", "-max_len=60000", f"-artifact_prefix={FOUND}/"]
    atheris.Setup(
        [sys.argv[0], *options, "-timeout=20", str(corpus)],
        lambda data: check(data, _SLOWED_BY_TRACING),
        custom_mutator=mutate,
    )
    # Ends the process, with 77 where an input broke something.
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

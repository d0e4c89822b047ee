"""The real `postroom` command as a subprocess, in a folder and with a configuration of its own."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import yaml

from core.cli.main import main

_LOADED = multiprocessing.get_context("forkserver")
_LOADED.set_forkserver_preload(["tests.acceptance.loaded"])
POSTROOM = Path(sys.executable).with_name("postroom")
_ADDRESS = re.compile(r"(?:Postroom is at|Serving) (http://\S+)")


class Postroom:
    """A host in `folder`, as its operator has it: a configuration file and the command."""

    def __init__(self, folder: Path, **keys: Any):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"VAR_DIR": str(folder / "var"), **keys}))

    def call(self, *words: str, code: int = 0, timeout_s: float = 60, **environment: str) -> str:
        """Run a command to its end, expect an exit code, and return what it printed (errors too, when it fails).

        It is a process of its own, forked from one that has loaded the modules, which take longer than most commands.
        """
        printed, faults = self.folder / "printed.txt", self.folder / "faults.txt"
        process = _LOADED.Process(
            target=_run, args=(words, self.folder, self._environment(environment), printed, faults), daemon=True
        )
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
        output, errors = printed.read_text(), faults.read_text()
        assert process.exitcode == code, f"{words} ended with {process.exitcode}: {output}{errors}"
        return output if code == 0 else output + errors

    def json(self, *words: str, **keywords: Any) -> Any:
        """Run a command with --json and return what it printed, as a value."""
        return json.loads(self.call(*words, "--json", **keywords))

    @contextmanager
    def running(self, *words: str) -> Iterator[Running]:
        """Start a command that stays, and stop it as an operator would."""
        process = self.start(*words)
        try:
            yield process
        finally:
            process.stop()

    def start(self, *words: str) -> Running:
        """Start a command that stays."""
        log = self.folder / f"{'-'.join(words)}-{time.monotonic_ns()}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(POSTROOM), *words],
                cwd=self.folder,
                env=self._environment({"PYTHONUNBUFFERED": "1"}),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return Running(process, log)

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
        return {**kept, **more}


def _run(words: tuple[str, ...], folder: Path, environment: dict[str, str], printed: Path, faults: Path) -> None:
    """Be the command: in its folder, with its environment, words and files to print to."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(POSTROOM), *words]
    with printed.open("w") as output, faults.open("w") as errors, redirect_stdout(output), redirect_stderr(errors):
        main()


class Running:
    """A started command and its output."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path):
        self.process = process
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def address(self) -> str:
        """Wait until it says where its pages are."""
        return wait_for(lambda: self._alive() and (found := _ADDRESS.search(self.output)) and found[1], "an address")

    def kill(self) -> None:
        """End it as a power cut would: kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ask it to end by SIGTERM; it must, with exit code 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(30) == 0, self.output[-3000:]

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"it ended by itself: {self.output[-3000:]}"
        return True


def wait_for(found: Any, what: str, timeout_s: float = 30) -> Any:
    """Ask until the answer is true, and return it."""
    until = time.monotonic() + timeout_s
    while not (answer := found()):
        assert time.monotonic() < until, f"{what} did not come within {timeout_s} s"
        time.sleep(0.05)
    return answer

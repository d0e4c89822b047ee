"""The real `postroom` command as a subprocess, in a folder and with a configuration of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

POSTROOM = Path(sys.executable).with_name("postroom")
_ADDRESS = re.compile(r"(?:Postroom is at|Serving) (http://\S+)")


class Postroom:
    """A host in `folder`, as its operator has it: a configuration file and the command."""

    def __init__(self, folder: Path, **keys: Any):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"VAR_DIR": str(folder / "var"), **keys}))

    def call(self, *words: str, code: int = 0, timeout_s: float = 60, **environment: str) -> str:
        """Run a command to its end, expect an exit code, and return what it printed (errors too, when it fails)."""
        ended = subprocess.run(
            [str(POSTROOM), *words],
            cwd=self.folder,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert ended.returncode == code, f"{words} ended with {ended.returncode}: {ended.stdout}{ended.stderr}"
        return ended.stdout if code == 0 else ended.stdout + ended.stderr

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

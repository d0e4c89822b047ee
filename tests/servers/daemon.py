"""What the real test servers share: a private folder, one child process, waiting until it answers, a clean end.

Never touches files outside its folder and ends no process but its own child.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 10.0


class ServerMissingError(RuntimeError):
    """A test server is not installed; the message names the package."""


class ServerFailedError(RuntimeError):
    """A test server did not start; the message ends with its log."""


class Daemon(ABC):
    """One server process in a folder of its own.

    `start` returns once the server answers; `stop` ends the process and keeps the folder, so that it can start again
    with the same data and port; `close`, and leaving the `with` block, also removes the folder.
    """

    name: str
    run_as: str | None = None
    """Account to run under when the tests run as root; None keeps the current one."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"postroom-{self.name}-"))
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""

    @abstractmethod
    def prepare(self) -> None:
        """Write configuration and data; called before each start."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the running server takes connections."""

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        """Start and wait until ready; raises ServerMissingError or ServerFailedError."""
        self.prepare()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                self.as_account(self.command()),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self) -> None:
        assert self.process is not None
        give_up_at = time.monotonic() + READY_WITHIN_S
        while not self.is_ready():
            if self.process.poll() is not None:
                raise ServerFailedError(
                    f"{self.name} ended with code {self.process.returncode} at start.\n{self.log_tail()}"
                )
            if time.monotonic() > give_up_at:
                raise ServerFailedError(f"{self.name} did not answer within {READY_WITHIN_S:.0f} s.\n{self.log_tail()}")
            time.sleep(0.01)

    def log_tail(self) -> str:
        """Return the last 4 kB of what the server said."""
        return self.log_file.read_text(errors="replace")[-4000:] if self.log_file.exists() else "(no log)"

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server by a signal, or by force after ten seconds; does nothing when it is not running."""
        process, self.process = self.process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        # Its children are in the session it leads; none may outlive it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Stop and remove the folder with everything in it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def as_account(self, command: list[str]) -> list[str]:
        """Return the command so that it runs as `run_as`, which matters only to root."""
        if self.run_as is None or os.geteuid() != 0:
            return command
        group = str(pwd.getpwnam(self.run_as).pw_gid)
        return ["setpriv", f"--reuid={self.run_as}", f"--regid={group}", "--clear-groups", *command]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def program(name: str, package: str) -> str:
    """Return the full path of an installed program; raises ServerMissingError naming the Debian package."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if found is None:
        raise ServerMissingError(f"{name} is not installed. Run: apt-get install {package}")
    return found

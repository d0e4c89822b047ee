"""HTML to PDF in child processes that can be killed: time, memory, pages and pixels are bounded (SECURITY P1 to P6).

The event loop never waits on layout, and nothing that HTML names is fetched but `data:` and the files handed in. A
PDF comes out whole or not at all; equal input gives equal bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.errors import RenderError
from core.render.pdf_worker import HEADER, frame

WORKER = Path(__file__).with_name("pdf_worker.py")
START_S = 30.0
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "XDG_CACHE_HOME")


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """What one PDF may take at most; memory is over what the idle worker has."""

    wall_s: float = 10.0
    memory_mb: int = 512
    pages: int = 200
    megapixels: int = 25
    html_bytes: int = 10_000_000


@dataclass(frozen=True, slots=True)
class Pdf:
    """A finished PDF; `refused_urls` are those that the HTML named and that were not fetched."""

    content: bytes
    pages: int
    refused_urls: tuple[str, ...] = ()


class PdfRenderer:
    """A few workers, started when first needed and replaced when they fail; belongs to one event loop."""

    def __init__(self, size: int = 1, limits: PdfLimits = PdfLimits()):
        self.limits = limits
        self._places = asyncio.Semaphore(size)
        self._idle: list[_Worker] = []
        self._closed = False

    async def render(self, html: str, *, files: Mapping[str, bytes] = MappingProxyType({})) -> Pdf:
        """Return the PDF of an HTML page, whose images may be `data:` or `attachment:NAME` with NAME in `files`.

        Raises RenderError, with words for the report's author, when a limit is met or the worker ends.
        """
        content = html.encode("utf-8", "replace")
        if len(content) > self.limits.html_bytes:
            raise RenderError(f"The report is over {self.limits.html_bytes} bytes of HTML; split it.")
        async with self._places:
            if self._closed:
                raise RenderError("The PDF renderer is closed; open the host again.")
            worker = await self._worker()
            try:
                answer, blobs = await worker.ask(frame({"files": list(files)}, (content, *files.values())))
            finally:
                await self._put_back(worker)
        if "error" in answer:
            raise RenderError(f"The report cannot be made into a PDF: {answer['error']}.")
        return Pdf(blobs[0], answer["pages"], tuple(answer["refused"]))

    async def aclose(self) -> None:
        """End all workers; renders under way finish first."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    async def _worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await worker.end()
        return await _Worker.start(self.limits)

    async def _put_back(self, worker: _Worker) -> None:
        if worker.alive and not worker.spoilt and not self._closed:
            self._idle.append(worker)
        else:
            await worker.end()


class _Worker:
    """One child process; `spoilt` once it did not finish an answer, or said that it should not go on."""

    def __init__(self, process: Process, wall_s: float):
        self._process = process
        self._wall_s = wall_s
        self.spoilt = True

    @classmethod
    async def start(cls, limits: PdfLimits) -> _Worker:
        """Start a worker and wait until its fonts are loaded."""
        bounds = (limits.memory_mb, round(limits.wall_s + 0.5), limits.pages, limits.megapixels)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(WORKER), *map(str, bounds)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        )
        worker = cls(process, limits.wall_s)
        try:
            hello, _ = await asyncio.wait_for(worker._answer(), START_S)
        except (TimeoutError, asyncio.IncompleteReadError):
            hello = {"error": "its worker does not start"}
        finally:
            if worker.spoilt:
                await worker.end()
        if "error" in hello:
            await worker.end()
            raise RenderError(f"PDFs cannot be made: {hello['error']}. `postroom doctor` says what is missing.")
        return worker

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, request: bytes) -> tuple[dict[str, Any], list[bytes]]:
        """Return the answer to one request within the wall-clock limit; a worker that fails is spoilt."""
        self.spoilt = True
        try:
            return await asyncio.wait_for(self._exchange(request), self._wall_s)
        except TimeoutError:
            raise RenderError(f"The report takes longer than {self._wall_s:g} s to lay out; shorten it.") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise RenderError(
                "The report broke its PDF worker: it needs too much memory or time; shorten it, or use smaller images."
            ) from None

    async def end(self) -> None:
        """Kill the process, if it is there, and wait for it."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()

    async def _exchange(self, request: bytes) -> tuple[dict[str, Any], list[bytes]]:
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(request)
        await pipe.drain()
        return await self._answer()

    async def _answer(self) -> tuple[dict[str, Any], list[bytes]]:
        pipe = self._process.stdout
        assert pipe is not None
        length = HEADER.unpack(await pipe.readexactly(HEADER.size))[0]
        head = json.loads(await pipe.readexactly(length))
        blobs = [await pipe.readexactly(size) for size in head["sizes"]]
        self.spoilt = bool(head.get("fatal"))
        return head, blobs

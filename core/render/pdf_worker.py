"""The child process that makes PDFs: HTML in on standard input, PDF out on standard output, nothing else.

It is started by path with an empty environment and imports nothing of Postroom, so it holds no secret and no database.
It opens no socket and reads no file that HTML names: only `data:` and the files sent along are fetched. It ends when
its standard input closes, and its own alarm ends it when a render hangs and nobody is left to kill it.

A frame is four bytes of length, a JSON object, and the blobs whose sizes that object tells under `sizes`.
"""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import struct
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

HEADER = struct.Struct(">I")
ATTACHMENT = "attachment:"
REFUSED_SHOWN = 50
URL_SHOWN_CHARS = 200
IMAGE_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
POSTSCRIPT = (b"%!", b"\xc5\xd0\xd3\xc6")


def frame(head: Mapping[str, Any], blobs: Sequence[bytes]) -> bytes:
    """Return the bytes of one frame."""
    told = json.dumps({**head, "sizes": [len(blob) for blob in blobs]}).encode()
    return b"".join((HEADER.pack(len(told)), told, *blobs))


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], list[bytes]] | None:
    """Return the next frame of a stream, or None where it ends."""
    length = stream.read(HEADER.size)
    if len(length) < HEADER.size:
        return None
    head = json.loads(stream.read(HEADER.unpack(length)[0]))
    return head, [stream.read(size) for size in head["sizes"]]


def main(arguments: Sequence[str]) -> None:
    """Serve renders until standard input closes; the arguments are limits: MB, seconds, pages, megapixels."""
    memory_mb, seconds, pages, megapixels = (int(argument) for argument in arguments)
    answers = os.fdopen(os.dup(1), "wb")
    # A library that prints must not write into an answer.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        press = _Press(pages, megapixels)
    except (ImportError, OSError) as error:
        _send(answers, {"error": f"WeasyPrint cannot start: {error}", "fatal": True}, ())
        return
    _confine(memory_mb)
    _send(answers, {"ready": True}, ())
    while (request := read_frame(sys.stdin.buffer)) is not None:
        _limit_time(seconds)
        head, (html, *files) = request
        answer, blobs = press.render(html.decode(), dict(zip(head["files"], files, strict=True)))
        signal.alarm(0)
        _send(answers, answer, blobs)
        if answer.get("fatal"):
            return


class _Press:
    """WeasyPrint with its fonts loaded, and the guard on what it fetches."""

    def __init__(self, pages: int, megapixels: int):
        import PIL.Image
        import weasyprint
        import weasyprint.text.fonts
        import weasyprint.urls

        self._pages = pages
        self._weasyprint = weasyprint
        self._images = PIL.Image
        self._images.MAX_IMAGE_PIXELS = megapixels * 1_000_000
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        # One set of fonts for all renders: a new one each would leak a quarter of a megabyte every time.
        self._fonts = weasyprint.text.fonts.FontConfiguration()
        weasyprint.HTML(string="<p>fonts</p>").write_pdf(font_config=self._fonts)

    def render(self, html: str, files: Mapping[str, bytes]) -> tuple[dict[str, Any], tuple[bytes, ...]]:
        """Return the answer's head and the PDF, or the words that say why there is none."""
        fatal = self._weasyprint.urls.FatalURLFetchingError
        fetcher = self._fetcher(files)
        try:
            document = self._weasyprint.HTML(string=html, url_fetcher=fetcher).render(font_config=self._fonts)
            if len(document.pages) > self._pages:
                return {"error": f"it has {len(document.pages)} pages, and {self._pages} is the limit"}, ()
            content = document.write_pdf()
        except fatal as error:
            return {"error": str(error)}, ()
        except RecursionError:
            return {"error": "its elements are nested too deeply", "fatal": True}, ()
        except MemoryError:
            return {"error": "it needs too much memory", "fatal": True}, ()
        # The edge of one request: WeasyPrint can raise anything on hostile HTML, and the worker is thrown away after.
        except Exception as error:
            return {"error": f"WeasyPrint cannot lay it out ({type(error).__name__})", "fatal": True}, ()
        finally:
            self._forget_fonts()
        return {"pages": len(document.pages), "refused": fetcher.refused}, (content,)

    def _forget_fonts(self) -> None:
        # A document that brought its own fonts must not leave them to the next one.
        if self._fonts._folder is not None:
            self._fonts = self._weasyprint.text.fonts.FontConfiguration()

    def _fetcher(self, files: Mapping[str, bytes]) -> Any:
        urls, images = self._weasyprint.urls, self._images

        class Fetcher(urls.URLFetcher):  # type: ignore[misc, name-defined]
            """Answers `data:` and the files sent along; refuses and notes everything else."""

            def __init__(self) -> None:
                super().__init__(allowed_protocols=("data",), allow_redirects=False)
                self.refused: list[str] = []

            def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
                if url.startswith(ATTACHMENT):
                    return self._sent_along(url)
                if url[:5].lower() != "data:":
                    raise self._refusal(url)
                response = super().fetch(url, headers)
                content = response.read()
                self._inspect(url, content)
                return urls.URLFetcherResponse(url, content, response.headers)

            def _sent_along(self, url: str) -> Any:
                content = files.get(urls.unquote(url.removeprefix(ATTACHMENT).lstrip("/")))
                if content is None:
                    raise self._refusal(url)
                self._inspect(url, content)
                return urls.URLFetcherResponse(url, content)

            def _inspect(self, url: str, content: bytes) -> None:
                if fault := _image_fault(images, content):
                    raise urls.FatalURLFetchingError(fault)
                if content.lstrip()[:4].startswith(POSTSCRIPT):
                    raise self._refusal(url)

            def _refusal(self, url: str) -> Exception:
                if len(self.refused) < REFUSED_SHOWN:
                    self.refused.append(url[:URL_SHOWN_CHARS])
                return ValueError("refused")

        return Fetcher()


def _image_fault(images: Any, content: bytes) -> str | None:
    """Return why a raster image is not for us, or None; text, fonts and SVG pass."""
    try:
        with images.open(io.BytesIO(content), formats=IMAGE_FORMATS) as image:
            image.verify()
    except (images.DecompressionBombError, images.DecompressionBombWarning):
        return "an image in it has too many pixels"
    except (OSError, SyntaxError, ValueError):
        return None
    return None


def _confine(memory_mb: int) -> None:
    """Bound the memory from here on, and close the ways out of the process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    allowed = pages * resource.getpagesize() + memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_refuse_ways_out)


def _refuse_ways_out(event: str, _details: object) -> None:
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")):
        raise PermissionError(f"a PDF worker does not use {event}")


def _limit_time(seconds: int) -> None:
    """Let the kernel end this process when the coming render uses or takes too long."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds + 1, hard))
    signal.alarm(seconds + 2)


def _send(answers: BinaryIO, head: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
    answers.write(frame(head, blobs))
    answers.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

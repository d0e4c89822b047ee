"""Hostile pages for the PDF tests: every place that might fetch a URL, and pages that cost more than they look."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from itertools import pairwise

import PIL.Image


def data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def svg(inside: str, before: str = "") -> str:
    """A drawing as the value of `src`."""
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return data_url(f"{before}{head}{inside}</svg>".encode(), "image/svg+xml")


def image(url: str) -> str:
    return f"<img src='{url}'>"


def style(rules: str, page: str = "<p>x") -> str:
    return f"<style>{rules}</style>{page}"


def picture(form: str, size: tuple[int, int]) -> bytes:
    content = io.BytesIO()
    PIL.Image.new("1" if form in ("TIFF", "BMP", "PNG") else "L", size).save(content, form)
    return content.getvalue()


_PLACES = (
    "<link rel=stylesheet href='URL'>",
    "<link rel=attachment href='URL'>",
    "<link rel='attachment stylesheet icon preload prefetch' href='URL'>",
    "<link rel=alternate href='URL'><link rel=import href='URL'>",
    "<a rel=attachment href='URL' download>a</a>",
    "<img src='URL'>",
    "<img srcset='URL 2x'><picture><source srcset='URL'><img></picture>",
    "<img loading=lazy src='  URL  '>",
    "<object data='URL' type='image/svg+xml'>x</object>",
    "<embed src='URL'><iframe src='URL'></iframe><frame src='URL'>",
    "<video poster='URL'><source src='URL'></video><audio src='URL'></audio>",
    "<input type=image src='URL'><table background='URL'>",
    "<base href='URL'><img src='planted.svg'><link rel=stylesheet href='planted.css'>",
    "<meta http-equiv=refresh content='0;url=URL'>",
    style("@import 'URL';"),
    style("@import url(URL) print;"),
    style("@font-face { font-family: f; src: url(URL) } p { font-family: f }"),
    style("@page { background: url(URL); @top-left { content: url(URL) } }"),
    style("p { background-image: image-set('URL' 1x) } p { background: url(URL) }"),
    style("li { list-style-image: url(URL) } p::before { content: url(URL) }", "<li>x<p>x"),
    style("p { border: 9px solid; border-image: url(URL) 9 } i { mask: url(URL) }", "<p><i>x"),
    style("p { filter: url(URL#f); cursor: url(URL); clip-path: url(URL) }"),
    "<p style='background: url(URL)'>x",
    "<svg><image href='URL' width=9 height=9 /><use href='URL#a'/></svg>",
    "<svg><style>@import url(URL)</style><rect style='fill: url(URL#a)' width=9 height=9 /></svg>",
)
_DRAWN = (
    ('<image width="9" height="9" xlink:href="URL"/>', ""),
    ('<style>@import url(URL); rect { fill: url(URL) }</style><rect width="9" height="9"/>', ""),
    ('<text y="9">&x;</text>', '<!DOCTYPE svg [<!ENTITY x SYSTEM "URL">]>'),
    ("<rect/>", '<?xml-stylesheet href="URL"?>'),
)


def places(url: str) -> str:
    """Return a page with the URL in every place from which it might be fetched."""
    drawn = [image(svg(inside.replace("URL", url), before.replace("URL", url))) for inside, before in _DRAWN]
    sheet = data_url(f"@import url({url});".encode(), "text/css")
    return "".join([*(one.replace("URL", url) for one in _PLACES), *drawn, f"<link rel=stylesheet href='{sheet}'>"])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png_of(width: int, height: int) -> bytes:
    """A picture of a few kilobytes that claims to unpack to gigabytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    packed = zlib.compress(b"\0" * 1_000_000, 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _png_with_comment() -> bytes:
    """A picture whose comment unpacks to a hundred megabytes."""
    small = picture("PNG", (2, 2))
    return small[:33] + _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 100_000_000, 9)) + small[33:]


def _laughs() -> str:
    """Eight entities, each ten of the one before."""
    names = "abcdefghi"
    steps = [f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in pairwise(names)]
    return svg("<text>&i;</text>", '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa">' + "".join(steps) + "]>")


def _uses() -> str:
    """Eight groups, each ten of the one before."""
    groups = [f'<g id="g{n}">' + f'<use xlink:href="#g{n - 1}"/>' * 10 + "</g>" for n in range(1, 9)]
    return svg('<g id="g0"><rect width="1" height="1"/></g>' + "".join(groups) + '<use xlink:href="#g8"/>')


def _blurs() -> str:
    blurs = '<feGaussianBlur stdDeviation="99999"/>' * 999
    return svg(f'<filter id="a">{blurs}</filter><rect filter="url(#a)" width="9999" height="9999"/>')


def bombs() -> dict[str, str]:
    """Return pages by what is too much in them."""
    font = data_url(b"wOF2" + b"x" * 5_000, "font/woff2")
    inner = svg("<rect/>" * 9)
    return {
        "nested": "<div>" * 900,
        "nested spans": "<span>" * 5_000,
        "rows": "<table>" + "<tr><td>a<td>b<td>c" * 20_000,
        "boxes": "<div style='width: 1e7px; height: 1e7px; background: linear-gradient(red, blue)'>x</div>" * 3,
        "gradient": f"<p style='background: repeating-linear-gradient({'red, blue, ' * 5_000} red)'>x",
        "columns": "<div style='columns: 99999; column-gap: 0'>" + "x " * 5_000,
        "flex": "<div style='display: flex'>" * 40 + "x",
        "grid": "<div style='display: grid; grid-template-columns: repeat(99999, 1px)'>" + "<i>x</i>" * 999,
        "counters": style(
            "p { counter-increment: a 99999999 } p::before { content: counter(a, upper-roman) }", "<p>" * 99
        ),
        "selectors": style(":not(" * 200 + "p" + ")" * 200 + "{}" + "* " * 60 + "{ color: red }", "<p>" + "<i>" * 200),
        "font": style(f"@font-face {{ font-family: f; src: url({font}) }} p {{ font-family: f }}"),
        "svg blurs": image(_blurs()),
        "svg laughs": image(_laughs()),
        "svg uses": image(_uses()),
        "svg in svg": image(svg(f'<image xlink:href="{inner}"/>' * 999)),
        "png": image(data_url(_png_of(50_000, 50_000), "image/png")),
        "png comment": image(data_url(_png_with_comment(), "image/png")),
        "tiff": image(data_url(picture("TIFF", (60_000, 1_000)), "image/png")),
        "bmp": image(data_url(picture("BMP", (60_000, 1_000)), "image/png")),
    }

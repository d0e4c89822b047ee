"""A reply cut into what its writer added and what it quotes, so that a timeline can fold the rest.

No pattern here can run longer than its line: each line is looked at by its ends. It never loses a word: both halves
together are the body, and where it is unsure (answers between the quoted lines, quoted text without a mark and nothing
above it) everything is new.
"""

from __future__ import annotations

import re

from core.mail.values import Reply

REPLY_MAX_CHARS = 1024 * 1024
_MAX_LINES = 5000
_MAX_LINE_CHARS = 400

_INTRODUCTION_ENDS = (
    *("wrote:", "writes:", "schrieb:", "geschrieben:", "a écrit :", "a écrit\u00a0:", "a écrit:", "escribió:"),
    *("escreveu:", "ha scritto:", "schreef:", "geschreven:", "skrev:", "skrev følgende:", "kirjoitti:", "pisze:"),
    *("napisał:", "napisała:", "napisał(a):", "napsal(a):", "napísal(a):", "yazdı:", "şunu yazdı:", "написал:"),
    *("написал(а):", "пишет:", "написав:", "写道：", "写道:", "寫道：", "のメール:", "님이 작성:", "a scris:", "írta:"),
)
_INTRODUCTION_STARTS = ("am ", "on ", "le ", "el ", "op ", "den ", "em ", "il ", "w dniu ", "dne ", "dnia ")
_DIVIDERS = frozenset({
    *("original message", "forwarded message", "ursprüngliche nachricht", "weitergeleitete nachricht"),
    *("message d'origine", "message original", "message transféré", "mensaje original", "mensaje reenviado"),
    *("messaggio originale", "messaggio inoltrato", "mensagem original", "oorspronkelijk bericht"),
    *("doorgestuurd bericht", "original meddelelse", "ursprungligt meddelande", "wiadomość oryginalna"),
    *("oryginalna wiadomość", "původní zpráva", "исходное сообщение", "пересылаемое сообщение"),
    "please reply above this line",
})  # fmt: skip
_HEADER_FROM = ("from:", "von:", "de:", "da:", "van:", "från:", "fra:", "od:", "от:", "отправитель:")
_HEADER_LINE = re.compile(r"[*]?[^\W\d_][^\W\d_ -]{0,14}[ -]?[^\W\d_]{0,14}[*]? ?:[*]? ")


def split_reply(text: str) -> Reply:
    """Cut a text body; a signature under `-- ` goes with what is quoted, text beyond a megabyte too."""
    text, rest = text[:REPLY_MAX_CHARS], text[REPLY_MAX_CHARS:]
    lines = text.split("\n")
    shapes = [_shape(line) for line in lines[:_MAX_LINES]]
    start, end = _quoted_lines(shapes)
    signature = _signature(shapes, end if start < end else 0)
    own = [*lines[:start], *lines[end:signature]] if start < end else lines[:signature]
    if not "".join(own).strip():
        return Reply(text + rest, "")
    old = [*lines[start:end], *lines[signature:]] if start < end else lines[signature:]
    return Reply("\n".join(own).strip("\n"), "\n".join(old).strip("\n") + rest)


def split_reply_html(html: str) -> Reply:
    """Cut an HTML body at the element in which mail programs put what they quote; each half is to be cleaned alone."""
    mark = _QUOTING_ELEMENT.search(html[:REPLY_MAX_CHARS])
    if mark is None:
        return Reply(html, "")
    new, quoted = html[: mark.start()], html[mark.start() :]
    if _words_outside_quotes(quoted) or not _has_content(new):
        return Reply(html, "")
    return Reply(new, quoted)


def _shape(line: str) -> str:
    """Return what is looked at of a line: nothing of a long one, as no introduction is."""
    return line.strip() if len(line) <= _MAX_LINE_CHARS else "-"


def _quoted_lines(shapes: list[str]) -> tuple[int, int]:
    """Return the first line of the quoted text and the one after its last; both 0 for none, or no telling."""
    start = next((at for at in range(len(shapes)) if _begins_quotation(shapes, at)), None)
    if start is None:
        return 0, 0
    marks = [at for at in range(start, len(shapes)) if shapes[at].startswith(">")]
    if not marks:
        return (start, _ALL) if any(shapes[:start]) else (0, 0)
    first, last = marks[0], marks[-1]
    between = [line for line in shapes[first : last + 1] if line and not line.startswith(">")]
    heading = [line for line in shapes[start + 2 : first] if line]
    if between or (heading and not shapes[start].startswith(">")):
        return 0, 0
    return start, last + 1


_ALL = 1 << 60


def _begins_quotation(shapes: list[str], at: int) -> bool:
    line = shapes[at]
    if not line:
        return False
    return line.startswith(">") or _introduces(shapes, at) or _divides(line) or _is_header_block(shapes[at : at + 6])


def _introduces(shapes: list[str], at: int) -> bool:
    line = shapes[at].lower()
    if line.endswith(_INTRODUCTION_ENDS):
        return _has_digit(line) or "@" in line
    # "On Monday ... Alice <alice@x.example>" and "wrote:" on the next line, as mail programs wrap it.
    if not line.startswith(_INTRODUCTION_STARTS) or not _has_digit(line):
        return False
    if line.endswith(":") and any(f" {verb[:-1]} " in line for verb in ("schrieb:", "schreef:", "skrev:")):
        return True
    return any(following.lower().endswith(_INTRODUCTION_ENDS) for following in shapes[at + 1 : at + 3] if following)


def _divides(line: str) -> bool:
    if line.startswith("____") and not line.strip("_"):
        return len(line) >= 30
    return line.startswith("--") and line.strip("- ").lower() in _DIVIDERS


def _is_header_block(lines: list[str]) -> bool:
    if not lines[0].lstrip("*").lower().startswith(_HEADER_FROM):
        return False
    return sum(1 for line in lines if _HEADER_LINE.match(line)) >= 3


def _has_digit(line: str) -> bool:
    return any(char.isdigit() for char in line)


def _signature(shapes: list[str], start: int) -> int:
    """Return the line of the last signature mark from `start` on, or a number beyond all lines."""
    return next((at for at in range(len(shapes) - 1, start - 1, -1) if shapes[at] == "--"), _ALL)


_QUOTING_ELEMENT = re.compile(
    r"<(?:blockquote\b[^<>]{0,300}?(?:\btype=.?cite|gmail_quote|protonmail_quote|tutanota_quote)"
    r"|(?:div|span|hr|table|section)\b[^<>]{0,300}?(?:"
    r"\bclass=[^<>\w]{0,2}(?:gmail_quote|yahoo_quoted|moz-cite-prefix|protonmail_quote|zmail_extra|OutlookMessageHeader)"
    r"|\bid=[^<>\w]{0,2}(?:appendonsend|divRplyFwdMsg|stopSpelling|mail-editor-reference-message-container|reply-intro)"
    r"|\bname=[^<>\w]{0,2}(?:messageReplySection|quote)"
    r"|border:none;border-top:solid #[0-9a-f]{6} 1\.0pt;padding:3\.0pt 0))",
    re.IGNORECASE,
)
_TAG = re.compile(r"<(/?)([a-z0-9]*)[^<>]*+>?", re.IGNORECASE)


def _words_outside_quotes(quoted: str) -> bool:
    """Tell whether the writer answers below or between the quoted blocks; without such blocks nobody can tell."""
    depth = blocks = 0
    end = 0
    for tag in _TAG.finditer(quoted):
        if blocks and not depth and _is_text(quoted[end : tag.start()]):
            return True
        if tag[2].lower() == "blockquote":
            depth = max(depth + (-1 if tag[1] else 1), 0)
            blocks += not tag[1]
        end = tag.end()
    return bool(blocks) and not depth and _is_text(quoted[end:])


def _has_content(html: str) -> bool:
    return "<img" in html.lower() or _is_text(_TAG.sub("", html))


def _is_text(html: str) -> bool:
    return bool(html.replace("&nbsp;", " ").strip())

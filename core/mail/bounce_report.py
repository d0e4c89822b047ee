"""The fields of a delivery report (RFC 3464 section 2), whatever became of them on the way, into recipients' fates.

Real reports leave out the blank line between two recipients or put one within, forget the type of an address, write
`Action` beside the report's own fields, or come as plain text. RFC 6533 section 3 for addresses beyond ASCII, RFC 3461
section 4 for xtext.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.mail.address import tolerant_addresses
from core.mail.bounce_cause import cause_of, is_hard, status_in
from core.mail.values import BouncedRecipient
from core.mail.words import decode_text, decoded_words
from core.pattern import pattern

DIAGNOSTIC_CHARS = 1000
_TEXT_CHARS = 256 * 1024
_MOST_RECIPIENTS = 1000

_FIELD = pattern(
    r"[ \t>]{0,4}((?:original|final|x-actual)-recipient|action|status|diagnostic-code|remote-mta|reporting-mta"
    r"|original-envelope-id|last-attempt-date|will-retry-until|arrival-date|received-from-mta|dsn-gateway"
    r"|x-[a-z0-9-]{1,60})"
    r"[ \t]?:[ \t]*(.*)",
    re.IGNORECASE,
)
_TELLS_A_RECIPIENT = pattern(r"(?im)^[ \t>]{0,4}(?:final|original)-recipient[ \t]?:")
_ACTIONS = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})
_OTHER_ACTIONS = {
    "error": "failed",
    "failure": "failed",
    "permanent": "failed",
    "fail": "failed",
    "bounced": "failed",
    "delay": "delayed",
    "expired": "failed",
}
_STATUS = pattern(r"[245]\.\d{1,3}\.\d{1,3}")
_UNICODE = pattern(r"\\x\{([0-9A-Fa-f]{1,6})\}")
_XTEXT = pattern(r"\+(2B|3D)")
_BARE = pattern(r"[^\s<>@;:,()]{1,64}")

_Group = dict[str, str]


@dataclass(frozen=True, slots=True)
class Fields:
    """A report as its fields stand: those about the whole, and a group for each recipient."""

    about: Mapping[str, str]
    groups: Sequence[Mapping[str, str]]


def has_fields(text: str) -> bool:
    """Tell whether a text names a recipient as a delivery report does."""
    return _TELLS_A_RECIPIENT.search(text, 0, _TEXT_CHARS) is not None


def read_fields(content: bytes | str) -> Fields:
    """Read the fields of a report; what is none is passed over."""
    text = decode_text(content[:_TEXT_CHARS]) if isinstance(content, bytes) else content[:_TEXT_CHARS]
    groups: list[_Group] = [{}]
    gap = False
    for name, value in _lines(text):
        if not name:
            gap = True
            continue
        if _starts_group(name, groups[-1], gap=gap):
            groups.append({})
        groups[-1].setdefault(name, value)
        gap = False
    told = [group for group in groups if _is_told(group)]
    return Fields(groups[0] if not _is_told(groups[0]) else {}, told[:_MOST_RECIPIENTS])


def recipients_of(fields: Fields, known: Sequence[str] = (), otherwise: str = "failed") -> list[BouncedRecipient]:
    """Return the fate of each recipient that the report names by an address.

    A name without a domain counts as the one of the addresses `known` that it is the local part of; `otherwise` is the
    action where the report forgets it.
    """
    told = (_recipient(group, fields.about, known, otherwise) for group in fields.groups)
    unique = {(one.address.lower(), one.action): one for one in reversed([one for one in told if one])}
    return list(reversed(unique.values()))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and unfolded value of each field, and an empty name for each blank line."""
    name, pieces = "", [""]
    for line in (*text.splitlines(), ""):
        field = _FIELD.match(line)
        if field is None and name and line[:1] in (" ", "\t") and line.strip():
            pieces.append(line.strip())
            continue
        if name:
            yield name, " ".join(pieces).strip()
        name, pieces = (field[1].lower(), [field[2].strip()]) if field else ("", [""])
        if not line.strip():
            yield "", ""


def _starts_group(name: str, group: _Group, *, gap: bool) -> bool:
    if name in ("final-recipient", "original-recipient") and name in group:
        return True
    if not gap or not group:
        return False
    return not _is_told(group) or "action" in group or "status" in group or name.endswith("-recipient")


def _is_told(group: Mapping[str, str]) -> bool:
    return "final-recipient" in group or "original-recipient" in group


def _recipient(
    group: Mapping[str, str], about: Mapping[str, str], known: Sequence[str], otherwise: str
) -> BouncedRecipient | None:
    actual = _address(group.get("x-actual-recipient", ""), known)
    original = _address(group.get("original-recipient", ""), known, is_xtext=True)
    final = _address(group.get("final-recipient", ""), known) or actual
    if not (final or original):
        return None
    # Where a server delivers inside, such as user@ims_daemon, is nobody's address.
    if original and final and "." not in final.rpartition("@")[2]:
        final = original
    found = _STATUS.search(group.get("status", "") or about.get("status", ""))
    diagnostic = _after_type(decoded_words(group.get("diagnostic-code", "")))[:DIAGNOSTIC_CHARS]
    status = found[0] if found else None
    # What the other server said is more exact than the general code that some put beside it.
    if status is None or (status.endswith(".0.0") and status_in(diagnostic)):
        status = status_in(diagnostic) or status
    action = _action(group.get("action", "") or about.get("action", ""), status, otherwise)
    if action is None:
        return None
    cause = cause_of(status, diagnostic)
    return BouncedRecipient(
        address=final or original or "",
        action=action,
        status=status,
        diagnostic=diagnostic,
        hard=is_hard(action, status, cause, diagnostic),
        original_address=original,
        cause=cause.value,
    )


def _action(said: str, status: str | None, otherwise: str) -> str | None:
    word = said.split()[0].lower().strip(";,.") if said.split() else ""
    word = _OTHER_ACTIONS.get(word, word)
    if word in _ACTIONS:
        return word
    if word:
        return None
    return "delivered" if (status or "").startswith("2") else otherwise


def _address(value: str, known: Sequence[str], *, is_xtext: bool = False) -> str | None:
    """Return the address in `type; address`, whatever stands around it."""
    kind, text = _kind(value)
    text = _UNICODE.sub(_character, text)
    found = tolerant_addresses(text) or tolerant_addresses(text.strip("<>\"' "))
    if found:
        address = found[0].address
        return _XTEXT.sub(lambda match: {"2B": "+", "3D": "="}[match[1]], address) if is_xtext else address
    name = _BARE.fullmatch(text.strip("<>\"' "))
    if name is None or kind == "x400":
        return None
    return next((one for one in known if one.partition("@")[0] == name[0].lower()), None)


def _kind(value: str) -> tuple[str, str]:
    kind, semicolon, text = value.partition(";")
    return (kind.strip().lower(), text.strip()) if semicolon else ("", value.strip())


def _after_type(value: str) -> str:
    """Return what stands after the type of `type; value`, where a type stands there."""
    kind, semicolon, text = value.partition(";")
    return (
        text.strip() if semicolon and re.fullmatch(r"[A-Za-z0-9 ._-]{1,40}", kind) and len(kind.split()) == 1 else value
    )


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if 0x7F < code < 0xD800 or 0xDFFF < code < 0x110000 else ""

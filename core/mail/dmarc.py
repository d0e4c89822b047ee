"""Whether a check that passed speaks for the From address: DMARC (RFC 7489, and RFC 9989's walk up the tree).

The organisation that a domain belongs to is found by asking for policies at each name above it, not by a list of
public suffixes, which would have to be kept up to date.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from core.mail.authentication import Authentication, Check, judged
from core.mail.names import Names, NamesAway
from core.mail.published import tags_of

_MOST_LABELS = 8
_POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class _Found:
    """The policies above a domain, from itself upwards: (domain, tags)."""

    domain: str
    records: tuple[tuple[str, dict[str, str]], ...]

    @property
    def organisation(self) -> str:
        """The organisational domain (RFC 9989 section 4.10.2)."""
        for at, (name, tags) in enumerate(self.records):
            if tags.get("psd") == "n":
                return name
            if tags.get("psd") == "y" and name != self.domain:
                labels = self.domain.split(".")
                return ".".join(labels[-(name.count(".") + 2) :])
            if at == len(self.records) - 1:
                return name
        return self.domain

    @property
    def policy(self) -> tuple[str, dict[str, str]] | None:
        """What the domain asks for, and the record that says so; None where nothing is published for it."""
        by_name = dict(self.records)
        if (own := by_name.get(self.domain)) is not None:
            return _policy(own.get("p", "")), own
        above = by_name.get(self.organisation) or (self.records[0][1] if self.records else None)
        return None if above is None else (_policy(above.get("sp") or above.get("p", "")), above)


async def judge(names: Names, author: str, checks: Iterable[Check]) -> Authentication:
    """Return what the checks of a mail say about its author's domain; an empty domain has nobody to vouch for it."""
    checks = tuple(checks)
    if not author:
        none = Check("dmarc", "none", "", "It has no author, or several.")
        return judged("no one person", checks, none, None)
    try:
        found = await _walk(names, author)
        policy = found.policy
        asked, tags = policy or ("none", {})
        aligned = await _aligned(names, found, tags, checks)
    except NamesAway as away:
        # What needs no further question holds even so.
        exact = next((one for one in checks if one.result == "pass" and one.domain == author), None)
        return judged(author, checks, Check("dmarc", "temperror", author, str(away)), exact, is_open=True)
    # A forger may name domains that never answer: only those that could vouch leave it open.
    is_open = any(one.result == "temperror" and _related(one.domain, found.organisation) for one in checks)
    if policy is None:
        return judged(author, checks, Check("dmarc", "none", author, "no policy"), aligned, is_open=is_open)
    result = "pass" if aligned else "fail"
    dmarc = Check("dmarc", result, author, f"p={asked}")
    # A domain that only watches asks nothing of anybody.
    is_asking = result == "fail" and asked == "none"
    dmarc = Check("dmarc", "none", author, "p=none") if is_asking else dmarc
    return judged(author, checks, dmarc, aligned, is_open=is_open)


async def _aligned(names: Names, author: _Found, tags: dict[str, str], checks: tuple[Check, ...]) -> Check | None:
    """Return the first check that passed for the author's domain, or for its organisation where that is enough."""
    for check in checks:
        if check.result != "pass" or not check.domain:
            continue
        if check.domain == author.domain:
            return check
        strict = tags.get("adkim" if check.method == "dkim" else "aspf", "r").lower() == "s"
        is_near = not strict and _related(check.domain, author.organisation)
        if is_near and (await _walk(names, check.domain)).organisation == author.organisation:
            return check
    return None


def _related(domain: str, organisation: str) -> bool:
    return domain == organisation or domain.endswith(f".{organisation}")


async def _walk(names: Names, domain: str) -> _Found:
    """Ask for the policies of a domain and those above it (RFC 9989 section 4.10), eight questions at the most."""
    labels = domain.split(".")
    above = [labels, *(labels[at:] for at in range(max(1, len(labels) - _MOST_LABELS + 1), len(labels)))]
    records: list[tuple[str, dict[str, str]]] = []
    for one in above:
        name = ".".join(one)
        found = [tags for text in await names.texts(f"_dmarc.{name}") if (tags := tags_of(text)).get("v") == "DMARC1"]
        if len(found) != 1:
            continue
        records.append((name, found[0]))
        if found[0].get("psd") in ("y", "n"):
            break
    return _Found(domain, tuple(records))


def _policy(asked: str) -> str:
    return asked.lower() if asked.lower() in _POLICIES else "none"

"""What a sender's domain publishes for those who judge its mail, and what is wrong with it.

DKIM keys (RFC 6376 section 3.6.1), SPF (RFC 7208) and DMARC (RFC 7489), from texts that somebody else has looked up.
Whether SPF names the right servers is not judged here: that takes more questions than a person asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `fix` says what to do where it is not ok."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def judge_key(name: str, texts: Sequence[str], wanted: str) -> Finding:
    """Compare what is published at a key's name with its record."""
    title = f"DKIM {name}"
    publish = f"Publish this TXT record, and only this one, at {name}: {wanted}"
    if not texts:
        return Finding(title, False, "Nothing is published.", publish)
    if len(texts) > 1:
        return Finding(title, False, f"{len(texts)} records are published, and which one counts is not said.", publish)
    found, ours = tags_of(texts[0]), tags_of(wanted)
    if (fault := _fault(found, ours)) is not None:
        return Finding(title, False, fault, publish)
    if "y" in found.get("t", "").split(":"):
        return Finding(title, True, "Published, for testing (t=y): nobody minds a wrong signature.")
    return Finding(title, True, "Published.")


def _fault(found: dict[str, str], ours: dict[str, str]) -> str | None:
    if found.get("v", "DKIM1") != "DKIM1":
        return "What is published is no DKIM key."
    if not found.get("p"):
        return "The key is revoked (p= is empty)." if "p" in found else "What is published is no DKIM key."
    if found.get("k", "rsa") != ours["k"] or found["p"] != ours["p"]:
        return "Another key is published."
    if "sha256" not in found.get("h", "sha256").split(":"):
        return "The record does not allow sha256 (h=)."
    if not {"email", "*"} & set(found.get("s", "*").split(":")):
        return "The record is not for e-mail (s=)."
    return None


def judge_spf(domain: str, texts: Sequence[str], wanted: str) -> Finding:
    """Look at the SPF policy of an envelope sender's domain."""
    title = f"SPF {domain}"
    policies = [text for text in texts if text.lower().split()[:1] == ["v=spf1"]]
    if not policies:
        return Finding(title, False, "No policy is published.", f"Publish such a TXT record at {domain}: {wanted}")
    if len(policies) > 1:
        return Finding(title, False, f"{len(policies)} policies are published: none counts.", "Keep one of them.")
    if {"+all", "all"} & set(policies[0].lower().split()):
        return Finding(title, False, f"It lets everybody send: {policies[0]}", "End it with ~all or -all.")
    return Finding(title, True, f"See that it names the servers that send for you: {policies[0]}")


def judge_dmarc(domain: str, texts: Sequence[str], wanted: str) -> Finding:
    """Look at the DMARC policy that holds for a From domain."""
    title = f"DMARC {domain}"
    policies = [text for text in texts if tags_of(text).get("v") == "DMARC1"]
    if not policies:
        return Finding(
            title, False, "No policy is published.", f"Publish such a TXT record at _dmarc.{domain}: {wanted}"
        )
    if len(policies) > 1:
        return Finding(title, False, f"{len(policies)} policies are published: none counts.", "Keep one of them.")
    if tags_of(policies[0]).get("p", "").lower() not in ("none", "quarantine", "reject"):
        return Finding(title, False, f"It has no policy: {policies[0]}", "Write p=none, p=quarantine or p=reject.")
    return Finding(title, True, policies[0])


def tags_of(text: str) -> dict[str, str]:
    """Read a tag list (RFC 6376 section 3.2); white space within values means nothing here."""
    pairs = (item.partition("=") for item in text.split(";"))
    return {name.strip(): "".join(value.split()) for name, equals, value in pairs if equals}

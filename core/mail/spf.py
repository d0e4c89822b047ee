"""Whether a host may send for a domain: `check_host` of SPF (RFC 7208).

The DNS is asked through `Names`, ten times and for nothing twice at the most (section 4.6.4); explanations (`exp=`)
are not fetched, as nobody is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote

from core.mail.authentication import Check, Client
from core.mail.names import Names, NamesAway
from core.pattern import pattern

_MOST_QUESTIONS = 10
_MOST_VOID = 2
_MOST_HOSTS = 10
_MOST_CHARS = 4096
_NAME_CHARS = 253
_RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_MECHANISM = pattern(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:([:/])(.*))?", re.IGNORECASE | re.DOTALL)
_MODIFIER = pattern(r"([A-Za-z][A-Za-z0-9._-]*)=(.*)", re.DOTALL)
_MACRO = pattern(r"%(?:\{([slodiphcrtvSLODIPHCRTV])(\d*)([rR]?)([.+,/_=-]*)\}|([%_-])|())")
_LENGTHS = pattern(r"(.*?)(?:/(\d{1,3}))?(?://(\d{1,3}))?", re.DOTALL)
_TOP_LABEL = pattern(r"(?!-)(?=[0-9-]*[A-Za-z-])[A-Za-z0-9-]+(?<!-)")
_LABELLED = pattern(r"(?:[^.]{1,63}\.)+[A-Za-z0-9-]*[A-Za-z-][A-Za-z0-9-]*\.?")

_Address = IPv4Address | IPv6Address


class _Permanent(Exception):
    """The published policy cannot be understood."""


@dataclass(slots=True)
class _Asking:
    """One evaluation: whom it is about, and how much of the DNS it has used."""

    names: Names
    ip: _Address
    sender: str
    helo: str
    questions: int = 0
    void: int = 0
    seen: list[str] = field(default_factory=list)

    def count(self) -> None:
        self.questions += 1
        if self.questions > _MOST_QUESTIONS:
            raise _Permanent("It asks more than ten questions of the DNS.")

    def note(self, answers: tuple[str, ...]) -> tuple[str, ...]:
        self.void += not answers
        if self.void > _MOST_VOID:
            raise _Permanent("It leads to names that are not there.")
        return answers

    async def addresses(self, name: str) -> list[_Address]:
        return [ip_address(one) for one in await self.names.addresses(name, v6=self.ip.version == 6)]


async def check_spf(names: Names, client: Client, return_path: str) -> Check:
    """Return the result for the host that a mail came from and its envelope sender, or its HELO for the null sender."""
    sender = return_path if "@" in return_path else f"postmaster@{return_path or client.helo}"
    local, _, domain = sender.rpartition("@")
    ip = ip_address(client.address)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    asking = _Asking(names, mapped or ip, f"{local or 'postmaster'}@{domain}", client.helo)
    try:
        result = await _check_host(asking, domain)
    except NamesAway as away:
        return Check("spf", "temperror", domain, str(away))
    except _Permanent as fault:
        return Check("spf", "permerror", domain, str(fault))
    return Check("spf", result, domain, f"sent by {client.address}")


async def _check_host(asking: _Asking, domain: str) -> str:
    if not _is_name(domain):
        return "none"
    policies = [one for one in await asking.names.texts(domain) if one.lower().split(" ")[0] == "v=spf1"]
    if not policies:
        return "none"
    if len(policies) > 1:
        raise _Permanent(f"{domain} publishes {len(policies)} policies.")
    mechanisms, modifiers = _parsed(policies[0][:_MOST_CHARS])
    for qualifier, name, value in mechanisms:
        if await _matches(asking, domain, name, value):
            return _RESULTS[qualifier]
    if redirect := modifiers.get("redirect"):
        asking.count()
        result = await _check_host(asking, await _expanded(asking, domain, redirect))
        if result == "none":
            raise _Permanent(f"{domain} redirects to where no policy is.")
        return result
    return "neutral"


def _parsed(policy: str) -> tuple[list[tuple[str, str, str]], dict[str, str]]:
    """Return (qualifier, mechanism, what follows its name) in order, and the modifiers; the whole is checked first."""
    if not policy.isascii():
        raise _Permanent("It is not in ASCII.")
    mechanisms: list[tuple[str, str, str]] = []
    modifiers: dict[str, str] = {}
    for term in policy.split(" ")[1:]:
        if not term:
            continue
        if found := _MECHANISM.fullmatch(term):
            name = found[2].lower()
            value = (found[3] or "") + (found[4] or "")
            _check_mechanism(name, value, term)
            mechanisms.append((found[1] or "+", name, value))
        elif found := _MODIFIER.fullmatch(term):
            name = found[1].lower()
            if name in ("redirect", "exp") and (name in modifiers or not _domain_fits(found[2])):
                raise _Permanent(f"It has {name}= twice, or it names no domain.")
            _check_macros(found[2])
            modifiers[name] = found[2]
        else:
            raise _Permanent(f"It does not read: {term[:60]}")
    return mechanisms, modifiers


def _check_mechanism(name: str, value: str, term: str) -> None:
    if name == "all":
        fits = not value
    elif name in ("ip4", "ip6"):
        fits = value.startswith(":") and _network(name, value[1:]) is not None
    elif name in ("include", "exists"):
        fits = value.startswith(":") and len(value) > 1 and _domain_fits(value[1:])
    else:
        domain, lengths = _split(value)
        fits = lengths is not None and (_domain_fits(domain[1:]) if domain.startswith(":") else not domain)
        fits = fits and not (name == "ptr" and "/" in value)
    if not fits:
        raise _Permanent(f"It does not read: {term[:60]}")
    _check_macros(value)


def _domain_fits(domain: str) -> bool:
    """Whether a domain-spec ends in a macro or a top label (section 7.1)."""
    head, _, last = domain.removesuffix(".").rpartition(".")
    return domain.endswith("}") or bool(head and _TOP_LABEL.fullmatch(last.rpartition("}")[2]))


def _check_macros(text: str) -> None:
    for found in _MACRO.finditer(text):
        if found[6] is not None or found[2] == "0" or (found[1] or "").lower() in ("c", "r", "t"):
            raise _Permanent("It has a macro that does not read.")


def _network(name: str, text: str) -> object:
    if re.search(r"/0\d", text):
        return None
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return None
    wanted = 4 if name == "ip4" else 6
    return network if network.version == wanted else None


def _split(value: str) -> tuple[str, tuple[int, int] | None]:
    """Return `:domain` of `:domain/24//64`, and its two prefix lengths; None for lengths that cannot be."""
    found = _LENGTHS.fullmatch(value)
    if found is None:
        return "", None
    four, six = found[2] or "32", found[3] or "128"
    has_zero = any(len(one) > 1 and one.startswith("0") for one in (four, six))
    if has_zero or int(four) > 32 or int(six) > 128:
        return "", None
    return found[1], (int(four), int(six))


async def _matches(asking: _Asking, domain: str, name: str, value: str) -> bool:
    if name == "all":
        return True
    if name in ("ip4", "ip6"):
        network = ip_network(value[1:], strict=False)
        return network.version == asking.ip.version and asking.ip in network
    asking.count()
    if name == "include":
        return await _includes(asking, await _expanded(asking, domain, value[1:]))
    if name == "exists":
        target = await _expanded(asking, domain, value[1:])
        return bool(asking.note(await asking.names.addresses(target, v6=False) if _is_name(target) else ()))
    spec, lengths = _split(value)
    assert lengths is not None
    target = await _expanded(asking, domain, spec[1:]) if spec else domain
    if not _is_name(target):
        return False
    if name == "ptr":
        return await _is_named(asking, target)
    return await _is_among(asking, name, target, lengths)


async def _includes(asking: _Asking, target: str) -> bool:
    result = await _check_host(asking, target)
    if result == "none":
        raise _Permanent(f"It includes {target[:80]}, where no policy is.")
    return result == "pass"


async def _is_among(asking: _Asking, name: str, target: str, lengths: tuple[int, int]) -> bool:
    """Whether the host is, within a prefix, one of the addresses of a name, or of its mail hosts."""
    hosts = (target,) if name == "a" else asking.note(await asking.names.mail_hosts(target))
    if len(hosts) > _MOST_HOSTS:
        raise _Permanent(f"{target} has more than {_MOST_HOSTS} mail hosts.")
    length = lengths[asking.ip.version == 6]
    for host in hosts:
        addresses = await asking.addresses(host)
        if name == "a":
            asking.note(tuple(map(str, addresses)))
        if any(asking.ip in ip_network((one, length), strict=False) for one in addresses):
            return True
    return False


async def _is_named(asking: _Asking, target: str) -> bool:
    wanted = target.lower().rstrip(".")
    return any(one == wanted or one.endswith(f".{wanted}") for one in await _valid_names(asking))


async def _valid_names(asking: _Asking) -> list[str]:
    """Return the names of the host's address that lead back to it (section 5.5); what fails counts for none."""
    try:
        claimed = asking.note(await asking.names.host_names(str(asking.ip)))
    except NamesAway:
        return []
    valid = []
    for name in claimed[:_MOST_HOSTS]:
        try:
            if asking.ip in await asking.addresses(name):
                valid.append(name.lower().rstrip("."))
        except NamesAway:
            continue
    return valid


# Macros, section 7.


async def _expanded(asking: _Asking, domain: str, text: str) -> str:
    made, at = "", 0
    for found in _MACRO.finditer(text):
        made += text[at : found.start()] + await _macro(asking, domain, found)
        at = found.end()
    name = (made + text[at:]).removesuffix(".")
    while len(name) > _NAME_CHARS and "." in name:
        name = name.partition(".")[2]
    return name


async def _macro(asking: _Asking, domain: str, found: re.Match[str]) -> str:
    if found[1] is None:
        return {"%": "%", "_": " ", "-": "%20"}[found[5]]
    letter = found[1].lower()
    local, _, sender_domain = asking.sender.rpartition("@")
    v4 = asking.ip.version == 4
    if letter == "p":
        value = await _best_name(asking, domain)
    else:
        value = {
            "s": asking.sender,
            "l": local,
            "o": sender_domain,
            "d": domain,
            "i": str(asking.ip) if v4 else ".".join(asking.ip.exploded.replace(":", "")),
            "h": asking.helo,
            "v": "in-addr" if v4 else "ip6",
        }[letter]
    parts = re.split(f"[{re.escape(found[4] or '.')}]", value)
    if found[3]:
        parts.reverse()
    if found[2]:
        parts = parts[-int(found[2][:3]) :]
    joined = ".".join(parts)
    return quote(joined, safe="") if found[1].isupper() else joined


async def _best_name(asking: _Asking, domain: str) -> str:
    names = await _valid_names(asking)
    wanted = domain.lower()
    below = [one for one in names if one.endswith(f".{wanted}")]
    return wanted if wanted in names else next(iter((*below, *names)), "unknown")


def _is_name(domain: str) -> bool:
    return len(domain) <= _NAME_CHARS and _LABELLED.fullmatch(domain) is not None

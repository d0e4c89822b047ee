"""`postroom dkim`: the keys that sign our mail, and what a domain publishes about it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from core.cli.command import EXIT_FAILED, command, host
from core.cli.output import Json, print_done, print_json, print_rows, shown
from core.delivery.signing import Signer, signers
from core.errors import UnknownName, UserError, did_you_mean
from core.mail.address import domain_of
from core.mail.dkim import Algorithm, algorithm_of, domains_above, record_name, record_text
from core.mail.published import Finding, judge_dmarc, judge_key, judge_spf
from core.runtime import get_model, settings
from core.transport.dns import TextLookup, text_lookup

Domain = Annotated[str, typer.Argument(help="The domain of From addresses, e.g. example.org.")]
Selector = Annotated[str, typer.Option("--selector", help="The key's name within its domain.")]
NameServer = Annotated[
    str | None, typer.Option("--name-server", help="Ask this one, e.g. 192.0.2.1, instead of the system's.")
]

_KEY_COLUMNS = ("domain", "selector", "algorithm", "active", "public_key", "created_at")
_TXT_BYTES = 255


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(help="Sign mail with DKIM.", no_args_is_help=True)
    app.add_typer(group, name="dkim")
    command(group, "generate")(generate)
    command(group, "ls")(ls)
    command(group, "dns")(dns)
    command(group, "check")(check)
    command(group, "enable")(enable)
    command(group, "disable")(disable)


async def generate(
    domain: Domain, selector: Selector = "postroom", algorithm: Algorithm = Algorithm.RSA, as_json: Json = False
) -> None:
    """Make a key, which signs nothing yet, and print what to publish.

    Example: postroom dkim generate example.org --selector s1
    """
    async with host():
        key = await get_model("DkimKey").generate(domain, selector, algorithm, active=False)
    if as_json:
        print_json({"domain": key.domain, "selector": key.selector, "name": key.record_name, "text": key.record_text})
        return
    typer.echo(f"Publish this TXT record:\n\n{key.record_name}\n  {key.record_text}\n")
    typer.echo(f"Then sign with the key: postroom dkim enable {key.domain} --selector {key.selector}")


async def ls(as_json: Json = False) -> None:
    """List the keys, and which of them sign.

    Example: postroom dkim ls
    """
    async with host():
        rows = await _keys()
    print_rows(rows, _KEY_COLUMNS[:4], as_json=as_json, empty="No key; make one: postroom dkim generate DOMAIN.")


async def dns(
    domain: Domain,
    zone: Annotated[bool, typer.Option("--zone", help="Print lines for a zone file, long texts in pieces.")] = False,
    as_json: Json = False,
) -> None:
    """Print what to publish for a domain: its keys, and suggestions for SPF and DMARC where it has none.

    Example: postroom dkim dns example.org
    """
    async with host():
        rows = await _records(domain)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(_zone_line(row) if zone else f"{row['name']}  TXT\n  {row['text']}\n")
    if not zone:
        typer.echo("The SPF and DMARC records are suggestions: keep those you have, and name in SPF who sends for you.")


async def check(domain: Domain, name_server: NameServer = None, as_json: Json = False) -> int:
    """Look up what is published for a domain, and say what is missing.

    Example: postroom dkim check example.org
    """
    async with host():
        findings = [one async for one in _examine(_named(domain), text_lookup(name_server))]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _print_finding(finding)
    return 0 if all(finding.ok for finding in findings) else EXIT_FAILED


async def enable(
    domain: Domain,
    selector: Selector,
    name_server: NameServer = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Do not ask the DNS whether it is published.")] = False,
    as_json: Json = False,
) -> int:
    """Sign mail with a key from now on, if it is published.

    Example: postroom dkim enable example.org --selector s1
    """
    async with host():
        key = await _key(domain, selector)
        if not unchecked:
            finding = await _examine_key(key, text_lookup(name_server))
            if not (as_json and finding.ok):
                _print_finding(finding)
            if not finding.ok:
                return EXIT_FAILED
        await get_model("DkimKey").filter(id=key["id"]).update(active=True)
    said = f"Mail from {key['domain']} is signed with {key['selector']} from now on."
    print_done(said, as_json=as_json, domain=key["domain"], selector=key["selector"], active=True)
    return 0


async def disable(domain: Domain, selector: Selector, as_json: Json = False) -> None:
    """Sign no more with a key. Leave its record published for some days, for the mail that is still under way.

    Example: postroom dkim disable example.org --selector s1
    """
    async with host():
        key = await _key(domain, selector)
        await get_model("DkimKey").filter(id=key["id"]).update(active=False)
        others = await _keys(domain=key["domain"], active=True)
    said = f"{key['selector']} signs no more."
    if not others:
        said += f"\nNo key of {key['domain']} signs now: its mail goes out unsigned, or signed by a parent domain."
    print_done(said, as_json=as_json, domain=key["domain"], selector=key["selector"], active=False)


# The keys, without their secrets: one that cannot be decrypted must not hide the others.


async def _keys(**having: Any) -> list[dict[str, Any]]:
    return list(await get_model("DkimKey").filter(**having).order_by("domain", "id").values("id", *_KEY_COLUMNS))


async def _key(domain: str, selector: str) -> dict[str, Any]:
    keys = await _keys(domain=_named(domain))
    found = next((key for key in keys if key["selector"] == selector.lower()), None)
    if found is None:
        known = [key["selector"] for key in keys]
        raise UnknownName(f'{domain} has no key "{selector}".{did_you_mean(selector, known)} See `postroom dkim ls`.')
    return found


def _named(domain: str) -> str:
    return domain_of(f"@{domain.strip().rstrip('.')}")


# What there is to publish.


async def _records(domain: str) -> list[dict[str, str]]:
    keys = await _keys(domain=_named(domain))
    if not keys:
        raise UserError(f"{domain} has no key; make one: postroom dkim generate {domain}.")
    rows = [{"name": record_name(key["domain"], key["selector"]), "text": _text(key)} for key in keys]
    rows.append({"name": _envelope_domain(_named(domain)), "text": _spf()})
    rows.append({"name": f"_dmarc.{_named(domain)}", "text": _dmarc(_named(domain))})
    return rows


def _text(key: dict[str, Any]) -> str:
    return record_text(key["algorithm"], key["public_key"])


def _envelope_domain(domain: str) -> str:
    """The domain that SPF is asked of: that of the address that bounces go to."""
    own = settings().MAIL_DOMAIN
    return domain if own == "localhost" else own


def _spf() -> str:
    server = settings().SMTP_SERVER
    return f"v=spf1 a:{server} ~all" if server else "v=spf1 mx ~all"


def _dmarc(domain: str) -> str:
    return f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"


def _zone_line(row: dict[str, str]) -> str:
    text = row["text"]
    pieces = " ".join(f'"{text[at : at + _TXT_BYTES]}"' for at in range(0, len(text), _TXT_BYTES))
    return f"{row['name']}. IN TXT ( {pieces} )"


# What is published.


async def _examine(domain: str, lookup: TextLookup) -> AsyncIterator[Finding]:
    keys = await _keys_for(domain)
    yield _signing(domain, keys, (await signers([domain]))[domain])
    for key in keys:
        yield await _examine_key(key, lookup)
    envelope_domain = _envelope_domain(domain)
    yield judge_spf(envelope_domain, await lookup(envelope_domain), _spf())
    yield await _examine_dmarc(domain, lookup)


async def _keys_for(domain: str) -> list[dict[str, Any]]:
    """Return the keys of the domain, or those of the nearest domain above that has any."""
    for above in domains_above(domain):
        if keys := await _keys(domain=above):
            return keys
    return []


def _signing(domain: str, keys: list[dict[str, Any]], signer: Signer) -> Finding:
    title = f"signing {domain}"
    if not keys:
        return Finding(title, False, "There is no key.", f"Make one: postroom dkim generate {domain}")
    if signer.faults:
        return Finding(title, False, " ".join(signer.faults), "See `postroom dkim ls`.")
    if not signer.keys:
        fix = f"Publish one, then: postroom dkim enable {keys[-1]['domain']} --selector {keys[-1]['selector']}"
        return Finding(title, False, "No key is enabled: mail is not signed.", fix)
    if all(algorithm_of(key.private) is Algorithm.ED25519 for key in signer.keys):
        fix = f"Make one beside it: postroom dkim generate {domain} --selector rsa1"
        return Finding(title, False, "No RSA key is enabled, and some receivers know nothing else.", fix)
    return Finding(title, True, f"Mail is signed by {', '.join(key.selector for key in signer.keys)}.")


async def _examine_key(key: dict[str, Any], lookup: TextLookup) -> Finding:
    name = record_name(key["domain"], key["selector"])
    return judge_key(name, await lookup(name), _text(key))


async def _examine_dmarc(domain: str, lookup: TextLookup) -> Finding:
    """A domain without a policy of its own has that of the domain above it."""
    for above in domains_above(domain):
        if texts := await lookup(f"_dmarc.{above}"):
            return judge_dmarc(above, texts, _dmarc(above))
    return judge_dmarc(domain, (), _dmarc(domain))


def _print_finding(finding: Finding) -> None:
    typer.echo(f"{'ok    ' if finding.ok else 'FAILED'} {finding.name}: {shown(finding.detail)}")
    if not finding.ok:
        typer.echo(f"       -> {finding.fix}")

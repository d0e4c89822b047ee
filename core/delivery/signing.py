"""Who signs a mail: the DKIM keys of its From domain, or of the nearest parent domain that has any.

A mail whose domain has keys never goes unsigned: where none of them can be used, it is not sent for now.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from core.errors import ConfigError, TemporaryFailure
from core.mail.dkim import DkimError, SigningKey, domains_above, read_private_key, sign
from core.orm.fields import readable
from core.runtime import get_model

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs the mail of one From domain: the keys that can be used, and what is wrong with the others."""

    keys: tuple[SigningKey, ...] = ()
    faults: tuple[str, ...] = ()

    def sign(self, content: bytes) -> bytes:
        """Return the mail signed by every key; as it is where the domain has no keys.

        Raises TemporaryFailure where it has keys and none can be used. It takes a millisecond for a common mail, and
        as long as reading it for a large one: sign that beside the event loop.
        """
        if self.keys:
            return sign(content, self.keys)
        if self.faults:
            raise TemporaryFailure(f"The mail must be signed and cannot be: {' '.join(self.faults)}")
        return content


UNSIGNED = Signer()
"""Of a domain without keys."""


async def signers(domains: Iterable[str]) -> dict[str, Signer]:
    """Return the signer of each From domain, by domain in lower case and IDNA form: one query for all of them."""
    wanted = {domain: tuple(domains_above(domain)) for domain in domains}
    by_domain: dict[str, list[dict[str, Any]]] = {}
    for row in await _rows({above for chain in wanted.values() for above in chain}):
        by_domain.setdefault(row["domain"], []).append(row)
    ready = {domain: _signer(rows) for domain, rows in by_domain.items()}
    return {domain: _nearest(chain, ready) for domain, chain in wanted.items()}


async def _rows(domains: Collection[str]) -> list[dict[str, Any]]:
    if not domains:
        return []
    keys = get_model("DkimKey").filter(active=True, domain__in=list(domains)).order_by("id")
    return list(await keys.values("domain", "selector", "private_key", "lifetime_days"))


def _signer(rows: Iterable[Mapping[str, Any]]) -> Signer:
    keys, faults = [], []
    for row in rows:
        try:
            private = read_private_key(readable(row["private_key"], "The private key"))
        except (ConfigError, DkimError) as error:
            log.warning("DKIM key left out", domain=row["domain"], selector=row["selector"], error=str(error))
            faults.append(_fault(row, error))
            continue
        lifetime = timedelta(days=row["lifetime_days"]) if row["lifetime_days"] else None
        keys.append(SigningKey(row["domain"], row["selector"], private, lifetime))
    return Signer(tuple(keys), tuple(faults))


def _fault(row: Mapping[str, Any], error: Exception) -> str:
    domain, selector, why = row["domain"], row["selector"], str(error).rstrip(".")
    return (
        f"DKIM key {selector} of {domain}: {why}. Or make a new one: `postroom dkim generate {domain} --selector NEW`."
    )


def _nearest(chain: Iterable[str], ready: Mapping[str, Signer]) -> Signer:
    return next((ready[domain] for domain in chain if domain in ready), UNSIGNED)

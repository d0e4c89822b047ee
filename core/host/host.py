"""The host: the one place that knows everything, and that nobody asks; it passes values down."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from cryptography.fernet import Fernet, MultiFernet

from core.config import Configuration, Settings
from core.config.sources import with_secret_key
from core.hashing import Hasher
from core.host.loader import LoadedAddons, load_addons
from core.orm import fields
from core.orm.bell import Bell
from core.orm.database import Database
from core.orm.feed import Feed
from core.render.environment import Renderer
from core.render.pdf import PdfLimits, PdfRenderer
from core.runtime import Runtime, running
from core.transport.names import DnsNames


@asynccontextmanager
async def open_host(configuration: Configuration) -> AsyncIterator[Runtime]:
    """Load the addons, open the database and make both the running host for the block.

    Raises AddonError, ConfigError or TemporaryFailure (database away). It changes nothing in the database; whether the
    schema fits is asked by `core.host.install`.
    """
    configuration = with_secret_key(configuration)
    settings = configuration.settings
    loaded = load_addons(settings.ADDONS, settings.ADDONS_PATH)
    token = fields.secret_cipher.set(_cipher(settings))
    async with AsyncExitStack() as stack:
        stack.callback(fields.secret_cipher.reset, token)
        stack.callback(loaded.registry.close)
        database = await stack.enter_async_context(Database(settings.DATABASE_URL, loaded.registry))
        bell = await stack.enter_async_context(Bell(database))
        feed = await stack.enter_async_context(Feed(database, bell))
        pdf = PdfRenderer(limits=_pdf_limits(settings))
        stack.push_async_callback(pdf.aclose)
        hasher = Hasher()
        stack.callback(hasher.close)
        runtime = Runtime(
            configuration=configuration,
            hooks=loaded.hooks,
            registry=loaded.registry,
            database=database,
            contributions=loaded.contributions,
            renderer=_renderer(loaded),
            pdf=pdf,
            bell=bell,
            feed=feed,
            hasher=hasher,
            names=None if settings.NAME_SERVER == "off" else DnsNames(settings.NAME_SERVER),
            addons=loaded.sources,
        )
        stack.enter_context(running(runtime))
        yield runtime


def _renderer(loaded: LoadedAddons) -> Renderer:
    filters = {item.name: item.function for _, item in loaded.contributions.template_filters}
    return Renderer(filters, catalogues=loaded.catalogues)


def _pdf_limits(settings: Settings) -> PdfLimits:
    return PdfLimits(wall_s=settings.PDF_SECONDS, memory_mb=settings.PDF_MEGABYTES, pages=settings.PDF_PAGES)


def _cipher(settings: Settings) -> MultiFernet:
    """Derive the keys of stored secrets from SECRET_KEY, apart from those that sign sessions."""
    keys = [key.strip() for key in settings.SECRET_KEY.get_secret_value().split(",") if key.strip()]
    return MultiFernet(
        [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"postroom stored secrets:" + key.encode()).digest()))
            for key in keys
        ]
    )

"""The contract suite: what every addon must keep, asked of the addon that the importing test file lies in.

Each question is asked on SQLite and on PostgreSQL. For PostgreSQL a `postgres` fixture with `url()` is used where there
is one, else the server at POSTROOM_TEST_POSTGRES_URL, whose role may create databases; with neither, that half is
skipped, saying so.
"""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from core import hookspecs
from core.contributions import AddonInfo
from core.errors import UserError
from core.gateway.load import load
from core.host.finder import MANIFEST
from core.host.host import open_host
from core.host.install import uninstall, update
from core.host.manifest import read_manifest
from core.orm.catalog import read_catalog
from core.orm.transaction import transaction
from core.runtime import Runtime, acting_as, get_model, settings
from core.seed.resolve import resolve_addon
from core.testing.hosts import addon_folder, configuration_for
from core.testing.imports import Import, imports_of
from core.testing.samples import minimal_record, some_record
from core.web.app import create_app
from core.web.session import COOKIE, open_session, write_session

LOCALES = ("en", "de", "ar")
_BOOKKEEPING = frozenset({"Addon", "LiveEvent", "ModelRegistry", "SchemaMigration", "SeedRecord"})


class _Undo(Exception):
    """Rolls a try back."""


class AddonContract:
    """Import this class under a name that pytest collects; see `core.testing`."""

    pytestmark = pytest.mark.anyio

    # What the questions are asked of.

    @pytest.fixture(scope="class")
    @classmethod
    def anyio_backend(cls) -> str:
        return "asyncio"

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, request: pytest.FixtureRequest) -> Path:
        """The addon's folder."""
        return addon_folder(Path(request.node.path))

    @pytest.fixture(scope="class", params=["sqlite", "postgres"])
    @classmethod
    def server(cls, request: pytest.FixtureRequest) -> str:
        """`sqlite`, or the URL of a PostgreSQL server."""
        return "sqlite" if request.param == "sqlite" else _postgres_url(request)

    @pytest.fixture(scope="class")
    @classmethod
    async def host(cls, folder: Path, server: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runtime]:
        """A host with the addon and its demo, for all questions that leave it as it was."""
        place = tmp_path_factory.mktemp("contract")
        async with (
            _empty_database(server, place) as url,
            open_host(configuration_for(folder, url, VAR_DIR=str(place))) as opened,
        ):
            await update(opened, demo=True)
            yield opened

    @pytest.fixture
    def addon(self, host: Runtime, folder: Path) -> AddonInfo:
        return next(one for one in host.addons if one.folder == folder)

    # Its files.

    def test_its_manifest_is_valid_and_named_as_its_folder(self, folder: Path) -> None:
        manifest, faults = read_manifest(folder / MANIFEST)
        assert faults == []
        assert manifest is not None
        assert manifest.name == folder.name
        assert manifest.title

    def test_it_imports_nothing_of_core_but_the_api_and_no_other_addon(self, folder: Path) -> None:
        assert list(_foreign_imports(folder)) == []

    async def test_every_data_file_is_applied(self, host: Runtime, addon: AddonInfo) -> None:
        applied = {(addon.data_folder / file.name).resolve() for file in resolve_addon(addon, host.registry)}
        assert applied.issuperset(file.resolve() for file in addon.data_folder.glob("data/**/*.yaml"))

    async def test_its_hooks_are_known(self, addon: AddonInfo) -> None:
        module = importlib.import_module(f"{addon.package}.hooks")
        marked = {name for name, value in vars(module).items() if hasattr(value, f"{hookspecs.PROJECT}_impl")}
        assert marked
        assert marked <= set(vars(hookspecs))

    # Its place in a database.

    async def test_it_installs_updates_and_goes(self, folder: Path, server: str, tmp_path: Path) -> None:
        """Twice is the same as once, and what goes with it is only its own."""
        manifest, _ = read_manifest(folder / MANIFEST)
        assert manifest is not None
        needed = list(manifest.depends) or ["core"]
        async with _empty_database(server, tmp_path) as url:
            async with open_host(configuration_for(folder, url, VAR_DIR=str(tmp_path), ADDONS=needed)) as without:
                await update(without, demo=True)
                before = await _contents(without)
            async with open_host(configuration_for(folder, url, VAR_DIR=str(tmp_path))) as opened:
                assert (await update(opened)).words
                assert (await update(opened)).words == ()
                await update(opened, demo=True)
                assert (await update(opened, demo=True)).words == ()
                await uninstall(opened, folder.name)
            async with open_host(configuration_for(folder, url, VAR_DIR=str(tmp_path), ADDONS=needed)) as without:
                assert await _contents(without) == before

    async def test_each_model_takes_the_least_it_asks_for(self, host: Runtime, addon: AddonInfo) -> None:
        for model in _models(host, addon):
            async with _rolled_back():
                try:
                    record = await minimal_record(model)
                except UserError:  # A model may want more than its columns say, when it says what.
                    continue
                assert await model.get(id=record.pk)
                assert record.display_name

    async def test_somebody_may_read_each_model(self, host: Runtime, addon: AddonInfo) -> None:
        for model in _models(host, addon):
            assert await get_model("ModelAccess").exists(model__identifier=model.__name__, can_read=True), model

    async def test_its_cron_jobs_run(self, host: Runtime, addon: AddonInfo) -> None:
        for job in await _shipped("CronJob", addon):
            job.check()
            run = await job.run_now()
            assert (run.outcome, run.error) == ("done", "")

    # What it shows.

    @pytest.mark.parametrize("locale", LOCALES)
    async def test_its_templates_miss_no_name(self, host: Runtime, addon: AddonInfo, locale: str) -> None:
        for template in await _shipped("EmailTemplate", addon):
            record = await some_record(get_model((await template.model).identifier))
            rendered = await template.render_for(record, locale=locale, strict=True)
            assert rendered["subject"]
            assert rendered["content"].strip()

    async def test_its_reports_are_pdfs(self, host: Runtime, addon: AddonInfo) -> None:
        for report in await _shipped("ReportAction", addon):
            record = await some_record(get_model((await report.model).identifier))
            made = await report.render_pdf(record)
            assert bytes(made.content).startswith(b"%PDF-")
            assert made.name.endswith(".pdf")

    async def test_its_routes_create_records(self, host: Runtime, addon: AddonInfo, tmp_path: Path) -> None:
        for route in await _shipped("EmailRoute", addon):
            get_model(route.target_model)
            (account,) = [one async for one in load([_sample_mail(route, tmp_path)])]
            assert account.outcome == "record", account
            assert (account.record or "").startswith(f"{route.target_model}:")

    async def test_its_pages_answer_only_who_is_logged_in(self, host: Runtime, addon: AddonInfo) -> None:
        paths = list(_paths(host, addon.name))
        if not paths:
            return
        async with _browser(await _admin()) as browser:
            assert {path: (await browser.get(path)).status_code for path in paths} == dict.fromkeys(paths, 200)
        async with _browser(None) as stranger:
            assert 200 not in [(await stranger.get(path)).status_code for path in paths]


# The addon.


@asynccontextmanager
async def _rolled_back() -> AsyncIterator[None]:
    """Leave nothing of the block in the database."""
    try:
        async with transaction():
            yield
            raise _Undo
    except _Undo:
        pass


def _models(host: Runtime, addon: AddonInfo) -> list[type[Any]]:
    return [host.registry.get(entry.name) for entry in host.registry if entry.addon == addon.name]


async def _shipped(model: str, addon: AddonInfo) -> list[Any]:
    """Return the records of a model that the addon's files made."""
    ids = await get_model("SeedRecord").filter(addon=addon.name, model=model).values_list("record_id", flat=True)
    records: list[Any] = await get_model(model).filter(id__in=list(ids)).order_by("id")
    return records


def _foreign_imports(folder: Path) -> Iterator[str]:
    for file in sorted(folder.rglob("*.py")):
        place = file.relative_to(folder)
        if place.parts[0] == "tests":
            continue
        package = ".".join(("addons", folder.name, *place.parent.parts))
        for one in imports_of(file, package):
            if not _is_allowed(one, folder.name):
                yield f"{place}:{one.line}: {one.full_name}"


def _is_allowed(one: Import, addon: str) -> bool:
    top, *rest = one.full_name.split(".")
    if top == "core":
        return rest[:1] == ["api"]
    if top == "addons":
        return rest[:1] == [addon]
    return True


def _paths(host: Runtime, addon: str) -> Iterator[str]:
    parts = host.contributions
    yield from (f"/addons/{addon}/{page.path.strip('/')}" for owner, page in parts.pages if owner == addon)
    yield from (item.url for owner, item in parts.menu if owner == addon)
    for owner, route in host.hooks.contributions("register_routes"):
        if owner == addon and route.method.upper() == "GET" and "{" not in route.path:
            yield route.path


def _sample_mail(route: Any, folder: Path) -> Path:
    mail = EmailMessage()
    mail["From"] = "Ann Example <ann@sender.example>"
    mail["To"] = f"{route.address}@{route.domain or settings().MAIL_DOMAIN}"
    mail["Subject"] = "A first question"
    mail["Date"] = "Mon, 05 Jan 2026 10:00:00 +0000"
    mail["Message-ID"] = f"<{secrets.token_hex(8)}@sender.example>"
    mail.set_content("Hello,\n\nwhat would it cost?\n\nAnn\n")
    file = folder / f"{route.pk}.eml"
    file.write_bytes(mail.as_bytes())
    return file


# The browser.


async def _admin() -> Any:
    users = get_model("User")
    return await users.filter(is_admin=True).first() or await users.create(
        login="contract@admin.example", name="Contract", is_admin=True
    )


@asynccontextmanager
async def _browser(user: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the host's application, logged in as `user`, or nobody."""
    with acting_as(None):
        app = create_app()
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            if user is not None:
                client.cookies.set(COOKIE, await _cookie(user))
            yield client


async def _cookie(user: Any) -> str:
    response = Response()
    write_session(response, await open_session(user))
    name, _, rest = response.headers["set-cookie"].partition("=")
    assert name == COOKIE
    return rest.partition(";")[0].strip('"')


# The database.


def _postgres_url(request: pytest.FixtureRequest) -> str:
    try:
        url: str = request.getfixturevalue("postgres").url()
    except pytest.FixtureLookupError:
        url = os.environ.get("POSTROOM_TEST_POSTGRES_URL", "")
    if not url:
        pytest.skip("no PostgreSQL: set POSTROOM_TEST_POSTGRES_URL to a server where databases may be created")
    return url


@asynccontextmanager
async def _empty_database(server: str, folder: Path) -> AsyncIterator[str]:
    """The URL of an empty database, which is gone afterwards."""
    if server == "sqlite":
        yield f"sqlite://{folder}/contract-{secrets.token_hex(4)}.db"
        return
    import asyncpg  # A host on SQLite does not need it.

    name = f"contract_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def _contents(host: Runtime) -> dict[str, Any]:
    """Return every table with its columns, and how many records each model has but those that keep the books."""
    catalog = await read_catalog(host.database)
    counts = {
        entry.name: await host.registry.get(entry.name).all().count()
        for entry in host.registry
        if entry.name not in _BOOKKEEPING
    }
    return {"columns": {name: sorted(table.columns) for name, table in catalog.items()}, "records": counts}

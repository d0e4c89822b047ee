"""SECURITY 3.A: what a hostile template, and hostile data in an honest one, get."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import subprocess
import sys
from decimal import Decimal
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import UUID

import lxml.html
import pytest

from core.errors import PostroomError, TemplateError
from core.mail.body import html_to_text
from core.models.rendering import audience_of, template_context
from core.orm.serialize import plain_data
from core.render.environment import Renderer
from core.render.guards import SAFE_FILTERS, SAFE_TESTS
from core.render.sandbox import GLOBALS
from core.runtime import Runtime, get_model, runtime
from core.testing.samples import minimal_record
from tests.databases import sqlite_alone as database_url
from tests.security.ssti import PAYLOADS, SIDE_EFFECTS

__all__ = ["database_url"]
pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
SECRET = "planted-4c1f09"
TEXTS = ("subject", "content", "to_email", "file_name")
LEAKS = re.compile(
    r"<class|<function|<module|<built-in|<bound|<generator|<jinja2|<core|object at| at 0x|Traceback|\.py\b"
    r"|site-packages|/core/|/render/|uid=\d|root:x|mappingproxy|planted-"
)
HOSTILE = (
    "<img src=x onerror=1>",
    "{{7*7}}{% for x in y %}",
    "]]></script>",
    "x\r\nBcc: victim@x.test",
    "&lt;b&gt;\u2028\x0b",
)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("POSTROOM_TEST_SECRET", SECRET)
    return {
        "ADDONS": ["core", "crm", "invoicing"],
        "MAIL_DOMAIN": "our.test",
        "MAIL_MODE": "catch",
        "SMTP_FROM_EMAIL": "office@our.test",
        "SECRET_KEY": f"{SECRET}-key-that-is-long-enough-for-anyone",
        "SMTP_PASSWORD": SECRET,
    }


@pytest.fixture
async def lead(host: Runtime) -> Any:
    user = get_model("User")(login="grace@our.test", name="Grace")
    await user.set_password(SECRET)
    await user.save()
    contact = await get_model("Contact").create(name="Ada", email="ada@customer.test")
    return await get_model("CrmLead").create(name="Lamps", contact=contact, user=user)


async def template(**texts: Any) -> Any:
    model = await get_model("ModelRegistry").get(identifier="CrmLead")
    report = await get_model("ReportAction").create(
        identifier="sheet", name="Sheet", model=model, content="<p>x</p>", file_name=texts.pop("file_name", "x.pdf")
    )
    values = {"identifier": "hostile", "name": "Hostile", "subject": "Hi", "content": "<p>Hi</p>", **texts}
    return await get_model("EmailTemplate").create(model=model, report=report, **values)


# T1: known escapes, in every text.


@pytest.mark.parametrize("payload", PAYLOADS)
async def test_t1_no_escape_prints_an_object_or_a_path(payload: str) -> None:
    renderer = Renderer()
    contact = {"name": "Ada", "email": "ada@customer.test"}
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    context: dict[str, Any] = {"name": "Lamps", "contact": contact, "user": {"login": "g"}, "created_at": now}
    context["object"] = dict(context)
    for render in (
        lambda: renderer.render(payload, context, escape=True),
        lambda: renderer.render(payload, context, escape=False),
        lambda: renderer.render_line(payload, context),
        lambda: renderer.render_addresses(payload, context),
        lambda: renderer.render(payload, context, escape=True, strict=True),
    ):
        try:
            told = render().text
        except TemplateError as error:
            told = f"{error} {error.excerpt} {error.__cause__}"
        assert not LEAKS.search(told.replace(payload, "")), told


async def test_t1_an_escape_in_any_text_is_a_named_fault_in_the_editor(lead: Any) -> None:
    hostile = await template()
    report = await hostile.report
    for name in TEXTS:
        holder = report if name == "file_name" else hostile
        before = getattr(holder, name)
        setattr(holder, name, "{{ ''.__class__.__mro__ }}")
        await holder.save()
        shown = await hostile.preview(lead)
        assert any(name in fault.source and "not data" in fault.reason for fault in shown.faults)
        assert not LEAKS.search(json.dumps(dict(shown.texts)))
        with pytest.raises(TemplateError, match=name):
            await lead.send_template("hostile")
        setattr(holder, name, before)
        await holder.save()
    assert await get_model("Delivery").all().count() == 0


# T2: what can be reached, word for word.


def words(text: str) -> set[str]:
    return set(text.split())


NAMES = {"range", "namespace", "t", "_", "gettext", "ngettext", "pgettext", "npgettext"}
FILTERS = words(
    """
    abs batch capitalize count d default dictsort e escape filesizeformat first float groupby indent int items join
    last length list lower map max min reject rejectattr replace reverse round safe select selectattr slice sort string
    striptags sum title trim truncate unique upper urlencode date datetime money number
    """
)
TESTS = words(
    """
    != < <= == > >= boolean defined divisibleby eq equalto escaped even false float ge greaterthan gt in integer
    iterable le lessthan lower lt mapping ne none number odd sequence string true undefined upper
    """
)
TEXT = {
    *("lower", "upper", "title", "capitalize", "strip", "lstrip", "rstrip", "startswith", "endswith", "replace"),
    "split",
}
DATE = {"year", "month", "day", "isoformat", "weekday"}
TIME = {"hour", "minute", "second", "microsecond"}
ATTRIBUTES: list[tuple[object, set[str]]] = [
    ("text", TEXT),
    (7, set()),
    (1.5, set()),
    (True, set()),
    (Decimal("1.5"), set()),
    (dt.date(2026, 1, 1), DATE),
    (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {*DATE, *TIME, "date", "time"}),
    (dt.time(1, 2), TIME),
    (dt.timedelta(1), {"days", "seconds", "total_seconds"}),
    (UUID(int=1), set()),
    ([1], set()),
    ((1,), set()),
    (range(3), set()),
    ({"a": 1}, {"get", "items", "keys", "values"}),
    (print, set()),
    (sys, set()),
    (ValueError("x"), set()),
    (b"bytes", set()),
    (re.compile("x"), set()),
]


def test_t2_the_names_filters_and_tests_are_these_and_no_more() -> None:
    assert set(GLOBALS) == NAMES
    assert set(SAFE_FILTERS) <= FILTERS
    assert set(SAFE_TESTS) == TESTS
    for sandbox in Renderer()._sandboxes.values():
        assert {name for name in sandbox.filters if " " not in name} == FILTERS
        assert set(sandbox.tests) == TESTS
        assert set(sandbox.globals) == NAMES


@pytest.mark.parametrize(("value", "allowed"), ATTRIBUTES, ids=lambda value: type(value).__name__)
def test_t2_the_attributes_are_these_and_no_more(value: object, allowed: set[str]) -> None:
    reached = set()
    for name in {*dir(value), *dir(type(value)), "__globals__", "__code__", "f_globals", "gi_frame", "mro"}:
        for source in (f"{{{{ value.{name} is defined }}}}", f"{{{{ value['{name}'] is defined }}}}"):
            try:
                if Renderer().render(source, {"value": value}, escape=True).text == "True":
                    reached.add(name)
            except TemplateError:
                continue
    assert reached == allowed


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        (
            "{{% for x in [1, 2] %}}{{% if loop.first %}}{{{{ loop.{name} is defined }}}}{{% endif %}}{{% endfor %}}",
            {
                *("index", "index0", "first", "last", "length", "revindex", "revindex0", "nextitem", "depth"),
                *("depth0", "cycle", "changed"),
            },
        ),
        ("{{% macro m(a) %}}{{% endmacro %}}{{{{ m.{name} is defined }}}}", set()),
        ("{{% set n = namespace(a=1) %}}{{{{ n.{name} is defined }}}}", {"a"}),
        ("{{{{ range.{name} is defined }}}}{{{{ t.{name} is defined }}}}", set()),
        ("{{{{ name.upper.{name} is defined }}}}", set()),
        ("{{{{ missing.{name} is defined }}}}", set()),
    ],
)  # fmt: skip
def test_t2_what_jinja_itself_hands_out_has_these_attributes_and_no_more(source: str, allowed: set[str]) -> None:
    from jinja2.runtime import LoopContext, Macro, Undefined  # The types whose every attribute is tried.
    from jinja2.utils import Namespace

    names = {name for kind in (LoopContext, Macro, Namespace, Undefined, type, str) for name in dir(kind)}
    names |= {
        "a",
        "depth0",
        "name",
        "arguments",
        "catch_kwargs",
        "_func",
        "_environment",
        "_iterator",
        "func",
        "args",
        "keywords",
    }
    reached = set()
    for name in names:
        try:
            if "True" in Renderer().render(source.format(name=name), {"name": "x"}, escape=True).text:
                reached.add(name)
        except TemplateError:
            continue
    assert reached == allowed


_PLAIN = (str, int, float, Decimal, dt.date, dt.time, dt.timedelta, UUID, type(None))
_SOUNDS_SECRET = re.compile(r"password|secret|token|hash|private|credential|cookie|(^|_)key$|tracking_identifier")
_NO_SECRETS = {
    *("sha256", "idempotency_key", "token_url", "key", "lease_token", "limit_key", "public_key", "has_field_tokens"),
    "AuditEntry.token",  # What its owner calls it.
}
"""Columns that only sound like one."""


async def test_t2_a_context_holds_plain_data_of_every_model_and_no_secret(lead: Any) -> None:
    def walk(value: object, path: str) -> None:
        if type(value) is dict:
            for name, item in value.items():
                assert type(name) is str, path
                known = {name, f"{path}.{name}"} & _NO_SECRETS
                assert known or not _SOUNDS_SECRET.search(name), f"{path}.{name}"
                walk(item, f"{path}.{name}")
        elif type(value) is list:
            for item in value:
                walk(item, f"{path}[]")
        else:
            assert isinstance(value, _PLAIN), f"{path} is a {type(value)}"
            assert not hasattr(value, "_meta"), path

    walk(await template_context(lead, None, await audience_of(lead)), "CrmLead")
    for entry in runtime().registry:
        try:
            record = await minimal_record(get_model(entry.name))
        except PostroomError:  # A model may want more than its columns say.
            continue
        walk(await plain_data(record), entry.name)


# T3: planted secrets.


async def test_t3_no_template_tells_a_secret(
    lead: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    server = await get_model("OutgoingMailServer").create(name="Out", server="x.test", password=SECRET)
    hashed = (await lead.user).password_hash
    told = []
    hostile = await template()
    reaches = (
        *(
            "env['POSTROOM_TEST_SECRET']",
            "settings.SECRET_KEY",
            "user.password_hash",
            "user.password",
            "server.password",
        ),
        *("object.user['password_hash']", "object.user.items()|list", "user|list", "config", "os.environ"),
        *("user.values()|map('string')|join", "company.values()|list|string", "contact.users|list"),
    )
    for reach in reaches:
        hostile.subject, hostile.content = f"{{{{ {reach} }}}}", f"<p>{{{{ {reach} }}}}</p>"
        await hostile.save()
        shown = await hostile.preview(lead)
        told += [*shown.texts.values(), *map(str, shown.faults), *(fault.reason for fault in shown.faults)]
        try:
            told.append(bytes(await (await lead.send_template("hostile")).eml()).decode())
        except PostroomError as error:
            told.append(str(error))
    output = capsys.readouterr()
    everything = "\n".join([*told, caplog.text, output.out, output.err])
    assert server.password == SECRET
    for secret in (SECRET, hashed, hashed[-20:]):
        assert secret not in everything


# T4: side effects.


async def test_t4_nothing_is_changed(lead: Any) -> None:
    before, hostile = await plain_data(lead), await template()
    for payload in SIDE_EFFECTS:
        hostile.content = payload
        await hostile.save()
        shown = await hostile.preview(lead)
        assert [fault.source for fault in shown.faults] == ["hostile: content"], payload
        fresh = await get_model("CrmLead").get(id=lead.id)
        assert await plain_data(fresh) == before, payload


# T5: bombs.


def test_t5_bombs_take_bounded_time_and_memory() -> None:
    """All of them in one child process: how long the longest took, and by how much the process grew."""
    program = """
import json, resource, time
from core.errors import TemplateError
from core.render.environment import Renderer
from core.render.run import RenderLimits
from tests.render.test_sandbox import BOMBS, context
renderer = Renderer(limits=RenderLimits(wall_s=0.5))
renderer.render("{{ name }}", context(), escape=True)
before, longest, alive = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0, 0
for bomb in BOMBS:
    for render in (renderer.render, renderer.render_line):
        began = time.monotonic()
        try:
            render(bomb, context(), **({"escape": True} if render == renderer.render else {}))
        except TemplateError:
            pass
        longest = max(longest, time.monotonic() - began)
        alive += renderer.render("{{ name }}", context(), escape=True).text == "Ann"
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
print(json.dumps({"longest_s": longest, "grown_mb": grown, "alive": alive, "bombs": len(BOMBS)}))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    told = json.loads(ended.stdout)
    assert told["alive"] == 2 * told["bombs"]
    assert told["longest_s"] < 2.0
    assert told["grown_mb"] < 256


async def test_t5_a_bomb_for_one_record_stops_no_other(lead: Any) -> None:
    """DELIVERY 38: of several records, the one on which the template explodes fails, and the others' mail is sent."""
    bomb = (
        "{% if name == 'bomb' %}{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}{% endif %}"
    )
    hostile = await template(subject="{{ name }}" + bomb, to_email="{{ contact.email }}")
    hostile.report = None
    await hostile.save()
    leads = [await get_model("CrmLead").create(name=name, contact=await lead.contact) for name in ("a", "bomb", "b")]
    mails = await hostile.mails_for(leads)
    for one, mail in zip(leads, mails, strict=True):
        if isinstance(mail, dict):
            message = await one.post_message(mail.pop("body"), **mail)
            await message.send_now()
    assert [type(mail) for mail in mails] == [dict, TemplateError, dict]
    assert "too much work" in str(mails[1]) or "longer than" in str(mails[1])
    assert await get_model("CaughtEmail").all().order_by("id").values_list("subject", flat=True) == ["a", "b"]


# T6: hostile data in the shipped templates.


async def hostile_records(value: str) -> list[tuple[str, Any]]:
    """Records of the shipped templates' models with `value` in every text that takes it."""
    contact = await get_model("Contact").create(name=value, email="ada@customer.test", phone=value, organisation=value)
    company = await get_model("Company").create(name=value, footer=value, address=value, website=value)
    lead = await get_model("CrmLead").create(
        name=value, contact=contact, contact_name=value, phone=value, description=value, company=company
    )
    document = await get_model("FinancialDocument").create(contact=contact, company=company, note=value)
    await get_model("FinancialDocumentLine").create(document=document, description=value)
    return [("lead_acknowledgement", lead), ("financial_document_send_template", document)]


@pytest.fixture
async def shipped(host: Runtime) -> None:
    from core.host.install import update

    await update(host)


async def test_t6_data_is_escaped_once_and_never_a_template_nor_a_header(shipped: None) -> None:
    for value in HOSTILE:
        await check_with(value)


async def check_with(value: str) -> None:
    for identifier, record in await hostile_records(value):
        greeting = await get_model("EmailTemplate").get(identifier=identifier)
        texts = await greeting.render_for(record)
        tree = lxml.html.fromstring(texts["content"])
        assert not tree.xpath("//img|//script|//b")
        assert "49" not in texts["content"]
        assert "&amp;lt;img" not in texts["content"]
        assert all(len(texts[name].splitlines()) <= 1 for name in texts if name != "content")
        if value.startswith("<"):
            assert value in html_to_text(texts["content"])
        message = await record.send_template(identifier, from_email="office@our.test", to=["ada@customer.test"])
        mail = message_from_bytes(await message.eml(), policy=default)
        assert mail["Bcc"] is None
        assert "victim@x.test" not in str(mail["To"])
        assert mail["To"].addresses[0].addr_spec == "ada@customer.test"
        assert "\n" not in str(mail["Subject"])
        copies = await get_model("Delivery").filter(message=message).values_list("recipient", flat=True)
        assert list(copies) == ["ada@customer.test"]


async def test_t6_a_name_adds_no_recipient(lead: Any) -> None:
    contact = await lead.contact
    hostile = await template(
        to_email='"{{ contact.name }}" <{{ contact.email }}>', cc_email="{{ contact.name }} <c@our.test>"
    )
    hostile.report = None
    await hostile.save()
    for name in ('x" <victim@x.test>, "', "x, victim@x.test", "x\r\nBcc: victim@x.test", "victim@x.test>, <y", "a: b;"):
        contact.name = name
        await contact.save()
        fresh = await get_model("CrmLead").get(id=lead.id)
        message = await fresh.send_template("hostile")
        copies = await get_model("Delivery").filter(message=message).order_by("id").values_list("recipient", flat=True)
        assert list(copies) == ["ada@customer.test", "c@our.test"], name


# T8: names as phishing.


async def test_t8_a_name_is_no_link_and_of_bounded_length(shipped: None) -> None:
    bait = "Your account is locked, see https://evil.test/login now. "
    greeting = await get_model("EmailTemplate").get(identifier="lead_acknowledgement")
    record = await get_model("CrmLead").create(
        name=bait, contact_name=bait, phone="https://evil.test", email_from="a@x.test"
    )
    texts = await greeting.render_for(record)
    assert not lxml.html.fromstring(texts["content"]).xpath("//a")
    for field in ("name", "contact_name", "phone"):
        with pytest.raises(Exception, match=field):
            await get_model("CrmLead").create(**{"name": "x", field: bait * 40})

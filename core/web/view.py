"""From values to HTML: the templates of the web room and of the addons' pages, always escaping.

What every page has around it (menu, banner, login, form token) is added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from core import clock
from core.access import Access
from core.contributions import Page
from core.mail.body import text_to_html
from core.runtime import runtime, settings
from core.web import words
from core.web.receipts import channel_title
from core.web.session import visit_of

_TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"


@cache
def own_environment() -> Environment:
    """Return the environment of core's own pages, which is the same for every host: to compile them takes a while."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"mark": words.mark, "people": words.people, "delivery_state": words.delivery_state}
    environment.filters |= {
        "model_title": model_title,
        "field_title": words.field_title,
        "channel_title": channel_title,
        "locale_name": locale_name,
        "file_size": words.size_text,
        "shown_name": words.attachment_name,
        "as_html": as_html,
    }
    return environment


def as_html(text: str) -> Markup:
    """Return a text as HTML, its links as links."""
    return Markup(text_to_html(text))  # noqa: S704 - it escapes


def locale_name(name: str) -> str:
    """Return `German (Austria), de_AT`; a name that is no locale speaks for itself."""
    # Babel costs start-up time, and most pages name no locale.
    from babel import Locale, UnknownLocaleError

    try:
        return f"{Locale.parse(name, sep='-' if '-' in name else '_').english_name}, {name}"
    except (UnknownLocaleError, ValueError):
        return name


def environment_for(addon: str) -> Environment:
    """Return the environment of an addon's pages: its `templates/`, then ours to extend."""
    folder = next(info.folder for info in runtime().addons if info.name == addon)
    loader = ChoiceLoader([FileSystemLoader(folder / "templates"), FileSystemLoader(_TEMPLATES)])
    return own_environment().overlay(loader=loader)


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    environment: Environment | None = None,
    values: Mapping[str, Any] | None = None,
    **named: Any,
) -> HTMLResponse:
    """Answer with a page. `values` are those of an addon; a name of ours wins over its namesake there."""
    page = (environment or own_environment()).get_template(template)
    text = page.render({**(values or {}), **named, **_around(request)})
    return HTMLResponse(text, status)


def _around(request: Request) -> dict[str, Any]:
    visit = visit_of(request)
    values = settings()
    in_zone = words.zone((visit.user.timezone if visit.user else "") or values.DEFAULT_TIMEZONE)
    return {
        "user": visit.user,
        "access": visit.access,
        "menu": menu_of(visit.access) if visit.access else [],
        "here": request.url.path,
        "csrf": Markup('<input type="hidden" name="csrf" value="{}">').format(visit.session.form_token),
        "mail_mode": values.MAIL_MODE,
        "dev_mailbox": has_dev_mailbox(),
        "show_time": lambda at: words.clock_text(at, in_zone),
        "time": lambda at: _time(at, in_zone),
    }


def _time(at: datetime | None, in_zone: Any) -> Markup:
    """Return an instant as text that says how far away it is, the exact time beside it for whoever asks."""
    if at is None:
        return Markup("—")
    exact = words.clock_text(at, in_zone)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), exact, words.distance(at, clock.now())
    )


def has_dev_mailbox() -> bool:
    """Tell whether mail is caught here, and this is no place where customers are."""
    return settings().MAIL_MODE == "catch" and settings().ENVIRONMENT != "production"


def timeline_lists(access: Access) -> list[tuple[str, str]]:
    """Return (title, address) of the lists of records with a timeline that the user may read, in addon order."""
    named = [entry.name for entry in runtime().registry if hasattr(entry.model, "post_message")]
    return [(model_title(name), f"/records/{name}") for name in named if access.may(name)]


def model_title(name: str) -> str:
    """Return what people call a model's records, also where an uninstalled addon took the model with it."""
    declared = next((entry.model for entry in runtime().registry if entry.name == name), None)
    return getattr(declared, "_title", "") or words.model_title(name)


def page_url(addon: str, page: Page) -> str:
    """Return where an addon's page is."""
    return f"/addons/{addon}/{page.path.strip('/')}"


def menu_of(access: Access) -> list[tuple[str, str]]:
    """Return (title, address) of what the user may open."""
    added: list[tuple[str, str]] = []
    contributions = runtime().contributions
    if access.is_internal:
        added += [(page.title, page_url(addon, page)) for addon, page in contributions.pages if page.menu]
        added += [(item.title, item.url) for _, item in sorted(contributions.menu, key=lambda pair: pair[1].order)]
    titles = {title for title, _ in added}
    items = [("Home", "/"), *(one for one in timeline_lists(access) if one[0] not in titles), *added]
    core_pages = (
        ("Contact", model_title("Contact"), "/records/Contact"),
        ("Message", "Outbox", "/outbox"),
        ("InboundEmail", "Inbox", "/inbound"),
        ("EmailRoute", "Routes", "/routes"),
        ("CronJob", "Cron", "/cron"),
        ("Suppression", "Suppression", "/suppression"),
        ("OutgoingMailServer", "Servers", "/servers"),
        ("Webhook", "Webhooks", "/webhooks"),
        ("AuditEntry", "Audit", "/audit"),
    )
    items += [(title, url) for model, title, url in core_pages if access.may(model)]
    if has_dev_mailbox() and access.may("CaughtEmail"):
        items.append(("Dev mailbox", "/dev/mail"))
    return items

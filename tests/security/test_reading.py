"""SECURITY 3.E: foreign HTML in the pages that show it: nothing runs, nothing loads, nothing leaves its box."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from lxml.html import HtmlElement, document_fromstring

from core.mail.body import text_to_html
from core.mail.quotation import split_reply_html
from core.mail.sanitise import joined_html, safe_html
from core.web.bodies import body_of
from core.web.edge import FILE_POLICY, MAIL_POLICY, PAGE_POLICY
from core.web.mail_document import mail_document, pictures_of
from tests.security.hostile_mail import COVERING, ELSEWHERE, loading, running
from tests.security.pages import picture

ATTRIBUTES = frozenset({
    *("style", "align", "valign", "bgcolor", "width", "height", "dir", "lang", "title", "href", "rel", "target", "src"),
    *("alt", "border", "color", "face", "size", "cellpadding", "cellspacing", "colspan", "rowspan", "nowrap", "start"),
    *("type", "class"),
})  # fmt: skip
FORBIDDEN_TAGS = frozenset({
    *("script", "style", "svg", "math", "iframe", "frame", "object", "embed", "form", "input", "button", "select"),
    *("textarea", "base", "meta", "link", "template", "noscript", "video", "audio", "source", "picture"),
    *("xmp", "title", "body", "html", "head", "dialog", "applet", "marquee", "plaintext"),
})  # fmt: skip
_CSS = re.compile(
    r"url|expression|behavior|binding|position|import|@|\\|z-index|image|var\s*\(|transform", re.IGNORECASE
)


class Live(HTMLParser):
    """What a reader of tags sees that must not be there."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += live_in(tag, {name: value or "" for name, value in attrs})

    def handle_decl(self, decl: str) -> None:
        self.found.append(decl)

    def handle_comment(self, data: str) -> None:
        self.found.append(data)


def live_in(tag: str, attributes: dict[str, str]) -> list[str]:
    """Return what of one element runs, loads or covers."""
    found = [tag] if tag in FORBIDDEN_TAGS else []
    found += [name for name in attributes if name not in ATTRIBUTES]
    if not re.match(r"https?://|mailto:|tel:", attributes.get("href", "https://")):
        found.append(attributes["href"])
    if not attributes.get("src", "data:image/png;base64,").startswith("data:image/"):
        found.append(attributes["src"])
    if _CSS.search(attributes.get("style", "")):
        found.append(attributes["style"])
    return found


def live_things(html: str) -> list[str]:
    """Return what is live in HTML, as two parsers read it."""
    found = Live(html).found
    for element in document_fromstring(f"<div>{html}</div>").iter():
        if isinstance(element, HtmlElement) and isinstance(element.tag, str) and element.tag not in ("html", "body"):
            found += live_in(element.tag, dict(element.attrib))
    return found


def shown(html: str) -> list[str]:
    """Return the forms in which a page may show a body."""
    cut = split_reply_html(f"<p>own</p>{html}<blockquote type=cite>{html}</blockquote>")
    joined = joined_html(["<p>a</p>", html, html])
    return [safe_html(one, lambda cid: None) for one in (html, cut.new, cut.quoted, joined)]


def test_h1_nothing_runs_however_it_is_wrapped() -> None:
    payloads = running()
    assert len(payloads) > 1_500
    assert {payload: found for payload in payloads for one in shown(payload) if (found := live_things(one))} == {}


def test_h1_cleaning_again_changes_nothing() -> None:
    for payload in running()[::7]:
        once = safe_html(payload, lambda cid: None)
        assert sorted(safe_html(once, lambda cid: None)) == sorted(once)


def test_h1_h4_a_browser_runs_nothing_and_asks_for_nothing(tmp_path: Path) -> None:
    """Even bare, without the sandbox and the policy that every body is shown in."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("There is no chromium.")
    bodies = "".join(f"<section>{safe_html(one, lambda cid: None)}</section>" for one in [*running(), *loading()])
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><title>quiet</title>{bodies}<p id=end>end")
    log = tmp_path / "net.json"
    seen = subprocess.run(
        [
            *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", f"--user-data-dir={tmp_path}/profile"),
            *(f"--log-net-log={log}", "--virtual-time-budget=2000"),
            *("--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout  # fmt: skip
    assert "<title>quiet</title>" in seen
    assert '<p id="end">' in seen
    assert "canary.test" not in log.read_text()


@pytest.mark.parametrize("html", COVERING)
def test_h5_no_mail_covers_or_names_anything(html: str) -> None:
    assert live_things(safe_html(html, lambda cid: None)) == []
    assert " id=" not in mail_document(html)


def test_h4_nothing_is_asked_for_until_the_user_asks() -> None:
    for payload in loading():
        for one in shown(payload):
            harmless = re.sub(r'href="[^"]*"', "", one)
            assert not re.search(rf"<[^>]*{re.escape(ELSEWHERE)}", harmless), payload
            assert live_things(one) == [], payload
    wanted = safe_html(f"<img src='{ELSEWHERE}'>", lambda cid: None, remote_images=True)
    assert ELSEWHERE in wanted


def test_h2_h4_the_policies_allow_no_script_and_no_request() -> None:
    for policy in (MAIL_POLICY, FILE_POLICY):
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        for forbidden in (
            "script-src",
            "allow-scripts",
            "allow-same-origin",
            "allow-forms",
            "allow-top-navigation",
            "*",
        ):
            assert forbidden not in policy
    assert "img-src data:;" in MAIL_POLICY
    assert "'unsafe-inline'" not in PAGE_POLICY
    templates = Path(__file__).parents[2] / "core" / "web" / "templates"
    frames = [tag for file in templates.glob("*.html") for tag in re.findall(r"<iframe[^>]*>", file.read_text())]
    assert frames
    assert all('sandbox="allow-popups allow-popups-to-escape-sandbox"' in tag for tag in frames)


def test_h3_a_link_in_a_text_is_a_web_or_mail_address() -> None:
    hostile = (
        *('http://x"onmouseover=alert(1)', "http://x'><img src=x onerror=alert(1)>", "[1]: javascript:alert(1)"),
        *("javascript://x.test/%0aalert(1)", "data:text/html,<script>", "http://x.test/<svg/onload=alert(1)>"),
        *("mailto:a@b.test?subject=<b>", "https://x.test/&quot;onclick=1", "http://x`onerror=1"),
    )
    for text in hostile:
        assert live_things(text_to_html(text)) == []


def test_h6_no_part_swallows_the_next() -> None:
    secret = "the secret words"
    html = joined_html(["<img src='http://canary.test/", f"<p>{secret}</p>", "'>"])
    assert secret in re.sub(r"<[^>]*>", "", safe_html(html, lambda cid: None, remote_images=True))
    assert f"canary.test/{secret}" not in html


def test_h1_a_body_that_becomes_text_is_escaped_by_the_page() -> None:
    class Mail:
        text = None
        body = "<p>&lt;img src=x onerror=alert(1)&gt; &amp;lt;b&amp;gt;</p>"
        direction, authenticity, email_from, subject, id = "Inbound", None, "", "", 1

    body = body_of(Mail)
    assert not body.is_html
    assert live_things(text_to_html(body.new)) == []
    assert "<img" in body.new


def test_i15_a_picture_that_claims_too_much_is_not_shown() -> None:
    small = picture("PNG", (20, 20))
    bomb = small[:16] + (60_000).to_bytes(4, "big") * 2 + small[24:]
    files = [("<a@b>", "image/png", bomb), ("<c@d>", "image/png", small), ("<e@f>", "image/svg+xml", b"<svg/>")]
    assert list(pictures_of(files)) == ["c@d"]

"""CSS moved onto elements: by rule, without a file or a socket, bounded, and the text of the mail as it was."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import UserError
from core.mail.readable import laid_out
from core.mail.styles import inlined
from tests.budget import within

HOSTILE_NESTING = {
    "divs": "<div>" * 100_000,
    "tables": "<table><td><li><dd><p>" * 20_000,
    "never closed in sight of a counter": '<div><!--</div>--><a title="</div>">' * 20_000,
    "formatting": "".join(f"<b id=x{n}>" for n in range(3000)) + "<p>x" * 3000,
    "just under the limit": "<table><td><li><dd><p>" * 995,
}


def test_without_a_style_element_nothing_changes() -> None:
    html = "<p class=a>Hi &nbsp; there<br>{{ x }}"
    assert inlined(html) is html


def test_rules_go_to_their_elements() -> None:
    html = inlined('<STYLE>p{color:red} .b{margin:0}</STYLE><p class="b" style="top:1px">Hi</p>')
    assert '<p class="b" style="color: red;margin: 0;top: 1px">Hi</p>' in html


def test_what_cannot_be_moved_stays() -> None:
    css = "@media (max-width:600px){p{color:blue}} a:hover{color:red} @font-face{font-family:x;src:url(y)} p{top:0}"
    html = inlined(f"<style>{css}</style><p>Hi</p>")
    assert html.count("<style>") == 1
    for kept in ("@media (max-width:600px)", "a:hover", "@font-face"):
        assert kept in html
    assert '<p style="top: 0;">' in html


def test_a_fragment_stays_a_fragment_so_that_it_can_be_framed() -> None:
    html = inlined("<!-- x --><style>p{top:0} a:hover{top:1px}</style><p>Hi</p>\n<p>you</p>")
    assert html == (
        '<!-- x --><style>a:hover { top: 1px; }</style><p style="top: 0;">Hi</p>\n<p style="top: 0;">you</p>'
    )
    assert inlined("<style>body{color:red}</style><p>Hi</p>") == '<div style="color: red;"><p>Hi</p></div>'
    assert "<body" in inlined("<BODY class=x><style>p{top:0}</style><p>Hi")


def test_what_belongs_to_outlook_and_to_templates_stays() -> None:
    html = inlined("<style>p{top:0}</style><!--[if mso]><table><tr><td><![endif]--><p>{{ a }}&nbsp;&amp;</p>")
    assert "<!--[if mso]><table><tr><td><![endif]-->" in html
    assert "{{ a }}&nbsp;&amp;" in html


def test_p3_no_file_and_no_socket_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = tmp_path / "planted.css"
    planted.write_text("p{color:planted}")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/planted.css"
        for url in (planted.as_uri(), str(planted), "planted.css", address, address.removeprefix("http:")):
            html = inlined(
                f'<base href="{tmp_path.as_uri()}/"><link rel="stylesheet" href="{url}"><link rel=preload href="{url}">'
                f"<style>@import url({url}); p{{background:url({url})}}</style><p>Hi</p>"
            )
            assert "color:planted" not in html.replace(" ", "")
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("name", HOSTILE_NESTING)
def test_deep_nesting_does_not_end_the_process(name: str) -> None:
    # In a process of its own: where this fails, it takes everything with it.
    program = "import sys; from core.mail.styles import inlined; inlined(sys.stdin.read())"
    html = "<style>p{color:red} x y p{top:0}</style>" + HOSTILE_NESTING[name]
    result = subprocess.run([sys.executable, "-c", program], input=html, text=True, capture_output=True, timeout=20)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "html",
    [
        "<style>" + "p{color:red}" * 5000 + "</style>" + "<p>" * 5000,
        "<style>*{background:'" + "x" * 100_000 + "'}</style>" + "<p>" * 5000,
        "<style>" + ":not(" * 2000 + "p" + ")" * 2000 + "{color:red}</style><p>",
        "<style>p{color:" + "(" * 100_000 + "</style>" + "<p>" * 50,
        "<style>" + "@media x{" * 20_000 + "</style><p>",
        "<style>" + "a b c d e f g h i p{top:0}" * 4000 + "</style>" + "<b>" * 900,
        "<style" * 300_000,
        "<style>" * 20_000,
        "<style></style" * 100_000,
    ],
    ids=range(9),
)
def test_hostile_css_takes_no_time_and_no_space(html: str) -> None:
    with within(2):
        try:
            result = inlined(html)
        except UserError:
            result = ""
    assert len(result) < 70_000_000


def test_too_much_css_is_named() -> None:
    with pytest.raises(UserError, match="300001 characters of CSS"):
        inlined("<style>" + "/**/ " * 60_000 + "</style><p>x</p>")


def test_broken_css_does_no_harm() -> None:
    for css in ("}}}{{{", "p{color:red", "::::x{}", "p{color:", "\0", "<!-- p{top:0} -->", "@", "@media"):
        assert "Hi" in inlined(f"<style>{css}</style><p>Hi</p>")


def test_no_style_breaks_out_of_its_attribute() -> None:
    html = inlined("""<style>p{content:'a"onload="x'; font-family:"b' onload='x"}</style><p>Hi</p>""")
    assert html.count('"') == 2


@pytest.mark.parametrize(
    "html",
    [
        "<style>p{color:red}</style><p>Hello <b>Kim</b></p><ul><li>one<li>two</ul>",
        "<html><head><title>T</title><style>td{top:0}</style></head><body><table><tr><td>a<td>b</table></body></html>",
        '<style>a{top:0}@media x{p{top:0}}</style><p>Pay <a href="https://x.test/?a=1&amp;b=2">here</a>&nbsp;&lt;3</p>',
    ],
)
def test_the_text_part_is_the_same(html: str) -> None:
    assert laid_out(inlined(html)) == laid_out(html)


def test_the_same_html_gives_the_same_bytes_in_every_process() -> None:
    css = "".join(f".c{n}{{color:red;margin:{n}px;padding:0}}" for n in range(20))
    html = f"<style>{css}p{{top:0;left:0}}</style>" + "".join(f"<p class='c{n} c{n + 1}'>x" for n in range(19))
    program = "import sys; from core.mail.styles import inlined; sys.stdout.write(inlined(sys.stdin.read()))"
    runs = [
        subprocess.run([sys.executable, "-c", program], input=html, text=True, capture_output=True, check=True).stdout
        for _ in range(3)
    ]
    assert runs == [inlined(html)] * 3

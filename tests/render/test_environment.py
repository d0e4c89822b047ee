"""Rendering: escaping, missing names, places of errors, translations, the cache, one line texts."""

from __future__ import annotations

import contextlib
import threading
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AddonError, TemplateError
from core.render.catalogue import Catalogue, Catalogues, Plural
from core.render.environment import Rendered, Renderer
from core.render.run import Audience

WORDS = Catalogue(
    {
        "Hello %(name)s": "Hallo %(name)s",
        "<b>Hello %(name)s</b>": "<b>Hallo %(name)s</b>",
        "One line": "Eine Zeile",
    },
    {"One line": Plural(("Eine Zeile", "%(count)s Zeilen"), lambda number: number != 1)},
)
RENDERER = Renderer(catalogues=Catalogues({"de": WORDS}))
GERMAN = Audience("de_DE")
INVOICE = {
    "number": "INV/7",
    "short_name": "It",
    "partner": {"name": "Ann & Co", "vat": None},
    "company": None,
    "due": date(2026, 3, 29),
    "lines": [
        {"name": "Chair", "price": Decimal("10.50"), "quantity": 2, "kind": "goods"},
        {"name": "Table", "price": Decimal("100"), "quantity": 1, "kind": "goods"},
        {"name": "Work", "price": Decimal("50"), "quantity": 3, "kind": "service"},
    ],
}


def html(source: str, **data: object) -> str:
    return RENDERER.render(source, INVOICE | data, escape=True, strict=True).text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ partner.name }}", "Ann &amp; Co"),
        ("{{ partner['name'] }}", "Ann &amp; Co"),
        ("{{ partner.name | safe }}", "Ann & Co"),
        ("{{ partner.vat }}|{{ company.name.first }}", "|"),
        ("{{ company.name | default('us') }}", "us"),
        ("{{ '<b>' ~ partner.name ~ 1 }}", "&lt;b&gt;Ann &amp; Co1"),
        ("{{ partner.name|e }}", "Ann &amp; Co"),
        ("{% for l in lines %}{{ loop.index }}/{{ loop.length }}{{ l.name }}{{ ',' if not loop.last }}{% endfor %}",
         "1/3Chair,2/3Table,3/3Work"),
        ("{% for l in lines if l.price > 20 %}{{ loop.cycle('a', 'b') }}{{ l.name }}{% endfor %}", "aTablebWork"),
        ("{% for key, value in lines[0].items() %}{{ key }} {% endfor %}", "name price quantity kind "),
        ("{% for g in lines|groupby('kind') %}{{ g.grouper }}{{ g.list|length }}{% endfor %}", "goods2service1"),
        ("{{ lines|map(attribute='name')|join(', ') }}", "Chair, Table, Work"),
        ("{{ lines|sum(attribute='quantity') }} {{ lines|map(attribute='price')|max }}", "6 100"),
        ("{{ (lines|sort(attribute='name', reverse=true))[0].name }} {{ lines[1:]|length }}", "Work 2"),
        ("{{ (lines|selectattr('kind', 'eq', 'service')|first).name }}", "Work"),
        ("{% set n = namespace(t=0) %}{% for l in lines %}{% set n.t = n.t + l.price %}{% endfor %}{{ n.t }}",
         "160.50"),
        ("{% macro row(l, tag='td') %}<{{ tag }}>{{ l.name }}</{{ tag }}>{% endmacro %}{{ row(lines[0]) }}",
         "<td>Chair</td>"),
        ("{% macro box() %}<p>{{ caller() }}</p>{% endmacro %}{% call box() %}{{ partner.name }}{% endcall %}",
         "<p>Ann &amp; Co</p>"),
        ("{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is sequence else x }}{% endfor %}", "123"),
        ("{{ {'goods': 'Goods'}[lines[0].kind] }}", "Goods"),
        ("{{ '%05.2f %s' % (1.5, number) }}", "01.50 INV/7"),
        ("{{ due.year }} {{ due.isoformat() }} {{ due }}", "2026 2026-03-29 2026-03-29"),
        ("{{ number.lower() }} {{ number.split('/')[1] }} {{ number.startswith('INV') }}", "inv/7 7 True"),
        ("{{ number.replace('/', '-') }} {{ number|replace('/', '-') }}", "INV-7 INV-7"),
        ("{{ 7 // 2 }} {{ 7 % 2 }} {{ 2 ** 8 }} {{ -1 }} {{ 1 / 4 }}", "3 1 256 -1 0.25"),
        ("{{ 'INV' in number and lines[0] != lines[1] and [] == [] }}", "True"),
        ("{{ 'a\nb'|indent(2) }}", "a\n  b"),
        ("{{ undefinedname is defined }} {{ undefinedname|default('-') }}", "False -"),
        ("{{ partner.get('x', 1) }} {{ partner.get('name')|length }}", "1 8"),
        ("{{field:number}} {{ field:number }} {{- field:number -}}", "INV/7 INV/7INV/7"),
        ("{{field:short-name-}}{{field:short-name|upper}}", "ItIT"),
        ("{% filter upper %}a{{ number }}{% endfilter %}", "AINV/7"),
        ("{% set x %}<i>{{ partner.name }}</i>{% endset %}{{ x }}", "<i>Ann &amp; Co</i>"),
        ("{{ (1, 2)|batch(1)|list|length }} {{ range(3)|list|reverse|join }}", "2 210"),
        ("{{ '<b>x</b> y'|striptags }} {{ 'a b'|urlencode }} {{ 'abcdef'|truncate(5, true, '.', 0) }}",
         "x y a%20b abcd."),
    ],
)  # fmt: skip
def test_what_templates_do(source: str, expected: str) -> None:
    assert html(source) == expected


def test_a_field_named_as_a_method_is_the_field() -> None:
    assert html("{{ order['items'] }} {{ order.items }}", order={"items": 3}) == "3 3"


def test_plain_text_is_not_escaped_and_html_is_escaped_once() -> None:
    hostile = {"name": "<img src=x onerror=1>{{ 7*7 }}]]>\r\nBcc: x"}
    assert RENDERER.render("{{ name }}", hostile, escape=False).text == hostile["name"]
    escaped = RENDERER.render("{{ name }}", hostile, escape=True).text
    assert escaped == "&lt;img src=x onerror=1&gt;{{ 7*7 }}]]&gt;\r\nBcc: x"


@given(st.text())
def test_a_line_has_no_line_break(value: str) -> None:
    line = RENDERER.render_line("a{{ value }}b", {"value": value}).text
    assert len(line.splitlines()) == 1
    assert not any(ord(char) < 32 or ord(char) == 127 for char in line)


def test_a_line_keeps_its_words_apart() -> None:
    assert RENDERER.render_line(" Re: {{ name }} ", {"name": "a\r\nBcc: x & y"}).text == "Re: a Bcc: x & y"


def test_missing_names_are_blank_and_listed_when_sending() -> None:
    rendered = RENDERER.render("{{ nme }}|{{ partner.nam.x }}{% for l in linez %}{% endfor %}", INVOICE, escape=True)
    assert rendered == Rendered("|", ("nme", "nam.x", "linez"))


def test_the_item_before_the_first_is_nothing_missing() -> None:
    source = "{% macro m(a, b) %}{{ b }}{% endmacro %}{{ m(1) }}{% for x in [1, 2] %}{{ loop.previtem }}{% endfor %}"
    assert RENDERER.render(source, {}, escape=True) == Rendered("1")


def test_asking_whether_something_is_there_is_not_missing_it() -> None:
    source = "{% if vat %}{{ vat }}{% endif %}{{ vat|default('none') }}{{ vat is defined }}"
    assert RENDERER.render(source, {}, escape=True) == Rendered("noneFalse")


@pytest.mark.parametrize(
    ("source", "line", "column", "words"),
    [
        (
            "a\n<p>{{ numbr }}</p>",
            2,
            7,
            'nothing here is named "numbr". Did you mean "number"? Known: company, due',
        ),
        ("{{ partner.nam }}", 1, 12, 'no field "nam". Did you mean "name"? Known: name, vat.'),
        ("{{ number }} {{ partner.nam.x }}", 1, 25, 'no field "nam"'),
        ("{% if numbr %}{% endif %}", 1, 7, "numbr"),
        ("{{ number.foo }}", 1, 11, 'a text has no "foo"'),
        ("{{ lines.7.x }}", 1, 10, 'a list has no "7"'),
        ("{{ nothing() }}", 1, 4, "nothing"),
        ("\n\n{{ number | dat }}", 3, 13, "No filter named 'dat'"),
        ("x {% unknown %}", 1, 6, "unknown tag 'unknown'"),
        ("{{ number", 1, 1, "unexpected end of template"),
        ("{% for l in lines %}\n{{ l.name }}", 2, 1, "'endfor'"),
        ("\n{{ 1 / 0 }}", 2, 6, "divides by zero"),
        ("{{ number + 1 }}", 1, 1, "str"),
        ("{{ number|date }}", 1, 1, "this text is not a date"),
        ("{{ lines }}", 1, 1, "a list cannot be printed"),
        ("{{ partner }}", 1, 1, "a record cannot be printed"),
        ("{{ number(1) }}", 1, 1, "a text cannot be called"),
    ],
)
def test_an_error_names_its_place(source: str, line: int, column: int, words: str) -> None:
    with pytest.raises(TemplateError) as caught:
        RENDERER.render(source, INVOICE, escape=True, strict=True, name="content")
    error = caught.value
    assert (error.source, error.line, error.column) == ("content", line, column)
    assert words in str(error)
    assert error.__cause__ is None


def test_check_compiles_and_names_the_fault() -> None:
    RENDERER.check("{{ anything }}")
    with pytest.raises(TemplateError, match=r"subject, line 1, column 1"):
        RENDERER.check("{{ }}", name="subject")


@given(st.text(alphabet="{}%# 'abz|.()[]-+~*\n\"", max_size=60))
def test_any_source_renders_or_says_why(source: str) -> None:
    with contextlib.suppress(TemplateError):
        RENDERER.render(source, {"a": "b", "z": [1]}, escape=True)


def test_translation_follows_the_audience_and_leaks_nowhere() -> None:
    source = (
        "{{ t('Hello %(name)s', name=partner.name) }}|"
        "{% trans name=partner.name %}<b>Hello {{ name }}</b>{% endtrans %}|"
        "{% trans count=lines|length %}One line{% pluralize %}{{ count }} lines{% endtrans %}|{{ _('50% off') }}"
    )
    english = "Hello Ann &amp; Co|<b>Hello Ann &amp; Co</b>|3 lines|50% off"
    german = "Hallo Ann &amp; Co|<b>Hallo Ann &amp; Co</b>|3 Zeilen|50% off"
    for audience, expected in ((GERMAN, german), (Audience(), english), (GERMAN, german)):
        assert RENDERER.render(source, INVOICE, escape=True, audience=audience).text == expected


def test_a_translated_record_field_is_still_escaped() -> None:
    assert RENDERER.render("{{ t(name) }}", {"name": "<b>"}, escape=True).text == "&lt;b&gt;"


def test_renders_in_threads_keep_to_their_audience() -> None:
    wrong: list[str] = []

    def work(audience: Audience, expected: str) -> None:
        for _ in range(200):
            text = RENDERER.render("{{ t('One line') }}{{ 1.5|number }}", {}, escape=True, audience=audience).text
            if text != expected:
                wrong.append(text)

    threads = [
        threading.Thread(target=work, args=pair)
        for pair in ((GERMAN, "Eine Zeile1,5"), (Audience(), "One line1.5")) * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_template_is_parsed_once_and_the_cache_is_bounded() -> None:
    renderer = Renderer(cached_templates=2)
    for name in ("a", "b", "a", "a"):
        renderer.render("{{ x }}" + name, {"x": 1}, escape=True)
    assert renderer.compiled.cache_info().misses == 2
    renderer.render("{{ x }}a", {"x": 1}, escape=False)
    assert renderer.compiled.cache_info().misses == 3
    assert renderer.compiled.cache_info().currsize == 2


def test_an_addon_adds_filters_but_takes_no_name() -> None:
    def shout(value: str, mark: str = "!") -> str:
        return value.upper() + mark

    assert Renderer({"shout": shout}).render("{{ 'a'|shout('?') }}", {}, escape=True).text == "A?"
    with pytest.raises(AddonError, match=r'the filter "money" of .*test_environment'):
        Renderer({"money": shout})

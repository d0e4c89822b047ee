"""Catalogues: read from gettext files, merged in order, found by fallback, and never asked about a record's values."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.render.catalogue import Catalogue, Catalogues, fallbacks, read_catalogues
from core.render.environment import Renderer
from core.render.run import Audience

POLISH = r"""
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);\n"

msgid "%(num)s day"
msgid_plural "%(num)s days"
msgstr[0] "%(num)s dzień"
msgstr[1] "%(num)s dni"
msgstr[2] "%(num)s dni!"

msgctxt "month"
msgid "May"
msgstr "Maj"

msgid "May"
msgstr "Może"

#, fuzzy
msgid "Guess"
msgstr "Domysł"

msgid "Empty"
msgstr ""
"""


def po(folder: Path, text: str, name: str = "pl.po") -> tuple[str, Path]:
    (folder / "i18n").mkdir(parents=True, exist_ok=True)
    (folder / "i18n" / name).write_text(text, encoding="utf-8")
    return folder.name, folder


def plain(*messages: tuple[str, str]) -> str:
    head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n'
    return head + "".join(f'\nmsgid "{one}"\nmsgstr "{other}"\n' for one, other in messages)


def rendered(catalogues: Catalogues, source: str, locale: str, **data: object) -> str:
    return Renderer(catalogues=catalogues).render(source, data, escape=True, audience=Audience(locale)).text


@pytest.mark.parametrize(
    ("locale", "names"),
    [
        ("de_AT", ("de_AT", "de")),
        ("DE-at", ("de_AT", "de")),
        ("zh-hant-tw", ("zh_Hant_TW", "zh_Hant", "zh")),
        ("es_419", ("es_419", "es")),
        ("de_DE.UTF-8", ("de_DE", "de")),
        ("", ()),
        ("../../etc/passwd", ()),
        ("x" * 1_000_000, ()),
    ],
)
def test_a_locale_falls_back_to_its_language(locale: str, names: tuple[str, ...]) -> None:
    assert fallbacks(locale) == names


@given(st.text(max_size=20))
def test_any_text_is_a_locale_or_none(locale: str) -> None:
    assert all(name == fallbacks(name)[0] for name in fallbacks(locale))


def test_plurals_contexts_and_what_is_unfinished(tmp_path: Path) -> None:
    catalogues, faults = read_catalogues([po(tmp_path / "shop", POLISH)])
    assert faults == []
    source = "{% trans num=n %}{{ num }} day{% pluralize %}{{ num }} days{% endtrans %}"
    said = {n: rendered(catalogues, source, "pl_PL", n=n) for n in (1, 2, 5, 12, 22, 1.5)}
    assert said == {1: "1 dzień", 2: "2 dni", 5: "5 dni!", 12: "12 dni!", 22: "22 dni", 1.5: "1.5 dni!"}
    months = '{% trans "month" %}May{% endtrans %} {% trans %}May{% endtrans %} {{ t("Guess") }}{{ t("Empty") }}'
    assert rendered(catalogues, months, "pl") == "Maj Może GuessEmpty"
    assert rendered(catalogues, months, "fr") == "May May GuessEmpty"


def test_the_later_addon_wins_and_a_region_completes_its_language(tmp_path: Path) -> None:
    catalogues, faults = read_catalogues(
        [
            po(tmp_path / "core", plain(("Stairs", "Treppe"), ("January", "Januar"), ("Bag", "Tasche")), "de.po"),
            po(tmp_path / "core", plain(("January", "Jänner")), "de_AT.po"),
            po(tmp_path / "shop", plain(("Bag", "Tüte")), "de.po"),
        ]
    )
    assert faults == []
    assert catalogues.locales == ("de", "de_AT")
    source = "{{ t('Stairs') }} {{ t('January') }} {{ t('Bag') }}"
    assert rendered(catalogues, source, "de_AT") == "Treppe Jänner Tüte"
    assert rendered(catalogues, source, "de_CH") == "Treppe Januar Tüte"
    assert rendered(catalogues, source, "en") == "Stairs January Bag"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("German.po", plain(), "name the file by its locale"),
        ("de.po", "msgid broken", "cannot be read"),
        ("de.po", plain(("Hello %(name)s", "Hallo %(nmae)s")), 'has a place %(nmae)s that'),
        ("de.po", 'msgid ""\nmsgstr "Plural-Forms: nplurals=2; plural=__import__(1);\\n"\n', "cannot be read"),
        (
            "de.po",
            'msgid ""\nmsgstr "Plural-Forms: nplu"\n"rals=99999999; plural=n;\\n"\n\n'
            'msgid "a"\nmsgid_plural "b"\nmsgstr[0] "c"\nmsgstr[1] "d"\n',
            "plural forms",
        ),
    ],
)  # fmt: skip
def test_a_broken_file_is_told(tmp_path: Path, name: str, text: str, words: str) -> None:
    _, faults = read_catalogues([po(tmp_path / "shop", text, name)])
    assert len(faults) == 1
    assert faults[0].startswith(f"shop: i18n/{name}")
    assert words in faults[0]


@given(st.sampled_from(["Date", "Total", "Dear %(name)s", "%(count)s lines", "One line"]))
def test_a_value_that_reads_like_a_message_stays_as_it_is(value: str) -> None:
    """Translated is what the template says, never what a record says."""
    everything = dict.fromkeys(("Date", "Total", "One line", "%(count)s lines"), "WRONG")
    words = {**everything, "Dear %(name)s": "Liebe %(name)s", "From %(x)s": "Von %(x)s"}
    catalogues = Catalogues({"de": Catalogue(words, {})})
    source = (
        "{{ name }}|{% trans name=name %}Dear {{ name }}{% endtrans %}|{{ t('From %(x)s', x=name) }}|{{ name|upper }}"
        "|{% for one in [name] %}{{ one }}{% endfor %}"
    )
    expected = f"{value}|Liebe {value}|Von {value}|{value.upper()}|{value}"
    assert rendered(catalogues, source, "de_AT", name=value) == expected

"""The words of an addon as gettext files: found wherever templates have them, kept where they are translated."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent

import pytest

from core.config import load_configuration
from core.errors import TemplateError, UserError
from core.host.host import open_host
from core.render.words import Words, words_in
from core.seed.words import Written, write_words

pytestmark = pytest.mark.anyio

_FILES = {
    "addon.yaml": "name: shop\ntitle: Shop\nversion: '1.0'\ndata: [data/mail.yaml]\n",
    "models/order.py": """
        from core.api import Record, fields


        class Order(Record):
            name = fields.CharField(max_length=50)
            state = fields.SelectionField({"new": "New order", "same": "same"}, default="new")
        """,
    "hooks.py": """
        from core.api import hookimpl

        from .models.order import Order


        @hookimpl
        def register_models():
            return [Order]
        """,
    "data/mail.yaml": """
        - data_type: EmailTemplate
          identifier: shop_thanks
          name: Thanks
          model: Order
          subject: "{{ t('Order %(name)s', name=name) }}"
          content: ../templates/thanks.jinja
        """,
    "templates/thanks.jinja": """
        <p>{{ field:name }} {{ t("Thank you.") | unknownfilter }}</p>
        {% trans num=2 %}one piece{% pluralize %}{{ num }} pieces{% endtrans %}{% trans "verb" %}Order{% endtrans %}
        """,
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name, text in _FILES.items():
        file = tmp_path / "shop" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).lstrip("\n"))
    return tmp_path / "shop"


async def words_of(addon: str, var: Path, *path: str, folder: Path | None = None, locale: str = "") -> list[Written]:
    overrides = {"DATABASE_URL": f"sqlite://{var}/words.db", "VAR_DIR": str(var), "ADDONS": ["core", addon]}
    configuration = load_configuration(environment={}, overrides={**overrides, "ADDONS_PATH": list(path)})
    async with open_host(configuration) as host:
        source = next(one for one in host.addons if one.name == addon)
        return write_words(source, host.registry, folder, locale)


async def written(shop: Path, locale: str = "") -> dict[str, tuple[int, int]]:
    found = await words_of("shop", shop.parent / "var", str(shop.parent), locale=locale)
    return {one.file.name: (one.messages, one.missing) for one in found}


async def test_all_words_are_found_with_their_places(shop: Path) -> None:
    assert await written(shop) == {"shop.pot": (5, 5)}
    text = (shop / "i18n" / "shop.pot").read_text()
    for words in (
        "#: data/mail.yaml:5\n#, python-format\nmsgid \"Order %(name)s\"",
        "#: thanks.jinja:1\nmsgid \"Thank you.\"",
        "msgid \"one piece\"\nmsgid_plural \"%(num)s pieces\"",
        "msgctxt \"verb\"\nmsgid \"Order\"",
        "#. A choice of Order.state\nmsgid \"New order\"",
    ):  # fmt: skip
        assert words in text


async def test_a_translation_begins_and_stays_when_words_come_and_go(shop: Path) -> None:
    assert await written(shop, "pt-br") == {"shop.pot": (5, 5), "pt_BR.po": (5, 5)}
    file = shop / "i18n" / "pt_BR.po"
    file.write_text(file.read_text().replace('msgid "Thank you."\nmsgstr ""', 'msgid "Thank you."\nmsgstr "Obrigado."'))
    assert await written(shop) == {"shop.pot": (5, 5), "pt_BR.po": (5, 4)}
    before = file.read_bytes()
    assert await written(shop) == {"shop.pot": (5, 5), "pt_BR.po": (5, 4)}
    assert file.read_bytes() == before
    template = shop / "templates" / "thanks.jinja"
    template.write_text(template.read_text() + "{{ t('Bye') }}")
    assert await written(shop) == {"shop.pot": (6, 6), "pt_BR.po": (6, 5)}
    assert 'msgstr "Obrigado."' in file.read_text()


async def test_what_cannot_be_read_or_written_is_said(shop: Path) -> None:
    with pytest.raises(UserError, match="is no locale"):
        await written(shop, "Deutsch!")
    (shop / "i18n").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot be written"):
        await written(shop)
    (shop / "templates" / "thanks.jinja").write_text("<p>\n{% trans %}")
    with pytest.raises(TemplateError, match="shop_thanks: content, line 2"):
        await written(shop)


async def test_only_words_that_stand_in_the_template_are_found() -> None:
    assert list(words_in("{{ t(name) }}{{ t('') }}{{ other('x') }}\n{{ t('a') if b else t('c') }}")) == [
        Words(2, "a"),
        Words(2, "c"),
    ]


@pytest.mark.parametrize("addon", ["crm", "invoicing"])
async def test_the_shipped_addons_are_translated_and_up_to_date(addon: str, tmp_path: Path) -> None:
    shipped, made = Path(__file__).parents[2] / "addons" / addon / "i18n", tmp_path / "made"
    shutil.copytree(shipped, made)
    found = {one.file.name: one for one in await words_of(addon, tmp_path, folder=made)}
    assert {name: one.missing for name, one in found.items() if name.endswith(".po")} == dict.fromkeys(
        ("de.po", "es.po", "fr.po", "pl.po"), 0
    ), f"run `postroom template extract {addon}`, and translate what is missing"
    for name in found:
        assert (made / name).read_text() == (shipped / name).read_text(), f"run `postroom template extract {addon}`"

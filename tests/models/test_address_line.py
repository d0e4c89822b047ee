"""Lines of addresses: a value never adds a recipient, whatever a stranger is called."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import AddressError
from core.mail.address import address_list
from core.models.address_line import plain_line
from core.render.environment import Renderer
from core.render.marks import items_of, unmarked

RENDERER = Renderer()
EMAIL = "ada@customer.test"


def line(source: str, **values: object) -> str:
    return plain_line(RENDERER.render_addresses(source, values, strict=True).text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("office@our.test", "office@our.test"),
        ("{{ email }}", EMAIL),
        ("{{ blank }}", ""),
        ("{{ header }}", f"Ada <{EMAIL}>"),
        ("{{ blank or header }}", f"Ada <{EMAIL}>"),
        ("{{ emails | join(', ') }}", "a@x.test, b@x.test"),
        ("{% for one in emails %}{{ one }}, {% endfor %}", "a@x.test, b@x.test"),
        ("{{ name }} <{{ email }}>", f'"Byron, \\"Ada\\"" <{EMAIL}>'),
        ('"{{ name }}" <{{ email }}>, x@our.test', f'"Byron, \\"Ada\\"" <{EMAIL}>, x@our.test'),
        ("\"{{ name | replace('\"', '\\\\\"') }}\" <{{ email }}>", f'"Byron, \\"Ada\\"" <{EMAIL}>'),
        ("{{ user }}@our.test", "ada@our.test"),
        ("{{ user }}+{{ number }}@{{ domain }}", "ada+7@our.test"),
        ('"{{ user }}, our own" <info@our.test>', '"ada, our own" <info@our.test>'),
    ],
)
def test_what_templates_say(source: str, expected: str) -> None:
    values = {
        "email": EMAIL, "blank": "", "header": f"Ada <{EMAIL}>", "emails": ["a@x.test", "b@x.test"],
        "name": 'Byron, "Ada"', "user": "ada", "number": 7, "domain": "our.test",
    }  # fmt: skip
    assert line(source, **values) == expected


@pytest.mark.parametrize(
    "email",
    ["a@x.test>, <evil@x.test", "a@x.test, evil@x.test", "a@x.test\r\nBcc: evil@x.test", "a@x.test>\n<evil@x.test",
     'a"@x.test', "evil@x.test (", "", "a b@x.test"],
)  # fmt: skip
def test_an_address_with_more_in_it_is_refused(email: str) -> None:
    with pytest.raises(AddressError):
        line("Ada <{{ email }}>", email=email)


@given(st.text() | st.text(alphabet='"\\<>,;:()[]@ aevil.test\uf8c0\uf8c1\uf8ca\uf8cb', max_size=40))
def test_no_name_adds_a_recipient(name: str) -> None:
    for source in ("{{ name }} <{{ email }}>", '"{{ name }}" <{{ email }}>'):
        try:
            found = address_list(line(source, name=name, email=EMAIL))
        except AddressError:
            continue
        assert [mailbox.address for mailbox in found] == [EMAIL]


@given(st.text(alphabet='"\\<>,;:()@ aevil.test', max_size=40))
@example(": .")
@example("eve@evil.test ")
@example('"eve@evil.test, a')
def test_no_local_part_is_another_address(local: str) -> None:
    try:
        found = address_list(line("{{ local }}@our.test", local=local))
    except AddressError:
        return
    assert [mailbox.address for mailbox in found] == [f"{local.strip()}@our.test"]


@given(st.text())
def test_marks_come_off_as_they_went_on(value: str) -> None:
    rendered = RENDERER.render_addresses("{{ value }}", {"value": value}).text
    assert unmarked(rendered).split() == RENDERER.render_line("{{ value }}", {"value": value}).text.split() or any(
        "\uf8c0" <= char <= "\uf8cb" for char in value
    )
    assert len(items_of(rendered)) == 1

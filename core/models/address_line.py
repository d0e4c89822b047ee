"""Reading a rendered line of addresses: who is named is the template's decision, never a value's.

An item that is one value alone, such as `{{ email_from }}`, is read as it stands. In any other, such as
`"{{ contact.name }}" <{{ contact.email }}>`, values are text: a comma or a quote in a name stays in the name, and in
an address it is refused. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import AddressError
from core.gateway.target import header_form
from core.mail.address import address_list
from core.mail.values import Mailbox
from core.render.marks import is_marked, is_one_value, items_of, unmarked, without_bounds


def plain_line(rendered: str) -> str:
    """Return what `Renderer.render_addresses` made as a line of header forms; AddressError for what is no address."""
    return ", ".join(header_form(one.name, one.address) for item in items_of(rendered) for one in _mailboxes(item))


def _mailboxes(item: str) -> Iterator[Mailbox]:
    if is_one_value(item):
        yield from address_list(unmarked(item))
        return
    for one in address_list(without_bounds(item)):
        if is_marked(one.address):
            raise AddressError(f'"{unmarked(one.address)[:100]}" is not an address; write name@domain.')
        # Authors who escaped the quotes of a name themselves meant the name.
        yield Mailbox(unmarked(one.name).replace(r"\"", '"'), one.address)

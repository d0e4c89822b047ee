"""A person at the pages without JavaScript: opens them, fills in forms, presses buttons."""

from __future__ import annotations

from typing import Self
from urllib.parse import urljoin

import httpx2
from lxml import html


class Visitor:
    """A browser's cookie jar and its current page."""

    def __init__(self, address: str):
        self.client = httpx2.Client(base_url=address, follow_redirects=True, timeout=30, headers={"Origin": address})
        self.url = "/"
        self.page = html.fromstring("<html></html>")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()

    def open(self, path: str) -> Self:
        """Go to a page."""
        return self._arrive(self.client.get(path))

    def submit(self, action: str, **values: str) -> Self:
        """Fill in the form whose address ends with `action`, and press its button."""
        sending = [form for form in self.page.forms if form.method == "POST"]
        form = next(form for form in sending if (form.action or self.url).split("?")[0].endswith(action))
        data = {name: value for name, value in form.form_values() if value is not None} | values
        return self._arrive(self.client.post(urljoin(self.url, form.action or self.url), data=data))

    @property
    def text(self) -> str:
        """What the page says, white space folded."""
        return " ".join(self.page.text_content().split())

    def links(self, part: str) -> list[str]:
        """Return the addresses of links that contain `part`."""
        return [link for link in self.page.xpath("//a/@href") if part in link]

    def _arrive(self, response: httpx2.Response) -> Self:
        assert response.status_code == 200, f"{response.status_code} at {response.url}: {response.text[:500]}"
        self.url = str(response.url)
        self.page = html.fromstring(response.text)
        return self

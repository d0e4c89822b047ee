"""A program that sends mail from records, written from `reference/002` alone: it knows nothing else of the host.

Only what that document leaves open is asked of whoever uses it: where files are uploaded to, and a table's number.
"""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any


class EmailClient:
    """Calls a host at `address` with a bearer token."""

    def __init__(self, address: str, token: str):
        self.address = address.rstrip("/")
        self._token = token

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send JSON and return the JSON of the answer; urllib raises for an answer that is none."""
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    # The compose window.

    def servers(self) -> list[dict[str, Any]]:
        return list(self.call("POST", "/api/email/smtpOptions", {}))

    def context(self, table_id: int, record_id: int) -> dict[str, Any]:
        return dict(self.call("POST", "/api/email/recordContext", {"tableId": table_id, "recordId": record_id}))

    def send(self, **order: Any) -> dict[str, Any]:
        return dict(self.call("POST", "/api/email/send", order))

    # Signatures.

    def signatures(self) -> list[dict[str, Any]]:
        return list(self.call("POST", "/api/email/signatures/list", {}))

    def create_signature(self, name: str, html: str, is_default: bool) -> dict[str, Any]:
        return dict(
            self.call("POST", "/api/email/signatures/create", {"name": name, "html": html, "is_default": is_default})
        )

    def update_signature(self, signature_id: int, **changes: Any) -> dict[str, Any]:
        return dict(self.call("POST", f"/api/email/signature/{signature_id}/update", changes))

    def delete_signature(self, signature_id: int) -> None:
        self.call("POST", f"/api/email/signature/{signature_id}/delete", {})

    # What became of it.

    def comments(self, table_id: int, record_id: int) -> list[dict[str, Any]]:
        return list(self.call("POST", f"/api/table/{table_id}/record/{record_id}/comments/get", {}))

    def wait(self, table_id: int, record_id: int, kind: str, *statuses: str) -> dict[str, Any]:
        """Poll until a comment of this type has one of these statuses; with none, until it is there."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for comment in self.comments(table_id, record_id):
                if comment["type"] == kind and (not statuses or comment["metadata"]["status"] in statuses):
                    return comment
            time.sleep(0.05)
        raise AssertionError(f"no {kind} {statuses}: {self.comments(table_id, record_id)}")


def pixel(url: str) -> tuple[str, str, bytes]:
    """Fetch a pixel as a mail program does, without a login; returns its type, its Cache-Control, and its bytes."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.headers["Content-Type"], answer.headers["Cache-Control"], answer.read()


def email2hook(address: str, raw: bytes) -> int:
    """Bring a raw mail to the host, as the forwarding service does; returns the status."""
    request = urllib.request.Request(
        f"{address}/webhooks/email_receive", method="POST", data=raw, headers={"Content-Type": "text/raw"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return int(answer.status)

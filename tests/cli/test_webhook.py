"""`postroom webhook`, as an operator calls it."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.command import Postroom


def test_a_webhook_is_made_tried_and_looked_into(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", MAIL_MODE="catch")
    site.call("init")
    url = "http://127.0.0.1:9/hook"
    assert site.call("webhook", "add", "billing", url, "--event", "message.sent").strip().startswith("whsec_")
    site.call("webhook", "add", "wrong", url, "--event", "message.snet", code=2)
    assert "did not arrive" in site.call("webhook", "test", "billing", code=1)
    (listed,) = site.json("webhook", "ls")
    assert (listed["name"], listed["failures"], listed["active"]) == ("billing", 1, True)
    (call,) = site.json("webhook", "calls", "billing")
    assert (call["event"], call["state"], call["attempts"]) == ("webhook.test", "queued", 1)
    assert "0 calls" in site.call("webhook", "retry", "billing")
    assert "no call 99" in site.call("webhook", "retry", "billing", "--call", "99", code=2)
    assert "no webhook" in site.call("webhook", "calls", "nobody", code=2)

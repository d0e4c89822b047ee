"""`postroom suppression`, as an operator calls it."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.command import Postroom


def test_an_address_comes_and_goes(tmp_path: Path) -> None:
    site = Postroom(tmp_path, DATABASE_URL=f"sqlite://{tmp_path}/postroom.db", MAIL_MODE="catch")
    site.call("init")
    site.call("suppression", "add", "Gone@customer.test", "--list", "news", "--note", "=asked")
    (entry,) = site.json("suppression", "ls", "customer")
    assert (entry["address"], entry["list"], entry["reason"]) == ("gone@customer.test", "news", "manual")
    site.call("suppression", "check", "gone@customer.test")
    site.call("suppression", "check", "nonsense", code=1)
    assert "from the list news" in site.call("suppression", "check", "gone@customer.test", "--list", "news", code=1)
    site.call("suppression", "export", str(tmp_path / "all.csv"))
    assert site.json("suppression", "rm", "GONE@customer.test")["removed"] == 1
    assert "is not suppressed" in site.call("suppression", "rm", "gone@customer.test", code=2)
    assert "'=asked" in (tmp_path / "all.csv").read_text()
    assert site.json("suppression", "import", str(tmp_path / "all.csv")) == {"imported": 1}
    assert "gone@customer.test,news" in site.call("suppression", "export")
    (tmp_path / "wrong.csv").write_text("a@b.test\nnobody\n")
    assert "cannot be written" in site.call("suppression", "export", str(tmp_path), code=1)
    assert "line 2" in site.call("suppression", "import", str(tmp_path / "wrong.csv"), code=2)
    assert len(site.json("suppression", "ls")) == 1

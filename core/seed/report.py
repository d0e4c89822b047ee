"""What seeding did to each record, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What became of one record."""

    created = "created"
    updated = "updated"
    kept = "kept"
    """A person changed what the file would have overwritten."""
    unchanged = "unchanged"
    archived = "archived"
    """It is no longer in the files, and nobody had changed it."""
    skipped = "skipped"


@dataclass(frozen=True, slots=True)
class RecordReport:
    """One record: `updated` and `kept` name fields, `reason` says why it was kept or skipped."""

    model: str
    identifier: str
    outcome: Outcome
    updated: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    reason: str = ""

    @property
    def words(self) -> str:
        """One line for a person."""
        parts = [f"{self.outcome} {self.model} {self.identifier}"]
        if self.updated:
            parts.append(f"set {', '.join(self.updated)}")
        if self.kept:
            parts.append(f"left {', '.join(self.kept)} as edited")
        if self.reason:
            parts.append(self.reason)
        return ": ".join([parts[0], "; ".join(parts[1:])]) if parts[1:] else parts[0]


@dataclass(frozen=True, slots=True)
class SeedReport:
    """The records of one addon, in the order in which they were applied."""

    addon: str
    records: tuple[RecordReport, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """A line for each record that was written, or that a person must know of."""
        silent = (Outcome.unchanged, Outcome.skipped)
        return tuple(
            f"{self.addon}: {record.words}" for record in self.records if record.outcome not in silent or record.reason
        )

    def count(self, outcome: Outcome) -> int:
        """Return how many records had this outcome."""
        return sum(record.outcome is outcome for record in self.records)

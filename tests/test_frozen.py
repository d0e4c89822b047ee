"""Frozen classes do what the standard library's do."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from core.frozen import frozen


@frozen
class Place:
    """Where something is."""

    street: str
    number: int = 1
    marks: list[str] = field(default_factory=list, hash=False)
    key: str = field(default="", repr=False)
    seen: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Usual:
    """The same, as the standard library makes it."""

    street: str
    number: int = 1
    marks: list[str] = field(default_factory=list, hash=False)
    key: str = field(default="", repr=False)
    seen: int = field(default=0, compare=False)


@frozen(kw_only=True)
class Door(Place):
    colour: str
    doubled: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", self.colour * 2)


@frozen
class Empty:
    def __repr__(self) -> str:
        return "nothing"


CALLS: list[Any] = [
    lambda of: of("Elm"),
    lambda of: of("Elm", 3, ["a"], "b", 7),
    lambda of: of("Elm", marks=["a"], number=3),
]


@pytest.mark.parametrize("call", CALLS)
def test_it_holds_shows_and_hashes_the_same(call: Any) -> None:
    ours, usual = call(Place), call(Usual)
    assert asdict(ours) == asdict(usual)
    assert repr(ours) == repr(usual).replace("Usual", "Place")
    assert hash(ours) == hash(usual)
    assert [one.name for one in fields(ours)] == [one.name for one in fields(usual)]


def test_the_signature_is_the_same() -> None:
    ours, usual = inspect.signature(Place), inspect.signature(Usual)
    assert list(ours.parameters) == list(usual.parameters)
    assert [one.kind for one in ours.parameters.values()] == [one.kind for one in usual.parameters.values()]
    assert [one.annotation for one in ours.parameters.values()] == [one.annotation for one in usual.parameters.values()]


@pytest.mark.parametrize("arguments", [(), ("Elm", 1, [], "", 0, "more")])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        Place(*arguments)


def test_equal_is_what_has_the_same_class_and_parts() -> None:
    assert Place("Elm", seen=1) == Place("Elm", seen=2)
    assert Place("Elm") != Place("Oak")
    assert Place("Elm") != Usual("Elm")
    assert Empty() == Empty()
    assert repr(Empty()) == "nothing"


def test_lists_are_not_shared() -> None:
    Place("Elm").marks.append("x")
    assert Place("Elm").marks == []


def test_nothing_of_it_can_be_changed() -> None:
    place = Place("Elm")
    with pytest.raises(FrozenInstanceError, match=r"Place\.street"):
        place.street = "Oak"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del place.street
    with pytest.raises(FrozenInstanceError):
        place.other = 1  # type: ignore[attr-defined]
    assert not hasattr(place, "__dict__")


def test_what_derives_has_the_parts_of_both() -> None:
    door = Door("Elm", 2, colour="red")
    assert (door.street, door.colour, door.doubled) == ("Elm", "red", "redred")
    assert replace(door, number=3).number == 3
    with pytest.raises(TypeError):
        Door("Elm", 2, [], "", 0, "red")  # type: ignore[misc]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), replace])
def test_a_copy_is_equal(copied: Any) -> None:
    assert copied(Place("Elm", 3, ["a"])) == Place("Elm", 3, ["a"])
    assert copied(Door("Elm", colour="red")).doubled == "redred"
    assert copied(Empty()) == Empty()


def test_it_is_matched_by_position() -> None:
    match Place("Elm", 3):
        case Place(street, number):
            assert (street, number) == ("Elm", 3)

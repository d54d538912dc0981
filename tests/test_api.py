"""What the package of shapes offers."""

from collections.abc import Iterator

from candlecast import api
from candlecast.api import Shape


def test_every_shape_is_offered_by_the_package_itself() -> None:
    assert {shape.__name__ for shape in _below(Shape)} <= set(api.__all__)


def test_what_is_offered_is_sorted_and_there() -> None:
    assert list(api.__all__) == sorted(api.__all__)
    assert all(hasattr(api, name) for name in api.__all__)


def _below(shape: type[Shape]) -> Iterator[type[Shape]]:
    for one in shape.__subclasses__():
        if one.__module__.startswith("candlecast.api"):
            yield one
            yield from _below(one)

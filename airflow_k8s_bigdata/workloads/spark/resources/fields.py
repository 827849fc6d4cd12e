"""A mapping of a custom resource, read field by field as its schema says; what nobody read is known in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_k8s_bigdata.errors import SpecError
from airflow_k8s_bigdata.objects.yamls import child

Object = dict[str, Any]


class Fields:
    """The fields of one mapping. Each method takes a field out; null is the same as absent.

    All methods raise SpecError, with the path, for a value that the API server would refuse by its type.
    """

    def __init__(self, given: object, path: str) -> None:
        self.path = path
        self._left = dict(mapping(given, path))

    def text(self, name: str) -> str | None:
        """A text; None for one that is empty, which the operators treat as absent."""
        found = self._left.pop(name, None)
        return text(found, self.at(name)) or None

    def integer(self, name: str) -> int | None:
        """A whole number."""
        return whole(self._left.pop(name, None), self.at(name))

    def boolean(self, name: str) -> bool | None:
        """A truth value."""
        found = self._left.pop(name, None)
        if found is not None and not isinstance(found, bool):
            raise SpecError(self.at(name), "must be true or false, without quotes", type(found).__name__)
        return found

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return [text(item, path) or "" for item, path in self._items(name)]

    def by_name(self, name: str) -> dict[str, str]:
        """Texts by name."""
        path = self.at(name)
        return {
            key: text(value, child(path, key)) or ""
            for key, value in mapping(self._left.pop(name, None), path).items()
            if value is not None
        }

    def any(self, name: str) -> Any:
        """The value whatever it is; None when absent."""
        return self._left.pop(name, None)

    def object(self, name: str) -> Object | None:
        """A mapping as it is; None when absent."""
        found = self._left.pop(name, None)
        return None if found is None else dict(mapping(found, self.at(name)))

    def objects(self, name: str) -> list[Object]:
        """A list of mappings, as they are."""
        return [dict(mapping(item, path)) for item, path in self._items(name)]

    def within(self, name: str) -> Fields:
        """The fields of a mapping, none when it is absent."""
        return Fields(self._left.pop(name, None), self.at(name))

    def each(self, name: str) -> list[Fields]:
        """The fields of each mapping of a list."""
        return [Fields(item, path) for item, path in self._items(name)]

    def each_by_name(self, name: str) -> dict[str, Fields]:
        """The fields of mappings by name."""
        path = self.at(name)
        given = mapping(self._left.pop(name, None), path)
        return {key: Fields(value, child(path, key)) for key, value in given.items()}

    def required(self, name: str) -> str:
        """A text that must be there."""
        found = self.text(name)
        if found is None:
            raise SpecError(self.at(name), "must be set")
        return found

    def at(self, name: str) -> str:
        """The path of a field."""
        return child(self.path, name)

    def left(self) -> Iterator[str]:
        """The paths of the fields that were not taken and say something."""
        for name, value in self._left.items():
            if value is not None and value not in ({}, []):
                yield self.at(name)

    def _items(self, name: str) -> Iterator[tuple[Any, str]]:
        found = self._left.pop(name, None)
        if found is not None and not isinstance(found, list | tuple):
            raise SpecError(self.at(name), "must be a list", type(found).__name__)
        for index, item in enumerate(found or ()):
            yield item, f"{self.at(name)}[{index}]"


def mapping(value: object, path: str) -> Mapping[str, Any]:
    """The mapping, empty for None. Raises SpecError for another type, and for keys that are no text."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SpecError(path, "must be a mapping", type(value).__name__)
    for key in value:
        if not isinstance(key, str):
            raise SpecError(path, "must have texts for keys: write them in quotes", type(key).__name__)
    return value


def text(value: object, path: str) -> str | None:
    """The text; None for None. Raises SpecError for another type, whose value may be a secret."""
    if value is not None and not isinstance(value, str):
        raise SpecError(path, "must be text: write it in quotes", type(value).__name__)
    return value


def whole(value: object, path: str) -> int | None:
    """The whole number; None for None. Raises SpecError for another type, and for one of more than 64 bits."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise SpecError(path, "must be a whole number, without quotes", type(value).__name__)
    if not -(2**63) <= value < 2**63:
        raise SpecError(path, "must be a whole number of at most 64 bits")
    return value

"""Answers of the world, kept as long as the provider's process lives.

A refresh and the preview after it ask the same question of the same machine moments apart.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """Asks once per key, even when several threads want the answer; errors are not kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: dict[str, threading.Lock] = {}
        self._known: dict[str, T] = {}

    def get(self, key: str, ask: Callable[[], T]) -> T:
        with self._lock:
            turn = self._asking.setdefault(key, threading.Lock())
        with turn:
            if key not in self._known:
                self._known[key] = ask()
            return self._known[key]

    def forget(self, key: str) -> None:
        with self._lock:
            self._known.pop(key, None)

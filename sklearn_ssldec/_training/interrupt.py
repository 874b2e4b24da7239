"""Ctrl-C that ends a fit at the end of a batch."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call a function at the first Ctrl-C inside the block; a second one raises KeyboardInterrupt at once.

    It does nothing if the caller handles SIGINT, and outside the main thread, which signals do not reach.

    Parameters
    ----------
    stop : callable
        Asks for a stop.

    Yields
    ------
    None
        When Ctrl-C is handled.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

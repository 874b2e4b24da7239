"""The progress of a fit: a bar in a terminal or a notebook, lines elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm.auto import tqdm

BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}"
# A training step on a sample is a forward pass and a backward pass, which takes about twice the time.
TRAINING_COST = 3


class Silent:
    """A progress bar that shows nothing."""

    def work(self, cost: float) -> None:
        """Note that work was done.

        Parameters
        ----------
        cost : float
            Amount of work.
        """

    def start_cycle(self, expected: float) -> None:
        """Note that pre-training has ended.

        Parameters
        ----------
        expected : float
            Expected work of the iterations.
        """

    def end_iteration(self, record: Mapping[str, Any], n_iter: int, n_left: int) -> None:
        """Note that an iteration has ended.

        Parameters
        ----------
        record : dict
            The iteration's record in the history.
        n_iter : int
            Iterations so far.
        n_left : int
            Iterations that may follow.
        """

    def close(self) -> None:
        """Note that the fit has ended."""


class Progress(Silent):
    """A progress bar, or lines if the output is not a terminal.

    The remaining work is estimated as the mean work of an iteration so far times the iterations that
    `max_iter` leaves. Training may end earlier.

    Parameters
    ----------
    name : str
        Name of the task, shown in front.
    expected : float
        Expected work, in which a prediction for a sample is 1 and a training step on it is 3.
    """

    def __init__(self, name: str, expected: float) -> None:
        self.name = name
        self._done, self._of_cycle = 0.0, 0.0
        self._started = time.perf_counter()
        # In a file a line cannot be overwritten, and a bar would fill it.
        in_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
        self.prints_lines = not in_notebook and not sys.stderr.isatty()
        self._bar = tqdm(
            total=expected,
            desc=name,
            bar_format=BAR,
            dynamic_ncols=True,
            mininterval=0.2,
            disable=self.prints_lines,
        )

    def work(self, cost: float) -> None:
        """Note that work was done.

        Parameters
        ----------
        cost : float
            Amount of work.
        """
        self._done += cost
        if self._done > self._bar.total:
            self._bar.total = self._done
        self._bar.update(cost)

    def start_cycle(self, expected: float) -> None:
        """Note that pre-training has ended.

        Parameters
        ----------
        expected : float
            Expected work of the iterations.
        """
        self._of_cycle = self._done
        self._expect(expected)
        self._show("pre-training done", {})

    def end_iteration(self, record: Mapping[str, Any], n_iter: int, n_left: int) -> None:
        """Note that an iteration has ended.

        Parameters
        ----------
        record : dict
            The iteration's record in the history.
        n_iter : int
            Iterations so far.
        n_left : int
            Iterations that may follow.
        """
        self._expect((self._done - self._of_cycle) / n_iter * n_left)
        told = {
            "labeled accuracy": f"{record['labeled_accuracy']:.3f}",
            "changed": f"{100 * record['share_changed']:.2f} %",
        }
        self._show(f"iteration {n_iter} of at most {n_iter + n_left}", told)

    def close(self) -> None:
        """Note that the fit has ended, and fill the bar."""
        if not self.prints_lines:
            self._bar.total = max(self._done, 1)
            self._bar.refresh()
            self._bar.close()

    def _expect(self, further: float) -> None:
        self._bar.total = self._done + further

    def _show(self, stage: str, told: Mapping[str, str]) -> None:
        if not self.prints_lines:
            self._bar.set_description(f"{self.name}, {stage}", refresh=False)
            self._bar.set_postfix(told, refresh=True)
            return
        seconds = time.perf_counter() - self._started
        left = seconds / self._done * (self._bar.total - self._done) if self._done else math.nan
        ahead = f", about {tqdm.format_interval(left)} left" if math.isfinite(left) else ""
        parts = [stage, *(f"{key} {value}" for key, value in told.items())]
        tqdm.write(
            f"{self.name}: {', '.join(parts)}, {tqdm.format_interval(seconds)}{ahead}", file=sys.stderr
        )

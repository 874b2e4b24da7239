"""The kinds of figures on the how-to pages: scores by method, and scores by budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("0.5", "C0", "C1")


def strips(ax: Axes, table: dict[str, np.ndarray], series: Sequence[str] = ()) -> None:
    """Draw the scores of each method in a row: a dot for each draw, and a diamond for the mean.

    The scores of a method are of shape (n_draws,), and thin lines join those of one draw. With several
    `series` they are of shape (n_draws, n_series), and each series has its color.
    """
    values = np.array([np.reshape(rows, (len(rows), -1)) for rows in table.values()])
    n_draws, n_series = values.shape[1:]
    colors = COLORS[:n_series] if series else ["C0"]
    dot = "o" if series else "o-"
    ax.plot([], [], dot, color="0.7", markersize=4, linewidth=0.8, label=f"one of {n_draws} draws")
    for i, color in enumerate(colors):
        at = np.arange(len(table)) + 0.3 * (i - (n_series - 1) / 2)
        style = {"color": color, "alpha": 0.5} if series else {"color": "0.7"}
        ax.plot(values[..., i], at, dot, markersize=4, linewidth=0.8, **style)
        label = f"mean, {series[i]}" if series else "mean"
        ax.plot(values[..., i].mean(axis=1), at, "D", color=color, label=label, zorder=3)
    ax.set(yticks=range(len(table)), yticklabels=list(table), ylim=(len(table) - 0.5, -0.5))


def curves(ax: Axes, budgets: Sequence[int], table: dict[str, np.ndarray]) -> None:
    """Draw means and standard errors of scores of shape (n_draws, n_budgets) against the budgets."""
    for (name, values), marker in zip(table.items(), "osD^v", strict=False):
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / len(values) ** 0.5
        (line,) = ax.plot(budgets, mean, marker=marker, markersize=4, label=name)
        ax.fill_between(budgets, mean - error, mean + error, color=line.get_color(), alpha=0.15, linewidth=0)


def save(fig: Figure, path: Path) -> None:
    """Put the legend of the first axes above the figure, and save it."""
    handles, labels = fig.axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, frameon=False, loc="outside upper center", ncols=len(labels))
    fig.savefig(path, dpi=120, pil_kwargs={"optimize": True})
    plt.close(fig)

"""Keep the finished draws of a protocol in a JSON file, and write them as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import sklearn
import skorch
import torch

import sklearn_ssldec


class Results:
    """The measured draws of one protocol.

    Finished draws are read back from the file and need not run again; a file of another protocol is not
    touched, but refused.

    Parameters
    ----------
    path : Path
        JSON file; the table is written beside it, with the ending .md.
    title : str
        Heading of the table.
    protocol : dict
        What was asked for: what must agree for draws to be comparable.
    """

    def __init__(self, path: Path, title: str, protocol: dict) -> None:
        self.path, self.title = path, title
        self.content = {"protocol": protocol, "environments": [], "draws": {}}
        if path.exists():
            kept = json.loads(path.read_text())
            if kept["protocol"] != protocol:
                raise SystemExit(
                    f"{path} holds another protocol, {kept['protocol']}: move it, or pass another --output."
                )
            self.content = {**self.content, "environments": kept["environments"], "draws": kept["draws"]}

    def has(self, method: str, draw: int) -> bool:
        """Tell whether the draw is finished."""
        return str(draw) in self.content["draws"].get(method, {})

    def add(self, method: str, draw: int, **values: float) -> None:
        """Keep a finished draw, on disk at once."""
        self.content["draws"].setdefault(method, {})[str(draw)] = values
        if environment() not in self.content["environments"]:  # draws may be resumed elsewhere
            self.content["environments"].append(environment())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    def _write(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(partial, self.path)

    def values(self, method: str, name: str) -> np.ndarray:
        """Return one value of all draws of a method."""
        draws = self.content["draws"].get(method, {})
        return np.array([draws[key][name] for key in sorted(draws, key=int)])

    def write_table(
        self,
        methods: Iterable[str],
        columns: dict[str, str],
        command: str,
        notes: str = "",
        worst: Callable[[np.ndarray], float] = np.min,
    ) -> str:
        """Write the markdown table: mean (sd), worst and seconds of each method; the JSON file has the same.

        Parameters
        ----------
        methods : iterable of str
            Rows.
        columns : dict of str to str
            Name of each value in the draws, and its heading; values are shares, shown as percentages.
        command : str
            What makes the table.
        notes : str
            Text below it.
        worst : callable
            Which of the draws is the worst: the smallest accuracy, or the largest error.
        """
        self.content["summary"] = {}
        head = ["method"]
        for heading in columns.values():
            head += [f"{heading}, mean (sd)", "worst draw"]
        methods = list(methods)
        counts = {method: len(self.content["draws"][method]) for method in methods}
        uneven = len(set(counts.values())) > 1  # a run that was interrupted, or goes on
        head += ["draws"] if uneven else []
        rows = [[*head, "seconds a fit"], ["---"] * (len(head) + 1)]
        for method in methods:
            row = [method]
            for name in columns:
                percent = 100 * self.values(method, name)
                summary = {"mean": percent.mean(), "sd": percent.std(), "worst": float(worst(percent))}
                self.content["summary"].setdefault(method, {})[f"{name}, %"] = summary
                row += [f"{percent.mean():.2f} ({percent.std():.2f})", f"{worst(percent):.2f}"]
            row += [str(counts[method])] if uneven else []
            rows.append([*row, f"{self.values(method, 'seconds').mean():.2f}"])
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        self._write()
        facts = "; ".join(
            ", ".join(f"{name} {value}" for name, value in one.items())
            for one in self.content["environments"]
        )
        n_draws = "" if uneven else f"{counts[methods[0]]} draw(s). "
        source = f"{n_draws}Measured with `{command}` on {facts}."
        self.path.with_suffix(".md").write_text(f"# {self.title}\n\n{table}\n\n{notes}\n\n{source}\n")
        return table


def environment() -> dict[str, str]:
    """Name the hardware and the versions."""
    if torch.cuda.is_available():
        hardware = torch.cuda.get_device_name()
    else:
        hardware = f"{cpu_name()}, {torch.get_num_threads()} thread(s)"
    return {
        "hardware": hardware,
        "Python": platform.python_version(),
        "sklearn-ssldec": sklearn_ssldec.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
        "torch": torch.__version__,
    }


def cpu_name() -> str:
    """Return the processor's name, which Linux keeps in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

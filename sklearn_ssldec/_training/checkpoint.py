"""Checkpoints, from which a fit that was killed resumes, with the same result bit by bit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import torch
from torch import Tensor

from sklearn_ssldec._files.container import seal, unseal, write
from sklearn_ssldec._files.encoding import Decoder, Encoder, UnwritableError
from sklearn_ssldec._training.description import describe, describe_kind
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.seeds import random_states, set_random_states
from sklearn_ssldec._warnings import warn
from sklearn_ssldec.algorithm import Outcome

CALL_FILE = "fit.json"
VERSIONS = ("sklearn-ssldec", "torch", "skorch", "scikit-learn", "numpy")
# Parameters that do not change the result.
FREE_PARAMETERS = {"n_jobs", "verbose", "checkpoint_dir"}


def describe_call(parameters: Mapping[str, Any], **data: Any) -> dict[str, str]:
    """Return the arguments of a fit as texts, to compare them.

    Parameters
    ----------
    parameters : dict
        The estimator's parameters.
    **data : ndarray, or list of ndarray or None, or such lists
        Arrays, which are represented by digests.
    """
    chosen = {name: value for name, value in parameters.items() if name not in FREE_PARAMETERS}
    # What callbacks hold does not count: a limit of time may be raised when a fit goes on.
    texts = {
        name: (describe_kind if name == "callbacks" else describe)(value)
        for name, value in sorted(chosen.items())
    }
    return {
        **{name: joblib.hash(value, coerce_mmap=True) for name, value in data.items()},
        **{f"{name}=": text for name, text in texts.items()},
        **{f"version of {name}": version(name) for name in VERSIONS},
    }


def open_folder(
    folder: str | os.PathLike[str], call: dict[str, str], seeds: list[int], any_seeds: bool
) -> list[int]:
    """Make a folder ready for the checkpoints of a fit, and return the seeds of its networks.

    Parameters
    ----------
    folder : str or path-like
        The folder. It is made if it does not exist.
    call : dict of str to str
        The arguments of the fit, as `describe_call` returns them.
    seeds : list of int
        Seeds of the networks.
    any_seeds : bool
        Whether the seeds of an earlier call replace these, because no `random_state` was given.

    Raises
    ------
    ValueError
        If the folder holds the checkpoints of another fit.
    """
    folder = Path(folder)
    file = folder / CALL_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(json.dumps({"seeds": seeds, "call": call}, indent=1).encode(), file)
        return seeds
    try:
        earlier = json.loads(file.read_text())
        theirs, their_seeds = dict(earlier["call"]), [int(seed) for seed in earlier["seeds"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"checkpoint_dir: {file} is damaged, or none of ours. {_ADVICE}") from error
    for name in sorted({*call, *theirs}):
        if theirs.get(name) != call.get(name):
            raise ValueError(
                f"checkpoint_dir={str(folder)!r} holds the checkpoints of another fit: "
                f"{_difference(name, theirs.get(name), call.get(name))} {_ADVICE}"
            )
    if seeds != their_seeds and not any_seeds:
        raise ValueError(
            f"checkpoint_dir={str(folder)!r} holds the checkpoints of another fit: random_state was in "
            f"another state. Pass an int. {_ADVICE}"
        )
    return their_seeds


_ADVICE = "Give each fit a folder of its own, or delete this one to start anew."


class Checkpoint:
    """The file of one network of a fit.

    Parameters
    ----------
    path : Path
        The file.
    net : SSLDECNet
        The net.
    generator : Generator
        Generator of the batches and subsets.
    target : callable
        Function from Q to targets. If it keeps a state, it has ``get_state`` and ``set_state``.
    """

    def __init__(
        self,
        path: Path,
        net: SSLDECNet,
        generator: torch.Generator,
        target: Callable[[Tensor], Tensor],
    ) -> None:
        self.path = path
        self.net, self.generator, self.target = net, generator, target
        self.failed = False

    def restore(self) -> Outcome | None:
        """Restore net and generators from the file, if it exists, and return the outcome so far.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        if not self.path.exists():
            return None
        try:
            content, tensors = unseal(self.path.read_bytes())
            state = Decoder(tensors).decode(content["state"])
            self.net.set_state(state["net"])
            for name, weight in self.net.module_.named_parameters():
                weight.requires_grad_(name not in state["frozen"])
            self.net.history.extend(state["net_history"])
            self.generator.set_state(state["generator"])
            if hasattr(self.target, "set_state"):
                self.target.set_state(state["target"])
            set_random_states(state["random"], torch.device(self.net.device))
            return Outcome(**state["outcome"])
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise ValueError(f"checkpoint_dir: {self.path} cannot be used: {error}. {_ADVICE}") from error

    def save(self, outcome: Outcome) -> None:
        """Write the file.

        If that fails, a warning says so once, and training continues.

        Parameters
        ----------
        outcome : Outcome
            The state of the fit.
        """
        if self.failed or not self.net.is_first():
            return
        names = ("supervised", "n_iter", "n_calm", "history")
        state = {
            "net": self.net.get_state(),
            "frozen": [name for name, p in self.net.module_.named_parameters() if not p.requires_grad],
            "net_history": list(self.net.history),
            "generator": self.generator.get_state(),
            "random": random_states(torch.device(self.net.device)),
            "target": self.target.get_state() if hasattr(self.target, "get_state") else None,
            "outcome": {name: getattr(outcome, name) for name in names},
        }
        try:
            encoder = Encoder()
            write(seal({"state": encoder.encode(state, "state")}, encoder.tensors), self.path)
        except (OSError, UnwritableError) as error:
            self.failed = True
            warn(f"No checkpoint could be written to {self.path}: {error}. Training goes on without.")


def _difference(name: str, theirs: str | None, ours: str | None) -> str:
    if name.endswith("="):
        return f"it was called {_called(name, theirs)}, and now {_called(name, ours)}."
    if name.startswith("version"):
        return f"the {name} was {theirs}, and now is {ours}."
    return f"its {name} was another one."


def _called(name: str, value: str | None) -> str:
    return f"without {name.removesuffix('=')}" if value is None else f"with {name}{value}"

"""The folder of a run's results: what is in it, what may be replaced, and whether a run is finished."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = "run.json"


class Folder:
    """The folder of a run.

    Parameters
    ----------
    path : path-like
        The folder. It is made if it does not exist.
    call : dict
        What decides the results: the command, its settings, and the scans.
    overwrite : bool
        Whether results of an earlier run may be replaced. An interrupted run of the same call goes on.

    Attributes
    ----------
    is_finished : bool
        Whether the same run has finished earlier, and its maps, pictures and table are still there.

    Raises
    ------
    FileExistsError
        If the folder holds something else than a run, or another run that may not be replaced.
    OSError
        If nothing can be written there.
    """

    def __init__(self, path: str | os.PathLike, call: dict[str, Any], overwrite: bool) -> None:
        self.path, self.call = Path(path), call
        self.earlier = self._read()
        difference = "" if self.earlier is None else _difference(self.earlier["call"], call)
        is_interrupted = self.earlier is not None and not difference and not self.earlier.get("finished")
        # What has stopped before the first checkpoint leaves nothing to lose, and nothing to go on with.
        self.overwrites = self.earlier is not None and (
            not self._has_results() or (overwrite and not is_interrupted)
        )
        if self.earlier is None:
            if self.path.exists() and any(not each.name.startswith(".") for each in self.path.iterdir()):
                raise FileExistsError(
                    f"The folder {str(self.path)!r} is not empty, and holds no results of ssldec. Name a "
                    "new one."
                )
        elif not self.overwrites and difference:
            raise FileExistsError(
                f"The folder {str(self.path)!r} holds the results of another run: {difference}. Name a new "
                "one, or pass --overwrite to replace them."
            )
        self.is_finished = bool(
            self.earlier and not self.overwrites and self.earlier.get("finished") and self._is_complete()
        )
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.path):
            pass  # else hours later

    def _read(self) -> dict[str, Any] | None:
        file = self.path / RECORD
        if not file.exists():
            return None
        try:
            record = json.loads(file.read_text())
            record["call"]["scans"]  # what a record must have
        except (ValueError, KeyError, TypeError) as error:
            raise FileExistsError(f"{str(file)!r} is damaged, or none of ours. Name a new folder.") from error
        return record

    def _has_results(self) -> bool:
        return any(
            [
                self.model_path.exists(),
                *self.checkpoints.glob("network_*"),
                *self.path.glob("segmentations/*"),
            ]
        )

    def _is_complete(self) -> bool:
        names = [scan["name"] for scan in self.call["scans"]]
        paths = [path for name in names for path in (self.map_path(name), self.picture_path(name))]
        return all(path.exists() for path in [self.table_path, *paths])

    def start(self) -> None:
        """Begin or resume the run; results of an earlier one are removed if it may be overwritten."""
        if self.overwrites and self.earlier is not None:
            for scan in self.earlier["call"]["scans"]:
                self.map_path(scan["name"]).unlink(missing_ok=True)
                self.picture_path(scan["name"]).unlink(missing_ok=True)
            for path in (self.model_path, self.table_path):
                path.unlink(missing_ok=True)
            self.forget_checkpoints()
        for name in ("segmentations", "pictures"):
            (self.path / name).mkdir(exist_ok=True)
        earlier = {} if self.overwrites or self.earlier is None else self.earlier
        self.record: dict[str, Any] = {**earlier, "call": self.call, "finished": None}
        self.note(started=earlier.get("started", _now()))

    def note(self, **facts: Any) -> None:
        """Record what was done.

        Parameters
        ----------
        **facts
            What JSON can hold.
        """
        self.record |= facts
        text = json.dumps(self.record, indent=1, default=str)
        self.write(self.path / RECORD, lambda path: path.write_text(text))

    def finish(self) -> None:
        """Record that the run is finished."""
        self.forget_checkpoints()
        self.note(finished=_now())

    @property
    def model_path(self) -> Path:
        """The file of the model."""
        return self.path / "model.safetensors"

    @property
    def table_path(self) -> Path:
        """The file of the volumes."""
        return self.path / "volumes.csv"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def forget_checkpoints(self) -> None:
        """Remove the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def map_path(self, name: str) -> Path:
        """Return the file of a scan's label map.

        Parameters
        ----------
        name : str
            Name of the scan.

        Returns
        -------
        Path
            The file.
        """
        return self.path / "segmentations" / f"{name}.nii.gz"

    def picture_path(self, name: str) -> Path:
        """Return the file of a scan's picture.

        Parameters
        ----------
        name : str
            Name of the scan.

        Returns
        -------
        Path
            The file.
        """
        return self.path / "pictures" / f"{name}.png"

    def write(self, path: Path, save: Callable[[Path], Any]) -> None:
        """Write a file, which gets its name only when it is complete.

        Parameters
        ----------
        path : Path
            The file.
        save : callable
            Writes to the path that it is given, with the same ending.
        """
        temporary = path.with_name(f".{path.name.partition('.')[0]}.part{''.join(path.suffixes[-2:])}")
        try:
            save(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def describe_scans(cases: Any) -> list[dict[str, Any]]:
    """Return what tells whether scans and labels are those of an earlier run.

    Parameters
    ----------
    cases : Bunch
        What `find_cases` returns.

    Returns
    -------
    list of dict
        For each scan its name, its files with their sizes, and the digest of its labels.
    """
    return [
        {
            "name": name,
            "files": {os.path.basename(path): os.path.getsize(path) for path in files},
            "labels": None if labels is None else digest(labels),
        }
        for name, files, labels in zip(cases.names, cases.files, cases.labels, strict=True)
    ]


def digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    str
        The digest, in hexadecimal.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def _difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Describe the first difference; return "" if there is none."""
    for name in sorted({*theirs, *ours} - {"scans"}):
        if theirs.get(name) != ours.get(name):
            return f"{name} was {theirs.get(name)}, and now is {ours.get(name)}"
    before, now = ({scan["name"]: scan for scan in call["scans"]} for call in (theirs, ours))
    for name in sorted({*before, *now}):
        if name not in before:
            return f"the scan {name!r} has been added"
        if name not in now:
            return f"the scan {name!r} is missing now"
        for what in ("files", "labels"):
            if before[name][what] != now[name][what]:
                return f"the {'scan' if what == 'files' else 'labels of the scan'} {name!r} changed"
    return ""

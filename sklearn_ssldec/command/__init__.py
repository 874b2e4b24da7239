"""The command `ssldec`: segment a folder of scans without programming. Python users do not need it."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from sklearn_ssldec import __version__
from sklearn_ssldec.command.steps import predict, segment

DESCRIPTION = """\
Outline structures in a folder of scans, of which you have outlined a few.

  ssldec segment scans --labels labels --out results
  ssldec predict results/model.safetensors new_scans --out new_results
"""
SEGMENT = """\
Learn from the scans that you have labeled, and from the others, and write a label map for each scan.

The folder of the results then holds:
  segmentations/   a label map for each scan, in the space of the scan
  pictures/        a picture of each scan with the outlines, in three planes: look at them
  volumes.csv      the volume of each structure in each scan, in milliliters
  model.safetensors   what was learned, for "ssldec predict"
  run.json         what was done: scans, settings, versions
"""
PREDICT = """\
Write label maps, pictures and volumes of new scans, with a model that "ssldec segment" has made.

The scans should be of the same kind: the same body part, sequence and channels.
"""
EPILOG = """\
Scans are NIfTI files (.nii, .nii.gz). A label file has the name of its scan. Where a scan has several
channels, such as T1 and T2, each is a file: case_0000.nii.gz and case_0001.nii.gz, with the labels in
case.nii.gz. In a label map 0 is background, and 1, 2 and so on are structures.
Ctrl-C stops. The same command then continues.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, default=None
        The arguments; None for those of the process.

    Returns
    -------
    int
        The exit status: 0 if all is done, 2 if the input is wrong, 130 if it was interrupted.
    """
    args = _parser().parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.filterwarnings("ignore", "Training was interrupted")  # said below
            warnings.showwarning = _show_warning
            args.run(args)
    except KeyboardInterrupt:
        print("Interrupted. What is finished stays; the same command continues.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ImportError, MemoryError) as error:
        text = " ".join(str(error).split()) or "there is not enough memory."
        print(f"ssldec: error: {text}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ssldec", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"sklearn-ssldec {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = _add(commands, "segment", "learn from a few labeled scans, and segment all", SEGMENT)
    one.set_defaults(run=segment)
    one.add_argument("images", metavar="IMAGES", help="folder with the scans, labeled or not")
    one.add_argument(
        "--labels", metavar="DIR", required=True, help="folder with the label maps of some of them"
    )
    one.add_argument("--seed", type=_seed, default=0, help="number that fixes what is random (default: 0)")
    one.add_argument(
        "--max-iter", type=_natural, metavar="N", help="stop after N iterations; 0: learn from labels alone"
    )
    one.add_argument(
        "--pretrain-epochs", type=_natural, metavar="N", help="learn from the labels in N rounds first"
    )
    one.add_argument(
        "--unlabeled", type=int, metavar="VALUE", default=-1,
        help="value of voxels that you have not labeled, in a map that is labeled in part (default: -1)",
    )  # fmt: skip
    two = _add(commands, "predict", "segment new scans with a model", PREDICT)
    two.set_defaults(run=predict)
    two.add_argument("model", metavar="MODEL", help='the file that "ssldec segment" has written')
    two.add_argument("images", metavar="IMAGES", help="folder with the new scans")
    for each in (one, two):
        each.add_argument("--out", metavar="DIR", required=True, help="folder for the results, a new one")
        each.add_argument(
            "--names", type=_names, default={}, metavar="1=NAME,...",
            help="names of the structures, for the table and the pictures, such as 1=anterior,2=posterior",
        )  # fmt: skip
        each.add_argument(
            "--device", default="auto", help="cpu, cuda or mps (default: a GPU if there is one)"
        )
        each.add_argument(
            "--overwrite", action="store_true", help="replace the results of an earlier run in the folder"
        )
    return parser


def _add(commands: Any, name: str, short: str, text: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=short,
        description=text,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def _seed(text: str) -> int:
    if (number := _natural(text)) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text} is too large; the largest is {2**32 - 1}")
    return number


def _names(text: str) -> dict[int, str]:
    names = {}
    for part in text.split(","):
        label, _, name = part.partition("=")
        if not name.strip() or not label.strip().lstrip("-").isdigit():
            raise argparse.ArgumentTypeError(f"{part!r} is not a label and a name, such as 1=anterior")
        if int(label) in names:
            raise argparse.ArgumentTypeError(f"label {int(label)} has two names")
        names[int(label)] = name.strip()
    return names


def _show_warning(message: Any, category: Any, *args: Any, **kwargs: Any) -> None:
    """Show the warnings of this library as notes, and no others: they are for programmers."""
    if issubclass(category, UserWarning):
        print(f"Note: {' '.join(str(message).split())}", file=sys.stderr)

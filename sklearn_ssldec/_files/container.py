"""The file: JSON and tensors in one safetensors file, with a format number and a checksum over every byte."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from typing import Any

import safetensors.torch
from torch import Tensor

FORMAT = 1
# The key of the header under which the JSON lies, and how that begins in the file, up to the checksum.
HEADER_KEY = "sklearn_ssldec"
BEFORE_CHECKSUM = b'"{\\"sha256\\":\\"'
CHECKSUM_LENGTH = 64
NO_CHECKSUM = "0" * CHECKSUM_LENGTH


def seal(content: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """Return the bytes of a file.

    The same content makes the same bytes.

    Parameters
    ----------
    content : dict
        What JSON can hold.
    tensors : dict of str to Tensor
        Tensors on the CPU, contiguous, that share no memory.
    """
    head = {"sha256": NO_CHECKSUM, "format": FORMAT}
    text = json.dumps({**head, **content}, allow_nan=False, separators=(",", ":"))
    data = safetensors.torch.save(tensors, metadata={HEADER_KEY: text})
    start = data.index(BEFORE_CHECKSUM) + len(BEFORE_CHECKSUM)
    return data[:start] + _checksum(data, start).encode() + data[start + CHECKSUM_LENGTH :]


def unseal(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what the bytes of a file hold: the content and the tensors.

    The checksum tells accidents. It is no signature: whoever means to forge a file can compute it.

    Parameters
    ----------
    data : bytes
        The file.

    Raises
    ------
    ValueError
        If it is cut short or damaged, of a newer format, or none of ours.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or end > len(data):
        raise ValueError("it is cut short, or no safetensors file")
    try:
        content = json.loads(json.loads(data[8:end])["__metadata__"][HEADER_KEY])
        file_format = content["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is damaged, or was not written by sklearn_ssldec.persistence.save") from error
    if type(file_format) is not int or file_format > FORMAT:
        raise ValueError(
            f"it has format {file_format!r}, and this version knows formats up to {FORMAT}; update it"
        )
    start = data.find(BEFORE_CHECKSUM, 0, end) + len(BEFORE_CHECKSUM)
    if data[start : start + CHECKSUM_LENGTH] != _checksum(data, start).encode():
        raise ValueError("it is damaged: its checksum is another one")
    return content, safetensors.torch.load(data)


def write(data: bytes, path: str | os.PathLike[str]) -> None:
    """Write a file, which appears under its name when it is complete and on the disk.

    Parameters
    ----------
    data : bytes
        The file.
    path : str or path-like
        Its name. A file there is replaced; a symbolic link stays one.
    """
    target = os.path.realpath(path)
    temporary = f"{target}.{uuid.uuid4().hex}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def _checksum(data: bytes, start: int) -> str:
    """Return the checksum of a file's bytes with zeros in its own place."""
    whole = memoryview(data)
    digest = hashlib.sha256(whole[:start])
    digest.update(NO_CHECKSUM.encode())
    digest.update(whole[start + CHECKSUM_LENGTH :])
    return digest.hexdigest()

"""The container: JSON and tensors in a safetensors file, with a format number and a checksum of all bytes."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from typing import Any

import safetensors.torch
from torch import Tensor

FORMAT = 1
# The key of the JSON in the header, and the bytes with which the JSON begins, up to the checksum.
HEADER_KEY = "sklearn_ssldec"
BEFORE_CHECKSUM = b'"{\\"sha256\\":\\"'
CHECKSUM_LENGTH = 64
NO_CHECKSUM = "0" * CHECKSUM_LENGTH


def seal(content: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """Return the bytes of a file.

    The same content gives the same bytes.

    Parameters
    ----------
    content : dict
        Values that JSON can represent.
    tensors : dict of str to Tensor
        Contiguous tensors on the CPU that share no memory.
    """
    head = {"sha256": NO_CHECKSUM, "format": FORMAT}
    text = json.dumps({**head, **content}, allow_nan=False, separators=(",", ":"))
    data = safetensors.torch.save(tensors, metadata={HEADER_KEY: text})
    start = data.index(BEFORE_CHECKSUM) + len(BEFORE_CHECKSUM)
    return data[:start] + _checksum(data, start).encode() + data[start + CHECKSUM_LENGTH :]


def unseal(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the content and the tensors of a file.

    The checksum detects accidental damage. It is not a signature: anyone who forges a file can compute it.

    Parameters
    ----------
    data : bytes
        The file.

    Raises
    ------
    ValueError
        If the file is cut short or damaged, has a newer format, or was not written by this library.
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
    """Write a file, which gets its name only when it is complete and on the disk.

    Parameters
    ----------
    data : bytes
        The file.
    path : str or path-like
        Its name. An existing file is replaced; a symbolic link is followed.
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
    """Return the checksum of a file's bytes, in which the checksum itself is replaced by zeros."""
    whole = memoryview(data)
    digest = hashlib.sha256(whole[:start])
    digest.update(NO_CHECKSUM.encode())
    digest.update(whole[start + CHECKSUM_LENGTH :])
    return digest.hexdigest()

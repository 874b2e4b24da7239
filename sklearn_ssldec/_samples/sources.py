"""The samples that an estimator passes to training: on the host, and how they get to a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.sparse import issparse
from torch import Tensor

from sklearn_ssldec._samples.patches import tiling
from sklearn_ssldec._samples.placing import place
from sklearn_ssldec._samples.sparse import SparseRows
from sklearn_ssldec._samples.volumes import statistics
from sklearn_ssldec._samples.voxels import Corner, Volumes
from sklearn_ssldec.networks.embedding import EmbeddingNetwork


@dataclass(frozen=True)
class Rows:
    """Rows of features, or images: each row is a sample.

    Attributes
    ----------
    X : ndarray of shape (n_samples, ...) or CSR, float32
        Samples as the network takes them.
    drawn : bool
        Whether targets are computed where they are used.
    advice : ndarray of shape (n_samples, n_classes), float32, or None
        Logarithms of the probabilities that neighbors give each class, where they advise drawn targets.
    """

    X: np.ndarray
    drawn: bool = False
    advice: np.ndarray | None = None
    voxelwise: ClassVar[bool] = False

    def place(self, device: torch.device) -> tuple[Tensor | SparseRows, Tensor]:
        """Return the samples that a net trains on, and two of them as an example for the network.

        Parameters
        ----------
        device : torch.device
            Where the network is trained.
        """
        samples = SparseRows(self.X) if issparse(self.X) else place(self.X, device)
        return samples, samples[:2].to(device, torch.float32, copy=True)

    def net_params(self, network: EmbeddingNetwork, samples: Any, example: Tensor) -> dict[str, Any]:
        """Return no parameters: those of the net do not depend on the samples.

        Parameters
        ----------
        network : EmbeddingNetwork
            The network.
        samples : Tensor of shape (n_samples, ...)
            The samples.
        example : Tensor of shape (2, ...)
            Two of them.

        Returns
        -------
        dict
            Nothing.
        """
        return {}


@dataclass(frozen=True)
class Scans:
    """Volumes: each voxel is a sample.

    Attributes
    ----------
    volumes : sequence of ndarray of shape (n_channels, *spatial)
        The volumes.
    ignored : sequence of (ndarray of bool of the spatial shape, or None)
        Voxels that take part in nothing.
    scaling : {"volume"} or None
        Whether each channel of each volume is brought to mean 0 and standard deviation 1.
    patch_size : tuple of int
        Sides of the training patches.
    patch_params : dict
        Parameters of the net about patches: ``patches_per_epoch`` and ``balance``, and more where targets are
        drawn.
    drawn : bool
        Whether targets are computed where they are used.
    spacing : tuple of float, or None
        Sides of a voxel; None if they are not known.
    """

    volumes: Sequence[np.ndarray]
    ignored: Sequence[np.ndarray | None]
    scaling: str | None
    patch_size: Corner
    patch_params: dict[str, Any] = field(default_factory=dict)
    drawn: bool = False
    spacing: tuple[float, ...] | None = None
    voxelwise: ClassVar[bool] = True

    def place(self, device: torch.device) -> tuple[Volumes, Tensor]:
        """Return the voxels that a net trains on, and two equal patches as an example for the network.

        Parameters
        ----------
        device : torch.device
            Where the network is trained.
        """
        samples = place_volumes(self.volumes, self.ignored, self.scaling, device)
        patch = samples.patch(0, (0,) * len(self.patch_size), self.patch_size).to(device)
        return samples, torch.stack([patch, patch])

    def net_params(self, network: EmbeddingNetwork, samples: Any, example: Tensor) -> dict[str, Any]:
        """Return parameters of the net that depend on how the network maps patches.

        Parameters
        ----------
        network : EmbeddingNetwork
            The network.
        samples : Volumes
            The voxels.
        example : Tensor of shape (2, n_channels, *patch_size)
            Patches.

        Raises
        ------
        ValueError
            If the network's output is not centred in its input, a volume is too small for it, or its
            `context` or `stride` is out of range.
        """
        with torch.no_grad():
            inner = network.eval()(example).shape[2:]
        margin = [(n - m) / 2 for n, m in zip(self.patch_size, inner, strict=True)]
        if any(m < 0 or m % 1 for m in margin):
            raise ValueError(
                "module must return embeddings of the spatial shape of its input, or smaller by the same "
                f"number of voxels on both sides; of {self.patch_size} it made {tuple(inner)}. "
                "Try another patch_size."
            )
        whole = tuple(int(m) for m in margin)
        check_sizes(samples, whole)
        context, stride = tiling(network.embedding)
        return {
            "patch_size": self.patch_size,
            "margin": whole,
            "context": context,
            "stride": stride,
            **self.patch_params,
        }


def place_volumes(
    volumes: Sequence[np.ndarray],
    ignored: Sequence[np.ndarray | None],
    scaling: str | None,
    device: torch.device,
) -> Volumes:
    """Return the voxels of volumes, on the device if they take at most a quarter of its free memory.

    Parameters
    ----------
    volumes : sequence of ndarray of shape (n_channels, *spatial)
        The volumes.
    ignored : sequence of (ndarray of bool of the spatial shape, or None)
        Voxels that take part in nothing.
    scaling : {"volume"} or None
        Whether each channel of each volume is brought to mean 0 and standard deviation 1.
    device : torch.device
        Where they are wanted.
    """
    known = statistics(volumes, ignored)  # refuses infinite values
    n_bytes = sum(volume.nbytes for volume in volumes)
    if device.type == "cuda" and n_bytes > torch.cuda.mem_get_info(device)[0] // 4:
        device = torch.device("cpu")
    images = [place(volume, device) for volume in volumes]
    mean, deviation, smallest, largest = (torch.from_numpy(each).to(device) for each in known)
    shift, scale = (None, None) if scaling is None else (mean, deviation)
    return Volumes(images, ignored, shift, scale, fill=mean, smallest=smallest, largest=largest)


def check_sizes(samples: Volumes, margin: Sequence[int]) -> None:
    """Refuse volumes smaller than what the network sees for one voxel.

    Parameters
    ----------
    samples : Volumes
        The volumes.
    margin : sequence of int
        Voxels by which the network's output is smaller than its input, on each side of each axis.

    Raises
    ------
    ValueError
        If one is smaller.
    """
    field_of_view = tuple(2 * m + 1 for m in margin)
    for i in range(len(samples.images)):
        shape = samples.shape(i)
        if any(n < f for n, f in zip(shape, field_of_view, strict=True)):
            raise ValueError(
                f"X[{i}] has spatial shape {shape}, smaller than the {field_of_view} voxels that the network "
                "sees for one. Take a network with fewer convolutions, or pass the slices of a thin volume "
                "as images."
            )

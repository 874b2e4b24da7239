"""The skorch net for volumes: trained on patches, predicting whole volumes tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.patch_batches import PatchBatches, PatchRows, augment_patches
from sklearn_ssldec._samples.patches import auto_tile_size, tiles
from sklearn_ssldec._samples.placing import move
from sklearn_ssldec._samples.reduction import ReducedVolumes, restored
from sklearn_ssldec._samples.views import draw_view, put_back, resized
from sklearn_ssldec._samples.voxels import Corner, Volumes
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.threads import tensors_in
from sklearn_ssldec.clustering import merge_candidates

# Largest memory of a tile's activations on a CPU if `tile_size` is "auto".
TILE_BYTES = 2**31

# Sizes of a volume, as multiples of each of its sides.
Scales = tuple[tuple[float, ...], ...]


class VoxelNet(SSLDECNet):
    """A net whose samples are the voxels of volumes.

    Parameters
    ----------
    module : EmbeddingNetwork
        A fully convolutional network from patches to voxel-wise log q, smaller by `margin` on each side.
    *args : tuple
        Further positional parameters of `SSLDECNet`.
    patch_size : tuple of int
        Sides of the training patches.
    margin : tuple of int
        Number of voxels on each side of an axis by which the network's output is smaller than its input.
    context : int
        Number of voxels read on each side of a tile, for a network that pads its borders.
    stride : int
        Tiles start at multiples of this number.
    patches_per_epoch : int
        Patches drawn in an epoch.
    balance : float
        Share of the patches centred on a voxel of a class drawn uniformly.
    tile_size : int or "auto"
        Largest side of the output tiles in prediction.
    predict_scales : tuple of (tuple of float)
        Sizes at which `predict_codes` predicts a volume, as in `predict_volume`.
    iterator_train : class
        Iterator of the batches.
    **kwargs : dict
        Further parameters of `SSLDECNet`.

    Attributes
    ----------
    candidates_ : Tensor of shape (n_partial, n_classes), bool, or None
        Candidate classes of the partial labels that it is trained on.
    """

    candidates_: Tensor | None = None
    # Sides of the blocks of voxels that are one voxel for the network; None if it sees the voxels.
    reduction: Corner | None = None

    def __init__(
        self,
        module: nn.Module,
        *args: Any,
        patch_size: Corner = (27, 27, 27),
        margin: Corner = (9, 9, 9),
        context: int = 0,
        stride: int = 1,
        patches_per_epoch: int = 32,
        balance: float = 0.5,
        tile_size: int | str = "auto",
        predict_scales: Scales = (),
        iterator_train: type = PatchBatches,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, iterator_train=iterator_train, **kwargs)
        self.patch_size, self.margin = patch_size, margin
        self.context, self.stride = context, stride
        self.patches_per_epoch, self.balance, self.tile_size = patches_per_epoch, balance, tile_size
        self.predict_scales = predict_scales
        self.measured_: dict[int, float] = {}

    def make_rows(self, X: Any, P: Any, index: Tensor | None) -> PatchRows:
        """Draw the patches of an epoch. If the targets are labels, only labeled voxels count."""
        return PatchRows(
            X,
            P,
            index,
            n_patches=self.patches_per_epoch,
            patch_size=self.patch_size,
            margin=self.margin,
            balance=self.balance,
            generator=self.generator,
        )

    def is_recorded(self, n_batches: int) -> bool:
        """Return False: steps with patches are large, and what they are cut from differs."""
        return False

    def epoch_size(self, n_rows: int) -> float:
        """Return the work of predicting the patches of an epoch, for the progress bar."""
        return self.patches_per_epoch * math.prod(self.patch_size)

    def batch_cost(self, X: Tensor) -> float:
        """Return the work of predicting a batch of patches, its voxels, for the progress bar."""
        return len(X) * math.prod(X.shape[2:])

    def soft_assignment(self, X: Any, rows: Tensor | None = None) -> Tensor:
        """Return Q of all voxels, or of `rows` in their order (eq. 1), in float16."""
        return self._of_volumes(X, rows, self.predict_volume)

    def augmented_assignment(self, X: Any) -> Tensor:
        """Return Q of the voxels, in float16, from a random augmentation of each volume.

        Rows of voxels that were moved out of their volume are 0.
        """
        return self._of_volumes(X, None, self.predict_view)

    def _of_volumes(
        self, X: Volumes, rows: Tensor | None, predict: Callable[[Volumes, int], Tensor]
    ) -> Tensor:
        """Return the results of `predict` voxel by voxel, of all volumes or of `rows` in their order."""
        Q: Tensor | None = None
        for volume in range(len(X.images)):
            start, stop = int(X.offsets[volume]), int(X.offsets[volume + 1])
            chosen = None if rows is None else ((rows >= start) & (rows < stop)).nonzero().squeeze(1)
            if start == stop or (chosen is not None and len(chosen) == 0):
                continue
            of_volume = X.take(volume, predict(X, volume)).half()
            if Q is None:
                Q = of_volume.new_empty(len(X) if rows is None else len(rows), of_volume.shape[1])
            if rows is None or chosen is None:
                Q[start:stop] = of_volume
            else:
                Q[chosen] = of_volume[rows[chosen] - start]
        if Q is None:
            return torch.empty(0)
        # Each process predicts all volumes. Rounding may differ, and all must continue with the same numbers.
        return self.strategy_.joined(Q)

    def predict_volume(self, X: Volumes, volume: int, scales: Scales = ()) -> Tensor:
        r"""Predict one volume, tile by tile, at the resolution of training.

        Parameters
        ----------
        X : Volumes
            The volumes.
        volume : int
            Number of the volume.
        scales : tuple of (tuple of float), default=()
            Sizes at which the volume is predicted, as multiples of each of its sides; the predictions are
            averaged. By default its own size only.

        Returns
        -------
        Tensor of shape (n_classes, \*spatial), float32
            Q, on the net's device.
        """
        seen = X if self.reduction is None else ReducedVolumes(X, self.reduction)
        q = self._at_scales(seen, volume, scales)
        return q if self.reduction is None else restored(q, self.reduction, X.shape(volume))

    def _at_scales(self, X: Volumes | ReducedVolumes, volume: int, scales: Scales) -> Tensor:
        """Return Q of a volume, the mean over the sizes at which it is predicted."""
        shape = X.shape(volume)
        sizes = [tuple(max(1, round(n * k)) for n, k in zip(shape, scale, strict=True)) for scale in scales]
        sizes = sizes or [shape]
        total = self._at_size(X, volume, sizes[0])
        for size in sizes[1:]:
            total += self._at_size(X, volume, size)
        return total.div_(len(sizes))

    def _at_size(self, X: Volumes | ReducedVolumes, volume: int, size: Corner) -> Tensor:
        """Return Q of a volume that is predicted at another size."""
        shape = X.shape(volume)
        if size == shape:
            return self._from_tiles(X, volume)
        image = resized(X.patch(volume, (0,) * len(shape), shape), size)
        return resized(self._from_tiles(Volumes([image]), 0), shape)

    def _from_tiles(
        self, X: Volumes | ReducedVolumes, volume: int, network: nn.Module | None = None
    ) -> Tensor:
        """Return Q of a volume, tile by tile, by the network that predicts or another one."""
        network = (network or self.predicting()).eval()
        whole = torch.empty(0)
        for corner, size, q in self._tiles(X, volume, network):
            if len(whole) == 0:
                whole = q.new_empty(len(q), *X.shape(volume))
            box = tuple(slice(first, first + n) for first, n in zip(corner, size, strict=True))
            whole[(slice(None), *box)] = q
        return whole

    def predict_view(self, X: Volumes, volume: int) -> Tensor:
        r"""Predict a random augmentation of one volume, and move the predictions back to the voxels.

        Parameters
        ----------
        X : Volumes
            The volumes.
        volume : int
            Number of the volume.

        Returns
        -------
        Tensor of shape (n_classes, \*spatial), float32
            Q, on the net's device.
        """
        if self.augment is None:
            return self.predict_volume(X, volume)
        shape = X.shape(volume)
        image = move(X.patch(volume, (0,) * len(shape), shape), torch.device(self.device))
        view = draw_view(self.augment, image, self.progress_)
        q = self.predict_volume(Volumes([view.image]), 0)
        return q if view.coordinates is None else put_back(q, view.coordinates, shape)

    def _tiles(
        self, X: Volumes | ReducedVolumes, volume: int, network: nn.Module
    ) -> Iterator[tuple[Corner, Corner, Tensor]]:
        """Yield the tiles of a volume: corner, size, and Q of shape (n_classes, *size)."""
        shape = X.shape(volume)
        # In whole strides: what the network halves must begin where it does in the whole volume.
        context = -(-self.context // self.stride) * self.stride
        for corner, size in tiles(shape, self.largest_tile(len(X.images[volume]), shape), self.stride):
            # Context ends at the volume's border, as for a network that sees the whole volume.
            before = [min(context, first) for first in corner]
            after = [min(context, end - first - n) for end, first, n in zip(shape, corner, size, strict=True)]
            outer_corner = tuple(
                first - m - b for first, m, b in zip(corner, self.margin, before, strict=True)
            )
            outer_size = tuple(
                n + 2 * m + b + a for n, m, b, a in zip(size, self.margin, before, after, strict=True)
            )
            box = move(X.patch(volume, outer_corner, outer_size), torch.device(self.device))
            with torch.no_grad(), self.autocast():
                q = network(box[None].clone())[0].exp()  # a network may change its input in place
            inner = [slice(b, b + n) for b, n in zip(before, size, strict=True)]
            yield corner, size, q[(slice(None), *inner)]
            self.progress_bar_.work(math.prod(size))
            self.stop_if_interrupted()

    def largest_tile(self, n_channels: int, shape: Corner) -> int:
        """Return `tile_size`, or the size that fits into `TILE_BYTES` or a quarter of a GPU's free memory.

        Parameters
        ----------
        n_channels : int
            Number of channels of a volume.
        shape : tuple of int
            Its spatial shape. If all of it fits, a tile is the whole volume.

        Returns
        -------
        int
            Largest side of a tile.
        """
        if not isinstance(self.tile_size, str):
            return self.tile_size
        n_bytes = TILE_BYTES
        if torch.device(self.device).type == "cuda":
            n_bytes = torch.cuda.mem_get_info(self.device)[0] // 4
        floats = self.floats_per_voxel(n_channels)
        n_voxels = math.prod(n + 2 * m for n, m in zip(shape, self.margin, strict=True))
        if 4 * floats * n_voxels <= n_bytes:  # few slices have no use for the margin that a cube needs
            # In whole strides, of which the last one may lie half outside: the volume is one tile.
            return -(-max(shape) // self.stride) * self.stride
        return auto_tile_size(floats, max(self.margin) + self.context, len(self.margin), n_bytes)

    def floats_per_voxel(self, n_channels: int) -> float:
        """Return the number of activations in memory at a time, for each voxel of a large tile.

        Parameters
        ----------
        n_channels : int
            Number of channels of a volume.

        Returns
        -------
        float
            Number of float32 values.
        """
        if n_channels in self.measured_:
            return self.measured_[n_channels]
        largest = 0

        def measure(layer: nn.Module, inputs: Any, output: Any) -> None:
            nonlocal largest  # a layer's channels, since in large tiles all layers have about as many voxels
            largest = max(largest, sum(math.prod(each.shape[:2]) for each in tensors_in((output, inputs))))

        network = self.predicting().eval()
        leaves = [layer for layer in network.modules() if not list(layer.children())]
        handles = [leaf.register_forward_hook(measure) for leaf in leaves]
        with torch.no_grad():
            network(torch.zeros(1, n_channels, *self.patch_size, dtype=torch.float32, device=self.device))
        for handle in handles:
            handle.remove()
        # The factor is for what is kept for the concatenation, and for a convolution's work space.
        self.measured_[n_channels] = 1.5 * largest
        return self.measured_[n_channels]

    def augmented_batch(self, X: Tensor, targets: Targets) -> tuple[Tensor, Targets]:
        """Return patches on the device and augmented, and targets moved along with their voxels."""
        X = X.to(self.device, torch.float32)
        if self.augment is None:
            return X, targets
        return augment_patches(self.augment, X, targets, self.progress_)

    def get_loss(self, y_pred: Tensor, y_true: Targets, X: Any = None, training: bool = False) -> Tensor:
        """Return the loss of log q, `y_pred`; candidates of partial labels count as one class."""
        if self.candidates_ is not None and y_true.p.shape[1] > y_pred.shape[1]:
            p, y_pred = merge_candidates(y_true.p, y_pred, self.candidates_)
            y_true = y_true._replace(p=p)
        return self.loss_of_classes(y_pred, y_true, X)

    def loss_of_classes(self, log_q: Tensor, targets: Targets, X: Any) -> Tensor:
        """Return the loss where no label is partial.

        Parameters
        ----------
        log_q : Tensor of shape (n, n_classes, ...)
            Log q.
        targets : Targets
            Targets and weights.
        X : Tensor of shape (n, ...)
            The patches.
        """
        return super().get_loss(log_q, targets, X=X, training=True)

"""The skorch net for volumes whose targets are computed where they are used."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sklearn_ssldec._samples.batches import Targets
from sklearn_ssldec._samples.components import outside_largest, restrict_to_largest
from sklearn_ssldec._samples.drawn_patches import (
    DrawnBatches,
    DrawnPatches,
    LabeledVolumes,
    count_balanced,
    move_voxels,
    outer_size,
    two_views,
)
from sklearn_ssldec._samples.scribbles import pieces_without_label
from sklearn_ssldec._samples.voxels import Corner, Volumes
from sklearn_ssldec._training.drawing import Drawing
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.algorithm import DivergenceError, Epoch, check_finite
from sklearn_ssldec.augment import BoxMix, apply
from sklearn_ssldec.clustering import (
    RunningTarget,
    accepted_classes,
    dice_loss,
    hard_assignment,
    restrict_to_candidates,
)
from sklearn_ssldec.networks._convolutional import crop

# After so many epochs with targets, scribbles are completed anew.
RENEWED_AFTER = 10
# Patches of each kind by which is told, after each iteration, how far training has come.
N_PROBES = 16


class DrawnNet(Drawing, VoxelNet):
    """A net that draws patches, and predicts the unlabeled ones with its average for their targets.

    Each batch has as many labeled as unlabeled patches. The averaged network sees a weak view of the
    unlabeled ones, moved but not otherwise changed; eq. 2 makes targets of what it predicts; and the network
    learns them from a strong view, in which boxes of labeled and unlabeled patches have changed places.

    Parameters
    ----------
    module : EmbeddingNetwork
        Fully convolutional: patches to voxel-wise log q.
    *args
        Those of `VoxelNet`.
    mix : BoxMix or None
        How labeled and unlabeled patches are mixed; None not at all.
    dice_weight : float
        Weight of the Dice loss beside the divergence.
    min_confidence : float
        Unlabeled voxels whose largest probability is smaller take no part in the loss.
    single_component : tuple of int
        Classes of which the targets keep the largest connected component; the target of their other voxels is
        class 0.
    predict_single : tuple of int
        Classes of which `predict_codes` keeps the largest connected component in a volume.
    scribbles : bool
        Whether labels are scribbles: they are completed for labeled patches, and stand among the targets of
        unlabeled ones, in which pieces of a structure without a scribble are class 0.
    reduction : tuple of int, or None
        Sides of the blocks of voxels that are one voxel for the network; None if it sees the voxels.
    iterator_train : type, default=DrawnBatches
        What cuts batches.
    **kwargs
        Those of `VoxelNet`.
    """

    def __init__(
        self,
        module: Any,
        *args: Any,
        mix: BoxMix | None = None,
        dice_weight: float = 1.0,
        min_confidence: float = 0.0,
        single_component: tuple[int, ...] = (),
        predict_single: tuple[int, ...] = (),
        scribbles: bool = False,
        reduction: Corner | None = None,
        iterator_train: type = DrawnBatches,
        **kwargs: Any,
    ) -> None:
        super().__init__(module, *args, iterator_train=iterator_train, **kwargs)
        self.mix, self.dice_weight, self.min_confidence = mix, dice_weight, min_confidence
        self.single_component, self.predict_single = single_component, predict_single
        self.scribbles = scribbles
        self.reduction = reduction
        self.labeled_weight_ = 1.0
        self.n_drawn_ = 0  # epochs with targets
        self.is_new_adviser_ = False

    def initialize_module(self) -> DrawnNet:
        """Initialize the module, its average, and the network that says how scribbles are completed."""
        super().initialize_module()
        if self.scribbles:
            self.adviser_ = copy.deepcopy(self.module_).requires_grad_(False).eval()
        return self

    # What the algorithm asks of a model ---------------------------------------------------------------------

    def train_labeled(self, X: LabeledVolumes, n_classes: int) -> Epoch:
        """Train an epoch on labeled patches, of which each batch has twice `batch_size`.

        Parameters
        ----------
        X : LabeledVolumes
            The volumes and their labels.
        n_classes : int
            Number of classes.
        """
        return self._train(self._patches(X, n_classes, 0, 2 * self.batch_size))

    def train_drawn(
        self,
        X: LabeledVolumes,
        n_classes: int,
        target: Callable[[Tensor], Tensor],
        labeled_weight: float,
    ) -> Epoch:
        """Train an epoch on labeled and unlabeled patches, with `target` of what the average predicts.

        Parameters
        ----------
        X : LabeledVolumes
            The volumes and their labels.
        n_classes : int
            Number of classes.
        target : callable
            Makes targets of the soft assignments of the unlabeled patches.
        labeled_weight : float
            Weight of the labeled patches in the loss.
        """
        self.target_, self.labeled_weight_ = target, labeled_weight
        if self.scribbles:
            self._advise(X)
        self.n_drawn_ += 1
        return self._train(self._patches(X, n_classes, self.batch_size, self.batch_size))

    def probe(self, X: LabeledVolumes, n_classes: int) -> tuple[float, Tensor]:
        """Predict a few patches, always the same.

        Parameters
        ----------
        X : LabeledVolumes
            The volumes and their labels.
        n_classes : int
            Number of classes.

        Returns
        -------
        labeled_accuracy : float
            Accuracy on the known voxels of labeled patches, averaged over classes.
        predicted : Tensor of int64
            Predicted class of the voxels of unlabeled patches, or of labeled ones where there are no others.

        Raises
        ------
        DivergenceError
            If predictions are not finite.
        """
        kinds = self._patches(X, n_classes, 1 if X.unlabeled else 0, 1)
        kinds.generator = torch.Generator().manual_seed(kinds.generator.initial_seed())
        kinds.outer_size = kinds.size
        accepted = accepted_classes(n_classes, X.candidates, torch.device("cpu"))
        predicted, right, total = [], torch.zeros(len(accepted)), torch.zeros(len(accepted))
        network = self.predicting().eval()
        for _ in range(N_PROBES):
            images, targets = kinds.draw()
            with torch.no_grad(), self.autocast():
                codes = check_finite(network(images).exp()).argmax(1).cpu()
            p, weight = self._within_margin(targets)
            known = (weight[-1] > 0).cpu()
            truth, found = p[-1].argmax(0).cpu()[known], codes[-1][known]
            right += torch.bincount(truth[accepted[truth, found]], minlength=len(accepted))
            total += torch.bincount(truth, minlength=len(accepted))
            predicted.append(codes[0].flatten())
            self.stop_if_interrupted()
        self._set_training(True)
        return (right / total)[total > 0].mean().item(), torch.cat(predicted)

    def predict_codes(self, X: Volumes) -> Tensor:
        """Return the predicted class of all voxels, int16, one volume after the other.

        Parameters
        ----------
        X : Volumes
            The voxels.
        """
        codes = torch.empty(len(X), dtype=torch.int16)
        for volume in range(len(X.images)):
            start, stop = int(X.offsets[volume]), int(X.offsets[volume + 1])
            q = self.predict_volume(X, volume, self.predict_scales)
            restrict_to_largest(q, self.predict_single)
            codes[start:stop] = hard_assignment(X.take(volume, q).half()).cpu()
        return codes

    def epoch_size(self, n_rows: int) -> float:
        """Return how much work a prediction of the patches of an epoch is, for the progress bar."""
        return super().epoch_size(n_rows) * 1.2  # that of the unlabeled ones for their targets besides

    # Training -----------------------------------------------------------------------------------------------

    def _patches(self, X: LabeledVolumes, n_classes: int, n_unlabeled: int, n_labeled: int) -> DrawnPatches:
        per_batch = n_unlabeled + n_labeled
        return DrawnPatches(
            X,
            n_classes,
            n_batches=max(1, -(-self.patches_per_epoch // per_batch)),
            n_unlabeled=n_unlabeled,
            n_labeled=n_labeled,
            size=tuple(self.patch_size),
            outer_size=outer_size(two_views(self.augment).weak, tuple(self.patch_size)),
            balance=self.balance,
            generator=self.generator or torch.default_generator,
            device=torch.device(self.device),
        )

    def _advise(self, X: LabeledVolumes) -> None:
        """Have scribbles completed with what the average predicts, as it is now or was a few epochs ago."""
        if self.n_drawn_ % RENEWED_AFTER == 0:
            self.adviser_.load_state_dict(self.predicting().state_dict())
            self.is_new_adviser_ = True
        if self.is_new_adviser_:
            X.complete_with(partial(self._from_tiles, X.volumes, network=self.adviser_))
            self.is_new_adviser_ = False

    def get_state(self) -> dict[str, Any]:
        """Return a copy of all that training changes."""
        state = {**super().get_state(), "n_drawn": self.n_drawn_}
        if self.scribbles:
            state["adviser"] = copy.deepcopy(dict(self.adviser_.state_dict()))
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        super().set_state(state)
        self.n_drawn_ = state["n_drawn"]
        if self.scribbles:
            self.adviser_.load_state_dict(state["adviser"])
            self.is_new_adviser_ = self.n_drawn_ > 0

    def keep_average(self) -> None:
        """Make the averaged weights the network's own, after training."""
        super().keep_average()
        if self.scribbles:
            del self.adviser_

    def _train(self, patches: DrawnPatches) -> Epoch:
        self.fit_loop(patches, epochs=1)
        loss = self.history[-1, "train_loss"]
        del self.history[-1]["batches"][:-1]  # as in `train_epoch`
        if not loss < float("inf"):
            raise DivergenceError(
                f"Training diverged: the loss became {loss}. Check the intensities of X, or lower "
                "pretrain_lr and lr."
            )
        return Epoch(loss, patches.n_batches)

    def train_step_single(self, batch: tuple[Tensor, Targets], **fit_params: Any) -> dict:
        """Augment the batch, find the targets of its unlabeled patches, and compute the loss."""
        views = two_views(self.augment)
        X, targets = move_voxels(views.weak, *batch, tuple(self.patch_size), self.progress_)
        p, weight = self._within_margin(targets)
        n = targets.n_own
        if n > 0:
            p, weight = self._with_targets(X, targets._replace(p=p), weight)
        for part in views.strong:
            X = apply(part, X, self.progress_)
        if n > 0 and self.mix is not None:
            mask = self.mix.draw(X[:n])
            X = self.mix.exchange(X[n:], X[:n], mask)
            mask = crop(mask, p.shape[2:])
            p = self.mix.exchange(p[n:], p[:n], mask)
            weight = self.mix.exchange(weight[n:, None], weight[:n, None], mask)[:, 0]
        if not self.module_.training:
            self._set_training(True)
        with self.autocast():
            log_q = self.infer(X)
        loss = self.get_loss(log_q, Targets(p, weight, n), X=X, training=True)
        loss.backward()
        return {"loss": loss, "y_pred": log_q}

    def _within_margin(self, targets: Targets) -> tuple[Tensor, Tensor]:
        """Return targets and weights of the voxels that the network's output has."""
        inner = tuple(n - 2 * m for n, m in zip(self.patch_size, self.margin, strict=True))
        weight = torch.ones_like(targets.p[:, 0]) if targets.weight is None else targets.weight
        return crop(targets.p, inner), crop(weight[:, None], inner)[:, 0]

    def _with_targets(self, X: Tensor, targets: Targets, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Put targets and weights of the unlabeled patches in."""
        p, n = targets.p, targets.n_own
        q = self.taught(X[:n])
        if self.candidates_ is not None:
            q = self._restricted(q, p[:n], self.candidates_)
        takes_part = weight[:n] > 0
        rows = q.movedim(1, -1)[takes_part]
        if isinstance(self.target_, RunningTarget):
            # Of patches that were drawn as the unlabeled ones are, without scribbles.
            counts = weight > 0
            counts[: n + count_balanced(self.balance, len(p) - n)] = False
            if targets.is_whole is not None:
                counts[~targets.is_whole] = False
            self.target_.see_labels(p.movedim(1, -1)[counts], self.candidates_)
        of_own = torch.zeros_like(p[:n]).movedim(1, -1)
        of_own[..., : q.shape[1]][takes_part] = self.targets_of(rows)
        if self.single_component:
            predicted = q.argmax(1).where(takes_part, 0)
            of_own[outside_largest(predicted, self.single_component)] = _one_hot_0(of_own)
        confident = q.amax(1) >= self.min_confidence
        if targets.scribbled is not None:
            self._put_scribbles(of_own, q, p[:n], targets.scribbled[:n], takes_part)
            confident |= p[:n].sum(1) > 0
        p = torch.cat([of_own.movedim(-1, 1), p[n:]])
        return p, torch.cat([weight[:n] * confident, self.labeled_weight_ * weight[n:]])

    def _put_scribbles(
        self, of_own: Tensor, q: Tensor, labels: Tensor, scribbled: Tensor, takes_part: Tensor
    ) -> None:
        """Put labels among the targets of unlabeled patches, and class 0 where a piece has none, in place."""
        labels = labels.movedim(1, -1)
        marked = labels.sum(-1) > 0
        codes = labels.argmax(-1).where(marked, q.argmax(1)).where(takes_part, 0)
        astray = torch.zeros_like(marked)
        astray[scribbled] = pieces_without_label(codes[scribbled], marked[scribbled])
        of_own[astray] = _one_hot_0(of_own)
        of_own[marked] = labels[marked]

    def _restricted(self, q: Tensor, p: Tensor, candidates: Tensor) -> Tensor:
        """Return what was predicted for unlabeled patches, among the candidates of partial labels in `p`."""
        n_classes = q.shape[1]
        share, which = p[:, n_classes:].max(1)
        codes = torch.where(share > 0.5, which + n_classes, -1)
        rows = q.movedim(1, -1).reshape(-1, n_classes)
        restrict_to_candidates(rows, codes.flatten(), candidates)
        return rows.unflatten(0, codes.shape).movedim(-1, 1)

    def loss_of_classes(self, log_q: Tensor, targets: Targets, X: Any) -> Tensor:
        """Return the divergence of log q from the targets, and the Dice loss."""
        loss = super().loss_of_classes(log_q, targets, X)
        if self.dice_weight > 0:
            loss = loss + self.dice_weight * dice_loss(targets.p, log_q, targets.weight)
        return loss


def _one_hot_0(p: Tensor) -> Tensor:
    """Return the target of class 0."""
    target = p.new_zeros(p.shape[-1])
    target[0] = 1
    return target

"""Segmenters of volumes: fitting and predicting, whatever the method."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from sklearn_ssldec._compat import Interval, StrOptions, fit_context
from sklearn_ssldec._estimators.base import (
    AUTO,
    CONSTRAINTS,
    BaseSSLDEC,
    kept_if_fit_fails,
    refuse_of_drawn,
)
from sklearn_ssldec._estimators.defaults import choose_auto_voxels
from sklearn_ssldec._estimators.outcomes import (
    majority,
    mean_probabilities,
    predicted_classes,
    warn_of_outcomes,
)
from sklearn_ssldec._estimators.planning import (
    PREDICT_SCALES,
    choose_reduction,
    draws_targets,
    few_slices,
    kernel_sizes,
    name_network,
    plan,
    reduced_spacing,
    thin_axis,
)
from sklearn_ssldec._samples.components import restrict_to_largest, single_component_classes
from sklearn_ssldec._samples.patches import as_patch_size
from sklearn_ssldec._samples.placing import resolve_device
from sklearn_ssldec._samples.reduction import labeled_parts, labels_kept, reduced_shape
from sklearn_ssldec._samples.scribbles import are_scribbles, single_component_of_scribbles
from sklearn_ssldec._samples.sources import Scans, check_sizes, place_volumes
from sklearn_ssldec._samples.volumes import (
    MapLabels,
    as_annotated_classes,
    as_given,
    as_label_maps,
    as_scales,
    as_spacing,
    as_volumes,
    count_axes,
    encode_label_maps,
    is_collection,
    may_number_objects,
    voxels_outside,
    with_partial_labels,
)
from sklearn_ssldec._training.drawn_net import DrawnNet
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec._warnings import warn
from sklearn_ssldec.algorithm import Outcome
from sklearn_ssldec.metrics import dice_score

# As many label maps, of images and of volumes, are asked by how much they may be reduced.
MAPS_TO_REDUCE = {2: 30, 3: 3}


class BaseSegmenter(BaseSSLDEC):
    """A segmenter, whose samples are the voxels of volumes."""

    _constraints: ClassVar[dict[str, list]] = {
        **CONSTRAINTS,
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "class_prior": [StrOptions({"labeled"}), "array-like", dict, None],
        "min_batches": [Interval(Integral, 1, None, closed="left")],
        "balance": [AUTO, Interval(Real, 0, 1, closed="both")],
        "batch_size": [AUTO, Interval(Integral, 1, None, closed="left")],
        "unlabeled_label": [Integral],
    }

    @fit_context(prefer_skip_nested_validation=True)
    @kept_if_fit_fails
    def fit(self, X: Any, y: Any, annotated_classes: Any = None) -> BaseSegmenter:
        r"""Fit to volumes of which some voxels are labeled.

        Parameters
        ----------
        X : array-like of shape (n, \*spatial) or (n, n_channels, \*spatial), or sequence of such volumes
            Volumes; in a sequence, or an array of objects, their spatial shapes may differ. Computed in
            float32. A voxel that is NaN in any channel, or masked in a masked array, lies outside the image
            and takes part in nothing: its values are replaced by the channel's mean over the other voxels.
        y : array-like of int, of shape (n, \*spatial), or sequence of (label map or None)
            Label maps, in which `unlabeled_label` marks unlabeled voxels; None for a volume without labels.
            Masked voxels of a masked array are unlabeled.
        annotated_classes : sequence of (collection of int, or None), default=None
            Classes that were annotated in each volume; None for all. A voxel marked as background, 0, in a
            volume where some class was not annotated is "background or one of these": the loss sums their
            probabilities (`sklearn_ssldec.clustering.merge_candidates`), and the voxel's target is what the
            network predicts, among these. Without effect for a volume without labels.

        Returns
        -------
        self : object
            The fitted segmenter.

        Raises
        ------
        ValueError
            If shapes do not agree, a volume is smaller than what the network sees around a voxel, no voxel is
            labeled, all labels are of one class, a class has a single labeled voxel, labels are negative or
            lost their mark in an unsigned dtype or are those of a mask stored as JPEG, label maps are single
            slices with three axes, X has infinite
            values or its channels last, a parameter is out of its range, or `annotated_classes` has not one
            entry for each volume, an entry of no class but 0, or one without a class that is marked in its
            volume, or 0 is not a class of y.
        TypeError
            If labels are not integers, volumes not real numbers, or `annotated_classes` no sequence of
            collections of integers.
        """
        marks = self.unlabeled_label, self.ignore_label
        maps = as_label_maps(y, len(is_collection(X)), *marks)
        self.n_dims_ = count_axes(maps)
        volumes = as_volumes(X, self.n_dims_, maps=maps)
        shapes = [volume.shape[1:] for volume in volumes]
        annotated = as_annotated_classes(annotated_classes, len(volumes))
        labels = encode_label_maps(maps, shapes, *marks, outside=voxels_outside(volumes))
        labels = with_partial_labels(labels, annotated)
        self.n_channels_ = len(volumes[0])
        self.classes_ = labels.classes
        if labels.is_complete:
            warn(
                f"y has no unlabeled voxel (none is {self.unlabeled_label}), so that the network is trained "
                "on the labels alone. Add volumes without labels; their label map may be None."
            )
        if may_number_objects(labels):
            warn(
                f"y has {len(self.classes_)} classes, and its label maps hold 0, 1, 2 and so on up to "
                "different numbers. If these number objects, as cells, pass y > 0 instead: the segmenter "
                "tells classes apart, not the objects of a class."
            )
        warn_of_few_slices(shapes)
        self.plan_ = self._make_plan(shapes, labels)
        if self._is_drawn():
            self.plan_["scribbles"] = self._has_scribbles(labels)
        auto = choose_auto_voxels(self.plan_, resolve_device(self.device))
        patch_params = {name: self.plan_[name] for name in ("patches_per_epoch", "balance")}
        patch_params["predict_scales"] = self._predict_scales()
        if self._is_drawn():
            patch_params["single_component"] = of_one_piece = self._single_component(labels)
            if self.plan_["scribbles"] and self._of_part("cycle").get("largest_component", "auto") == "auto":
                # The targets keep the pieces in which scribbles lie.
                of_one_piece = single_component_of_scribbles(
                    labels.maps, volumes, labels.ignored, len(labels.classes), self.plan_["spacing"]
                )
            self.plan_["largest_component"] = self.classes_[list(of_one_piece)].tolist()
            patch_params["scribbles"] = self.plan_["scribbles"]
            factors = self.plan_["reduction"]
            patch_params["reduction"] = factors if max(factors) > 1 else None
        of_predictions = self._predict_single()
        if self._is_drawn():
            patch_params["predict_single"] = of_predictions
        samples = Scans(
            volumes,
            labels.ignored,
            self.plan_["scaling"],
            self.plan_["patch_size"],
            patch_params,
            drawn=self._is_drawn(),
            spacing=reduced_spacing(self.plan_["spacing"], self.plan_["reduction"]),
        )
        y_call = [*labels.maps, labels.classes.tolist()]
        y_call += [labels.candidates] if len(labels.candidates) else []
        settings, outcomes = self._fit_networks(samples, labels, auto, X=(volumes, labels.ignored), y=y_call)
        if self._of_part("cycle").get("transduction", True):
            self._store_transduction(outcomes, labels)
        warn_of_outcomes(outcomes, self.classes_, settings)
        return self

    def _store_transduction(self, outcomes: list[Outcome], labels: MapLabels) -> None:
        """Store what was predicted for the training volumes."""
        n_classes, maps_of = len(self.classes_), (labels.shapes, labels.ignored)
        last = majority([predicted_classes(outcome) for outcome in outcomes], n_classes)
        first = majority([outcome.supervised.numpy() for outcome in outcomes], n_classes)
        self.transduction_ = self._as_maps(labels.completed(last), *maps_of)
        self.supervised_transduction_ = self._as_maps(first, *maps_of)

    def predict_proba(self, X: Any) -> Any:
        r"""Predict class probabilities of each voxel, averaged over the networks.

        Parameters
        ----------
        X : array-like or sequence of volumes, as in `fit`
            Volumes. Set voxels outside the image, such as the fill value around a scan, to NaN, or mask them
            in a masked array: otherwise they enter the mean and standard deviation that volumes are scaled
            by.

        Returns
        -------
        list of ndarray of shape (n_classes, \*spatial), float32
            Probabilities (q of eq. 1), in the order of `classes_`. They sum to 1 at each voxel, and are 0 for
            all classes at voxels outside the image. An array if X is an array of numbers.
        """
        return as_given(list(self._probabilities(X)), X)

    def predict(self, X: Any) -> Any:
        r"""Predict the most probable label of each voxel.

        Parameters
        ----------
        X : array-like or sequence of volumes, as in `fit`
            Volumes, with NaN outside the image as in `predict_proba`.

        Returns
        -------
        list of ndarray of shape (\*spatial), int
            Label maps of the volumes' own shapes; `ignore_label`, or 0 if there is none, at voxels outside
            the image. An array if X is an array of numbers.
        """
        maps = [
            np.where(Q.any(axis=0), self.classes_[Q.argmax(axis=0)], self.ignore_label or 0)
            for Q in self._probabilities(X)
        ]
        return as_given(maps, X)

    def score(self, X: Any, y: Any, annotated_classes: Any = None) -> float:
        r"""Return the mean Dice score of the labels other than 0, over volumes, on the labeled voxels.

        The labels are those in `classes_` and any others in `y`. A label that a volume does not have and that
        is not predicted for it does not count for this volume; one that is predicted counts 0. If no volume
        has any of the labels and none is predicted, the score is 1.

        Parameters
        ----------
        X : array-like or sequence of volumes, as in `fit`
            Volumes.
        y : array-like or sequence of (label map or None)
            True label maps. Voxels with `unlabeled_label` or `ignore_label` and those outside the image do
            not count, and neither do volumes without other voxels.
        annotated_classes : sequence of (collection of int, or None), default=None
            Classes that were annotated in each volume, as in `fit`. A volume does not count for the others.

        Returns
        -------
        float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If no voxel is labeled.
        """
        check_is_fitted(self)
        maps = as_label_maps(y, len(is_collection(X)), self.unlabeled_label, self.ignore_label)
        volumes = as_volumes(X, self.n_dims_, self.n_channels_, maps)
        annotated = as_annotated_classes(annotated_classes, len(volumes))
        known, truths, scored = [], [], []
        for volume, labels, outside, given in zip(
            volumes, maps, voxels_outside(volumes), annotated, strict=True
        ):
            truth = None if labels is None else self._masked(labels, outside)
            if truth is not None and truth.count():
                known.append(volume)
                truths.append(truth)
                scored.append(given)
        if not known:
            raise ValueError("score needs at least one volume with labeled voxels.")
        found = [np.unique(truth.compressed()) for truth in truths]
        labels = np.setdiff1d(np.concatenate([self.classes_, *found]), [0])
        predicted = [
            label_map if given is None else np.where(np.isin(label_map, list(given)), label_map, 0)
            for label_map, given in zip(self.predict(known), scored, strict=True)
        ]
        score = dice_score(truths, predicted, labels=labels, ignore_label=None)
        return 1.0 if np.isnan(score) else float(score)

    def _masked(self, labels: np.ndarray, outside: np.ndarray | None) -> np.ma.MaskedArray:
        """Return a label map in which the voxels that do not count are masked."""
        mask = labels == self.unlabeled_label
        if self.ignore_label is not None:
            mask |= labels == self.ignore_label
        if outside is not None:
            mask |= outside
        return np.ma.array(labels, mask=mask)

    def _scaling(self) -> str | None:
        """Return how the volumes that the networks have learned from were scaled."""
        # Segmenters that were saved earlier have no plan, or none that says it.
        return getattr(self, "plan_", {}).get("scaling", self._of_part("net").get("scaling", "volume"))

    def _targets(self, shapes: Sequence[Sequence[int]], factors: tuple[int, ...]) -> str:
        """Return where targets are computed, "drawn" or "all", for blocks with these sides."""
        cycle, data_parallel = self._of_part("cycle"), self._of_part("net").get("data_parallel", False)
        n_views, targets = cycle.get("target_views", 0), cycle.get("targets", "auto")
        if targets == "auto":
            suits = draws_targets(shapes, factors, is_set=not isinstance(self.module, str))
            targets = "drawn" if suits and not data_parallel and n_views == 0 else "all"
        if targets == "drawn" and data_parallel:
            raise ValueError("net__data_parallel=True needs cycle__targets='all', got 'drawn'.")
        if targets == "drawn" and n_views > 0:
            raise ValueError(
                f"cycle__target_views must be 0 where targets are drawn, got {n_views}: they come from one "
                "view of a patch. cycle__targets='all' takes more."
            )
        if targets == "all" and self._reduction() not in ("auto", (1,) * self.n_dims_):
            raise ValueError(
                "net__reduction has a meaning for cycle__targets='drawn' only, got "
                f"{self._of_part('net')['reduction']!r} with 'all'."
            )
        if targets == "all":
            refuse_of_drawn(cycle, ["mix", "dice_weight", "min_confidence", "largest_component", "scribbles"])
        return targets

    def _reduction(self) -> tuple[int, ...] | str:
        """Return the sides of the blocks that are one voxel for the network, as the user has set them."""
        given = self._of_part("net").get("reduction", "auto")
        if isinstance(given, str):
            return given
        return as_patch_size(given, self.n_dims_, "net__reduction")

    def _predict_scales(self) -> tuple[tuple[float, ...], ...]:
        """Return the sizes at which volumes are predicted, as multiples of each side."""
        # Segmenters that were saved before there was a plan, or sizes in it, have none.
        plan = getattr(self, "plan_", {})
        thin = thin_axis(plan["patch_size"]) if "patch_size" in plan else None
        default = self._default_scales(self._is_drawn()) if "predict_scales" in plan else (1.0,)
        return tuple(
            tuple(1.0 if axis == thin else scale for axis in range(self.n_dims_))
            for scale in self._scales_or(default)
        )

    def _default_scales(self, drawn: bool) -> tuple[float, ...]:
        """Return what "auto" stands for, whatever was set in `fit`."""
        return PREDICT_SCALES if drawn and self.n_dims_ == 2 else (1.0,)

    def _scales_or(self, default: tuple[float, ...]) -> tuple[float, ...]:
        """Return `net__predict_scales`, or the default for "auto"."""
        given = self._of_part("net").get("predict_scales", "auto")
        return default if isinstance(given, str) and given == "auto" else as_scales(given)

    def _predict_single(self) -> tuple[int, ...]:
        """Return the codes of the classes of which predictions keep the largest component."""
        of_one_piece = getattr(self, "plan_", {}).get("largest_component", [])
        return self._kept_largest(
            "net", lambda: tuple(np.flatnonzero(np.isin(self.classes_, of_one_piece)).tolist())
        )

    def _kept_largest(self, part: str, auto: Callable[[], tuple[int, ...]]) -> tuple[int, ...]:
        """Return the codes that ``largest_component`` of a part stands for; "auto" for those of `auto`."""
        given = self._of_part(part).get("largest_component", "auto")
        has_background = self.classes_[0] == 0
        if isinstance(given, str) and given == "auto":
            return auto() if has_background else ()
        if not isinstance(given, bool | np.bool_):
            raise ValueError(f'{part}__largest_component must be "auto", True or False; got {given!r}.')
        if given and not has_background:
            raise ValueError(
                f"{part}__largest_component=True needs the label 0, for voxels outside of the largest "
                f"component; the labels are {self.classes_.tolist()}."
            )
        return tuple(range(1, len(self.classes_))) if given else ()

    def _reduction_for(
        self, shapes: Sequence[Sequence[int]], labels: MapLabels, spacing: tuple[float, ...] | None
    ) -> tuple[int, ...]:
        """Return the sides of the blocks that are one voxel for the network."""
        given = self._reduction()
        if not isinstance(given, str):
            return given
        before = getattr(self, "plan_", {}).get("reduction", ())
        if getattr(self, "warm_start", False) and hasattr(self, "nets_") and len(before) == self.n_dims_:
            return before  # what the network has learned holds at this resolution
        if self._of_part("cycle").get("targets") == "all":
            return (1,) * self.n_dims_
        found = (
            labeled_parts(codes, mask)
            for codes, mask in zip(labels.maps, labels.ignored, strict=True)
            if codes is not None
        )
        some = itertools.islice((parts for parts in found if parts), MAPS_TO_REDUCE[self.n_dims_])
        parts = list(itertools.chain.from_iterable(some))
        return choose_reduction(
            shapes,
            lambda factors: labels_kept(parts, factors, len(self.classes_)),
            on_gpu=resolve_device(self.device).type == "cuda",
            spacing=spacing,
            is_set=not (isinstance(self.patch_size, str) and isinstance(self.module, str)),
        )

    def _single_component(self, labels: MapLabels) -> tuple[int, ...]:
        """Return the codes of the classes of which targets keep the largest component."""
        return self._kept_largest(
            "cycle", lambda: single_component_classes(labels.maps, labels.ignored, len(labels.classes))
        )

    def _has_scribbles(self, labels: MapLabels) -> bool:
        """Return whether the labels are scribbles."""
        wanted = self._of_part("cycle").get("scribbles", "auto")
        has_background, is_partial = labels.classes[0] == 0, len(labels.candidates) > 0
        if wanted is True and (not has_background or is_partial):
            raise ValueError(
                "cycle__scribbles=True needs voxels labeled 0, and goes without annotated_classes; the "
                f"labels are {labels.classes.tolist()}."
            )
        if not wanted or not has_background or is_partial:
            return False
        return wanted is True or are_scribbles(labels.maps, labels.ignored, len(labels.classes))

    def _make_plan(self, shapes: Sequence[Sequence[int]], labels: MapLabels) -> dict[str, Any]:
        """Choose where targets are computed, and what depends on the shapes of the volumes."""
        size, batch_size, module = self.patch_size, self.batch_size, self._of_part("module")
        if isinstance(size, str):
            size = getattr(self.module, "training_patch_size", None)
        spacing = self._of_part("net").get("spacing")
        if spacing is not None:
            spacing = as_spacing(spacing, self.n_dims_, "net__spacing")
        given = spacing
        factors = self._reduction_for(shapes, labels, spacing)
        drawn = (targets := self._targets(shapes, factors)) == "drawn"
        factors = factors if drawn else (1,) * self.n_dims_
        shapes = [reduced_shape(shape, factors) for shape in shapes]
        spacing = reduced_spacing(spacing, factors)
        chosen = plan(
            shapes,
            on_gpu=resolve_device(self.device).type == "cuda",
            spacing=spacing,
            patch_size=None if size is None else as_patch_size(size, self.n_dims_),
            batch_size=None if isinstance(batch_size, str) else batch_size,
        )
        chosen = name_network(chosen, targets, spacing, is_set=not isinstance(self.module, str))
        # Batches of as many labeled as unlabeled patches, a hundred of them an epoch.
        n_patches = 200 * chosen["batch_size"] if drawn else 64
        chosen["patches_per_epoch"] = (
            n_patches if isinstance(self.patches_per_epoch, str) else self.patches_per_epoch
        )
        chosen["balance"] = (0.25 if drawn else 0.5) if isinstance(self.balance, str) else self.balance
        if "n_levels" in module and "strides" not in module:
            chosen["strides"] = ((2,) * self.n_dims_,) * (module["n_levels"] - 1)
        if "kernels" in chosen and ("n_levels" in module or "strides" in module):
            sides = (1.0,) * self.n_dims_ if spacing is None else spacing
            chosen["kernels"] = kernel_sizes(module.get("strides", chosen["strides"]), sides)
        chosen["predict_scales"] = self._scales_or(self._default_scales(drawn))
        chosen["scaling"] = self._of_part("net").get("scaling", "volume")
        set_by_user = {name: module[name] for name in module if name in chosen}
        return {"targets": targets, "spacing": given, "reduction": factors, **chosen, **set_by_user}

    def _is_drawn(self) -> bool:
        # Segmenters that were saved before there was a plan have none.
        return getattr(self, "plan_", {}).get("targets") == "drawn"

    def _net_class(self) -> type[VoxelNet]:
        return DrawnNet if self._is_drawn() else VoxelNet

    def _as_maps(self, codes: np.ndarray, shapes: list, ignored: list) -> list[np.ndarray]:
        """Return label maps of the codes of all voxels that take part."""
        maps, start = [], 0
        for shape, mask in zip(shapes, ignored, strict=True):
            takes_part = np.ones(shape, dtype=bool) if mask is None else ~mask
            stop = start + int(takes_part.sum())
            labels = np.full(shape, self.ignore_label or 0, dtype=self.classes_.dtype)
            labels[takes_part] = self.classes_[codes[start:stop]]
            maps.append(labels)
            start = stop
        return maps

    def _probabilities(self, X: Any) -> Iterator[np.ndarray]:
        """Yield the class probabilities of one volume after the other; all are checked before the first.

        Voxels outside the image have probability 0 of each class.
        """
        check_is_fitted(self)
        volumes = as_volumes(is_collection(X), self.n_dims_, self.n_channels_)
        outside = voxels_outside(volumes)
        samples = place_volumes(volumes, outside, self._scaling(), torch.device("cpu"))
        check_sizes(samples, self.nets_[0].margin)
        scales, single = self._predict_scales(), self._predict_single()
        for i in tqdm(range(len(volumes)), desc="predict", unit="volume", disable=not self.verbose):
            members = []
            for net in self.nets_:
                with net.threads():
                    members.append(net.predict_volume(samples, i, scales).cpu().numpy())
            probabilities = mean_probabilities(members, axis=0)
            if outside[i] is not None:
                probabilities[:, outside[i]] = 0
            restrict_to_largest(torch.from_numpy(probabilities), single)
            yield probabilities


def warn_of_few_slices(shapes: Sequence[Sequence[int]]) -> None:
    """Warn of volumes whose slices are better given as images.

    Parameters
    ----------
    shapes : sequence of sequences of int
        Spatial shapes of the volumes.
    """
    if (axis := few_slices(shapes)) is None:
        return
    middle = np.median(np.asarray(shapes), axis=0)
    median = " x ".join(f"{n:g}" for n in middle)
    if axis == 2 and middle[axis] in (3, 4):
        warn(
            f"X and y were taken for volumes (median shape {median}). If they are pictures and masks in "
            'colours, docs/how_to/segmentation.md, "Pictures and masks", says how to pass them.'
        )
        return
    warn(
        f"The volumes of X have few slices (median shape {median}, slices along axis {axis}). More is "
        "learned from slices that are given one by one, as images, and their label maps alike: "
        "X = [image for volume in X for image in volume] where slices lie along the first axis. "
        "docs/how_to/segmentation.md has more."
    )

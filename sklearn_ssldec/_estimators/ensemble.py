"""Training the networks of an ensemble (section IV-A)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.utils.parallel import Parallel, delayed

from sklearn_ssldec._estimators.guidance import (
    DOUBTFUL_SHARE,
    MAX_TRIAL_ROWS,
    TRIAL_ITER,
    GuidedTarget,
    Taught,
    doubtful_share,
    drawn_prior,
    excess,
    label_folds,
    teach,
)
from sklearn_ssldec._estimators.starting import Start
from sklearn_ssldec._estimators.task import Task
from sklearn_ssldec._samples.drawn_patches import LabeledVolumes
from sklearn_ssldec._samples.drawn_rows import LabeledRows
from sklearn_ssldec._samples.sources import Rows
from sklearn_ssldec._samples.views import N_VIEWS
from sklearn_ssldec._training.callbacks import copied
from sklearn_ssldec._training.checkpoint import Checkpoint, open_folder
from sklearn_ssldec._training.distributed import Alone, Processes, check_processes, first_alone, same_for_all
from sklearn_ssldec._training.drawn import DrawnSSLDEC
from sklearn_ssldec._training.interrupt import on_interrupt
from sklearn_ssldec._training.net import SSLDECNet
from sklearn_ssldec._training.progress import TRAINING_COST, Progress, Silent
from sklearn_ssldec._training.seeds import seeded
from sklearn_ssldec._training.threads import estimate_operations, one_thread
from sklearn_ssldec._training.voxel_net import VoxelNet
from sklearn_ssldec.algorithm import SSLDEC, Outcome, Settings
from sklearn_ssldec.clustering import RunningTarget
from sklearn_ssldec.networks.embedding import EmbeddingNetwork, build_network


class Member(NamedTuple):
    """A trained network, and how its training went.

    Attributes
    ----------
    net : SSLDECNet
        The network.
    outcome : Outcome
        How its training went.
    """

    net: SSLDECNet
    outcome: Outcome


class Checkpoints(NamedTuple):
    """The folder of a fit's checkpoints, and the arguments of the fit.

    Attributes
    ----------
    folder : str or path-like
        The folder.
    call : dict of str to str
        The arguments, as `describe_call` returns them.
    any_seeds : bool
        Whether a resumed fit takes its seeds from the folder, because no `random_state` was given.
    """

    folder: str | os.PathLike[str]
    call: Mapping[str, str]
    any_seeds: bool


def train_ensemble(
    task: Task, seeds: list[int], checkpoints: Checkpoints | None, n_jobs: int | None
) -> tuple[list[Member], Taught | None]:
    """Train one network for each seed.

    Parameters
    ----------
    task : Task
        What to train.
    seeds : list of int
        Seeds of the networks.
    checkpoints : Checkpoints or None
        Where to keep checkpoints.
    n_jobs : int or None
        Networks trained at the same time, as joblib counts.

    Returns
    -------
    members : list of Member
        The networks. Where training was interrupted, those so far.
    taught : Taught or None
        What the teachers and left-out labels said.
    """
    if task.data_parallel:
        check_processes()
        seeds = same_for_all(seeds)
    paths: list[Path | None] = [None] * len(seeds)
    if checkpoints is not None:
        with first_alone() if task.data_parallel else nullcontext():
            seeds = open_folder(
                checkpoints.folder, dict(checkpoints.call), seeds, any_seeds=checkpoints.any_seeds
            )
        paths = [Path(checkpoints.folder) / f"network_{i}.safetensors" for i in range(len(seeds))]
    taught = taught_by(task, seeds[0])
    if taught is not None and falls_back(task, taught):
        task = replace(task, settings=replace(task.settings, max_iter=0))
    guide = taught if task.guidance.teachers and task.settings.max_iter > 0 else None
    starts = task.starts or (None,) * len(seeds)
    task = replace(task, starts=())
    members = train_networks(task, seeds, paths, starts, guide, n_jobs)
    conditions = {member.outcome.termination_condition for member in members}
    if not task.guidance.in_doubt or task.settings.max_iter == 0 or not conditions <= {"tol", "max_iter"}:
        return members, taught
    before = doubt(task, members)
    if before <= DOUBTFUL_SHARE:
        return members, taught
    task = replace(task, guidance=replace(task.guidance, teachers=task.guidance.in_doubt, in_doubt=()))
    seeds = [(seed + 1) % 2**31 for seed in seeds]  # some weights to begin with lead nowhere
    paths = [None if path is None else path.with_stem(f"{path.stem}_taught") for path in paths]
    try:
        again = taught_by(task, seeds[0])
    except KeyboardInterrupt:
        return members, taught
    others = train_networks(task, seeds, paths, starts, again, n_jobs)
    return (others, again) if doubt(task, others) < before else (members, taught)


def train_networks(
    task: Task,
    seeds: Sequence[int],
    paths: Sequence[Path | None],
    starts: Sequence[Start | None],
    guide: Taught | None,
    n_jobs: int | None,
) -> list[Member]:
    """Train networks, one after the other or at the same time.

    Parameters
    ----------
    task : Task
        What to train.
    seeds : sequence of int
        Seed of each network.
    paths : sequence of Path or None
        Checkpoint file of each.
    starts : sequence of Start or None
        The weights that each starts from.
    guide : Taught or None
        What the teachers say.
    n_jobs : int or None
        Networks trained at the same time, as joblib counts.

    Returns
    -------
    list of Member
        The networks. Where training was interrupted, those so far.
    """
    each = zip(seeds, paths, starts, strict=True)
    if effective_n_jobs(n_jobs) > 1 and not task.data_parallel:
        jobs = (delayed(train_network)(task, seed, path, guide, start) for seed, path, start in each)
        return list(Parallel(n_jobs=n_jobs)(jobs))
    members: list[Member] = []
    for seed, path, start in each:
        members.append(train_network(task, seed, path, guide, start))
        if members[-1].outcome.termination_condition == "interrupted":
            break
    return members


def doubt(task: Task, members: list[Member]) -> float:
    """Return the share of unlabeled samples of which the networks are in doubt.

    Parameters
    ----------
    task : Task
        What was trained.
    members : list of Member
        The networks.
    """
    Q = np.mean([member.outcome.Q.numpy() for member in members], axis=0)
    share = doubtful_share(Q, task.labels.codes)
    return same_for_all(share) if task.data_parallel else share


def falls_back(task: Task, taught: Taught) -> bool:
    """Return whether training ends with the supervised start, since left-out labels speak against more.

    Parameters
    ----------
    task : Task
        What to train.
    taught : Taught
        What left-out labels say.
    """
    kept = taught.gain is not None and taught.gain.is_loss
    return same_for_all(kept) if task.data_parallel else kept


def taught_by(task: Task, seed: int) -> Taught | None:
    """Return what the teachers and left-out labels say, or None if neither are asked or nothing is iterated.

    Parameters
    ----------
    task : Task
        What they are for.
    seed : int
        Their seed.
    """
    needed = (task.guidance.teachers or task.guidance.fallback) and task.settings.max_iter > 0
    if not needed or not isinstance(task.samples, Rows):
        return None
    prior = None if task.prior is None else task.prior.numpy().astype(float)
    pretrain = partial(PretrainedNet, task, seed)
    with one_thread():  # scikit-learn's neighbours start OpenMP's threads, after which a fork hangs
        return teach(task.samples.X, task.labels.codes, task.n_classes, task.guidance, seed, pretrain, prior)


class PretrainedNet:
    """A network that was pre-trained on some of the labels, and can go on by Algorithm 1.

    Parameters
    ----------
    task : Task
        Describes the network and its training.
    seed : int
        Seed of its weights, batches and augmentation.
    X : ndarray of shape (n_samples, ...), or CSR
        Samples.
    codes : ndarray of shape (n_samples,), int
        Class of each labeled sample, -1 for an unlabeled one.

    Attributes
    ----------
    Q : ndarray of shape (n_samples, n_classes)
        Soft assignments after pre-training.
    """

    def __init__(self, task: Task, seed: int, X: Any, codes: np.ndarray) -> None:
        labels: Any = task.labels
        self.task = replace(
            task,
            samples=Rows(X),
            labels=replace(labels, codes=codes),
            net_params={**task.net_params, "callbacks": None},
        )
        self.seed, self.generator = seed, torch.Generator().manual_seed(seed)
        with seeded(seed, task.device):
            self.net, self.samples = make_net(self.task, self.generator)
            self.net.n_pretrain_epochs_ = task.epochs_anew
            self.Q = self.train(pretrain_epochs=task.epochs_anew, max_iter=0, target=task.method.target(None))

    def go_on(self, taught: Taught) -> np.ndarray:
        """Do a few iterations, and return Q after them.

        Parameters
        ----------
        taught : Taught
            What teachers say that were fitted on the same labels.
        """
        settings, guide = self.task.settings, taught if self.task.guidance.teachers else None
        with seeded(self.seed, self.task.device):
            return self.train(
                pretrain_epochs=0,
                max_iter=min(TRIAL_ITER, settings.max_iter),
                max_rows=min(MAX_TRIAL_ROWS, settings.max_rows or MAX_TRIAL_ROWS),
                target=target_of(self.task, guide, self.seed),
            )

    def train(self, **settings: Any) -> np.ndarray:
        """Run Algorithm 1, and return Q.

        Parameters
        ----------
        **settings : Any
            Settings that differ from those of the task.
        """
        y = torch.from_numpy(self.task.labels.codes).to(self.task.device)
        with self.net.threads():
            algorithm = SSLDEC(
                self.net,
                self.samples,
                y,
                self.task.n_classes,
                replace(self.task.settings, **settings),
                generator=self.generator,
            )
            return algorithm.run().Q.cpu().numpy()


def find_excess(task: Task, seed: int) -> np.ndarray:
    """Return the `excess` of each class, by two networks that are pre-trained on half of the labels each.

    Parameters
    ----------
    task : Task
        What it is for.
    seed : int
        Seed of the networks and of the halves.
    """
    samples: Any = task.samples
    codes = task.labels.codes
    # As many batches, of half as many labels.
    task = replace(task, epochs_anew=2 * task.epochs_anew)
    folds, found, unlabeled = label_folds(codes, seed, n_folds=2), [], []
    for fold in folds:
        seen = codes.copy()
        seen[fold] = -1
        Q = PretrainedNet(task, seed, samples.X, seen).Q.astype(float)
        found.append(Q[fold])
        unlabeled.append(Q[codes < 0].mean(axis=0))
    return excess(np.concatenate(found), codes[np.concatenate(folds)], np.mean(unlabeled, axis=0))


def target_of(task: Task, taught: Taught | None, seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a new function from Q to P.

    Parameters
    ----------
    task : Task
        What it is for.
    taught : Taught or None
        What the teachers say.
    seed : int
        Seed of networks that are trained to find the shares of the classes.
    """
    if taught is None and not task.guidance.estimate_shares:
        return task.method.target(task.prior)
    codes = task.labels.codes
    counts = np.bincount(codes[codes >= 0], minlength=task.n_classes).astype(float)
    if task.samples.drawn:
        target = task.method.target(task.prior)
        if isinstance(target, RunningTarget) and task.settings.max_iter > 0:
            target.estimate = partial(
                drawn_prior, counts=counts, find_excess=partial(find_excess, task, seed)
            )
        return target
    given: tuple = (None,)
    if taught is not None:
        given = torch.from_numpy(taught.probabilities).to(task.device), float(taught.weights[0])
    return GuidedTarget(
        task.method.target, task.prior, counts if task.guidance.estimate_shares else None, *given
    )


def train_network(
    task: Task,
    seed: int,
    path: Path | None = None,
    taught: Taught | None = None,
    start: Start | None = None,
) -> Member:
    """Train a network by Algorithm 1.

    Parameters
    ----------
    task : Task
        What to train.
    seed : int
        Seed of its weights, batches and augmentation.
    path : Path, default=None
        File of its checkpoint.
    taught : Taught, default=None
        What the teachers say.
    start : Start, default=None
        The weights that it starts from.
    """
    generator = torch.Generator().manual_seed(seed)
    settings = replace(task.settings, target=target_of(task, taught, seed))
    with seeded(seed, task.device):
        net, samples = make_net(task, generator, start)
        y = None if task.samples.drawn else torch.from_numpy(task.labels.codes).to(task.device)
        net.n_pretrain_epochs_ = settings.pretrain_epochs
        if isinstance(net, VoxelNet):
            net.candidates_ = task.candidates
        net.notify("on_train_begin", X=samples, y=y)
        if task.data_parallel:
            net.strategy_ = Processes(net.module_, seed)
        checkpoint = None if path is None else Checkpoint(path, net, generator, settings.target)

        def report(outcome: Outcome) -> None:
            if checkpoint is not None:
                checkpoint.save(outcome)
            tell(net, expected_rows(task, len(samples)), outcome, settings)

        earlier = None if checkpoint is None else checkpoint.restore()
        algorithm = (
            SSLDEC(
                net,
                samples,
                y,
                task.n_classes,
                settings,
                candidates=task.candidates,
                generator=generator,
                report=report,
                outcome=earlier,
            )
            if y is not None
            else make_drawn(task, net, samples, settings, report=report, outcome=earlier)
        )
        # Of several processes, one alone must not stop: the others would wait for it.
        patience = nullcontext() if task.data_parallel else on_interrupt(net.interrupt)
        if task.verbose:
            net.progress_bar_ = Progress("SSLDEC", expected_work(net, len(samples), task, settings))
        try:
            with net.threads(), patience:
                outcome = algorithm.run()
        finally:
            net.progress_bar_.close()
        net.strategy_, net.progress_bar_ = Alone(), Silent()
        if isinstance(net, VoxelNet):
            net.candidates_ = None
        net.keep_average()  # before callbacks save the weights
        net.notify("on_train_end", X=samples, y=y)
    # skorch keeps the module that it was given: a second reference to the network's weights, with which a
    # pickle made on a GPU could not be loaded on a CPU.
    net.module = EmbeddingNetwork
    if isinstance(settings.target, RunningTarget):
        settings.target.estimate = None  # all samples hang on it
    outcome.Q, outcome.supervised = outcome.Q.cpu(), outcome.supervised.cpu()
    return Member(net, outcome)


def make_net(task: Task, generator: torch.Generator, start: Start | None = None) -> tuple[SSLDECNet, Any]:
    """Return an untrained net, and the samples as it takes them.

    Parameters
    ----------
    task : Task
        What it is for.
    generator : torch.Generator
        CPU generator of its batches.
    start : Start, default=None
        The weights that it starts from.
    """
    samples, example = task.samples.place(task.device)
    params = dict(task.net_params)
    with one_thread():  # the first forward passes are made here
        network = build_network(
            task.module,
            dict(task.module_params),
            example,
            task.n_classes,
            task.method.head,
            voxelwise=task.samples.voxelwise,
        )
        if start is not None:
            start.load_into(network)
        params |= task.samples.net_params(network, samples, example)
        n_operations = estimate_operations(network, example)
    net = task.method.net(
        network,
        n_operations=n_operations,
        lr=task.settings.pretrain_lr[0],
        callbacks=copied(params.pop("callbacks")),
        device=task.device,
        verbose=0,
        generator=generator,
        **params,
    )
    return net.initialize(), samples


def make_drawn(
    task: Task,
    net: Any,
    samples: Any,
    settings: Settings,
    *,
    report: Callable[[Outcome], None],
    outcome: Outcome | None,
) -> DrawnSSLDEC:
    """Return the algorithm whose targets are computed where they are used.

    Parameters
    ----------
    task : Task
        What it is for.
    net : DrawnNet or DrawnRowNet
        The net.
    samples : Volumes or Tensor of shape (n_samples, ...)
        The voxels, or the rows.
    settings : Settings
        The numbers of Algorithm 1.
    report : callable
        Called with the outcome so far, after pre-training and each iteration.
    outcome : Outcome or None
        What `report` was called with, to go on from there.
    """
    labels: Any = task.labels
    source: LabeledRows | LabeledVolumes
    predict_all: Callable[[], torch.Tensor] | None
    if isinstance(task.samples, Rows):
        codes = torch.from_numpy(labels.codes).to(task.device, torch.int64)
        source = LabeledRows(
            samples,
            codes,
            task.n_classes,
            settings.label_smoothing,
            settings.max_rows,
            settings.class_weight,
            None if task.samples.advice is None else torch.from_numpy(task.samples.advice).to(task.device),
        )
        predict_all = partial(net.predicted_assignment, samples)
    else:
        seed = net.generator.initial_seed()
        source = LabeledVolumes.reduced(
            samples,
            labels.maps,
            labels.ignored,
            net.reduction,
            seed=seed,
            candidates=task.candidates,
            scribbles=net.scribbles,
            spacing=task.samples.spacing,
        )
        predict_all = partial(net.predict_codes, samples) if task.transduction else None
    return DrawnSSLDEC(
        net, source, task.n_classes, settings, predict_all=predict_all, report=report, outcome=outcome
    )


def expected_work(net: SSLDECNet, n_samples: int, task: Task, settings: Settings) -> float:
    """Estimate the work of pre-training and of the prediction after it.

    Parameters
    ----------
    net : SSLDECNet
        The net.
    n_samples : int
        Number of samples.
    task : Task
        What it is trained for.
    settings : Settings
        The numbers of Algorithm 1.
    """
    of_epoch = net.epoch_size(len(task.labels.known))
    n_predicted = 0 if task.samples.drawn and not task.transduction else n_samples
    n_predicted *= 1 + N_VIEWS * net.predict_views
    return TRAINING_COST * settings.pretrain_epochs * of_epoch + n_predicted


def expected_rows(task: Task, n_samples: int) -> int:
    """Return how many samples an iteration trains on, and where not drawn predicts, for the progress bar.

    Parameters
    ----------
    task : Task
        What a net is trained for.
    n_samples : int
        Number of samples.
    """
    if not task.samples.drawn:
        return n_samples
    if task.samples.voxelwise:
        return 0  # a net of patches knows by itself
    return 2 * min(n_samples, task.settings.max_rows or n_samples)  # labeled ones join


def tell(net: SSLDECNet, n_samples: int, outcome: Outcome, settings: Settings) -> None:
    """Report an iteration, or the end of pre-training, to the progress bar.

    Parameters
    ----------
    net : SSLDECNet
        The net.
    n_samples : int
        Number of samples.
    outcome : Outcome
        How far training has come.
    settings : Settings
        The numbers of Algorithm 1.
    """
    n_left = settings.max_iter - outcome.n_iter
    if outcome.n_iter == 0:
        predicted = n_samples * (1 + settings.target_views)
        net.progress_bar_.start_cycle(n_left * (TRAINING_COST * net.epoch_size(n_samples) + predicted))
    else:
        net.progress_bar_.end_iteration(outcome.history[-1], outcome.n_iter, n_left)

"""One text for each parameter and attribute that several estimators share."""

from __future__ import annotations

import re
from typing import TypeVar

T = TypeVar("T", bound=type)

TEXTS = {
    "module_rows": """
module : "auto", Module class or Module instance, default="auto"
    The network that maps a batch of samples to embeddings of shape (n_samples, embedding_size).
    "auto" is :class:`~sklearn_ssldec.networks.MLP` for rows of features: with 2 layers of 128 units
    and dropout 0.3 for tables, and with its own defaults for rows of up to 3 features. It is
    :class:`~sklearn_ssldec.networks.ConvNet` for images: on a CUDA GPU the paper's, elsewhere with
    1/8 of its filters, 2 convolutions a block and no dropout (1/4 and 0.1 for images with fewer than
    16 pixels a side). A class is called with ``module__*``, and with ``input_shape`` and ``n_classes``
    if it takes them. An instance is copied, and training starts from its weights.
""",
    "module_voxels": r"""
module : "auto", Module class or Module instance, default="auto"
    The fully convolutional network that maps patches of shape (n, n_channels, \*spatial) to
    embeddings of shape (n, embedding_size, \*spatial), possibly smaller by the same number of
    voxels on both sides of an axis. "auto" is :class:`~sklearn_ssldec.networks.LightUNet2D` in the
    shape of `plan_`; for volumes :class:`~sklearn_ssldec.networks.UNet3D`, on a CPU with a quarter
    of the filters, or :class:`~sklearn_ssldec.networks.LightUNet3D` in the shape of `plan_` if
    targets are drawn or if voxels are at least twice as long as wide (``net__spacing``).
    The paper's is :class:`~sklearn_ssldec.networks.DenseNet3D`. A class is called with
    ``module__*``, and with ``input_shape`` and ``n_classes`` if it takes them. An instance is
    copied, and training starts from its weights.
""",
    "n_estimators": """
n_estimators : int, default=1
    Number of networks, trained from different seeds, whose probabilities are averaged. The paper
    has 5 for images.
""",
    "pretrain_epochs_rows": """
pretrain_epochs : int or "auto", default="auto"
    Epochs of supervised pre-training on the labeled samples. "auto" is the paper's 100, but for
    images enough for 1000 batches (2000 where targets are those of all images, of at least 16
    pixels a side), and for tables between 150 and 3000 batches, if 10 epochs are no more.
""",
    "pretrain_epochs_voxels": """
pretrain_epochs : int or "auto", default="auto"
    Epochs of supervised pre-training on patches around labeled voxels. "auto" is 40, or where
    targets are drawn 30, whose epochs are longer. The paper has 100, of all patches.
""",
    "max_iter_rows": """
max_iter : int or "auto", default="auto"
    The largest number of iterations; 0 trains the supervised model only, the paper's lower bound.
    "auto" is 20 for tables and where the targets of rows are drawn, 200 for rows of up to 3
    features, and 54 for images (10 for images with fewer than 16 pixels a side), which grows with
    the root of their number above 10,000. Where targets are those of all images
    (``cycle__targets="all"``, and the paper's baselines) it is 12, or more if needed for 1500 batches.
    The paper does not give its number.
""",
    "max_iter_voxels": """
max_iter : int or "auto", default="auto"
    The largest number of iterations; 0 trains the supervised model only, the paper's lower bound.
    "auto" is 6, or where targets are drawn 40.
""",
    "tol": """
tol : float, default=1e-3
    An iteration is calm if the predicted class changes for at most this share of the samples.
    Training ends after ``cycle__n_iter_no_change`` calm iterations in a row. The paper leaves the
    end condition open.
""",
    "labeled_threshold_rows": """
labeled_threshold : float, default=1.0
    Accuracy on the labeled samples to which each iteration trains them, in at most
    ``cycle__max_labeled_epochs`` epochs (none for tables and images). The paper has 1. Lower it if
    some labels may be wrong. If it is missed in three iterations in a row, it falls to the accuracy
    that was reached.
""",
    "balance_rows": """
balance : float in [0, 1], None or "auto", default="auto"
    An iteration trains on a subset with the same number of samples of each predicted class: the
    size of the smallest class, but at least this share of ``n_samples / n_classes``. The samples of
    smaller classes are repeated. The paper has 0, so a class that is predicted once shrinks the
    subset to one sample a class. None trains on all samples. "auto" is None for tables and where
    targets are drawn, and otherwise 0.1.
""",
    "balance_voxels": """
balance : float in [0, 1] or "auto", default="auto"
    Share of the patches that are centred on a voxel of a class drawn uniformly, by its label or, in
    the iterations, by its target; the other centres are drawn from all voxels. All voxels of a
    patch are trained on. This replaces the paper's balanced subset. "auto" is 0.5; where
    targets are drawn 0.25, and of the labeled patches only.
""",
    "augment_rows": """
augment : "auto", callable or None, default="auto"
    Augmentation of training batches, a function from a tensor to one of the same shape. "auto" adds
    Gaussian noise to rows of features. Its standard deviation falls over `max_iter` from 0.35 to
    0.15 of each feature's (for up to 3 features: of the root of their mean variance). It rotates
    images by up to 15 degrees, scales and shears them by up to 0.15, and shifts them by up to 0.12
    of their side. Where targets are drawn, this is the weak view of images, and the strong one adds
    ``RandomShades()`` and ``Cutout(0.3)``. The paper has ``RandomTranslation(1)``. None turns
    it off. See :mod:`sklearn_ssldec.augment`.
""",
    "augment_voxels": """
augment : "auto", callable or None, default="auto"
    Augmentation of each batch of patches. "auto" rotates by up to 15 degrees, scales by up to 0.15,
    shears by up to 0.1, changes contrast and brightness by up to 0.2, and adds noise of 0.1. Where
    targets are drawn it does all of this more strongly, blurs, and bends intensities; targets come
    from patches that only what moves voxels has changed. None turns it off. See
    :mod:`sklearn_ssldec.augment`.
""",
    "optimizer": """
optimizer : Optimizer class, default=torch.optim.Adam
    As in the paper. Kernels of dense and convolutional layers have a ``weight_decay`` of 2e-4, the
    paper's L2 regularisation (for tables: 1e-2); ``optimizer__weight_decay`` changes it. All other
    weights have none.
""",
    "pretrain_lr_rows": """
pretrain_lr : float, tuple of two floats or "auto", default="auto"
    Learning rate of pre-training: constant, or from the first value to the second, linearly. "auto"
    is (1e-2, 1e-3), for images (3e-3, 3e-4). The paper's (1e-3, 1e-4) takes more steps.
""",
    "pretrain_lr_voxels": """
pretrain_lr : float, tuple of two floats or "auto", default="auto"
    Learning rate of pre-training: constant, or from the first value to the second, linearly. "auto"
    is (3e-3, 3e-4), or where targets are drawn (2e-3, 2e-4). The paper has (1e-3, 1e-4).
""",
    "lr_rows": """
lr : float, tuple of two floats or "auto", default="auto"
    Learning rate of the iterations; a tuple falls linearly over `max_iter`. "auto" is (1e-2, 1e-3),
    for images (5e-3, 1e-4), or where targets are those of all images (1e-3, 1e-4). The paper has
    1e-4.
""",
    "lr_voxels": """
lr : float, tuple of two floats or "auto", default="auto"
    Learning rate of the iterations; a tuple falls linearly over `max_iter`. "auto" is (2e-3, 2e-4),
    or where targets are drawn (1e-3, 1e-5). The paper has 1e-4.
""",
    "batch_size_rows": """
batch_size : int or "auto", default="auto"
    Samples a batch. "auto" is the paper's 128, for images 32. Where targets are drawn, a quarter as
    many labeled samples join.
""",
    "batch_size_voxels": """
batch_size : int or "auto", default="auto"
    Patches a batch; where targets are drawn, unlabeled ones, which as many labeled ones join.
    "auto" is what `plan_` says: on a CPU 4 images or 2 volumes.
""",
    "min_batches_rows": """
min_batches : int or "auto", default="auto"
    Least number of batches an iteration; if the subset gives fewer, more subsets are drawn. "auto"
    is 100 for drawn images, 10 for tables, 50 for drawn rows, and otherwise 8. The
    paper has 1: a single epoch on a single subset.
""",
    "min_batches_voxels": """
min_batches : int, default=64
    Least number of batches an iteration.
""",
    "patch_size": """
patch_size : int, tuple of int or "auto", default="auto"
    Sides of the training patches. "auto" is what `plan_` says, or 27 with the paper's network.
""",
    "patches_per_epoch": """
patches_per_epoch : int or "auto", default="auto"
    Patches drawn in an epoch. "auto" is 64, or where targets are drawn what makes 100 batches.
""",
    "input_shape": """
input_shape : tuple of int or None, default=None
    Shape of one image, (n_channels, height, width) or (height, width), if X holds images as flat
    rows, as it does behind scikit-learn's scalers.
""",
    "unlabeled_label_rows": """
unlabeled_label : int, str or None, default=-1
    Value in `y` that marks an unlabeled sample. None: all samples are labeled.
""",
    "unlabeled_label_voxels": """
unlabeled_label : int, default=-1
    Label that marks unlabeled voxels.
""",
    "ignore_label": """
ignore_label : int or None, default=None
    Label of voxels to leave out of training, of the mean and standard deviation of
    ``net__scaling``, and of scores. The network still sees their intensities from the voxels around
    them, clipped to the range of the voxels that take part. Where intensities mean nothing, as
    outside the field of view, set them to NaN in X, in `fit` and in `predict`.
""",
    "device": """
device : str or torch.device, default="auto"
    Where the networks are trained. "auto" is CUDA if available, else MPS, else the CPU.
""",
    "checkpoint_dir": """
checkpoint_dir : str, path-like or None, default=None
    Folder for checkpoints, one folder for each fit. After a crash, the same call resumes at the
    last iteration and ends with the same result.
""",
    "callbacks": """
callbacks : list of skorch callbacks, "disable" or None, default=None
    Copies of these are passed to skorch. Those that have no meaning here, such as EarlyStopping and
    LRScheduler, are refused.
""",
    "n_jobs": """
n_jobs : int, default=None
    Networks trained at the same time, through joblib.
""",
    "random_state": """
random_state : int, RandomState instance or None, default=None
    Seed of weights, batches and augmentation. The global generators of torch and numpy do not
    change.
""",
    "verbose": """
verbose : int, default=0
    1 shows a progress bar, or prints a line an iteration if the output is not a terminal.
""",
    "class_prior_rows": """
class_prior : "auto", "labeled", dict, array-like of shape (n_classes,) or None, default="auto"
    Known share of each class, as a dict or a Series by class, or in the order of `classes_`; "labeled"
    takes the shares of the labels. None is the paper's eq. 2, which pulls all classes towards the same size.
    "auto" estimates the shares for tables and images, once after pre-training, from the labels and by
    EM from the predictions [2]_; if all classes have about the same number of labels, these were drawn
    class by class, and only the predictions count. Where targets are drawn, as for images, shares are
    taken as equal unless one class has more than 40 % of the samples by the estimate, and of two classes
    70 %. If only the predictions say so, two networks with half of the labels each must confirm it on the
    other half; samples in doubt then take no part, and of two classes none is pulled.
    For rows of up to 3 features, and with targets of all images, "auto" is None.
""",
    "teachers": """
teachers : "auto", classifier, list of classifiers or None, default="auto"
    Classifiers that are fitted on the labels, and whose probabilities are averaged with Q before targets
    are computed. The weights of the network and of the teachers, `target_weights_`, follow from the
    probabilities that each gives to left-out labels (4 folds). Predictions are the network's alone.
    Semi-supervised teachers of scikit-learn see the unlabeled rows too. "auto" is, for tables, a random
    forest and, for 7 to 10,000 rows, ``LabelSpreading`` with 7 neighbors, which counts only if the
    left-out labels speak for it. For rows of up to 3 features it asks ``LabelPropagation`` if training
    ends in doubt of more than 5 % of the unlabeled rows: it trains again with it, and keeps what is
    in less doubt. Otherwise "auto" is None, the paper's.
""",
    "warm_start": """
warm_start : bool, default=False
    If True, `fit` goes on from the networks of the last fit, or of a loaded file, with the labels and
    samples that it is given; centroids of new classes are added. "auto" then stands for a quarter of
    the epochs of `pretrain_epochs` and of `max_iter`.
""",
    "free_parts": """
**kwargs
    Parameters of parts. Those of the module, the optimizer and the callbacks are passed on as in
    skorch: ``module__*``, ``optimizer__*``, ``callbacks__*``. The others are:
""",
    "head__spread": """
- ``head__spread`` (float or None): scale of the initial centroids, which are unit vectors times
  this value. Needs at least as many embedding features as classes. None is Glorot's initialisation,
  the authors', with which the centroids of two classes may start close together and stay so.
  Default: None for rows of up to 3 features, 2 otherwise.
""",
    "head__spread_softmax": """
- ``head__spread`` (float or None): scale of the initial weights of the softmax layer, which are
  unit vectors times this value. None is torch's random initialisation, with which two classes may
  start close together and stay so. Default: 2.
""",
    "cycle__n_iter_no_change": """
- ``cycle__n_iter_no_change`` (int): calm iterations in a row after which training ends; see `tol`.
  Default: 10, for volumes 3.
""",
    "cycle__labeled_threshold": """
- ``cycle__labeled_threshold`` (float in [0, 1]): accuracy on the labeled voxels, averaged over
  classes, to which each iteration trains them. The paper has 1, which voxels on the border between
  two tissues do not reach. Default: 0.8.
""",
    "cycle__max_labeled_epochs": """
- ``cycle__max_labeled_epochs`` (int): epochs an iteration after which training towards
  `labeled_threshold` stops. Default: 100, for volumes 1, for tables and where the targets of
  images are drawn 0.
""",
    "cycle__labeled_weight": """
- ``cycle__labeled_weight`` (float): weight in the loss of labeled samples that join each batch of
  an iteration with their labels; targets have weight 1. The paper has 0: labeled samples take part
  with their computed targets only. Default: 1, for tables 3, of segmenters whose targets are drawn
  2, or with scribbles 1; for images with ``cycle__targets="all"`` 0.
""",
    "cycle__targets": """
- ``cycle__targets`` ("auto", "drawn" or "all"): when targets are computed. "all", the paper's: those of
  all voxels before each iteration. "drawn": those of the unlabeled patches of a batch when it is
  drawn, by the averaged network, so an iteration takes the same time and memory for any number of
  volumes, which may stay on disk; the patches are mixed with labeled ones, and the loss has a Dice
  term. Default: "auto", which is "drawn" for images (two dimensions), for volumes whose resolution is
  reduced (``net__reduction``) and with `module` "auto" for volumes of more than a million voxels, and
  "all" otherwise and with ``net__data_parallel`` or ``cycle__target_views``.
""",
    "cycle__targets_rows": """
- ``cycle__targets`` ("auto", "drawn" or "all"): when targets are computed. "all", the paper's: those of
  all samples before each iteration. "drawn": those of the unlabeled samples of a batch when it is
  drawn, by the averaged network, from weak views (``cycle__target_views``); they are learned from
  strong ones (:class:`~sklearn_ssldec.augment.WeakStrong`). An iteration then takes about 100
  batches at most, for any number of samples; there is no balanced subset, and there are no teachers.
  Default: "auto", which is "drawn" for images, and "all" for rows of features and with `balance`,
  `teachers`, ``cycle__fallback`` or ``net__data_parallel``.
""",
    "cycle__label_smoothing": """
- ``cycle__label_smoothing`` (float in [0, 1)): share of each label's target that is spread evenly
  over all classes. The paper has 0. Default: 0, for tables 0.1.
""",
    "cycle__class_weight": """
- ``cycle__class_weight`` (dict, "balanced" or None): weight in the loss of the labeled samples of
  each class, in pre-training and where they join batches with their labels. "balanced" weighs the
  classes alike, whatever the number of their labels; classes that are not in a dict have weight 1.
  It does not change the targets of unlabeled samples: see `class_prior`. Default: None.
""",
    "cycle__max_rows": """
- ``cycle__max_rows`` (int or None): largest number of samples that an iteration trains on, drawn at
  random each time, so that its time does not grow with the samples. The paper has no limit, None.
  Default: None, for tables 12,800, where targets are drawn 100 batches.
""",
    "cycle__fallback": """
- ``cycle__fallback`` (bool): whether the supervised start is kept, without iterations, if a short
  trial of these makes labels that it is not shown less probable. The trial takes four short fits, and
  needs 40 labels or more, those that are the only one of their class aside. False always iterates,
  as in the paper. Default: False, for tables True.
""",
    "cycle__target_views": """
- ``cycle__target_views`` (int): number of random augmentations of each sample whose predictions are
  averaged with Q before targets are computed. The paper has 0. Default: 4 for images, 0 otherwise.
""",
    "cycle__target_views_rows": """
- ``cycle__target_views`` (int): number of random augmentations of each sample whose predictions are
  averaged with Q before targets are computed. The paper has 0. Where targets are drawn, the views
  alone are averaged, and with 0 the sample itself is predicted. Default: 1 where targets are drawn,
  4 for images with ``cycle__targets="all"``, 0 otherwise.
""",
    "cycle__target_views_0": """
- ``cycle__target_views`` (int): number of random augmentations of each sample whose predictions are
  averaged before targets are computed. Default: 0, as in the original.
""",
    "cycle__mix": """
- ``cycle__mix`` (BoxMix or None): how labeled and unlabeled patches are mixed where targets are
  drawn. Default: :class:`~sklearn_ssldec.augment.BoxMix` for images, None for volumes.
""",
    "cycle__dice_weight": """
- ``cycle__dice_weight`` (float): weight of the Dice loss between P and Q beside eq. 3, where
  targets are drawn. Default: 1, or 0 if labels are scribbles.
""",
    "cycle__min_confidence": """
- ``cycle__min_confidence`` (float in [0, 1)): unlabeled voxels whose largest probability is smaller
  take no part in the loss, where targets are drawn. Default: 0.
""",
    "cycle__largest_component": """
- ``cycle__largest_component`` ("auto" or bool): whether drawn targets keep of each class only its
  largest connected component in a patch; the target of its other voxels is label 0. True: of all
  classes but 0, False: of none. Default: "auto", of those that are in one piece in 95 % of the
  label maps that have them, of which there must be 10 images or 2 volumes; `plan_` says which.
""",
    "cycle__scribbles": """
- ``cycle__scribbles`` ("auto" or bool): whether labels are scribbles, where targets are drawn. Those of
  labeled patches are then completed with the random walker (Grady 2006), and anew every ten epochs of
  the iterations, with what the averaged network expects; those of unlabeled patches
  stand among the targets, and the target of a predicted piece of a structure in which no scribble
  lies is label 0. Default: "auto", whether the labels of no label map are complete, and neighboring
  voxels that are labeled have the same label; `plan_` says it.
""",
    "cycle__min_confidence_fixmatch": """
- ``cycle__min_confidence`` (float in [0, 1)): unlabeled samples whose largest probability is smaller
  take no part in the loss. Default: 0.95.
""",
    "cycle__min_confidence_uda": """
- ``cycle__min_confidence`` (float in [0, 1)): unlabeled samples whose largest probability is smaller
  take no part in the loss. Default: 0.8.
""",
    "cycle__labeled_weight_drawn": """
- ``cycle__labeled_weight`` (float): weight in the loss of the labeled samples of a batch; the
  unlabeled ones have weight 1. Default: 1.
""",
    "cycle__target_views_drawn": """
- ``cycle__target_views`` (int): number of weak views of an unlabeled sample whose predictions are
  averaged for its target; with 0 the sample itself is predicted. Default: 1.
""",
    "net__ema_decay_drawn": """
- ``net__ema_decay`` (float in [0, 1)): decay a step of the moving average of the weights, which
  predicts, also for the targets. 0 predicts with the weights themselves. Default: 0.99.
""",
    "cycle__min_confidence_rows": """
- ``cycle__min_confidence`` (float in [0, 1)): unlabeled samples whose largest probability is smaller
  take no part in the loss, where targets are drawn. Default: 0.
""",
    "cycle__neighbors": """
- ``cycle__neighbors`` (bool or "auto"): whether what the nearest neighbors of an unlabeled sample
  say of its class joins its target, where targets are drawn; less and less so from iteration to
  iteration. It helps where samples of a class look alike feature by feature, as centered digits do.
  Left-out labels decide how much neighbors say; if they tell less than three quarters of what these
  labels leave open, they are not asked. Not in the paper. Its time grows with the square of the
  number of samples. Default: "auto", True for up to 100,000 images, and False for rows of features.
""",
    "cycle__transduction": """
- ``cycle__transduction`` (bool): whether `fit` predicts the training volumes, for `transduction_`.
  Without, its time and memory do not grow with the number of volumes where targets are drawn.
  Default: True.
""",
    "cycle__frequency_rows": """
- ``cycle__frequency`` ("soft", "hard" or "bounded"): how the frequencies :math:`f_j` of eq. 2 are
  counted. "soft", the paper's, sums the soft assignments; "hard" counts predicted labels; "bounded" is
  the soft one, but at most twice the hard one. A rare class of which the network is unsure has a little
  of the probability of many rows, and soft frequencies would take it for common, and let it die
  out. Needs targets of all samples. Default: "bounded" for tables, otherwise and where targets are
  drawn "soft".
""",
    "cycle__frequency": """
- ``cycle__frequency`` ("hard", "soft" or "bounded"): how the frequencies :math:`f_j` of eq. 2 are
  counted. "soft", the paper's, sums the soft assignments; "hard" counts predicted labels; "bounded" is
  the soft one, but at most twice the hard one. Soft frequencies of small structures are several times
  too high while the network is unsure, so targets would shrink them. Default: "hard".
""",
    "net__ema_decay": """
- ``net__ema_decay`` (float in [0, 1)): decay a step of the moving average of the weights, which
  predicts. 0, the paper's, predicts with the weights themselves. Default: 0 for rows of features
  unless targets are drawn, 0.99 otherwise.
""",
    "net__precision": """
- ``net__precision`` ("float32" or "bf16"): number format of convolutions and matrix products.
  "bf16" is faster on recent GPUs, and on CPUs with AVX-512 for it; weights, clustering layer and
  loss stay float32. Default: "float32".
""",
    "net__cuda_graphs": """
- ``net__cuda_graphs`` (bool): a CUDA GPU records the training step of rows or images once an
  epoch, and plays it back for the other batches. Network and augmentation must not wait for the
  GPU, as ``.item()`` does. Not with callbacks. Default: False.
""",
    "net__data_parallel": """
- ``net__data_parallel`` (bool): the processes of torch.distributed, started by torchrun, train each
  network together. Default: False.
""",
    "net__tile_size": """
- ``net__tile_size`` (int or "auto"): largest side of the tiles in which a volume is predicted. It
  bounds the memory that prediction takes. Default: "auto", what fits into 2 GiB, or into a quarter
  of a GPU's free memory.
""",
    "net__scaling": """
- ``net__scaling`` ("volume" or None): "volume" scales each channel of each volume to mean 0 and
  standard deviation 1, computed over the voxels that take part; None uses intensities as they are.
  Default: "volume".
""",
    "net__spacing": """
- ``net__spacing`` (sequence of float or None): voxel size along each spatial axis, in any unit, the
  same for all volumes; :func:`~sklearn_ssldec.scans.load_spacing` reads it, and
  :func:`~sklearn_ssldec.scans.resample_volume` makes volumes alike. Patch and levels follow from it,
  and augmentation turns bodies and not grids. None: all sides are equal. Default: None.
""",
    "net__reduction": """
- ``net__reduction`` ("auto", int or sequence of int): sides of the blocks of voxels that are one voxel
  for the network, where targets are drawn. Patches are in these blocks; what is predicted for them is
  brought back to the voxels by linear interpolation. Default: "auto", as large as needed for a patch
  to hold a quarter of the median volume or image, while the label maps, or slices of them that are
  labeled everywhere, keep a Dice score of 0.95; 1, which reduces nothing, where `patch_size` or
  `module` is set.
""",
    "net__predict_scales": """
- ``net__predict_scales`` ("auto" or sequence of float): sizes at which each volume is predicted, as
  multiples of its own; the probabilities are averaged. Axes across which a patch is a few slices are
  left as they are. Prediction takes longer accordingly, and ``[1]``, the paper's, predicts the volume
  as it is. May be set after `fit`. Default: "auto", 0.87, 1, 1.15 and 1.3 for images whose targets are
  drawn, 1 for volumes; `plan_` says which.
""",
    "net__predict_views": """
- ``net__predict_views`` (bool): whether an image is predicted by four views besides: moved by a
  twentieth of its sides towards each corner, and turned by 6 degrees. Half of the weight is the
  image's own. Prediction takes five times as long; training is the same. Not in the paper. May be set
  after `fit`. Default: True where targets of images are drawn and `augment` is "auto", which moves
  and turns them too.
""",
    "net__largest_component": """
- ``net__largest_component`` ("auto" or bool): whether predictions keep of each class only its largest
  connected component in a volume or image; other voxels are none of these classes. True: of all
  classes but 0, False, the paper's: of none. May be set after `fit`. Default: "auto", of those of which
  drawn targets keep it, or which are in one piece where scribbles are completed;
  ``plan_["largest_component"]`` says which.
""",
    "net__reduction_rows": """
- ``net__reduction`` ("auto" or int): side of the blocks of pixels that are one pixel for the network; their
  mean is its value. Default: "auto", which leaves at least 48 pixels of the shorter side, and 1 for
  rows of features and where `module` is set.
""",
    # Attributes
    "classes_": """
classes_ : ndarray of shape (n_classes,)
    Class labels.
""",
    "transduction_rows": """
transduction_ : ndarray of shape (n_samples,)
    Label of each training sample: the given one, or else the predicted one.
label_distributions_ : ndarray of shape (n_samples, n_classes), float32
    Class probabilities of each training sample.
supervised_transduction_ : ndarray of shape (n_samples,)
    Class predicted for each training sample after pre-training, before the unlabeled samples took
    part. With several networks, the one that most of them predicted.
""",
    "transduction_voxels": """
transduction_ : list of ndarray of int
    Label map of each training volume: the given label of a voxel, or else the predicted one.
supervised_transduction_ : list of ndarray of int
    Labels predicted for each training volume after pre-training, before the unlabeled voxels took
    part. With several networks, those that most of them predicted.
""",
    "fitted": """
n_iter_ : int
    Iterations done, the largest number of any network; 1, the supervised training, if all samples
    are labeled.
termination_condition_ : {"tol", "max_iter", "supervised", "interrupted", "diverged"}
    Why training ended. "tol": the predictions stopped changing. "max_iter": any network reached it.
    "supervised": `max_iter` is 0, everything is labeled, or the iterations do not
    seem to help (`fallback_` of a classifier). "interrupted": by Ctrl-C or a
    callback. "diverged": the loss or the predictions became infinite or NaN; the networks are those
    of the iteration before, and a warning was given.
history_ : list of dict
    One record for pre-training (iteration 0) and one for each iteration of each network
    (``estimator``): loss, labeled accuracy, share of changed predictions and so on.
    ``pandas.DataFrame(history_)`` is a table.
nets_ : list of skorch.NeuralNet
    The trained networks; ``nets_[0].module_`` is the torch module.
estimators_ : list of estimators
    One fitted estimator for each network, for query by committee and the like. They share the
    networks with this estimator, and have no attributes about the training samples.
""",
    "centers": """
cluster_centers_ : ndarray of shape (n_classes, embedding_size), float32
    Centroids; with several networks of shape (n_estimators, n_classes, embedding_size).
alpha_ : float
    Degrees of freedom in eq. 1 that were used.
head_spread_ : float or None
    Scale of the initial centroids that was used.
""",
    "target_weights": """
target_weights_ : ndarray of shape (1 + n_teachers,)
    Weights of the network's Q and of each teacher's probabilities in the targets; they sum to 1. Only if
    teachers took part.
""",
    "fallback": """
fallback_ : bool
    Whether the supervised start was kept because iterations made left-out labels less probable. If that
    was tried, the first record of `history_` has ``left_out_gain``, the mean change of the probability
    of their class, and ``left_out_error``, its standard error.
    ``repr`` shows parameters only, as it does for every estimator of scikit-learn. From scikit-learn 1.9
    on, notebooks show `fallback_` below them, among the fitted attributes.
""",
    "inputs_rows": """
input_shape_ : tuple of int
    Shape of one sample; of an image (n_channels, height, width).
reduction_ : int
    Side of the blocks of pixels that are one pixel for the network; 1 for rows.
n_features_in_ : int
    Number of features of X, its second axis.
feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features, if X has names that are all strings.
""",
    "plan_": """
plan_ : dict
    What was chosen for these volumes: how they are scaled, when targets are computed, by what their
    resolution is reduced, patch and batch size, of which labels drawn targets keep the largest component,
    at which sizes volumes are predicted, and where `module` is "auto" the network, with its levels,
    strides and width.
""",
    "inputs_voxels": """
n_dims_, n_channels_ : int
    Numbers of spatial axes and of channels.
""",
}


def documented(estimator: T) -> T:
    """Put the shared texts into the docstring of an estimator, in place of each line ``{name}``.

    Parameters
    ----------
    estimator : class
        The estimator.

    Returns
    -------
    class
        The same class.

    Raises
    ------
    KeyError
        If there is no text of that name.
    """

    def text(match: re.Match[str]) -> str:
        lines = TEXTS[match["name"]].strip("\n").splitlines()
        return "\n".join(match["indent"] + line if line else "" for line in lines)

    if estimator.__doc__:
        place = re.compile(r"^(?P<indent> *)\{(?P<name>\w+)\}$", re.MULTILINE)
        estimator.__doc__ = place.sub(text, estimator.__doc__)
    return estimator

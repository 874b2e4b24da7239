"""Which slices to annotate next."""

import numpy as np
import pytest

from sklearn_ssldec.display import SuggestedSlicesDisplay
from sklearn_ssldec.query import SliceSuggestion, suggest_slices


class Probabilities:
    """A segmenter of volumes that are their own probabilities of class 1."""

    unlabeled_label = -1
    ignore_label = None

    def predict_proba(self, X):
        return [np.stack([1 - x, x]) for x in X]


def sure(*shape):
    """A scan of which the segmenter is sure, and of which half is of class 1."""
    scan = np.zeros(shape)
    scan[shape[0] // 2 :] = 1
    return scan


def where(suggestions):
    return [(each.scan, each.axis, each.slice) for each in suggestions]


def test_the_most_uncertain_slice_comes_first():
    scans = [sure(6, 6, 20), sure(6, 6, 20)]
    scans[1][2, 2, 13] = 0.5
    scans[0][2, 2:4, 4] = 0.5
    suggestions = suggest_slices(Probabilities(), scans, n=2)
    assert where(suggestions) == [(0, 2, 4), (1, 2, 13)]
    assert [each.score for each in suggestions] == pytest.approx([1, 0.5], rel=0.01)
    assert isinstance(suggestions[0], SliceSuggestion)


def test_structures_count_alike_whatever_their_size():
    class ThreeClasses(Probabilities):
        def predict_proba(self, X):
            return [np.stack([1 - x[0] - x[1], x[0], x[1]]) for x in X]

    scan = np.zeros((2, 10, 10, 20))  # probabilities of a large and of a small structure
    scan[0, :, :, :10] = 1
    scan[1, 0, 0, 12:16] = 1
    scan[0, 5, :2, 3] = 0.5  # two voxels at the border of the large one
    scan[1, 0, 0, 14] = 0.5  # one voxel of the small one
    assert where(suggest_slices(ThreeClasses(), [scan], n=1)) == [(0, 2, 14)]


def test_suggestions_are_spread_over_scans_and_along_the_axis():
    scans = [np.full((4, 4, 40), 0.5), np.full((4, 4, 40), 0.5)]
    suggestions = suggest_slices(Probabilities(), scans, n=6)
    assert [each.scan for each in suggestions[:2]] == [0, 1]
    assert sorted(each.scan for each in suggestions) == [0, 0, 0, 1, 1, 1]
    for scan in (0, 1):
        heights = sorted(each.slice for each in suggestions if each.scan == scan)
        assert np.diff(heights).min() >= 6
    scores = [each.score for each in suggestions]
    assert scores == sorted(scores, reverse=True)


def test_labeled_slices_are_not_suggested_and_neither_are_their_neighbours():
    scan = np.full((4, 4, 20), 0.5)
    labels = np.full(scan.shape, -1)
    labels[:, :, 10] = 0
    suggestions = suggest_slices(Probabilities(), [scan], [labels], n=19)
    heights = [each.slice for each in suggestions]
    assert len(set(heights)) == 19
    assert 10 not in heights
    assert abs(heights[0] - 10) > 5
    assert {9, 11} & set(heights[:6]) == set()
    assert len(suggest_slices(Probabilities(), [scan], [labels], n=50)) == 19


def test_labeled_voxels_are_not_uncertain():
    scan = sure(6, 6, 10)
    scan[:, :, 2] = 0.5
    scan[0, :, 7] = 0.5
    labels = np.full(scan.shape, -1)
    labels[1:, :, 2] = 0  # most of the slice is labeled
    labels[0, 0, 2] = 0
    assert where(suggest_slices(Probabilities(), [scan], [labels], n=1)) == [(0, 2, 7)]


def test_axes():
    scan = sure(6, 7, 8)
    scan[3] = 0.5
    assert where(suggest_slices(Probabilities(), [scan], n=1, axis=0)) == [(0, 0, 3)]
    assert where(suggest_slices(Probabilities(), [scan], n=1, axis=None)) == [(0, 0, 3)]
    assert suggest_slices(Probabilities(), [scan], n=1, axis=1)[0].axis == 1


def test_an_image_is_a_slice():
    images = [sure(6, 6), np.full((6, 6), 0.5), sure(6, 6)]
    images[2][0, 0] = 0.5
    assert where(suggest_slices(Probabilities(), images, n=2)) == [(1, 0, 0), (2, 0, 0)]


@pytest.mark.parametrize("channels", [False, True])
def test_without_a_segmenter_slices_of_different_kinds_are_suggested(channels):
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(3, 16, 16))
    scans = [np.stack([kinds[k] for k in (0, 0, 0, 0, 1, 1, 1, 2, 2)], axis=-1) for _ in range(2)]
    scans = [scan + 0.01 * rng.normal(size=scan.shape) for scan in scans]
    given = [np.stack([scan, scan]) for scan in scans] if channels else scans
    suggestions = suggest_slices(None, given, n=3, random_state=0)
    kind = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    assert [kind[each.slice] for each in suggestions] == [0, 1, 2]  # the largest cluster first
    labels = [np.full(scans[0].shape, -1), None]
    labels[0][:, :, 5] = 1
    suggestions = suggest_slices(None, given, labels, n=2, random_state=0)
    assert [kind[each.slice] for each in suggestions[:1]] == [0]
    assert 5 not in {each.slice for each in suggestions if each.scan == 0}


def test_all_channels_tell_slices_apart():
    rng = np.random.default_rng(0)
    kinds = rng.normal(size=(3, 16, 16))
    same = 0.01 * rng.normal(size=(16, 16, 9)) + kinds[0][:, :, None]
    kind = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2])
    other = np.moveaxis(kinds[kind], 0, -1)
    suggestions = suggest_slices(None, [np.stack([same, other])], n=3, random_state=0)
    assert [kind[each.slice] for each in suggestions] == [0, 1, 2]


def test_what_is_refused():
    scans = [sure(4, 4, 4)]
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        suggest_slices(None, scans, n=0)
    with pytest.raises(TypeError, match=r"n must be an integer, got 1\.5"):
        suggest_slices(None, scans, n=1.5)
    with pytest.raises(ValueError, match="axis must be None or from -3 to 2, got 3"):
        suggest_slices(Probabilities(), scans, axis=3)
    for segmenter in (None, Probabilities()):
        with pytest.raises(ValueError, match=r"labels\[0\] has the shape \(4, 4, 5\)"):
            suggest_slices(segmenter, scans, [np.zeros((4, 4, 5), dtype=int)])
    with pytest.raises(ValueError, match="1 volumes and 2 labels"):
        suggest_slices(None, scans, [None, None])


def test_display():
    scans = [np.stack([sure(6, 5, 8)] * 2) for _ in range(2)]  # two channels

    class Channels(Probabilities):
        def predict_proba(self, X):
            return super().predict_proba([x[0] for x in X])

    suggestions = suggest_slices(Channels(), scans, n=3)
    display = SuggestedSlicesDisplay.from_suggestions(suggestions, scans, Channels(), n_columns=2)
    assert display.ax_.shape == (2, 2)
    assert [len(ax.images) for ax in display.ax_.flat] == [2, 2, 2, 0]
    assert display.pictures[0].shape == (6, 5)
    bare = SuggestedSlicesDisplay.from_suggestions(suggestions[:1], scans, imshow_kwargs={"cmap": "bone"})
    assert [image.get_cmap().name for image in bare.ax_.images] == ["bone"]
    with pytest.raises(ValueError, match="no suggestions"):
        SuggestedSlicesDisplay.from_suggestions([], scans)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("segmenter", [None, Probabilities()])
def test_slices_outside_the_image_are_not_suggested(segmenter):
    rng = np.random.default_rng(0)
    scans = [rng.uniform(0.2, 0.8, (8, 8, 12)) for _ in range(2)]
    scans[0][:, :, :5] = np.nan
    scans[1][2, 2, 0] = np.nan
    if segmenter is not None:
        segmenter.predict_proba = lambda X: [np.nan_to_num(np.stack([1 - x, x])) for x in X]
    found = where(suggest_slices(segmenter, scans, n=24, random_state=0))
    assert len(found) == len(set(found)) > 10
    assert all(i >= 5 for scan, _, i in found if scan == 0)
    assert any(scan == 0 for scan, _, _ in found)


def test_a_scan_without_values_is_refused_as_in_fit():
    scans = [np.random.default_rng(0).random((8, 8, 12)), np.full((8, 8, 12), np.nan)]
    with pytest.raises(ValueError, match=r"X\[1\] has no voxel inside the image"):
        suggest_slices(None, scans, n=2)

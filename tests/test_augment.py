import math
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_ssldec import SSLDECClassifier
from sklearn_ssldec import augment as augmentations
from sklearn_ssldec.augment import (
    BoxMix,
    Compose,
    Cutout,
    GaussianNoise,
    RandAugment,
    RandomAffine,
    RandomBlur,
    RandomFlip,
    RandomGamma,
    RandomShades,
    RandomTranslation,
    WeakStrong,
)

IMAGES = [
    RandomTranslation(1),
    RandomFlip(),
    RandomAffine(15, 0.1, 0.1, 0.1, 0.1),
    RandomGamma(),
    RandomShades(),
    RandomBlur(share=0.9),
    Cutout(0.3),
    GaussianNoise(0.1),
    RandAugment(3, 1.0),
    WeakStrong(RandomTranslation(1), RandAugment()),
]


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("augment", [*IMAGES, Compose(*IMAGES)], ids=repr)
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (6, 3, 10, 12)])
def test_keeps_shape_dtype_and_input_and_is_seeded(augment, shape):
    batch = torch.rand(shape)
    before = batch.clone()
    torch.manual_seed(1)
    once = augment(batch)
    torch.manual_seed(1)
    again = augment(batch)
    assert once.shape == shape
    assert once.dtype == batch.dtype
    assert torch.equal(once, again)
    assert torch.equal(batch, before)
    assert not torch.equal(augment(batch.repeat(20, 1, 1, 1)), batch.repeat(20, 1, 1, 1))


def test_noise_has_the_scale_of_each_feature():
    noise = GaussianNoise(torch.tensor([0.1, 2.0]))(torch.zeros(20_000, 2))
    assert_allclose(noise.std(0), [0.1, 2.0], rtol=0.03)
    assert_allclose(noise.mean(0), [0, 0], atol=0.05)


def test_translation_moves_by_whole_pixels_and_repeats_the_border():
    image = torch.arange(25.0).reshape(1, 1, 5, 5)
    moved = RandomTranslation(1)(image.repeat(200, 1, 1, 1))
    padded = torch.nn.functional.pad(image, [1] * 4, mode="replicate")[0, 0]
    windows = {tuple(padded[i : i + 5, j : j + 5].flatten().tolist()) for i in range(3) for j in range(3)}
    assert {tuple(one.flatten().tolist()) for one in moved} == windows


@pytest.mark.parametrize(
    ("axes", "mirrored"), [((-1,), [[-1]]), ((0,), [[2]]), ((-2, -1), [[2], [3], [2, 3]]), ((), [])]
)
def test_flips_half_of_the_images_along_each_axis(axes, mirrored):
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    flipped = RandomFlip(axes)(image.repeat(400, 1, 1, 1))
    for one in (image, *(image.flip(each) for each in mirrored)):
        share = (flipped == one).flatten(1).all(1).float().mean()
        assert_allclose(share, 1 / (1 + len(mirrored)), atol=0.08)


def test_volumes_are_flipped_too():
    volume = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
    flipped = RandomFlip((0,))(volume.repeat(50, 1, 1, 1, 1))
    assert {one.flatten()[0].item() for one in flipped} == {0.0, 12.0}
    assert all(torch.equal(one, volume[0]) or torch.equal(one, volume[0].flip(1)) for one in flipped)


@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_cannot_be_flipped_is_refused(axis):
    with pytest.raises(ValueError, match=r"axes must be from -2 to 1 here, got"):
        RandomFlip((axis,))(torch.zeros(2, 3, 4, 4))


def test_affine_without_change_is_the_identity():
    batch = torch.rand(3, 2, 7, 9)
    assert_allclose(RandomAffine(0, 0, 0, 0)(batch), batch, atol=1e-5)


def test_affine_rotates_by_at_most_the_angle_and_keeps_the_centre():
    batch = torch.zeros(100, 1, 21, 21)
    batch[:, :, 10, :] = 1  # a horizontal line through the centre
    turned = RandomAffine(degrees=30, scale=0, shear=0, shift=0)(batch)
    assert (turned[:, 0, 10, 10] > 0.4).all()
    rows = torch.arange(21.0)
    height = (turned[:, 0, :, 17] * rows).sum(1) / turned[:, 0, :, 17].sum(1) - 10  # 7 pixels off the centre
    assert height.abs().max() <= 7 * torch.tan(torch.tensor(31.0).deg2rad())
    assert height.abs().max() > 2


@pytest.mark.parametrize(("size", "n"), [((2, 2), 8), ((2, 3), 4), ((2, 2, 2), 8)])
def test_all_orientations_are_equally_frequent(size, n):
    image = torch.arange(float(math.prod(size))).view(1, 1, *size)
    flip = RandomFlip(range(len(size)), turn=True)
    found, counts = flip(image.expand(1600, 1, *size)).unique(dim=0, return_counts=True)
    assert len(found) == n
    assert counts.min() > 0.7 * 1600 / n
    assert all(each.unique().tolist() == image.flatten().tolist() for each in found)  # no voxel is lost
    if size == (2, 2):
        assert set(found.flatten(1)[:, [0, -1]].sum(1).tolist()) == {3}  # opposite corners stay opposite


def test_affine_turns_volumes_around_each_axis_and_does_not_stretch_them():
    along = torch.arange(-10.0, 11.0)
    axes = torch.stack(torch.meshgrid(along, along, along, indexing="ij"))
    distance = axes.square().sum(0)
    batch = torch.cat([axes, distance[None]]).expand(30, 4, 21, 21, 21)
    turned = RandomAffine(degrees=30, scale=0, shear=0, shift=0)(batch)
    inside = distance <= 64
    # A squared distance is the same in every direction; interpolation adds up to 1/4 an axis.
    assert_allclose(turned[:, 3][:, inside], distance[inside].expand(30, -1), atol=0.76)
    moved = (turned[:, :3] - axes)[:, :, inside].abs().amax(dim=2)
    assert (moved.amax(dim=0) > 3).all()
    assert (moved < 8 * 0.88).all()  # three times 30 degrees at once: 52 degrees, 2 sin(26) = 0.88


def test_affine_composes_rotation_and_stretch_exactly_in_two_dimensions(monkeypatch):
    """What is drawn is set by hand: a turn by 90 degrees, factors 1.35 and 0.8, shear 0.2, no shift."""
    drawn = torch.tensor([1.0, math.log(1.35), math.log(0.8), 0.2, 0.0, 0.0])
    monkeypatch.setattr(torch, "rand", lambda n, m, **_: ((drawn + 1) / 2)[:, None].expand(n, m))
    matrix = RandomAffine(degrees=90, scale=1, shear=1, shift=0.5)._draw_2d(torch.zeros(1, 1, 5, 5))[0]
    turn = np.array([[0, -1], [1, 0]])
    expected = turn @ np.array([[1.35, 0.2], [0, 0.8]])
    assert_allclose(matrix, np.column_stack([expected, [0, 0]]), atol=1e-6)
    assert_allclose(np.abs(np.linalg.det(matrix[:, :2])), 1.35 * 0.8, rtol=1e-6)


def test_affine_turned_by_90_degrees_still_scales(monkeypatch):
    image = torch.zeros(1, 1, 41, 41)
    image[:, :, 14:27, 17:24] = 1  # 13 rows, 7 columns
    drawn = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    monkeypatch.setattr(torch, "rand", lambda n, m, **_: ((drawn + 1) / 2)[:, None].expand(n, m))
    turned = RandomAffine(degrees=90, scale=-math.log(2), shift=0)(image)[0, 0]
    # What is read is half as far from the centre: twice as large, and rows have become columns.
    assert_allclose(turned[20].sum(), 26, atol=1.1)
    assert_allclose(turned[:, 20].sum(), 14, atol=1.1)


def test_affine_shifts_each_image_on_its_own():
    batch = torch.zeros(50, 1, 20, 20)
    batch[:, :, 10, 10] = 1
    moved = RandomAffine(degrees=0, scale=0, shear=0, shift=0.2)(batch)
    where = {tuple(divmod(int(image.flatten().argmax()), 20)) for image in moved}
    assert len(where) > 20
    assert all(abs(i - 10) <= 4 and abs(j - 10) <= 4 for i, j in where)


def test_cutout_blanks_a_square_with_the_mean():
    batch = torch.zeros(300, 1, 20, 20)
    batch[:, :, ::2] = 1
    cut = Cutout(0.5)(batch)
    blank = cut == 0.5
    assert blank.flatten(1).sum(1).max() == 100
    assert (blank | (cut == batch)).all()


def test_affine_turns_oblong_images_without_skewing_them():
    along = torch.arange(-20.0, 21.0), torch.arange(-8.0, 9.0)
    axes = torch.stack(torch.meshgrid(*along, indexing="ij"))
    distance = axes.square().sum(0)
    turned = RandomAffine(degrees=45, scale=0, shear=0, shift=0)(distance.expand(30, 1, 41, 17))
    inside = distance <= 36
    assert_allclose(turned[:, 0][:, inside], distance[inside].expand(30, -1), atol=0.51)


def test_zoom_is_shared_by_all_sides_and_the_middle_is_the_middle():
    disc = torch.zeros(6, 1, 64, 64)
    rows, columns = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    disc[:, 0] = (rows.square() + columns.square() < 15**2).float()
    zoomed = RandomAffine(degrees=0, scale=0, shift=0, zoom=0.4)(disc)
    heights, widths = zoomed.amax(3).sum((1, 2)), zoomed.amax(2).sum((1, 2))
    assert_allclose(heights, widths, atol=0.01)
    assert heights.max() / heights.min() > 1.15
    # the same transformation, of the middle only
    affine = RandomAffine(degrees=30, scale=0.2, shear=0.1, shift=0.05, zoom=0.2)
    batch = torch.rand(3, 2, 20, 24)
    torch.manual_seed(3)
    whole = affine(batch)
    torch.manual_seed(3)
    assert_allclose(affine(batch, (10, 12)), whole[:, :, 5:15, 6:18], atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_volumes_can_be_turned_around_one_axis(axis):
    affine = RandomAffine(degrees=40, scale=0, shear=0.3, shift=0, axis=axis)
    places = torch.arange(8.0).view([8 if i == axis else 1 for i in range(3)]).expand(8, 8, 8)
    torch.testing.assert_close(affine(places[None, None]), places[None, None])  # nothing leaves its slice
    alike = torch.randn(8, 8).unsqueeze(axis).expand(8, 8, 8)
    turned = affine(alike[None, None])[0, 0]
    assert (turned - alike).abs().max() > 0.1
    assert turned.std(dim=axis).max() < 1e-5  # all slices alike


def test_an_axis_that_volumes_do_not_have_is_refused():
    with pytest.raises(ValueError, match="axis must be None, 0, 1 or 2, got 3"):
        RandomAffine(axis=3)(torch.zeros(1, 1, 4, 4, 4))


def test_reach_keeps_the_border_out():
    affine = RandomAffine(degrees=30, scale=0.1, shear=0.1, shift=0.02, zoom=0.3)
    size = 2 * math.ceil(16 * affine.reach)
    marked = torch.ones(50, 1, size, size)
    marked[:, :, [0, -1]] = marked[..., [0, -1]] = 9
    assert affine(marked, (32, 32)).max() == 1
    assert RandomAffine(degrees=0, scale=0, shift=0).reach == 1


@pytest.mark.parametrize("shape", [(8, 2, 12, 14), (8, 1, 6, 7, 8)])
def test_gamma_keeps_order_mean_and_deviation(shape):
    batch = torch.rand(shape)
    bent = RandomGamma(0.5)(batch)
    axes = tuple(range(2, len(shape)))
    assert_allclose(bent.mean(axes), batch.mean(axes), atol=1e-5)
    assert_allclose(bent.std(axes), batch.std(axes), rtol=1e-4)
    assert_array_equal(bent.flatten(2).argsort(2), batch.flatten(2).argsort(2))
    changed = (bent != batch).flatten(1).any(1)
    assert 0 < changed.sum() < len(batch)


@pytest.mark.parametrize("shape", [(3, 2, 20, 16), (3, 1, 12, 10, 11)])
def test_blur(shape):
    batch = torch.randn(shape)
    assert_allclose(RandomBlur(1.5, share=0)(batch), batch, atol=1e-6)
    blurred = RandomBlur(1.5, share=1)(batch)
    axes = tuple(range(1, len(shape)))
    assert (blurred.std(axes) < 0.8 * batch.std(axes)).all()
    assert_allclose(RandomBlur(1.5, share=1)(torch.full(shape, 7.0)), torch.full(shape, 7.0), rtol=1e-5)


def test_boxes_change_places():
    mix = BoxMix(0.5)
    first, second = torch.zeros(5, 1, 8, 6, 10), torch.ones(5, 1, 8, 6, 10)
    mask = mix.draw(first)
    assert (mask.flatten(1).sum(1) == 4 * 3 * 5).all()
    assert len({tuple(box.nonzero()[0].tolist()) for box in mask}) > 1  # not all in the same place
    mixed = mix.exchange(first, second, mask)
    assert_array_equal(mixed[:5] == 0, mask)
    assert_array_equal(mixed[5:] == 1, mask)


def test_shades_change_by_the_range_of_each_image(monkeypatch):
    """Two images, of which the second has ten times the range: gamma, contrast and brightness as by hand."""
    monkeypatch.setattr(torch, "rand", lambda *shape, **kwargs: torch.ones(shape))  # u = 1
    batch = torch.tensor([0.0, 0.25, 1.0]).repeat(2, 2, 1, 1)
    batch[1] = 10 * batch[1] + 5
    expected = torch.tensor([0.0, 0.25, 1.0]) ** np.exp(0.7) * np.exp(0.5) + 0.3
    changed = RandomShades()(batch)
    assert_allclose(changed[0], expected.expand(2, 1, 3), rtol=1e-5)
    assert_allclose(changed[1], 10 * expected.expand(2, 1, 3) + 5, rtol=1e-5)


def test_shades_of_a_flat_image_stay_finite():
    flat = torch.full((3, 1, 8, 8), 7.0)
    assert_allclose(RandomShades()(flat), flat)


@pytest.mark.parametrize("n_channels", [1, 3])
def test_randaugment_works_on_any_scale_and_stays_in_the_range_of_each_image(n_channels):
    batch = torch.rand(40, n_channels, 12, 10)
    torch.manual_seed(0)
    changed = RandAugment(3, 1.0)(batch)
    torch.manual_seed(0)
    scaled = RandAugment(3, 1.0)(batch * 255 - 100)
    assert_allclose(scaled, changed * 255 - 100, atol=1e-2)
    assert (changed.amax((1, 2, 3)) <= batch.amax((1, 2, 3)) + 1e-6).all()
    assert (changed.amin((1, 2, 3)) >= batch.amin((1, 2, 3)) - 1e-6).all()
    flat = torch.full((3, n_channels, 8, 8), 7.0)
    assert_allclose(RandAugment(3, 1.0)(flat), flat)


def test_randaugment_draws_so_many_operations_for_each_image():
    strengths = RandAugment(2, 0.5)._draw(torch.zeros(4000, 1, 4, 4), 11)
    assert ((strengths != 0).sum(0) == 2).all()
    assert_allclose((strengths != 0).float().mean(1), np.full(11, 2 / 11), atol=0.03)
    assert 0.49 < strengths.max() <= 0.5
    assert -0.5 <= strengths.min() < -0.49


def test_randaugment_without_magnitude_changes_nothing():
    batch = torch.rand(6, 3, 9, 9)
    assert_allclose(RandAugment(4, 0.0)(batch), batch, atol=1e-5)


def test_operations_of_randaugment_at_full_strength():
    image = torch.tensor([[0.0, 0.25], [0.5, 1.0]]).view(1, 1, 2, 2)
    brightness, contrast, sharpness, posterise, solarise, colour = augmentations._INTENSITIES
    full, half, none = torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 0.5), torch.zeros(1, 1, 1, 1)
    for operation in augmentations._INTENSITIES:
        assert_allclose(operation(image, none), image, atol=1e-6)
    assert_allclose(brightness(image, -full), 0.1 * image, atol=1e-6)
    assert_allclose(contrast(image, full), 0.4375 + 1.9 * (image - 0.4375), atol=1e-6)
    assert sharpness(image, -full).std() < image.std() < sharpness(image, full).std()
    assert_allclose(posterise(image, full).flatten(), [0, 1 / 3, 2 / 3, 1], atol=1e-6)  # four shades
    assert_allclose(solarise(image, half).flatten(), [0, 0.25, 0.5, 0], atol=1e-6)
    assert_allclose(solarise(image, full).flatten(), [0, 0.75, 0.5, 0], atol=1e-6)  # 0 is not above 0
    colours = torch.tensor([0.0, 0.6, 0.9]).view(1, 3, 1, 1)
    assert_allclose(colour(colours, -full).flatten(), [0.45, 0.51, 0.54], atol=1e-6)


def test_moves_of_randaugment_at_full_strength():
    dot = torch.zeros(1, 1, 20, 20)
    dot[:, :, 10, 10] = 1

    def where(*strengths):
        moved = augmentations._move(dot, torch.tensor(strengths)[:, None])
        return divmod(int(moved.flatten().argmax()), 20)

    assert where(0.0, 0.0, 0.0, 1.0, 0.0) == (10, 4)  # what is read is 0.3 of the side further right
    assert where(0.0, 0.0, 0.0, 0.0, -1.0) == (16, 10)
    line = torch.zeros(1, 1, 21, 21)
    line[:, :, 10] = 1
    turned = augmentations._move(line, torch.tensor([1.0, 0, 0, 0, 0])[:, None])[0, 0]
    # 7 pixels from the centre, a line that was turned by 30 degrees is 7 tan(30) = 4.04 pixels off it.
    assert abs(float(turned[:, 17] @ torch.arange(21.0) / turned[:, 17].sum()) - 10) == pytest.approx(
        4.04, abs=0.3
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_operations": 0}, "n_operations must be at least 1, got 0"),
        ({"magnitude": 1.5}, "magnitude must be in"),
    ],
)
def test_randaugment_refuses_what_it_cannot_do(parameters, message):
    with pytest.raises(ValueError, match=message):
        RandAugment(**parameters)


def test_weak_and_strong_views():
    def add_one(batch):
        return batch + 1

    def add_progress(batch, progress):
        return batch + progress

    batch = torch.zeros(2, 1, 3, 3)
    assert (WeakStrong(None, add_one)(batch) == 1).all()
    assert (WeakStrong(add_one, None)(batch) == 0).all()
    assert (WeakStrong(None, add_progress)(batch, progress=0.5) == 0.5).all()


@pytest.mark.parametrize("two_views", [False, True])
def test_a_torch_module_may_be_an_augmentation(two_views):
    class Masked(torch.nn.Module):
        n_calls = 0

        def __init__(self):
            super().__init__()
            self.dropout = torch.nn.Dropout(0.2)

        def forward(self, batch):
            Masked.n_calls += 1
            return self.dropout(batch)

    images = np.random.default_rng(0).random((24, 8, 8))
    y = np.where(np.arange(24) < 8, np.arange(24) % 2, -1)
    augment = WeakStrong(Masked(), Masked()) if two_views else Masked()
    clf = SSLDECClassifier(augment=augment, pretrain_epochs=1, max_iter=1, min_batches=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf = clone(clf).fit(images, y)
    assert Masked.n_calls > 0
    assert not any("dropout" in name for name in clf.nets_[0].module_.state_dict())
    assert "augment" not in clf.nets_[0].prefixes_

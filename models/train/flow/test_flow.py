"""The maths of the recipe: pytest test_flow.py (seconds, no data, no GPU)."""

import numpy as np
import pytest
import torch

import export
from classifier import Guide
from distance import frechet, hole_psnr
from masks import background_holes, cover, grow, meets, mosaic
from network import SHAPES, Flow, Shape, bake
from path import (
    data_of, draw_u_shaped, features, frequencies, grid, interpolate, noise_of, velocity,
)
from sample import Field, sample

SMALL = Shape(16, 3, True, (16, 16, 32), (0, 1, 1), 32)


def seeded(shape: Shape) -> Flow:
    """A network whose conditioning does something."""
    torch.manual_seed(0)
    net = Flow(shape)
    with torch.no_grad():
        net.condition.film.gain.normal_(0, 0.3)
    return net.eval()


def inputs(shape: Shape, count: int) -> tuple:
    side = shape.side
    label = torch.eye(shape.labels)[torch.arange(count) % shape.labels]
    context = torch.randn(count, 4, side, side) if shape.context else None
    return torch.randn(count, 3, side, side), features(torch.rand(count)), label, torch.ones(count), context


def test_velocity_is_the_derivative_of_the_path_and_points_to_both_ends():
    x0, eps, t = torch.randn(5, 3, 4, 4), torch.randn(5, 3, 4, 4), torch.rand(5)
    xt, v = interpolate(x0, eps, t), velocity(x0, eps)
    later = interpolate(x0, eps, t + 1e-3)
    assert torch.allclose((later - xt) / 1e-3, v, atol=1e-2)
    assert torch.allclose(data_of(xt, v, t), x0, atol=1e-5)
    assert torch.allclose(noise_of(xt, v, t), eps, atol=1e-5)
    assert torch.equal(interpolate(x0, eps, torch.ones(5)), eps)


def test_time_features_and_grid():
    w = frequencies()
    assert w[0] == pytest.approx(2 * np.pi * 0.25) and w[-1] == pytest.approx(2 * np.pi * 16, rel=1e-5)
    assert torch.allclose(features(torch.zeros(1))[0, :32], torch.full((32,), 2**0.5))
    assert grid(4) == [1, 0.75, 0.5, 0.25, 0]


def test_u_shaped_times_favour_both_ends():
    torch.manual_seed(0)
    t = draw_u_shaped(20000, "cpu")
    assert 0 <= float(t.min()) and float(t.max()) <= 1
    middle = float(((t > 0.4) & (t < 0.6)).float().mean())
    ends = float(((t < 0.1) | (t > 0.9)).float().mean())
    assert ends > 1.5 * middle


def test_mask_covers_box_and_margin():
    boxes = torch.tensor([[10.3, 12.0, 30.7, 50.2], [40.0, 5.0, 44.0, 9.0]])
    mask = cover(boxes, 64)[0]
    for x0, y0, x1, y1 in grow(boxes).tolist():
        rows = slice(max(0, int(np.floor(y0))), int(np.ceil(y1)))
        columns = slice(max(0, int(np.floor(x0))), int(np.ceil(x1)))
        assert mask[rows, columns].all()
    assert mask[63, 63] == 0 and cover(torch.zeros(0, 4), 64).sum() == 0


def test_background_holes_never_meet_an_object():
    torch.manual_seed(0)
    objects = torch.zeros(300, 8, 4)
    objects[:, 0] = torch.tensor([20.0, 20.0, 44.0, 44.0])
    mask, found = background_holes(objects, 64)
    assert 0.3 < float(found.float().mean()) <= 1
    assert mask[found][:, 0, 20:44, 20:44].sum() == 0
    assert (mask[found].sum((1, 2, 3)) > 0).all()
    objects[:, 0] = torch.tensor([0.0, 0.0, 64.0, 64.0])
    assert not background_holes(objects, 64)[1].any()
    assert not meets(torch.tensor([0.0, 0, 2, 2]), torch.tensor([2.0, 0, 4, 2]))


def test_baking_changes_nothing_and_the_conditioning_matters():
    for shape in (SMALL, SHAPES["cifar"]):
        net = seeded(shape)
        arguments = inputs(shape, 2)
        with torch.no_grad():
            before = net(*arguments)
            other = net(arguments[0], arguments[1] * 0, *arguments[2:])
            after = bake(net)(*arguments)
        assert torch.allclose(before, after, atol=1e-5)
        assert (before - other).abs().max() > 1e-3


def test_export_equals_torch(tmp_path):
    net = bake(seeded(SMALL))
    export.export_flow(net, tmp_path)  # raises where they differ
    torch.manual_seed(0)
    export.export_guide(bake(Guide(10)), 10, tmp_path)
    assert (tmp_path / "guide.onnx").stat().st_size > 0


def test_guide_gradient_is_autograd_s():
    torch.manual_seed(0)
    guide = Guide(10)
    x = torch.randn(2, 3, 32, 32, requires_grad=True)
    time = features(torch.tensor([0.2, 0.7]))[:, :, None, None]
    label = torch.eye(10)[[3, 7]]
    total = (guide(x, time)[:, :, 0, 0].log_softmax(1) * label).sum()
    wanted = torch.autograd.grad(total, x)[0]
    got = guide.gradient(x, time, label[:, :, None, None])[0]
    assert torch.allclose(got, wanted, atol=1e-5)


def test_sampler_keeps_known_pixels():
    net = seeded(SMALL)
    x0 = torch.rand(2, 3, 16, 16) * 2 - 1
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:12, 4:12] = 1
    context = torch.cat([x0 * (1 - mask), mask], 1)
    out = sample(Field(net, torch.tensor([3, 3]), context, True), torch.randn(2, 3, 16, 16), 2)
    outside = (mask == 0).expand_as(out)
    assert torch.allclose(out[outside], x0[outside], atol=1e-6)
    assert not torch.allclose(out[~outside], x0[~outside], atol=1e-2)


def test_measures():
    torch.manual_seed(0)
    a = torch.randn(4000, 4)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, a + 1) == pytest.approx(4, abs=1e-5)
    assert frechet(a, a * 2) == pytest.approx(4, rel=0.1)
    truth, mask = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    mask[:, :, 2:6, 2:6] = 1
    assert float(hole_psnr(truth + 0.2 * mask, truth, mask)[0]) == pytest.approx(20, abs=0.01)
    coarse = mosaic(torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16))
    assert len(coarse[0, 0].unique()) <= 25

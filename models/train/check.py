"""Check the parts that a wrong line would spoil silently; CPU, no data set, half a minute.

    python check.py [yolox_nano.onnx picodet_s_320.onnx]

With the teachers' files the interpreter is compared with onnxruntime as well.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import camera
import eightbits
import grid
import state
from augment import Augmenter, Batch, Knobs
from dataset import CLASSES, Dataset
from engine import Engine
from loss import total_loss
from network import SHAPES, Detector, cells, half_weights, load_weights
from onnxnet import OnnxNet

SIZE = 64
PERSON, CAR = CLASSES.index("person"), CLASSES.index("car")


def a_batch(known: torch.Tensor) -> Batch:
    """One picture with one car in its left half."""
    image = torch.zeros(1, 3, SIZE, SIZE)
    return Batch(
        image, image, torch.tensor([[[4.0, 4, 28, 60]]]), torch.tensor([[CAR]]),
        torch.tensor([[False]]), torch.tensor([[True]]), known, torch.ones(1),
    )  # fmt: skip


def unlabelled_classes_teach_nothing() -> None:
    centres, strides = cells(SIZE, "cpu")
    known = torch.zeros(1, len(centres), len(CLASSES))
    known[..., CAR] = 1
    raw = torch.ones(1, len(centres), 4)
    for all_known in (False, True):
        logits = torch.zeros(1, len(centres), len(CLASSES), requires_grad=True)
        batch = a_batch(torch.ones_like(known) if all_known else known)
        total_loss(logits, raw, batch, None, centres, strides)[0].backward()
        moved = logits.grad.abs().sum((0, 1)) > 0
        assert bool(moved[CAR]) and bool(moved[PERSON]) == all_known, moved


def tiles_keep_their_own_labels() -> None:
    data = Dataset.synthetic(8, "cpu")
    data.known[:] = False
    data.known[torch.arange(8), torch.arange(8)] = True  # picture k is labelled for class k
    augmenter = Augmenter(data, Knobs.on("cpu", mosaic=1.0, blend=0.0))
    centres, _ = cells(SIZE, "cpu")
    plan = augmenter.plan(16, SIZE)
    known = augmenter.known_of(plan, centres)
    assert bool((known.sum(-1) == 1).all())
    cx, cy = plan.rect[:, 0, 2], plan.rect[:, 0, 3]
    right, low = centres[None, :, 0] >= cx[:, None], centres[None, :, 1] >= cy[:, None]
    row = plan.row.gather(1, right.long() + 2 * low.long())
    assert bool((known.argmax(-1) == row).all())


def only_arrived_pictures_are_drawn() -> None:
    data = Dataset.synthetic(8, "cpu")
    data.ready[:] = False
    data._put(5, np.zeros((2, 352, 352, 4), np.uint8))
    assert set(data.draw(500).tolist()) == {5, 6}


def effects_leave_the_letterbox() -> None:
    torch.manual_seed(0)
    image = torch.rand(8, 3, SIZE, SIZE) * 255
    image[..., SIZE // 2 :, :] = 114
    for name in camera.SHARES:
        seen = camera.degrade(image, {k: float(k == name) for k in camera.SHARES})
        assert bool(torch.isfinite(seen).all()) and 0 <= seen.min() and seen.max() <= 255, name
        assert bool((seen[..., SIZE // 2 :, :] == 114).all()), name
        assert (seen - image)[..., : SIZE // 2, :].abs().mean() > 0.5, name


def a_state_resumes() -> None:
    def engine() -> Engine:
        made = Engine(Detector(), Dataset.synthetic(8, "cpu"), None, 2)
        before = {k: v.clone() for k, v in made.model.state_dict().items()}
        made.prepare([SIZE], "eager")
        after = made.model.state_dict()
        assert all(torch.equal(v, after[k]) for k, v in before.items()), "warming up left a trace"
        return made

    first, second = engine(), engine()
    first.lr.fill_(1e-3)
    first.step(SIZE)
    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder), first, first.snapshot(), steps=1, spent=2.0, best=3.0)
        position = state.load(Path(folder) / "state.pt", second)
    assert position == {"steps": 1, "spent": 2.0, "best": 3.0}
    pairs = zip(first.model.state_dict().values(), second.model.state_dict().values())
    assert all(torch.equal(a, b) for a, b in pairs)
    moments = zip(first._moments(), second._moments())
    assert all(torch.allclose(a, b, rtol=1e-2, atol=1e-7) for a, b in moments)


def a_grid_reads_what_it_is_taught() -> None:
    """An output made by the definition of grid.py loses nothing and gives the box back."""
    centres, strides = cells(SIZE, "cpu", (32,))
    batch = a_batch(torch.ones(1, len(centres), len(CLASSES)))
    rows = torch.zeros(1, len(centres), len(CLASSES) + 5 * grid.BOXES)
    rows[0, 2, CAR] = 1  # the box's centre, (16, 32), lies in the first cell of the second row
    rows[0, 2, -5:] = torch.tensor([1, 0.5, 0, (24 / SIZE) ** 0.5, (56 / SIZE) ** 0.5])
    loss, terms = grid.total_loss(rows, batch, None, centres, strides)
    assert loss < 1e-9, terms
    score, box = grid.Grid().read((rows,), SIZE)
    best = int(score[0, :, CAR].argmax())
    assert score[0, best, CAR] == 1 and score.sum() == 1
    assert torch.allclose(box[0, best], batch.box[0, 0], atol=1e-4), box[0, best]


def a_grid_learns_nothing_of_unlabelled_classes() -> None:
    centres, strides = cells(SIZE, "cpu", (32,))
    known = torch.zeros(1, len(centres), len(CLASSES))
    known[..., CAR] = 1
    rows = torch.full((1, len(centres), len(CLASSES) + 5 * grid.BOXES), 0.5, requires_grad=True)
    grid.total_loss(rows, a_batch(known), None, centres, strides)[0].backward()
    moved = rows.grad.abs() > 0
    assert bool(moved[0, 2, CAR]) and not moved[..., PERSON].any()
    assert not moved[0, [0, 1, 3]].any(), "an absence was taught where not all is labelled"


def a_cell_answers_for_the_largest() -> None:
    box = torch.tensor([[[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.3, 0.3], [0.0, 0.0, 0.4, 0.4]]])
    difficult, valid = torch.tensor([[False, False, True]]), torch.ones(1, 3, dtype=torch.bool)
    found = grid.assign(box, difficult, valid, 4)
    assert found.taken[0].tolist() == [True, False, False, False]
    assert found.counts[0, 0] and found.target[0, 0] == 1


def eight_bits_round_and_pass_gradients() -> None:
    torch.manual_seed(0)
    weights = Path(__file__).with_name("detect-tiny.pt")
    model = load_weights(Detector(SHAPES["tiny"]), weights).eval()
    images = torch.rand(2, 3, SIZE, SIZE) * 255
    names = list(model.state_dict())
    with torch.no_grad():
        exact = model(images / 255)
        eightbits.install(model)
        eightbits.choose_ranges(model, images)
        rounded = model(images / 255)
    assert list(model.state_dict()) == names
    for one, other in zip(exact, rounded):
        assert 0 < (one - other).abs().mean() < 0.3 * one.std()
    values = model.maps(images / 255)[0].unique()
    assert len(values) <= 256
    sum(out.square().mean() for out in model(images / 255)).backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in model.parameters())


def another_shape_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        state.write(path, half_weights(Detector(SHAPES["small"])))
        load_weights(Detector(SHAPES["small"]), path)
        try:
            load_weights(Detector(), path)
        except SystemExit as error:
            assert "another shape" in str(error)
        else:
            raise AssertionError("weights of another shape were taken")


def the_interpreter_agrees(path: str) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    image = torch.rand(entry.shape) * 2
    wanted = session.run(None, {entry.name: image.numpy()})
    with torch.no_grad():
        got = OnnxNet(path).eval()(image)
    assert all(np.abs(w - g.numpy()).max() < 1e-3 for w, g in zip(wanted, got, strict=True))


def main() -> None:
    checks = [
        unlabelled_classes_teach_nothing, tiles_keep_their_own_labels,
        only_arrived_pictures_are_drawn, effects_leave_the_letterbox, a_state_resumes,
        a_grid_reads_what_it_is_taught, a_grid_learns_nothing_of_unlabelled_classes,
        a_cell_answers_for_the_largest, eight_bits_round_and_pass_gradients,
        another_shape_is_refused,
    ]  # fmt: skip
    for check in checks:
        check()
        print("ok", check.__name__, flush=True)
    for path in sys.argv[1:]:
        the_interpreter_agrees(path)
        print("ok", path, flush=True)


if __name__ == "__main__":
    main()

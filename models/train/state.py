"""The state of a training on disk, in pieces small enough to be sent about (detect-nano's at most
13 MB; detect-small's state.pt has 38 and its moments.pt 25, the rest 13).

`state.pt`: weights in float32, averaged weights in half precision, position in the schedule.
`moments.pt`: what the optimiser keeps, in bfloat16. A training resumes without it as well: the
optimiser then finds its moments anew while the learning rate warms up.
`trunk.pt`: weights in half precision where the learning rate begins to fall. From here a later
session can train on at the full rate, with an average begun anew, and let it fall again.
"""

import os
from pathlib import Path

import torch
from torch import Tensor

from engine import Engine
from network import check_shape


def write(path: Path, value: object) -> None:
    """Replace a file atomically."""
    part = path.with_suffix(".part")
    torch.save(value, part)
    os.replace(part, path)


def _cast(tensors: list[Tensor], kind: torch.dtype) -> list[Tensor]:
    return [t.to(kind) if t.is_floating_point() and t.ndim > 0 else t for t in tensors]


def save(folder: Path, engine: Engine, snapshot: list[Tensor], **position: float) -> None:
    """Write `state.pt` and `moments.pt`."""
    count = len(engine.model.state_dict())
    weights, average, moments = snapshot[:count], snapshot[count : 2 * count], snapshot[2 * count :]
    saved = {"weights": weights, "average": _cast(average, torch.float16), **position}
    write(folder / "state.pt", saved)
    write(folder / "moments.pt", {"moments": _cast(moments, torch.bfloat16), **position})


def save_trunk(folder: Path, engine: Engine, **position: float) -> None:
    """Write `trunk.pt`."""
    weights = [t.to("cpu", copy=True) for t in engine.model.state_dict().values()]
    write(folder / "trunk.pt", {"weights": _cast(weights, torch.float16), **position})


def load(path: Path, engine: Engine) -> dict[str, float]:
    """Continue from `state.pt` or `trunk.pt`, with the `moments.pt` beside it if it is of the
    same moment; returns the position."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    weights = saved.pop("weights")
    check_shape(path, weights, list(engine.model.state_dict().values()))
    tensors = [*weights, *saved.pop("average", weights)]
    beside = path.with_name("moments.pt")
    if path.name == "state.pt" and beside.exists():
        moments = torch.load(beside, map_location="cpu", weights_only=True)
        if moments["steps"] == saved["steps"]:
            tensors += moments["moments"]
    engine.restore(tensors)
    return saved

"""Draw fills of photographs: what a viewer should look at before trusting a number.

    python picture.py WEIGHTS.pt OUT.png PHOTO:x,y,side:x0,y0,x1,y1 ...

Each PHOTO's square window at (x, y) is shrunk to 64 pixels; the box (pixels of the photograph) with
its margin is the hole. Columns are photographs. Rows: window, hole, 1, 2, 4, 8 and 32 Euler steps
in jump mode, 32 steps of the flow, the 5x5 mosaic, Telea, Navier-Stokes.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from data import WINDOW, context_of, to_bytes, to_unit
from evaluate import STEPS, save_rows
from masks import cover, mosaic
from network import SHAPES, Flow, bake, load_weights
from sample import Field, kept, sample


def window(entry: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels uint8 [3, 64, 64] and mask [1, 64, 64] of one argument."""
    path, place, box = entry.rsplit(":", 2)
    x, y, side = (int(v) for v in place.split(","))
    photo = Image.open(path).convert("RGB").crop((x, y, x + side, y + side))
    pixels = np.asarray(photo.resize((WINDOW, WINDOW), Image.BOX)).transpose(2, 0, 1).copy()
    corners = torch.tensor([float(v) for v in box.split(",")]) - torch.tensor([x, y, x, y])
    return torch.from_numpy(pixels), cover(corners[None] * WINDOW / side, WINDOW)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("windows", nargs="+")
    args = parser.parse_args()
    shape = SHAPES["patch"]
    net = bake(load_weights(Flow(shape), args.weights)).eval()
    parts = [window(entry) for entry in args.windows]
    pixels, mask = (torch.stack(column) for column in zip(*parts))
    x0 = to_unit(pixels)
    context = context_of(x0, mask)
    null = torch.full((len(x0),), shape.classes)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    rows = [pixels, to_bytes(context[:, :3])]
    for jump, steps in [(True, n) for n in STEPS] + [(False, 32)]:
        rows.append(to_bytes(kept(sample(Field(net, null, context, jump), eps, steps), context)))
    rows.append(to_bytes(mosaic(x0, mask)))
    for method in (cv2.INPAINT_TELEA, cv2.INPAINT_NS):
        done = [
            cv2.inpaint(np.ascontiguousarray(p.permute(1, 2, 0).numpy()), m[0].byte().numpy(), 3, method)
            for p, m in zip(pixels, mask)
        ]
        rows.append(torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2))
    save_rows(rows, args.out)


if __name__ == "__main__":
    main()

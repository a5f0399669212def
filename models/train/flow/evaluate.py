"""Measure a trained flow on held-out data and draw its pictures.

    python evaluate.py SOURCE WEIGHTS.pt OUT --model patch --judge judge.pt [--guide guide.pt]

Writes OUT/result.json and, with made pictures only, `classes.png`: a row for each of 1, 2, 4, 8, 32
Euler steps in jump mode, then 32 of the flow itself with guidance; a column for each class.
Distances are our own (see distance.py). Holes are in background of the test split, null class.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from classifier import Features, Guide
from data import context_of, open_data, to_bytes, to_unit
from distance import embed, frechet, hole_psnr, hole_ssim, recall, spread_within
from masks import background_holes, mosaic
from network import SHAPES, Flow, bake, load_weights
from path import interpolate
from sample import Field, classifier_guided, kept, sample

STEPS = (1, 2, 4, 8, 32)
CHUNK = 500


def save_rows(rows: list[Tensor], path: Path) -> None:
    """Rows of byte pictures [n, 3, S, S] as one file."""
    grid = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
    Image.fromarray(grid.permute(1, 2, 0).cpu().numpy()).save(path)


class Evaluation:
    """One network, its judge and its test data."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.shape = args, SHAPES[args.model]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.net = bake(load_weights(Flow(self.shape), args.weights)).to(self.device).eval()
        self.net = self.net.to(memory_format=torch.channels_last).requires_grad_(False)
        labels = self.shape.classes if args.model == "cifar" else self.shape.labels
        self.judge = load_weights(Features(self.shape.side, labels), args.judge)
        self.judge = self.judge.to(self.device).eval().requires_grad_(False)
        options = {} if args.model == "cifar" else {"objects": 2, "grounds": 3, "seed": 5}
        self.test = open_data(args.model, args.source, "test", self.device, args.limit, **options)
        options = {} if args.model == "cifar" else {"objects": 2, "grounds": 2, "seed": 6}
        self.train = open_data(args.model, args.source, "train", self.device, args.limit, **options)
        torch.manual_seed(7)
        self.result: dict = {}

    def picked(self, data, count: int) -> tuple[Tensor, Tensor]:
        """Real whole pictures as bytes, and classes."""
        x, y = data.whole(count)
        return to_bytes(x), y

    def generate(self, label: Tensor, steps: int, jump: bool, guidance: float) -> Tensor:
        """Pictures by class as bytes; the same noise for every setting."""
        side, parts = self.shape.side, []
        noise = torch.Generator(self.device).manual_seed(11)
        for k in range(0, len(label), CHUNK):
            y = label[k : k + CHUNK]
            eps = torch.randn(len(y), 3, side, side, generator=noise, device=self.device)
            context = None
            if self.shape.context:
                context = torch.zeros(len(y), 4, side, side, device=self.device)
                context[:, 3] = 1
            field = Field(self.net, y, context, jump, guidance)
            parts.append(to_bytes(sample(field, eps, steps)))
        return torch.cat(parts)

    def whole(self, count: int) -> None:
        """Distance, agreement, recall and spread of whole pictures."""
        pixels, label = self.picked(self.test, count)
        real, guess = embed(self.judge, pixels)
        base = embed(self.judge, self.picked(self.train, count)[0])[0]
        within = spread_within(real, label)
        self.result["judge_agrees_with_test"] = float((guess == label).float().mean())
        self.result["distance_train_to_test"] = frechet(base, real)
        self.result["recall_of_train"] = recall(real, base)
        rows = []
        modes = [(True, 1.0, STEPS), (False, 1.0, STEPS), (False, self.args.guidance, STEPS)]
        for jump, guidance, steps in modes:
            for n in steps:
                made = self.generate(label, n, jump, guidance)
                x, guess = embed(self.judge, made)
                rows.append({
                    "mode": "jump" if jump else "flow", "guidance": guidance, "steps": n,
                    "distance": frechet(x, real), "agreement": float((guess == label).float().mean()),
                    "recall": recall(real, x), "precision": recall(x, real),
                    "spread": spread_within(x, label) / within,
                })
                print(json.dumps(rows[-1]), flush=True)
        self.result["whole"] = rows

    def holes(self, count: int) -> None:
        """Fills of held-out background against what stood there."""
        import cv2

        test = self.test
        rows = test.grounds[torch.randperm(len(test.grounds), device=self.device)[:count]]
        mask, found = background_holes(test.objects[rows], self.shape.side)
        truth, mask = to_unit(test.pixels[rows])[found], mask[found]
        null = torch.full((len(truth),), self.shape.classes, device=self.device)
        wanted = embed(self.judge, to_bytes(truth))[0]
        context, out = context_of(truth, mask), {}

        def measure(name: str, x: Tensor) -> None:
            out[name] = {
                "psnr": float(hole_psnr(x, truth, mask).mean()),
                "ssim": float(hole_ssim(x, truth, mask).mean()),
                "distance": frechet(embed(self.judge, to_bytes(x))[0], wanted),
            }
            print(name, json.dumps(out[name]), flush=True)

        known = 1 - mask
        mean = (truth * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True).clamp(min=1)
        measure("mean colour", torch.where(mask > 0, mean, truth))
        measure("mosaic 5x5", mosaic(truth, mask))
        pixels = to_bytes(truth).permute(0, 2, 3, 1).cpu().numpy()
        holes = (mask[:, 0] > 0).to(torch.uint8).cpu().numpy()
        for name, method in (("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)):
            done = [cv2.inpaint(np.ascontiguousarray(p), h, 3, method) for p, h in zip(pixels, holes)]
            made = torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2).to(self.device)
            measure(name, to_unit(made))
        for jump in (True, False):
            for n in STEPS:
                noise, parts = torch.Generator(self.device).manual_seed(12), []
                for k in range(0, len(truth), CHUNK):
                    part = context[k : k + CHUNK]
                    eps = torch.randn(part[:, :3].shape, generator=noise, device=self.device)
                    field = Field(self.net, null[k : k + CHUNK], part, jump)
                    parts.append(kept(sample(field, eps, n), part))
                measure(f"{'jump' if jump else 'flow'} {n}", torch.cat(parts))
        share = mask.mean((1, 2, 3))
        self.result["holes"] = {"count": len(truth), "mean_share": float(share.mean()), "fills": out}

    def velocity_error(self, count: int) -> None:
        """Mean squared error of the flow's velocity by t, jump off, over whole held-out batches."""
        out = {}
        for t in (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98):
            torch.manual_seed(13)
            batch = self.test.batch(count)
            eps, time = torch.randn_like(batch.x0), torch.full((count,), t, device=self.device)
            field = Field(self.net, batch.label, batch.context)
            error = (field(interpolate(batch.x0, eps, time), t) - (eps - batch.x0)).square()
            out[t] = float((error * batch.weight).sum() / (3 * batch.weight.sum()))
        self.result["velocity_error"] = out

    def guided(self, guide: Guide, count: int) -> None:
        """Classifier guidance over the flow of the null class, 32 steps."""
        label = torch.arange(count, device=self.device) % self.shape.classes
        null = torch.full_like(label, self.shape.classes)
        real = embed(self.judge, self.picked(self.test, count)[0])[0]
        noise, out = torch.Generator(self.device).manual_seed(14), {}
        eps = torch.randn(count, 3, 32, 32, generator=noise, device=self.device)
        for scale in (0.0, 1.0, 2.0, 4.0, 8.0):
            x = torch.cat([
                classifier_guided(Field(self.net, null[k : k + CHUNK]), guide, eps[k : k + CHUNK],
                                  label[k : k + CHUNK], 32, scale)
                for k in range(0, count, CHUNK)
            ])
            made, guess = embed(self.judge, to_bytes(x))
            agreement = float((guess == label).float().mean())
            out[scale] = {"agreement": agreement, "distance": frechet(made, real)}
            print("guided", scale, json.dumps(out[scale]), flush=True)
        self.result["classifier_guidance"] = out

    def picture(self) -> None:
        """classes.png."""
        times = 1 if self.shape.classes >= 20 else 2
        label = torch.arange(self.shape.classes * times, device=self.device) % self.shape.classes
        rows = [self.generate(label, n, True, 1.0) for n in STEPS]
        rows.append(self.generate(label, 32, False, self.args.guidance))
        save_rows(rows, self.args.out / "classes.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", type=Path)
    add("weights", type=Path)
    add("out", type=Path)
    add("--model", choices=SHAPES, required=True)
    add("--judge", type=Path, required=True)
    add("--guide", type=Path)
    add("--guidance", type=float, default=1.6)
    add("--count", type=int, default=5000)
    add("--limit", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    run = Evaluation(args)

    def store() -> None:
        (args.out / "result.json").write_text(json.dumps(run.result, indent=1))

    run.picture()
    if args.model == "patch":
        run.holes(min(args.count, 2000))
        store()
    run.velocity_error(min(args.count, 1000))
    run.whole(args.count)
    store()
    if args.guide:
        guide = bake(load_weights(Guide(run.shape.classes), args.guide)).to(run.device)
        run.guided(guide, min(args.count, 2000))
    store()


if __name__ == "__main__":
    main()

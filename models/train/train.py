"""Train the detector on one device, on a wall-clock schedule.

    python train.py PACKED OUT --budget 1300 --teacher yolox_nano.onnx [--init WEIGHTS]

`--budget` is seconds from the first scheduled step (or, with `--total`, from the start of the
process) to the last; the schedule follows the clock, so a run ends on time on any machine. OUT
receives `ema.pt` (averaged weights, half precision), `best.pt` (those of the best score on `val`
so far: the ones to ship), `state.pt` (everything, for `--resume`), `log.jsonl` and, at the end,
`result.json` with the scores of `best.pt` on `val` and, if packed, `test`.
"""

import argparse
import json
import math
import os
import random
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

import torch

from dataset import Dataset
from engine import MODES, Engine, parameters_of, seed_everything
from evaluate import evaluate, torch_predictor
from network import Detector, count_macs, fuse, half_weights, load_weights
from teacher import Teacher

AHEAD = 4  # steps that the host may queue before it waits


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("packed", type=Path)
    add("out", type=Path)
    add("--budget", type=float, default=1300, help="seconds")
    add("--total", action="store_true", help="the budget includes loading and compiling")
    add("--teacher", help="YOLOX-nano ONNX; without it, ground truth only")
    add("--init", help="half-precision weights to start from")
    add("--resume", type=Path, help="state.pt of an interrupted run")
    add("--engine", choices=MODES, default="fused")
    add("--batch", type=int, default=192)
    add("--sizes", default="320:1", help="input sizes and their weights: 320:2,384:1")
    add("--last-size", type=int, default=320, help="size of the closing stage, the shipped one")
    add("--close", type=float, default=0.0, help="closing share: no mosaic, weak jitter")
    add("--lr", type=float, default=3e-3)
    add("--warm", type=float, default=0.02, help="share of linear warm-up")
    add("--decay", type=float, default=0.05)
    add("--truth-weight", type=float, default=0.7)
    add("--teacher-weight", type=float, default=1.3)
    add("--average", type=float, default=0.9993, help="decay of the averaged weights a step")
    add("--save-every", type=float, default=120, help="seconds")
    add("--eval-every", type=float, default=100, help="seconds")
    add("--log-every", type=int, default=200, help="steps")
    add("--seed", type=int, default=0)
    return parser.parse_args()


def rate(progress: float, args: argparse.Namespace) -> float:
    """Learning rate: linear warm-up, then a cosine down to a hundredth."""
    if progress < args.warm:
        return args.lr * progress / args.warm
    cosine = 0.5 * (1 + math.cos(math.pi * (progress - args.warm) / (1 - args.warm)))
    return args.lr * (0.01 + 0.99 * cosine)


class Run:
    """A training run: schedule, checkpoints, log."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.started = time.time()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        seed_everything(args.seed)
        self.random = random.Random(args.seed)
        args.out.mkdir(parents=True, exist_ok=True)
        self.train_set = Dataset.load(args.packed, "train", self.device)
        self.val_set = Dataset.load(args.packed, "val", self.device)
        model = Detector()
        if args.init:
            load_weights(model, args.init)
        teacher = Teacher(args.teacher) if args.teacher else None
        self.engine = Engine(
            model, self.train_set, teacher, args.batch,
            args.decay, args.truth_weight, args.teacher_weight,
        )
        entries = [entry.split(":") for entry in args.sizes.split(",")]
        self.sizes = [int(entry[0]) for entry in entries]
        self.size_weights = [float(entry[1]) for entry in entries]
        self.steps, self.offset, self.best = 0, 0.0, 0.0
        mode = self.engine.prepare(sorted({*self.sizes, args.last_size}), args.engine)
        if args.resume:
            saved = torch.load(args.resume, map_location="cpu", weights_only=True)
            self.engine.restore(saved["tensors"])
            self.steps, self.offset = saved["steps"], saved["progress"]
            if (args.out / "best.pt").exists():
                self.best = saved["best"]
        self.good = self.engine.snapshot()
        self.begun = time.time()
        spent = self.begun - self.started
        self.budget = args.budget - (spent if args.total else 0)
        self.log(event="start", mode=mode, setup_s=round(spent, 1), budget_s=round(self.budget, 1))

    def log(self, **entry) -> None:
        """One JSON object a line, to the screen and to log.jsonl."""
        line = json.dumps(entry)
        print(line, flush=True)
        with open(self.args.out / "log.jsonl", "a") as file:
            file.write(line + "\n")

    @property
    def progress(self) -> float:
        """Share of the schedule that has passed, 0..1."""
        return self.offset + (1 - self.offset) * (time.time() - self.begun) / self.budget

    @property
    def epochs(self) -> float:
        return self.steps * self.args.batch / self.train_set.count

    def write(self, name: str, value: object) -> None:
        """Replace a file of OUT atomically."""
        part = self.args.out / f"{name}.part"
        torch.save(value, part)
        os.replace(part, self.args.out / name)

    def save(self) -> None:
        """Averaged weights and the full state."""
        self.write("ema.pt", half_weights(self.engine.average))
        progress = min(self.progress, 1.0)
        self.write("state.pt", {
            "tensors": self.good, "steps": self.steps, "progress": progress, "best": self.best,
        })

    def validate(self) -> None:
        """Score the averaged weights on `val`; keep them if none did better."""
        average = self.engine.average
        map50 = evaluate(torch_predictor(average), self.val_set, self.args.last_size).map50
        self.log(event="val", step=self.steps, map50=round(map50, 2))
        if map50 >= self.best:
            self.best = map50
            self.write("best.pt", half_weights(average))

    def report(self, since: float, steps: int) -> None:
        """Log the mean losses; on a NaN go back to the last good state."""
        terms = self.engine.drain()
        if not all(math.isfinite(term) for term in terms):
            self.log(event="restored", step=self.steps)
            self.engine.restore(self.good)
            return
        names = ("cls", "box", "side", "teacher_cls", "teacher_box")
        self.log(
            step=self.steps, epoch=round(self.epochs, 1), progress=round(self.progress, 4),
            lr=round(float(self.engine.lr), 6),
            per_s=round(steps * self.args.batch / (time.time() - since)),
            **{name: round(term, 4) for name, term in zip(names, terms)},
        )

    def set_schedule(self, progress: float) -> bool:
        """Set learning rate, averaging and augmentation; returns whether the run is closing."""
        closing = progress > 1 - self.args.close
        self.engine.lr.fill_(rate(progress, self.args))
        decay = self.args.average
        if not self.args.init:  # from random weights the average must first catch up
            decay = min(decay, (1 + self.steps) / (10 + self.steps))
        self.engine.average_rate.fill_(1 - decay)
        self.engine.knobs.set(*((0.0, 0.0, 0.5) if closing else (0.7, 0.15, 1.0)))
        return closing

    def train(self) -> None:
        """Step until the budget is spent."""
        args, engine = self.args, self.engine
        pending: deque[torch.cuda.Event] = deque()
        saved = scored = marked = time.time()
        marked_step = self.steps
        while (progress := self.progress) < 1:
            closing = self.set_schedule(progress)
            size = self.random.choices(self.sizes, self.size_weights)[0]
            engine.step(args.last_size if closing else size)
            self.steps += 1
            if engine.gpu:
                pending.append(torch.cuda.Event())
                pending[-1].record()
                if len(pending) > AHEAD:
                    pending.popleft().synchronize()
            if self.steps % args.log_every == 0:
                self.report(marked, self.steps - marked_step)
                marked, marked_step = time.time(), self.steps
            if time.time() - saved > args.save_every:
                snapshot = engine.snapshot()
                if all(bool(torch.isfinite(t).all()) for t in snapshot):
                    self.good = snapshot
                    self.save()
                saved = time.time()
            if time.time() - scored > args.eval_every:
                self.validate()
                scored = time.time()
        self.seconds = time.time() - self.begun
        self.validate()
        self.good = engine.snapshot()
        self.save()

    def finish(self) -> None:
        """Score the best averaged network, folded, and write result.json."""
        peak = torch.cuda.max_memory_allocated() / 2**30 if self.engine.gpu else 0.0
        entry = {
            "mode": self.engine.mode, "epochs": self.epochs, "seconds": self.seconds,
            "pictures_per_s": self.steps * self.args.batch * (1 - self.offset) / self.seconds,
            "peak_gib": peak, "arguments": {k: str(v) for k, v in vars(self.args).items()},
        }
        model = load_weights(Detector(), self.args.out / "best.pt").to(self.device)
        model = fuse(model).eval().to(memory_format=torch.channels_last)
        entry["params"] = parameters_of(model)
        entry["macs"] = {size: count_macs(model, size) for size in (320, 416)}
        splits = {"val": self.val_set}
        if (self.args.packed / "test.npz").exists():  # the test split need not travel
            splits["test"] = Dataset.load(self.args.packed, "test", self.device)
        for size in (320, 352, 416):
            for name, data in splits.items():
                result = evaluate(torch_predictor(model), data, size)
                entry[f"{name}{size}"] = asdict(result)
                self.log(event=name, size=size, map50=round(result.map50, 2))
                (self.args.out / "result.json").write_text(json.dumps(entry, indent=1))


def main() -> None:
    run = Run(parse())
    run.train()
    run.finish()


if __name__ == "__main__":
    main()

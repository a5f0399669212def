"""Train the detector on one device, on a wall-clock schedule that may be spread over sessions.

    python train.py PACKED OUT --budget 1300 --teacher yolox_nano.onnx:416,picodet_s_320.onnx:320
    python train.py PACKED OUT --budget 2600 --resume OUT/trunk.pt ...

`--budget` is the length of the whole schedule in seconds of training, `--epochs` in passes over the
data: the learning rate rises, holds, and falls over the last `--fall` share. `--stop` ends a
session earlier. With `--eight-bits` the network computes as the engine will (see eightbits.py) and
is scored so: fine-tuning, from `--init`. OUT receives
`state.pt` with `moments.pt` and `trunk.pt` (see state.py; `--resume` takes any), `ema.pt` (averaged
weights, half precision), `best.pt` (those of the best score on `val` so far: the ones to ship),
`log.jsonl` and, at the end, `result.json` with the scores of `best.pt` on `val` and, if packed,
`test` and `away`. Pixels may still be arriving in PACKED when training begins.
"""

import argparse
import json
import math
import random
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

import torch

import eightbits
import state
from dataset import Dataset
from engine import MODES, Engine, parameters_of, seed_everything
from evaluate import evaluate, letterbox, torch_predictor
from forms import FORMS
from loss import TERMS
from network import count_macs, fuse, half_weights, load_weights
from teacher import Teacher

AHEAD = 4  # steps that the host may queue before it waits
WATCHED = 128  # pictures by which the ranges of eight bits are chosen
REWARM = 20.0  # seconds over which the learning rate rises again after a resume


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("packed", type=Path)
    add("out", type=Path)
    add("--shape", choices=FORMS, default="nano")
    add("--budget", type=float, default=1300, help="seconds of the whole schedule")
    add("--epochs", type=float, help="length of the schedule in place of --budget")
    add("--total", action="store_true", help="the budget includes loading and compiling")
    add("--stop", type=float, default=math.inf, help="seconds after which this session ends")
    add("--teacher", help="ONNX files and their input sizes; without it, ground truth only")
    add("--shares", default="0.4", help="share of each further teacher in the mean score so far")
    add("--peak", type=float, default=0.25, help="weight of the maximum against the mean")
    add("--mirror", action="store_true", help="teachers see the mirror image as well")
    add("--init", help="half-precision weights to start from")
    add("--eight-bits", action="store_true", help="round as the engine does")
    add("--resume", type=Path, help="state.pt or trunk.pt of an earlier session")
    add("--engine", choices=MODES, default="fused")
    add("--batch", type=int, default=192)
    add("--sizes", default="320:3,384:1", help="input sizes and their weights")
    add("--last-size", type=int, default=320, help="size that is scored, the shipped one")
    add("--lr", type=float, default=2e-3)
    add("--warm", type=float, default=0.02, help="share of linear warm-up")
    add("--fall", type=float, default=0.5, help="share over which the rate falls")
    add("--decay", type=float, default=0.05)
    add("--truth-weight", type=float, default=0.7)
    add("--teacher-weight", type=float, default=1.3)
    add("--average", type=float, default=0.9993, help="decay of the averaged weights a step")
    add("--save-every", type=float, default=60, help="seconds")
    add("--eval-every", type=float, default=150, help="seconds")
    add("--log-every", type=int, default=200, help="steps")
    add("--seed", type=int, default=0)
    return parser.parse_args()


def rate(progress: float, args: argparse.Namespace) -> float:
    """Learning rate: linear warm-up, level, then half a cosine down to a hundredth."""
    if progress < args.warm:
        return args.lr * progress / args.warm
    fallen = max(0.0, (progress - (1 - args.fall)) / max(args.fall, 1e-6))
    return args.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(fallen, 1.0))))


class Run:
    """A training run: schedule, checkpoints, log."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        started = time.time()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        seed_everything(args.seed)
        self.random = random.Random(args.seed)
        args.out.mkdir(parents=True, exist_ok=True)
        self.train_set = Dataset.load(args.packed, "train", self.device)
        self.val_set = Dataset.load(args.packed, "val", self.device)
        self.form = FORMS[args.shape]
        if self.form.terms != TERMS and (args.teacher or args.eight_bits):
            raise SystemExit(f"{args.shape} learns from annotations alone, and in float")
        model = self.form.make()
        if args.init:
            load_weights(model, args.init)
        if args.eight_bits:
            eightbits.install(model)
        teacher = None
        if args.teacher:
            teacher = Teacher(args.teacher, args.mirror, args.shares, args.peak)
        self.engine = Engine(
            model, self.train_set, teacher, args.batch,
            args.decay, args.truth_weight, args.teacher_weight, self.form.loss,
        )  # fmt: skip
        entries = [entry.split(":") for entry in args.sizes.split(",")]
        self.sizes = [int(entry[0]) for entry in entries]
        self.size_weights = [float(entry[1]) for entry in entries]
        self.steps, self.spent, self.best = 0, 0.0, 0.0
        mode = self.engine.prepare(sorted({*self.sizes, args.last_size}), args.engine)
        if args.resume:
            position = state.load(args.resume, self.engine)
            self.steps, self.spent = position["steps"], position["spent"]
            if (args.out / "best.pt").exists():
                self.best = position["best"]
        torch.manual_seed(args.seed + self.steps)  # the same batches for every shape
        self.random.seed(args.seed + self.steps)
        self.good = self.engine.snapshot()
        while not (self.val_set.fill(args.packed, "val") and self.fill()):
            time.sleep(0.5)
        self.choose_ranges()
        self.begun = time.time()
        if args.total:
            args.budget -= self.begun - started
        self.trunk = self.progress >= 1 - args.fall
        self.log(event="start", mode=mode, setup_s=round(self.begun - started, 1), spent=self.spent,
                 arguments={k: str(v) for k, v in vars(args).items()})  # fmt: skip

    def fill(self) -> bool:
        """Take pixels that have arrived; true if there are any yet."""
        self.complete = self.train_set.fill(self.args.packed, "train")
        return bool(self.train_set.ready.any())

    def log(self, **entry) -> None:
        """One JSON object a line, to the screen and to log.jsonl."""
        line = json.dumps(entry)
        print(line, flush=True)
        with open(self.args.out / "log.jsonl", "a") as file:
            file.write(line + "\n")

    def choose_ranges(self) -> None:
        """Choose the ranges of eight bits by pictures that have arrived."""
        if self.args.eight_bits:
            rows = self.train_set.ready.nonzero()[:WATCHED, 0].tolist()
            size = self.args.last_size
            images = torch.stack([letterbox(self.train_set, row, size)[0] for row in rows])
            eightbits.choose_ranges(self.engine.average, images)
            eightbits.copy_ranges(self.engine.average, self.engine.model)

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.steps * self.args.batch / self.train_set.count

    @property
    def progress(self) -> float:
        """Share of the schedule that has passed, 0..1."""
        if self.args.epochs:
            return self.epoch / self.args.epochs
        return (self.spent + self.elapsed) / self.args.budget

    @property
    def elapsed(self) -> float:
        """Seconds of training in this session."""
        return time.time() - self.begun

    @property
    def position(self) -> dict[str, float]:
        """What a state says of where it stands."""
        spent = min(self.spent + self.elapsed, self.args.budget)
        return {"steps": self.steps, "spent": spent, "best": self.best}

    def save(self) -> None:
        """Averaged weights and the full state."""
        snapshot = self.engine.snapshot()
        if all(bool(torch.isfinite(t).all()) for t in snapshot):
            self.good = snapshot
            state.write(self.args.out / "ema.pt", half_weights(self.engine.average))
            state.save(self.args.out, self.engine, snapshot, **self.position)

    def validate(self) -> None:
        """Score the averaged weights on `val`; keep them if none did better."""
        self.choose_ranges()
        average = self.engine.average
        result = evaluate(torch_predictor(average), self.val_set, self.args.last_size)
        person = result.per_class["person"]
        self.log(event="val", step=self.steps, map50=round(result.map50, 2), person=person)
        if result.map50 >= self.best:
            self.best = result.map50
            state.write(self.args.out / "best.pt", half_weights(average))

    def report(self, since: float, steps: int) -> None:
        """Log the mean losses; on a NaN go back to the last good state."""
        terms = self.engine.drain()
        if not all(math.isfinite(term) for term in terms):
            self.log(event="restored", step=self.steps)
            self.engine.restore(self.good)
            return
        self.log(
            step=self.steps, epoch=round(self.epoch, 1), progress=round(self.progress, 4),
            lr=round(float(self.engine.lr), 6),
            per_s=round(steps * self.args.batch / (time.time() - since)),
            **{name: round(term, 4) for name, term in zip(self.form.terms, terms)},
        )  # fmt: skip

    def set_schedule(self, progress: float) -> None:
        """Set learning rate and averaging."""
        again = min(1.0, self.elapsed / REWARM) if self.args.resume else 1.0
        self.engine.lr.fill_(rate(progress, self.args) * again)
        decay = self.args.average
        if not self.args.init:  # from random weights the average must first catch up
            decay = min(decay, (1 + self.steps) / (10 + self.steps))
        self.engine.average_rate.fill_(1 - decay)

    def train(self) -> None:
        """Step until the schedule or the session ends."""
        args, engine = self.args, self.engine
        pending: deque[torch.cuda.Event] = deque()
        saved = scored = marked = filled = time.time()
        marked_step = first_step = self.steps
        while self.elapsed < args.stop:
            progress = self.progress
            if progress >= 1:
                break
            if not self.trunk and progress >= 1 - args.fall:
                self.trunk = True
                state.save_trunk(args.out, engine, **self.position)
            self.set_schedule(progress)
            engine.step(self.random.choices(self.sizes, self.size_weights)[0])
            self.steps += 1
            if engine.gpu:
                pending.append(torch.cuda.Event())
                pending[-1].record()
                if len(pending) > AHEAD:
                    pending.popleft().synchronize()
            if not self.complete and time.time() - filled > 3:
                self.fill()
                filled = time.time()
            if self.steps % args.log_every == 0:
                self.report(marked, self.steps - marked_step)
                marked, marked_step = time.time(), self.steps
            if time.time() - saved > args.save_every:
                self.save()
                saved = time.time()
            if time.time() - scored > args.eval_every:
                self.validate()
                scored = time.time()
        self.seconds, self.stepped = self.elapsed, self.steps - first_step
        self.validate()
        self.save()

    def finish(self) -> None:
        """Score the best averaged network, folded, and write result.json."""
        peak = torch.cuda.max_memory_allocated() / 2**30 if self.engine.gpu else 0.0
        entry = {
            "mode": self.engine.mode, "steps": self.steps, "seconds": self.seconds,
            "epochs": self.epoch,
            "pictures_per_s": self.stepped * self.args.batch / self.seconds,
            "peak_gib": peak, "arguments": {k: str(v) for k, v in vars(self.args).items()},
        }  # fmt: skip
        model = load_weights(self.form.make(), self.args.out / "best.pt")
        model = fuse(model.to(self.device)).eval().to(memory_format=torch.channels_last)
        entry["params"] = parameters_of(model)
        entry["macs"] = {size: count_macs(model, size) for size in sorted({self.args.last_size, 320, 416})}
        splits = {"val": self.val_set}
        for name in ("test", "away"):  # need not travel
            if (self.args.packed / f"{name}.npz").exists():
                splits[name] = Dataset.load(self.args.packed, name, self.device)
        for size in sorted({self.args.last_size, 352}):
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

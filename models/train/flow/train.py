"""Train a flow on a wall-clock schedule: the base, then the jumps.

    python train.py SOURCE OUT --model patch --base 800 --jump 300 --teacher teacher.pt

SOURCE is a folder of packed shards (patch) or cifar10_jpeg.npz. OUT receives `base.pt` and
`jump.pt` (averaged weights, half precision; `jump.pt` holds both modes and is the one to ship),
`state.pt` (everything; `--resume` goes on from it) and `log.jsonl`. `--base-until` and
`--jump-until` are Unix times that end a stage early, for machines that are lent by the clock.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch

from classifier import Features
from data import open_data, to_bytes
from distance import embed, frechet
from engine import Engine, twin
from network import SHAPES, Flow, count_macs, half_weights, load_weights
from objective import Objective, Pairs
from sample import Field, sample

GUIDANCES = (1.0, 1.3, 1.6, 2.0, 2.5)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", type=Path)
    add("out", type=Path)
    add("--model", choices=SHAPES, required=True)
    add("--base", type=float, default=800, help="seconds of the base stage; 0 skips it")
    add("--jump", type=float, default=300, help="seconds of the jump stage; 0 skips it")
    add("--base-until", type=float, default=math.inf)
    add("--jump-until", type=float, default=math.inf)
    add("--pairs", type=float, default=60, help="seconds spent on reflow pairs")
    add("--pair-steps", type=int, default=16, help="Heun steps of a pair")
    add("--guidance", type=float, default=0, help="of the pairs; 0 takes the least distance")
    add("--teacher", type=Path, help="classifier of the feature loss")
    add("--feature-weight", type=float, default=0.1)
    add("--init", type=Path, help="weights to start from")
    add("--resume", action="store_true", help="go on from OUT/state.pt")
    add("--batch", type=int, default=512)
    add("--lr", type=float, default=6e-3)
    add("--average", type=float, default=0.9995)
    add("--compile", action="store_true", help="torch.compile on the network (minutes)")
    add("--save-every", type=float, default=60)
    add("--limit", type=int, default=0)
    add("--objects", type=int, default=8)
    add("--grounds", type=int, default=24)
    add("--seed", type=int, default=0)
    return parser.parse_args()


def rate(progress: float, peak: float) -> float:
    """Warm-up, a plateau, then a cosine."""
    fall = 0.5 * (1 + math.cos(math.pi * max(0.0, progress - 0.3) / 0.7))
    return peak * min(1.0, progress / 0.02 + 0.01) * (0.003 + 0.997 * fall)


class Run:
    """Both stages, with checkpoints and a log."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(args.seed)
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        args.out.mkdir(parents=True, exist_ok=True)
        started = time.time()
        windows = {"objects": args.objects, "grounds": args.grounds, "seed": args.seed}
        options = {} if args.model == "cifar" else windows
        data = open_data(args.model, args.source, "train", self.device, args.limit, **options)
        self.shape = SHAPES[args.model]
        net = Flow(self.shape)
        if args.init:
            load_weights(net, args.init)
        self.net = net.to(self.device).to(memory_format=torch.channels_last)
        self.average = twin(self.net)
        self.teacher = None
        if args.teacher:
            labels = self.shape.classes if args.model == "cifar" else self.shape.labels
            self.teacher = load_weights(Features(self.shape.side, labels), args.teacher)
            self.teacher = self.teacher.to(self.device).eval().requires_grad_(False)
            self.teacher = self.teacher.to(memory_format=torch.channels_last)
        self.objective = Objective(self.net, data, args.batch, self.teacher, args.feature_weight)
        if args.compile:
            self.objective.run = torch.compile(self.net, dynamic=False)
        self.data = data
        self.log(event="start", pictures=len(data.pixels), load_s=round(time.time() - started, 1),
                 params=sum(p.numel() for p in net.parameters()), macs=count_macs(self.net))

    def log(self, **entry) -> None:
        """One JSON object a line, to the screen and to log.jsonl."""
        line = json.dumps(entry)
        print(line, flush=True)
        with open(self.args.out / "log.jsonl", "a") as file:
            file.write(line + "\n")

    def write(self, name: str, value: object) -> None:
        """Replace a file of OUT atomically."""
        part = self.args.out / f"{name}.part"
        torch.save(value, part)
        os.replace(part, self.args.out / name)

    def stage(self, name: str, loss, budget: float, until: float, peak: float, saved) -> None:
        """Step until the budget is spent; the schedule follows the clock."""
        args = self.args
        engine = Engine(self.net, self.average, loss, self.device)
        begun = time.time()
        engine.prepare()
        steps, offset = 0, 0.0
        if saved and saved["stage"] == name:
            engine.restore(saved["tensors"])
            steps, offset = saved["steps"], saved["progress"]
        self.log(event=name, captured=engine.graph is not None, prepare_s=round(time.time() - begun, 1))
        begun = marked = stored = time.time()
        marked_steps, first = steps, steps
        budget = max(1.0, min(budget * (1 - offset), until - begun))
        good = engine.snapshot()
        while (progress := offset + (1 - offset) * (time.time() - begun) / budget) < 1:
            engine.lr.fill_(rate(progress, peak))
            engine.rate.fill_(1 - min(args.average, (1 + steps) / (10 + steps)))
            engine.step()
            steps += 1
            if steps % 50 == 0 and engine.gpu:
                torch.cuda.synchronize()
            if steps % 250 == 0 or (not engine.gpu and steps % 5 == 0):
                now, mean = time.time(), engine.drain()
                if not math.isfinite(mean):
                    self.log(event="restored", step=steps)
                    engine.restore(good)
                per_s = (steps - marked_steps) * args.batch / (now - marked)
                self.log(stage=name, step=steps, progress=round(progress, 4), loss=round(mean, 5),
                         per_s=round(per_s))
                marked, marked_steps = now, steps
                if now - stored > args.save_every and math.isfinite(mean):
                    good = engine.snapshot()
                    self.write(f"{name}.pt", half_weights(self.average))
                    self.write("state.pt", {"stage": name, "steps": steps,
                                            "progress": min(progress, 1.0), "tensors": good})
                    stored = time.time()
        self.write(f"{name}.pt", half_weights(self.average))
        self.write("state.pt", {"stage": name, "steps": steps, "progress": 1.0,
                                "tensors": engine.snapshot()})
        self.log(event=f"{name} done", steps=steps, pictures=(steps - first) * args.batch,
                 seconds=round(time.time() - begun, 1))

    def made(self, eps, label, guidance: float, steps: int):
        """Where the averaged flow takes noise, as bytes."""
        context = None
        if self.shape.context:
            context = torch.zeros(len(eps), 4, *eps.shape[2:], device=self.device)
            context[:, 3] = 1
        field = Field(self.average, label, context, guidance=guidance)
        return to_bytes(sample(field, eps, steps, heun=True))

    def noise(self, count: int):
        """Noise and labels for `count` pictures."""
        side = self.shape.side
        _, label = self.data.whole(count)
        return torch.randn(count, 3, side, side, device=self.device), label

    def choose_guidance(self, count: int = 3000) -> float:
        """The guidance whose pictures lie nearest to the training set, in the teacher's eyes."""
        if self.args.guidance or self.teacher is None:
            return self.args.guidance or 1.5
        count = count if self.device == "cuda" else 60
        real = torch.cat([to_bytes(self.data.whole(500)[0]) for _ in range(max(1, count // 500))])
        wanted, best = embed(self.teacher, real)[0], (math.inf, 1.0)
        for guidance in GUIDANCES:
            parts = [self.noise(min(500, count)) for _ in range(max(1, count // 500))]
            made = torch.cat([self.made(*part, guidance, 12) for part in parts])
            distance = frechet(wanted, embed(self.teacher, made)[0])
            self.log(event="guidance", value=guidance, distance=round(distance, 3))
            best = min(best, (distance, guidance))
        return best[1]

    def make_pairs(self) -> Pairs:
        """Noise and ends for as long as the budget lasts."""
        guidance, begun, parts = self.choose_guidance(), time.time(), []
        chunk = 1000 if self.device == "cuda" else 16
        while not parts or time.time() - begun < self.args.pairs:
            eps, label = self.noise(chunk)
            eps = eps.half().float()
            parts.append((eps.half(), self.made(eps, label, guidance, self.args.pair_steps), label))
            if self.device == "cuda":
                torch.cuda.synchronize()
        pairs = Pairs(*(torch.cat(column) for column in zip(*parts)))
        self.log(event="pairs", count=len(pairs.label), guidance=guidance,
                 seconds=round(time.time() - begun, 1))
        return pairs

    def train(self) -> None:
        """Both stages, or what is left of them."""
        args, saved = self.args, None
        if args.resume:
            saved = torch.load(args.out / "state.pt", map_location="cpu", weights_only=True)
            if saved["stage"] == "jump" or saved["progress"] >= 1:
                load_weights(self.average, args.out / "base.pt")
                self.average.to(self.device)
        if args.base and not (saved and (saved["stage"] == "jump" or saved["progress"] >= 1)):
            self.stage("base", self.objective.base, args.base, args.base_until, args.lr, saved)
        if args.jump:
            self.objective.pairs = self.make_pairs()
            self.net.load_state_dict(self.average.state_dict())
            peak = args.lr * 0.3
            self.stage("jump", self.objective.jump, args.jump, args.jump_until, peak, saved)


if __name__ == "__main__":
    Run(parse()).train()

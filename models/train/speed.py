"""Time the training step of each engine on noise, fill the compiler's cache, name the fastest.

    python speed.py OUT.json --teacher yolox_nano.onnx:416,picodet_s_320.onnx:320 [--sizes 320,384] [--modes graph,fused]

Needs no data set, so it can run while the data is still on its way. OUT.json is rewritten after
each mode: {"graph": {"320": pictures a second, ...}, ..., "best": "graph"}.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch

from dataset import Dataset
from engine import Engine, seed_everything
from forms import FORMS
from teacher import Teacher


def measure(mode: str, sizes: list[int], args: argparse.Namespace) -> dict[str, float]:
    """Pictures a second at each size in one mode; empty if the mode fell back to another."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    data = Dataset.synthetic(args.pictures, device)
    teacher = Teacher(args.teacher) if args.teacher else None
    form = FORMS[args.shape]
    engine = Engine(form.make(), data, teacher, args.batch, loss=form.loss)
    start = time.time()
    reached = engine.prepare(sizes, mode)
    rates = {"prepare_s": round(time.time() - start, 1)}
    if reached != mode:
        return {}
    for size in sizes:
        engine.step(size)
        engine.drain()
        start = time.time()
        for _ in range(args.steps):
            engine.step(size)
        engine.drain()
        rates[str(size)] = round(args.steps * args.batch / (time.time() - start))
    if engine.gpu:
        rates["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 1)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--shape", choices=FORMS, default="nano")
    parser.add_argument("--teacher")
    parser.add_argument("--sizes", default="320")
    parser.add_argument("--modes", default="graph,fused")
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--pictures", type=int, default=9362, help="as many as the real set has")
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    seed_everything(0)
    sizes = [int(size) for size in args.sizes.split(",")]
    results: dict[str, object] = {}
    for mode in args.modes.split(","):
        rates = measure(mode, sizes, args)
        print(mode, rates, flush=True)
        if rates:
            results[mode] = rates
            results["best"] = max(
                (m for m in results if m != "best"), key=lambda m: results[m][str(sizes[0])]
            )
        part = args.out.with_suffix(".part")
        part.write_text(json.dumps(results, indent=1))
        os.replace(part, args.out)


if __name__ == "__main__":
    main()

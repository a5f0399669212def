"""Train one classifier on a wall-clock schedule.

    python train_classifier.py SOURCE OUT.pt --model cifar --kind judge --budget 60 --seed 1

`--kind`: `judge` (measures), `measure` (a small judge that ships), `teacher` (feature loss), `guide`
(noisy pictures, CIFAR only).
Writes half-precision weights and OUT.json with the accuracy on the test split.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from classifier import Features, Guide
from data import Cifar, open_data, to_unit
from network import SHAPES, half_weights
from path import draw_training, interpolate


def jitter(x: Tensor) -> Tensor:
    """Shift each picture by up to an eighth, change gain and level, blank a square."""
    count, side = len(x), x.shape[-1]
    reach = side // 8
    padded = F.pad(x, [reach] * 4, mode="reflect")
    at = torch.randint(0, 2 * reach + 1, (2, count, 1), device=x.device)
    axis = torch.arange(side, device=x.device)
    rows, columns = at[0] + axis, at[1] + axis
    pick = torch.arange(count, device=x.device)[:, None, None]
    x = padded.permute(0, 2, 3, 1)[pick, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    gain = 0.8 + 0.4 * torch.rand(count, 3, 1, 1, device=x.device)
    x = x * gain + 0.1 * torch.randn(count, 3, 1, 1, device=x.device)
    hole, corner = side // 4, torch.randint(0, side, (2, count, 1), device=x.device) - side // 8
    blank = ((axis >= corner[0]) & (axis < corner[0] + hole))[:, None, :, None]
    blank = blank & ((axis >= corner[1]) & (axis < corner[1] + hole))[:, None, None, :]
    return x.masked_fill(blank, 0.0)


def draw(data, count: int, labels: int) -> tuple[Tensor, Tensor]:
    """Pictures and labels; windows of background are the last label."""
    x, y = data.whole(count if isinstance(data, Cifar) else count * 3 // 4)
    if len(x) < count:
        rows = torch.randint(len(data.grounds), (count - len(x),), device=data.device)
        ground = to_unit(data.pixels[data.grounds[rows]])
        x = torch.cat([x, ground])
        y = torch.cat([y, torch.full((len(ground),), labels - 1, device=data.device)])
    return x, y


@torch.no_grad()
def accuracy(net: torch.nn.Module, data, labels: int, times: tuple[float, ...]) -> dict:
    """Share of right answers over the split, for a guide at several times."""
    net.eval()
    right = {t: 0 for t in times}
    y = torch.where(data.label < 0, labels - 1, data.label)
    for k in range(0, len(y), 1000):
        x = to_unit(data.pixels[k : k + 1000])
        for t in times:
            at = torch.full((len(x),), t, device=data.device)
            guess = net.at(interpolate(x, torch.randn_like(x), at), at) if isinstance(net, Guide) else net(x)
            right[t] += int((guess.argmax(1) == y[k : k + 1000]).sum())
    return {str(t): right[t] / len(y) for t in times}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("source", type=Path)
    add("out", type=Path)
    add("--model", choices=SHAPES, required=True)
    add("--kind", choices=("judge", "measure", "teacher", "guide"), required=True)
    add("--budget", type=float, default=60, help="seconds")
    add("--batch", type=int, default=512)
    add("--lr", type=float, default=3e-3)
    add("--limit", type=int, default=0, help="first N pictures only (rehearsals)")
    add("--seed", type=int, default=0)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    gpu = device == "cuda"
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True
    shape = SHAPES[args.model]
    options = {} if args.model == "cifar" else {"objects": 6, "grounds": 6, "seed": args.seed}
    data = open_data(args.model, args.source, "train", device, args.limit, **options)
    guide = args.kind == "guide"
    labels = shape.classes if args.model == "cifar" else shape.labels
    size = Features.MEASURE if args.kind == "measure" else {}
    net = Guide(shape.classes) if guide else Features(shape.side, labels, **size)
    net = net.to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=0.0 if guide else 0.05)
    begun, steps = time.time(), 0
    while (progress := (time.time() - begun) / args.budget) < 1:
        for group in optimizer.param_groups:
            group["lr"] = args.lr * min(1, progress / 0.05 + 0.01) * 0.5 * (1 + math.cos(math.pi * progress))
        x, y = draw(data, args.batch, labels)
        x = jitter(x) if not guide else x
        with torch.autocast(device, torch.bfloat16, enabled=gpu):
            if guide:
                t = draw_training(args.batch, device, 0.0)
                logits = net.at(interpolate(x, torch.randn_like(x), t), t)
            else:
                logits = net(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), y, label_smoothing=0.0 if guide else 0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 20 == 0 and gpu:
            torch.cuda.synchronize()  # the clock must see the device
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(half_weights(net), args.out)
    options = {} if args.model == "cifar" else {"objects": 1, "grounds": 1, "seed": 5}
    test = open_data(args.model, args.source, "test", device, args.limit, **options)
    times = (0.1, 0.3, 0.5, 0.7, 0.9) if guide else (0.0,)
    entry = {"kind": args.kind, "steps": steps, "accuracy": accuracy(net, test, labels, times)}
    entry["params"] = sum(p.numel() for p in net.parameters())
    args.out.with_suffix(".json").write_text(json.dumps(entry))
    print(json.dumps(entry), flush=True)


if __name__ == "__main__":
    main()

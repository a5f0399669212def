"""Does `lapwing score` tell a scene in which something has come from an ordinary view of it?

    python scenes.py make VOC SPLIT OUT [--scenes 32] [--seed 7]     pictures of scenes, under OUT
    python scenes.py score OUT -- lapwing score --steps 8            runs the command, prints the AUROC

A scene is one photograph of a split, 256 x 256, as a fixed camera would see it: moved by up to 8 pixels, in other
light (gain 0.9 to 1.1, offset up to 8), with noise (deviation 4), as JPEG. `ref` is what the command is given to know
the scene by, `same` is more of it, `odd` has an object cut from another photograph pasted in, a quarter to half of
the picture's side. `score` also judges by the mean colours of the same cells, which need no network.
"""

import argparse
import io
import json
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from PIL import Image

SIDE, SHIFT, CELLS, STRANGEST = 256, 8, 8, 4
COUNTS = {"ref": 12, "same": 8, "odd": 8}


def pictures(source: Path, split: str) -> tuple[list[bytes], list[tuple[int, tuple]]]:
    """JPEG files of a split, and (file, box) of every object larger than 60 x 60 pixels."""
    index = json.loads((source / f"instances_{split}.json").read_text())
    files = {}
    for shard in sorted(source.glob(f"{split}-*.tar")):
        with tarfile.open(shard) as tar:
            files |= {Path(m.name).name: tar.extractfile(m).read() for m in tar if m.isfile()}
    kept = [i for i in index["images"] if Path(i["file_name"]).name in files]
    row = {image["id"]: k for k, image in enumerate(kept)}
    boxes = [(row[a["image_id"]], a["bbox"]) for a in index["annotations"] if a["image_id"] in row]
    large = [(k, (x, y, x + w, y + h)) for k, (x, y, w, h) in boxes if w > 60 and h > 60]
    return [files[Path(image["file_name"]).name] for image in kept], large


def decoded(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


def seen(scene: Image.Image, rng: np.random.Generator) -> Image.Image:
    """One look at a scene of SIDE + SHIFT pixels."""
    x, y = rng.integers(0, SHIFT + 1, 2)
    view = np.asarray(scene.crop((x, y, x + SIDE, y + SIDE)), np.float32)
    view = view * rng.uniform(0.9, 1.1) + rng.uniform(-8, 8) + rng.normal(0, 4, view.shape)
    return Image.fromarray(view.clip(0, 255).astype(np.uint8))


def make(args: argparse.Namespace) -> None:
    rng, (files, objects) = np.random.default_rng(args.seed), pictures(args.voc, args.split)
    for k, at in enumerate(rng.choice(len(files), args.scenes, replace=False)):
        whole = decoded(files[at])
        short = min(whole.size)
        left, top = (whole.width - short) // 2, (whole.height - short) // 2
        scene = whole.crop((left, top, left + short, top + short)).resize((SIDE + SHIFT,) * 2, Image.BOX)
        for kind, count in COUNTS.items():
            folder = args.out / f"{k:02}" / kind
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                view = scene.copy()
                if kind == "odd":
                    other, box = objects[rng.integers(len(objects))]
                    thing = decoded(files[other]).crop(box)
                    size = rng.uniform(0.25, 0.5) * SIDE / max(thing.size)
                    thing = thing.resize(tuple(max(1, round(side * size)) for side in thing.size), Image.BOX)
                    place = [int(rng.integers(SHIFT, SIDE - side)) for side in thing.size]
                    view.paste(thing, tuple(place))
                seen(view, rng).save(folder / f"{number:02}.jpg", quality=88)


def auroc(ordinary: list[float], odd: list[float]) -> float:
    return mean((b > a) + 0.5 * (a == b) for a in ordinary for b in odd)


def strangeness(refs: np.ndarray, view: np.ndarray) -> float:
    """As runtime/src/flow/anomaly.rs, of any numbers of the cells."""
    spread = refs.var(0, ddof=1)
    z = np.abs(view - refs.mean(0)) / np.sqrt(0.5 * spread.mean() + 0.5 * spread).clip(1e-9)
    return float(np.sort(z.ravel())[-STRANGEST:].mean())


def colours(path: Path) -> np.ndarray:
    view = np.asarray(decoded(path.read_bytes()), np.float64)
    return view.reshape(CELLS, SIDE // CELLS, CELLS, SIDE // CELLS, 3).mean((1, 3)).reshape(-1)


def by_colours(folder: Path) -> dict[str, list[float]]:
    views = {kind: np.stack([colours(p) for p in sorted((folder / kind).iterdir())]) for kind in COUNTS}
    refs = views["ref"]
    alone = [strangeness(np.delete(refs, k, 0), refs[k]) for k in range(len(refs))]
    told = lambda view: (strangeness(refs, view) - mean(alone)) / max(stdev(alone), 0.1)  # noqa: E731
    return {kind: [told(view) for view in views[kind]] for kind in ("same", "odd")}


def score(args: argparse.Namespace) -> None:
    folders = sorted(p for p in args.out.iterdir() if p.is_dir())

    def run(folder: Path) -> dict[str, list[float]]:
        call = [*args.command, "--json", "--reference", folder / "ref", folder / "same", folder / "odd"]
        lines = subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()
        found = [json.loads(line)["deviations"] for line in lines]
        return {"same": found[: COUNTS["same"]], "odd": found[COUNTS["same"] :]}

    with ThreadPoolExecutor(args.jobs) as pool:
        results = {"bits": list(pool.map(run, folders)), "colours": list(map(by_colours, folders))}
    for name, scenes in results.items():
        same, odd = ([d for scene in scenes for d in scene[kind]] for kind in ("same", "odd"))
        print(json.dumps({
            "by": name, "scenes": len(scenes), "ordinary": len(same), "odd": len(odd),
            "auroc": round(auroc(same, odd), 3),
            "auroc_a_scene": round(mean(auroc(s["same"], s["odd"]) for s in scenes), 3),
            "odd_above_3": round(mean(d > 3 for d in odd), 3),
            "ordinary_above_3": round(mean(d > 3 for d in same), 3),
        }))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("make")
    making.set_defaults(run=make)
    making.add_argument("voc", type=Path)
    making.add_argument("split")
    making.add_argument("out", type=Path)
    making.add_argument("--scenes", type=int, default=32)
    making.add_argument("--seed", type=int, default=7)
    scoring = commands.add_parser("score")
    scoring.set_defaults(run=score)
    scoring.add_argument("out", type=Path)
    scoring.add_argument("command", nargs="+")
    scoring.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

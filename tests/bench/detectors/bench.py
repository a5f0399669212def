"""mAP50 against milliseconds: our detectors beside those of others, all in eight bits in our engine.

    cargo xtask bench detectors [--rounds N] [--kernels NAME,...] [--plot FILE.png]

Networks from elsewhere are quantized on pictures of our split first (100 of `train`, the whole search) and kept in FOLDER.
Every one is scored on `test` by `lapwing eval`, and timed by `lapwing bench` in turns with the others, one thread; the
ratio is the median of those to YOLOX-nano's in the same round. `--kernels` times with these instead of the fastest, one after
another (`lapwing bench --kernels`); the plot shows the first. Prints one JSON object; a table goes to standard error.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

OURS = ["detect-nano", "detect-tiny", "detect-small"]
OTHERS = {"YOLOX-nano": "yolox_nano", "PicoDet-S": "picodet_s_320", "FastestDet": "fastestdet"}
MEASURE = "YOLOX-nano"


def said(lapwing: Path, *arguments: str) -> dict:
    """What a command prints as JSON."""
    done = subprocess.run([lapwing, *arguments, "--json"], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"lapwing {' '.join(arguments)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def quantized(args: argparse.Namespace, name: str) -> str:
    """The artifact of a network from elsewhere."""
    artifact = args.folder / f"{name}.lap"
    if not artifact.exists():
        network, pictures = args.models / f"{name}.onnx", args.data / "train-00.tar"
        print(f"quantizing {name}", file=sys.stderr)
        said(
            args.lapwing, "model", "quantize", str(network), "--calibrate", str(pictures),
            "--pictures", "100", "--force", "-o", str(artifact),
        )  # fmt: skip
    return str(artifact)


def scored(args: argparse.Namespace, model: str) -> dict:
    """mAP50 on `test`, over all classes and of people."""
    pictures, truths = args.data / "test-00.tar", args.data / "instances_test.json"
    found = said(args.lapwing, "eval", "--model", model, "--images", str(pictures), "--annotations", str(truths))
    return {"map50": found["map50"], "person": found["per_class"]["person"]}


def timed(args: argparse.Namespace, models: dict[str, str], kernels: str) -> dict[str, dict]:
    """Median milliseconds of the network, and the median ratio to MEASURE's in the same round."""
    times = {name: [] for name in models}
    for _ in range(args.rounds):
        for name, model in models.items():
            found = said(
                args.lapwing, "bench", "--model", model, "--threads", "1", "--runs", "25", "--kernels", kernels
            )
            times[name].append(found["model_ms_median"])
    ratios = {name: [a / b for a, b in zip(each, times[MEASURE])] for name, each in times.items()}
    return {
        name: {"ms": round(statistics.median(times[name]), 3), "ratio": round(statistics.median(ratios[name]), 3)}
        for name in models
    }


def plot(rows: dict[str, dict], kernels: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), dpi=120)
    for name, row in rows.items():
        own = name in OURS
        ms = row["times"][kernels]["ms"]
        axes.plot(ms, row["map50"], "o" if own else "s", color="#0072b2" if own else "#d55e00")
        axes.annotate(name, (ms, row["map50"]), xytext=(7, -14 if own else -3), textcoords="offset points")
    ours = sorted((rows[name]["times"][kernels]["ms"], rows[name]["map50"]) for name in OURS)
    axes.plot(*zip(*ours), color="#0072b2", linewidth=1)
    axes.set_xlim(0, max(row["times"][kernels]["ms"] for row in rows.values()) * 1.25)
    axes.set_xlabel(f"milliseconds, one thread, eight bits in lapwing's engine, {kernels}")
    axes.set_ylabel("mAP50 on lapwing's split, 576 pictures")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--lapwing", type=Path, required=True)
    add("--models", type=Path, required=True, help="folder of the networks from elsewhere")
    add("--data", type=Path, required=True, help="folder of the split")
    add("--folder", type=Path, required=True, help="for artifacts")
    add("--rounds", type=int, default=7)
    add("--kernels", help="names, separated by commas")
    add("--plot", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    models = {name: name for name in OURS}
    models |= {name: quantized(args, file) for name, file in OTHERS.items()}
    all_kernels = (args.kernels or said(args.lapwing, "bench", "--runs", "3")["kernel"]).split(",")
    times = {kernels: timed(args, models, kernels) for kernels in all_kernels}
    rows = {
        name: {"times": {kernels: times[kernels][name] for kernels in all_kernels}} | scored(args, model)
        for name, model in models.items()
    }
    print("| network |", *(f"{kernels}, ms | ratio |" for kernels in all_kernels), "mAP50 | person |", file=sys.stderr)
    for name, row in rows.items():
        took = " | ".join(f"{each['ms']:.2f} | {each['ratio']:.2f}" for each in row["times"].values())
        print(f"| {name} | {took} | {row['map50']:.1f} | {row['person']:.1f} |", file=sys.stderr)
    if args.plot:
        plot(rows, all_kernels[0], args.plot)
    print(json.dumps({"measure": MEASURE, "rows": rows}))


if __name__ == "__main__":
    main()

"""The engines that are measured, each in a process of its own that lives through the whole run."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# (engine, form, what is timed)
PYTHON = (
    ("onnxruntime", "u8.onnx"),
    ("litert", "tflite"),
    ("ncnn", "ncnn.param"),
    ("opencv", "qdq.onnx"),
)
RUST = (("rten", "u8.onnx"), ("tract", "u8.onnx"))
NAMES = ("lapwing", *(name for name, _ in PYTHON), *(name for name, _ in RUST))


@dataclasses.dataclass
class Found:
    """What was measured of one engine on one network."""

    engine: str
    threads: int
    medians: list = dataclasses.field(default_factory=list)  # one a round, ms
    minimum_ms: float = float("inf")
    load_ms: list = dataclasses.field(default_factory=list)
    peak_mb: float | None = None
    own_mb: float | None = None  # without what stood in memory before the network was loaded
    failure: str | None = None
    details: dict = dataclasses.field(default_factory=dict)

    def add(self, times):
        """The times of one turn."""
        ordered = sorted(times)
        self.medians.append(ordered[len(ordered) // 2])
        self.minimum_ms = min(self.minimum_ms, ordered[0])


class Peer:
    """A worker that answers on a pipe."""

    def __init__(self, engine, call, threads, cores):
        self.found = Found(engine, threads)
        pinned = lambda: os.sched_setaffinity(0, cores)
        self.process = subprocess.Popen(
            [str(word) for word in call],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=pinned,
        )
        ready = self.read()
        if ready:
            self.before_mb = ready["before_mb"]
            self.found.load_ms.append(ready["load_ms"])
            self.found.details["version"] = ready.get("version")

    def read(self):
        """The next line, or None when the engine has failed."""
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        words = self.process.communicate()[1].strip().splitlines()
        self.found.failure = (words[-1] if words else f"ended with {self.process.returncode}")[:300]
        return None

    def turn(self, runs):
        """Runs the network `runs` times."""
        if self.found.failure:
            return
        self.process.stdin.write(f"{runs}\n")
        self.process.stdin.flush()
        answer = self.read()
        if answer:
            self.found.add(answer["ms"])
            self.found.peak_mb = answer["peak_mb"]
            self.found.own_mb = answer["peak_mb"] - self.before_mb

    def close(self):
        """Ends the process."""
        if self.process.poll() is None:
            self.process.communicate()


class Lapwing:
    """`lapwing bench`, a fresh process a turn; it times the network alone, as the workers do."""

    def __init__(self, binary, network, threads, cores):
        self.found = Found("lapwing", threads)
        self.cores = cores
        self.call = [str(binary), "bench", "--model", str(network.form("lap")), "--threads", str(threads), "--json"]
        if not network.form("lap").exists():
            self.found.failure = "`lapwing model quantize` refused the network"

    def turn(self, runs):
        """Runs the network `runs` times."""
        if self.found.failure:
            return
        pinned = lambda: os.sched_setaffinity(0, self.cores)
        done = subprocess.run([*self.call, "--runs", str(runs)], capture_output=True, text=True, preexec_fn=pinned)
        if done.returncode:
            self.found.failure = done.stderr.strip().splitlines()[-1][:300]
            return
        said = json.loads(done.stdout)
        self.found.medians.append(said["model_ms_median"])
        self.found.minimum_ms = min(self.found.minimum_ms, said["model_ms_min"])
        self.found.load_ms.append(said["load_ms"])
        self.found.peak_mb = self.found.own_mb = said["peak_rss_mb"]
        keep = ("kernel", "weights_mb", "tensors_mb")
        self.found.details.update({key: said.get(key) for key in keep})
        self.found.details.setdefault("peak_gmac_per_s", []).append(said["peak_gmac_per_s"])
        convs = [op["ms"] for op in said["ops"] if op["op"].lower() == "conv"]
        self.found.details["conv_share"] = sum(convs) / max(sum(op["ms"] for op in said["ops"]), 1e-9)

    def close(self):
        """Nothing is left running."""


def start(names, network, threads, cores, lapwing, rust):
    """The engines of `names`, loaded."""
    started = []
    if "lapwing" in names:
        started.append(Lapwing(lapwing, network, threads, cores))
    for engine, form in PYTHON:
        if engine in names:
            call = [sys.executable, HERE / "worker.py", engine, network.form(form), threads]
            started.append(Peer(engine, call, threads, cores))
    for engine, form in RUST:
        if engine in names:
            call = [rust, engine, network.form(form), threads, *network.shape[1:]]
            started.append(Peer(engine, call, threads, cores))
    return started

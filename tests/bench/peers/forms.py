"""Every engine's form of every network, made once and kept in a folder.

A form is made again when it is missing; after a change here or there, delete the folder.
"""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import cv2
import numpy

import graph
import ncnn_int8
import nets
import qdq
import tflite

ROOT = pathlib.Path(__file__).resolve().parents[3]
PHOTOS = ROOT / "tests/photos"


@dataclasses.dataclass
class Network:
    """A network and where its forms lie."""

    name: str
    folder: pathlib.Path
    shape: tuple  # (channels, height, width)
    macs: int

    def form(self, ending):
        """The path of a form."""
        return self.folder / f"{self.name}.{ending}"


def say(text):
    """A line for people."""
    print(text, file=sys.stderr, flush=True)


def shared(path):
    """A file outside the repository, or None with a word about it."""
    folder = pathlib.Path(os.environ.get("LAPWING_SHARED") or ROOT / "../shared")
    if (folder / path).exists():
        return (folder / path).resolve()
    say(f"SKIPPED: {folder / path} is not here; set LAPWING_SHARED to the folder that holds it")
    return None


def sources(folder):
    """(name, ONNX file, units of a pixel) of each network that is here."""
    found = [(path.stem, path, 1 / 255) for path in nets.write(folder)]
    found.append(("detect-nano", ROOT / "models/detect-nano/model.onnx", 1.0))
    yolox = shared("models/yolox_nano.onnx")
    if yolox:
        found.append(("yolox-nano", yolox, 1.0))
    return found


def pictures(shape, unit):
    """The bundled photographs as arrays of (1, 3, height, width)."""
    found = []
    for path in sorted(PHOTOS.glob("*.jpg")):
        picture = cv2.resize(cv2.imread(str(path)), (shape[2], shape[1]))
        found.append((picture.transpose(2, 0, 1)[None] * unit).astype(numpy.float32))
    return found


def make(name, source, unit, folder, lapwing):
    """All forms of one network."""
    base = Network(name, folder, (), 0)
    plain, meta = base.form("float.onnx"), base.form("form.json")
    if not meta.exists():
        say(f"making the forms of {name}")
        graph.float_network(source, plain)
        read = graph.read(plain)
        shape = read.shapes[read.input]
        arrays = pictures(shape, unit)
        graph.measure(read, plain, arrays)
        tflite.write(read, base.form("tflite"))
        ncnn_int8.write(read, base.form("ncnn.param"))
        qdq.quantize(plain, read.input, arrays, base.form("qdq.onnx"))
        qdq.bytes_at_both_ends(base.form("qdq.onnx"), base.form("u8.onnx"))
        base.form("qdq.json").write_text(json.dumps({"shape": shape}))
        meta.write_text(json.dumps({"shape": shape, "macs": read.macs()}))
    found = json.loads(meta.read_text())
    network = Network(name, folder, tuple(found["shape"]), found["macs"])
    artifact(network, source, lapwing)
    return network


def artifact(network, source, lapwing):
    """lapwing's own form; the shipped detector has one already."""
    into = network.form("lap")
    shipped = ROOT / "models/detect-nano/model.lap"
    if into.exists():
        return
    if network.name == "detect-nano":
        into.write_bytes(shipped.read_bytes())
        return
    call = [lapwing, "model", "quantize", source, "--calibrate", PHOTOS, "-o", into]
    if source.parent == network.folder:
        # weights drawn at random have no accuracy to search for, and the graph stays that of the peers
        call.append("--quick")
    done = subprocess.run([str(word) for word in call], capture_output=True, text=True)
    if done.returncode:
        say(f"lapwing has no form of {network.name}: {done.stderr.strip().splitlines()[-1:]}")


def all_networks(folder, lapwing, only):
    """Each network with its forms, or those that `only` names."""
    folder.mkdir(parents=True, exist_ok=True)
    found = sources(folder)
    unknown = set(only) - {name for name, _, _ in found}
    if unknown:
        raise SystemExit(f"no network {sorted(unknown)}; there are {[name for name, _, _ in found]}")
    return [make(*one, folder, lapwing) for one in found if not only or one[0] in only]

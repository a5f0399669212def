"""Decode the picture shards once into flat arrays that fit on the GPU.

    python pack.py SOURCE PACKED [--splits train,val,test,away] [--limit N] [--tars MIB | --expand]

SOURCE holds `{name}-NN.tar` (flat tars of JPEG files, long side at most 352 pixels) and
`instances_{name}.json` (COCO format; an annotation may carry `difficult`: 0, 1 or null; a picture
may carry `source` and `labelled`, the categories whose objects are boxed in it: all if absent).
Split `train` is `train` and `extra` without the pictures of source coco_train2017, in an order
drawn once; those make the split `away`, pictures from elsewhere, which no training sees.
PACKED receives, for each split:

- `{split}.npz`: `wh` float32 [N, 2] picture sizes in pixels, `box` float32 [N, G, 4] corners
  (x0, y0, x1, y1) in pixels, `cls` int64 [N, G], `dif` bool [N, G], `n` int64 [N] valid boxes,
  `known` bool [N, classes]: which classes are labelled in the picture;
- `{split}-FIRST-LAST.npy`: uint8 [LAST - FIRST, 352, 352, 4], RGB and one unused byte, the picture
  in the top left corner and grey 114 around it; four bytes a pixel let the sampler fetch one
  32-bit word.

`--tars MIB` writes `{split}-FIRST-LAST.tar` of the JPEG files instead, each at most that large, to
carry to another machine in pieces; there `pack.py PACKED PACKED --expand` decodes those present.
"""

import argparse
import io
import json
import os
import random
import tarfile
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SIDE = 352
GREY = 114
ELSEWHERE = "coco_train2017"


class Picture(NamedTuple):
    """A file, its classes that are labelled, and its boxes (x0, y0, x1, y1, class, difficult)."""

    jpeg: bytes
    size: tuple[int, int]
    known: list[int]
    boxes: list[tuple]


def decode(jpeg: bytes) -> np.ndarray:
    """One JPEG to a canvas, uint8 [SIDE, SIDE, 4]."""
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    width, height = picture.size
    canvas = np.full((SIDE, SIDE, 4), GREY, np.uint8)
    canvas[:height, :width, :3] = np.asarray(picture)
    return canvas


def read_shards(source: Path, name: str) -> dict[str, bytes]:
    """File name to JPEG bytes, over all shards of a name."""
    files = {}
    for shard in sorted(source.rglob(f"{name}-[0-9][0-9].tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.isfile():
                    files[Path(member.name).name] = tar.extractfile(member).read()
    return files


def read(source: Path, name: str, elsewhere: bool | None = None) -> list[Picture]:
    """The pictures of `instances_{name}.json`; `elsewhere` keeps or drops those of ELSEWHERE."""
    index = json.loads(next(source.rglob(f"instances_{name}.json")).read_text())
    files = read_shards(source, name)
    categories = sorted(index["categories"], key=lambda category: category["id"])
    class_of = {category["id"]: k for k, category in enumerate(categories)}
    boxes: dict[int, list[tuple]] = {}
    for note in index["annotations"]:
        x, y, w, h = note["bbox"]
        difficult = bool(note.get("difficult"))
        entry = (x, y, x + w, y + h, class_of[note["category_id"]], difficult)
        boxes.setdefault(note["image_id"], []).append(entry)
    pictures = []
    for image in sorted(index["images"], key=lambda image: image["id"]):
        if elsewhere is None or elsewhere == (image.get("source") == ELSEWHERE):
            jpeg = files[image["file_name"]]
            known = [class_of[c] for c in image.get("labelled", class_of)]
            size = Image.open(io.BytesIO(jpeg)).size
            pictures.append(Picture(jpeg, size, known, boxes.get(image["id"], [])))
    return pictures


def split_of(source: Path, split: str) -> list[Picture]:
    """All pictures of a split, in their packed order."""
    if split == "away":
        return read(source, "extra", elsewhere=True)
    pictures = read(source, split)
    if split == "train":
        if any(source.rglob("instances_extra.json")):
            pictures += read(source, "extra", elsewhere=False)
        random.Random(0).shuffle(pictures)  # any run of rows is a fair sample
    return pictures


def fields_of(pictures: list[Picture], classes: int = 20) -> dict[str, np.ndarray]:
    """The arrays of `{split}.npz`."""
    count, most = len(pictures), max(len(p.boxes) for p in pictures)
    box = np.zeros((count, most, 4), np.float32)
    cls = np.zeros((count, most), np.int64)
    dif = np.zeros((count, most), bool)
    known = np.zeros((count, classes), bool)
    for row, picture in enumerate(pictures):
        known[row, picture.known] = True
        for column, entry in enumerate(picture.boxes):
            box[row, column], cls[row, column], dif[row, column] = entry[:4], entry[4], entry[5]
    return {
        "wh": np.array([p.size for p in pictures], np.float32),
        "n": np.array([len(p.boxes) for p in pictures]),
        "box": box, "cls": cls, "dif": dif, "known": known,
    }  # fmt: skip


def write_pixels(target: Path, name: str, first: int, files: list[bytes]) -> None:
    """Decode a run of rows into `{name}-FIRST-LAST.npy`; the file appears when it is whole."""
    with Pool() as pool:
        canvases = pool.map(decode, files, chunksize=16)
    path = target / f"{name}-{first:05d}-{first + len(files):05d}.npy"
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.save(file, np.stack(canvases))
    os.replace(part, path)


def write_tars(target: Path, name: str, files: list[bytes], most: int) -> None:
    """Split the JPEG files into tars of at most `most` bytes."""
    first = 0
    while first < len(files):
        last, size = first, 10240
        while last < len(files) and size + len(files[last]) + 1024 <= most:
            size += 512 + -(-len(files[last]) // 512) * 512
            last += 1
        with tarfile.open(target / f"{name}-{first:05d}-{last:05d}.tar", "w") as tar:
            for row in range(first, last):
                member = tarfile.TarInfo(f"{row:05d}.jpg")
                member.size = len(files[row])
                tar.addfile(member, io.BytesIO(files[row]))
        first = last


def expand(target: Path) -> None:
    """Decode every `*-FIRST-LAST.tar` of a folder that has no `.npy` yet."""
    for path in sorted(target.glob("*-[0-9]*-[0-9]*.tar")):
        name, first, _ = path.stem.rsplit("-", 2)
        if not path.with_suffix(".npy").exists():
            with tarfile.open(path) as tar:
                members = sorted(tar.getmembers(), key=lambda member: member.name)
                files = [tar.extractfile(member).read() for member in members]
            write_pixels(target, name, int(first), files)
            print(path.stem, len(files), "pictures", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--splits", default="train,val,test,away")
    parser.add_argument("--limit", type=int, default=0, help="first N pictures only (rehearsals)")
    parser.add_argument("--tars", type=float, help="MiB a tar of JPEG files, in place of pixels")
    parser.add_argument("--expand", action="store_true", help="decode the tars of PACKED")
    args = parser.parse_args()
    args.packed.mkdir(parents=True, exist_ok=True)
    if args.expand:
        expand(args.packed)
        return
    for split in args.splits.split(","):
        pictures = split_of(args.source, split)[: args.limit or None]
        files = [picture.jpeg for picture in pictures]
        if args.tars:
            write_tars(args.packed, split, files, int(args.tars * 2**20))
        else:
            write_pixels(args.packed, split, 0, files)
        np.savez_compressed(args.packed / f"{split}.npz", **fields_of(pictures))
        print(split, len(pictures), "pictures", flush=True)


if __name__ == "__main__":
    main()

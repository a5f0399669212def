"""Decode the picture shards once into flat arrays that fit on the GPU.

    python pack.py SOURCE PACKED [--splits train,val,test] [--limit N]

SOURCE holds `{split}-NN.tar` (flat tars of JPEG files, long side at most 352 pixels) and
`instances_{split}.json` (COCO format; an annotation may carry `difficult`: 0, 1 or null).
PACKED receives, for each split:

- `{split}.npy`: uint8 [N, 352, 352, 4], RGB and one unused byte, the picture in the top left
  corner and grey 114 around it; four bytes a pixel let the sampler fetch one 32-bit word;
- `{split}.npz`: `wh` float32 [N, 2] picture sizes in pixels, `box` float32 [N, G, 4] corners
  (x0, y0, x1, y1) in pixels, `cls` int64 [N, G], `dif` bool [N, G], `n` int64 [N] valid boxes.
"""

import argparse
import io
import json
import tarfile
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 352
GREY = 114


def decode(jpeg: bytes) -> tuple[np.ndarray, int, int]:
    """One JPEG to (canvas uint8 [SIDE, SIDE, 4], width, height)."""
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    width, height = picture.size
    canvas = np.full((SIDE, SIDE, 4), GREY, np.uint8)
    canvas[:height, :width, :3] = np.asarray(picture)
    return canvas, width, height


def read_shards(source: Path, split: str) -> dict[str, bytes]:
    """File name to JPEG bytes, over all shards of a split."""
    files = {}
    for shard in sorted(source.rglob(f"{split}-*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.isfile():
                    files[Path(member.name).name] = tar.extractfile(member).read()
    return files


def pack(source: Path, target: Path, split: str, limit: int = 0) -> int:
    """Write one split; returns the number of pictures."""
    index = json.loads(next(source.rglob(f"instances_{split}.json")).read_text())
    files = read_shards(source, split)
    images = sorted(index["images"], key=lambda image: image["id"])
    images = images[: limit or None]
    with Pool() as pool:
        decoded = pool.map(decode, [files[i["file_name"]] for i in images], chunksize=32)

    row_of = {image["id"]: row for row, image in enumerate(images)}
    categories = sorted(index["categories"], key=lambda category: category["id"])
    class_of = {category["id"]: k for k, category in enumerate(categories)}
    objects: list[list[tuple]] = [[] for _ in images]
    for note in index["annotations"]:
        if note["image_id"] in row_of:
            x, y, w, h = note["bbox"]
            entry = (x, y, x + w, y + h, class_of[note["category_id"]], note.get("difficult") or 0)
            objects[row_of[note["image_id"]]].append(entry)

    count, most = len(images), max(map(len, objects))
    box = np.zeros((count, most, 4), np.float32)
    cls = np.zeros((count, most), np.int64)
    dif = np.zeros((count, most), bool)
    for row, entries in enumerate(objects):
        for column, entry in enumerate(entries):
            box[row, column] = entry[:4]
            cls[row, column] = entry[4]
            dif[row, column] = bool(entry[5])

    target.mkdir(parents=True, exist_ok=True)
    np.save(target / f"{split}.npy", np.stack([canvas for canvas, _, _ in decoded]))
    np.savez(
        target / f"{split}.npz",
        wh=np.array([[w, h] for _, w, h in decoded], np.float32),
        box=box,
        cls=cls,
        dif=dif,
        n=np.array([len(entries) for entries in objects]),
    )
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--splits", default="train,val,test")
    parser.add_argument("--limit", type=int, default=0, help="first N pictures only (rehearsals)")
    args = parser.parse_args()
    for split in args.splits.split(","):
        print(split, pack(args.source, args.packed, split, args.limit), "pictures", flush=True)


if __name__ == "__main__":
    main()

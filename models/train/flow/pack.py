"""Pack pictures small enough to travel: WebP, long side 256, with the geometry of their boxes.

    python pack.py SOURCE PACKED [--splits train,val,test] [--limit N] [--shard-mib 24]

SOURCE holds `{split}-NN.tar` (flat tars of JPEG files) and `instances_{split}.json` (COCO format).
PACKED receives `{split}-NN.npz`, each below the shard size, with

- `webp` uint8: the files one after the other; picture i is `webp[offsets[i]:offsets[i + 1]]`;
- `wh` int32 [N, 2]: sizes in pixels; `box` float32 [N, G, 4]: corners x0, y0, x1, y1 in pixels of
  the packed picture, zero where there is none; `cls` int64 [N, G]: class, -1 where there is none.
"""

import argparse
import io
import json
import tarfile
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 256
QUALITY = 82
BOXES_MAX = 16  # the largest of a picture are kept


def shrink(jpeg: bytes) -> tuple[bytes, int, int, float]:
    """One JPEG to (WebP, width, height, scale)."""
    picture = Image.open(io.BytesIO(jpeg)).convert("RGB")
    scale = min(1.0, SIDE / max(picture.size))
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    out = io.BytesIO()
    picture.resize(size, Image.LANCZOS).save(out, "WEBP", quality=QUALITY)
    return out.getvalue(), *size, scale


def unpack(webp: bytes) -> np.ndarray:
    """One WebP to a canvas uint8 [SIDE, SIDE, 3], the picture in the top left corner."""
    picture = np.asarray(Image.open(io.BytesIO(webp)).convert("RGB"))
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas


def read_shards(source: Path, split: str) -> dict[str, bytes]:
    """File name to JPEG bytes, over all tars of a split."""
    files = {}
    for shard in sorted(source.rglob(f"{split}-*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.isfile():
                    files[Path(member.name).name] = tar.extractfile(member).read()
    return files


def geometry(index: dict, images: list[dict]) -> list[list[tuple]]:
    """Boxes (x0, y0, x1, y1, class) of each picture in its own pixels, largest first."""
    categories = sorted(index["categories"], key=lambda category: category["id"])
    class_of = {category["id"]: k for k, category in enumerate(categories)}
    row_of = {image["id"]: row for row, image in enumerate(images)}
    boxes: list[list[tuple]] = [[] for _ in images]
    for note in index["annotations"]:
        if note["image_id"] in row_of:
            x, y, w, h = note["bbox"]
            entry = (x, y, x + w, y + h, class_of[note["category_id"]])
            boxes[row_of[note["image_id"]]].append(entry)
    for entries in boxes:
        entries.sort(key=lambda e: -(e[2] - e[0]) * (e[3] - e[1]))
    return boxes


def pack(source: Path, target: Path, split: str, limit: int, shard_bytes: int) -> int:
    """Write the shards of one split; returns the number of pictures."""
    index = json.loads(next(source.rglob(f"instances_{split}.json")).read_text())
    images = sorted(index["images"], key=lambda image: image["id"])[: limit or None]
    files = read_shards(source, split)
    with Pool() as pool:
        packed = pool.map(shrink, [files[i["file_name"]] for i in images], chunksize=32)
    notes = geometry(index, images)
    target.mkdir(parents=True, exist_ok=True)
    start = shard = 0
    while start < len(images):
        stop, size = start, 0
        while stop < len(images) and size + len(packed[stop][0]) <= shard_bytes:
            size += len(packed[stop][0])
            stop += 1
        rows = range(start, max(stop, start + 1))
        box = np.zeros((len(rows), BOXES_MAX, 4), np.float32)
        cls = np.full((len(rows), BOXES_MAX), -1, np.int64)
        for k, row in enumerate(rows):
            for g, entry in enumerate(notes[row][:BOXES_MAX]):
                box[k, g], cls[k, g] = np.array(entry[:4]) * packed[row][3], entry[4]
        np.savez(
            target / f"{split}-{shard:02}.npz",
            webp=np.frombuffer(b"".join(packed[row][0] for row in rows), np.uint8),
            offsets=np.cumsum([0] + [len(packed[row][0]) for row in rows]),
            wh=np.array([packed[row][1:3] for row in rows], np.int32), box=box, cls=cls,
        )
        start, shard = rows.stop, shard + 1
    return len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--splits", default="train,val,test")
    parser.add_argument("--limit", type=int, default=0, help="first N pictures only (rehearsals)")
    parser.add_argument("--shard-mib", type=float, default=24)
    args = parser.parse_args()
    for split in args.splits.split(","):
        count = pack(args.source, args.packed, split, args.limit, int(args.shard_mib * 2**20))
        print(split, count, "pictures", flush=True)


if __name__ == "__main__":
    main()

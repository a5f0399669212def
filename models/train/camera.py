"""What cameras do to a picture, as batched operations on the device.

Each effect takes RGB pictures [K, 3, S, S], 0..255, with random strength a picture, and works on a
random part of the batch whose size is its share in SHARES: shapes stay static, nothing waits for
the host, and an effect costs only what its share costs. The teacher sees the clean pictures.
"""

import math
from functools import cache

import torch
from torch import Tensor

from pack import GREY

# share of the pictures of a batch; the effects are drawn independently and may meet in one picture
SHARES = {
    "backlight": 0.05,
    "gamma": 0.06,
    "night": 0.07,
    "grey": 0.05,
    "blur": 0.06,
    "coarse": 0.04,
    "noise": 0.06,
    "jpeg": 0.06,
}

LUMA = (0.299, 0.587, 0.114)


def uniform(like: Tensor, low: float, high: float) -> Tensor:
    """One number a picture [K, 1, 1, 1]."""
    return torch.rand((like.shape[0], 1, 1, 1), device=like.device) * (high - low) + low


def luma(x: Tensor) -> Tensor:
    """Brightness [K, 1, S, S]."""
    return sum(weight * x[:, k : k + 1] for k, weight in enumerate(LUMA))


def ramp(x: Tensor) -> Tensor:
    """A smooth step across each picture in a random direction [K, 1, S, S], 0..1."""
    axis = torch.linspace(-1, 1, x.shape[-1], device=x.device)
    angle = uniform(x, 0, 2 * math.pi)
    along = angle.cos() * axis[None, None, None, :] + angle.sin() * axis[None, None, :, None]
    return torch.sigmoid((along - uniform(x, -0.5, 0.5)) * uniform(x, 1.5, 6))


def backlight(x: Tensor) -> Tensor:
    """One side bright and washed out, the other dark."""
    bright = ramp(x)
    dark = x * (1 - (1 - bright) * uniform(x, 0.3, 0.8))
    veil = bright * uniform(x, 0.1, 0.6)
    return dark * (1 - veil) + 255 * veil


def gamma(x: Tensor) -> Tensor:
    """Under- and over-exposure by a power of the levels."""
    power = uniform(x, math.log(0.45), math.log(2.4)).exp()
    return 255 * ((x + 1e-3) / 255).clamp(0, 1) ** power


def night(x: Tensor) -> Tensor:
    """Little light: fewer photons, read noise, gain that does not make up for it, less colour."""
    exposure = uniform(x, math.log(0.02), math.log(0.3)).exp()
    light = ((x / 255).clamp(0, 1) + 1e-6) ** 2.2 * exposure
    shot = uniform(x, 0.0, 0.02)
    read = uniform(x, 0.0, 0.01)
    spread = ((light * shot + read * read) * exposure + 1e-12).sqrt()
    light = light + torch.randn_like(x) * spread
    gain = exposure ** -uniform(x, 0.2, 0.95)
    y = 255 * ((light * gain).clamp(0, 1) + 1e-6) ** (1 / 2.2)
    return torch.lerp(y, luma(y).expand_as(y), uniform(x, 0.0, 0.8))


def grey(x: Tensor) -> Tensor:
    """No colour, as with infrared light, and another contrast."""
    y = (luma(x) - 114) * uniform(x, 0.7, 1.3) + 114
    return y.expand_as(x)


def blur(x: Tensor) -> Tensor:
    """Out of focus or moved: a Gaussian of its own width along each axis."""
    size = x.shape[-1]
    axis = torch.arange(size, device=x.device, dtype=torch.float32)
    gap = (axis[:, None] - axis[None]).square()[None, None]
    widths = [uniform(x, math.log(0.4), math.log(3.0)).exp() for _ in range(2)]
    down, across = ((-gap / (2 * w * w)).softmax(-1) for w in widths)
    return down @ x @ across.transpose(-1, -2)


@cache
def _through(size: int, small: int, device: str) -> Tensor:
    """The matrix of a resize to `small` and back [size, size]."""
    from teacher import shrink

    return (shrink(small, size) @ shrink(size, small)).to(device)


def coarse(x: Tensor) -> Tensor:
    """Few pixels, enlarged."""
    size = x.shape[-1]
    matrix = _through(size, size * 2 // 5, str(x.device))
    keep = uniform(x, 0.0, 0.5)
    return torch.lerp(matrix @ x @ matrix.T, x, keep)


def noise(x: Tensor) -> Tensor:
    """Sensor noise, partly the same in all channels."""
    sigma = uniform(x, 2, 22)
    mono = uniform(x, 0, 1)
    shared = torch.randn_like(x[:, :1])
    return x + sigma * torch.lerp(torch.randn_like(x), shared.expand_as(x), mono)


@cache
def _cosines(device: str) -> tuple[Tensor, Tensor, Tensor]:
    """The 8-point transform [8, 8], steps of brightness and of colour [8, 8] as JPEG's annex K
    has them, colour smoothed to a slope."""
    k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
    matrix = torch.cos(math.pi * (2 * n + 1) * k / 16) * 0.5
    matrix[0] /= math.sqrt(2)
    bright = torch.tensor([
        [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
    ]).float()  # fmt: skip
    colour = (17 + 14 * (k + n)).clamp(max=99)
    return matrix.to(device), bright.to(device), colour.to(device)


def jpeg(x: Tensor) -> Tensor:
    """Quantized 8x8 cosine coefficients of brightness and colour, quality about 10 to 60."""
    matrix, bright, colour = _cosines(str(x.device))
    y = luma(x)
    planes = torch.cat([y - 128, (x[:, 2:] - y) * 0.564, (x[:, :1] - y) * 0.713], 1)
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    quality = uniform(x, math.log(0.8), math.log(5.0)).exp()[..., None, None]
    steps = torch.stack([bright, colour, colour])[None, :, None, None] * quality
    levels = torch.round(matrix @ blocks @ matrix.T / steps) * steps
    planes = (matrix.T @ levels @ matrix).transpose(3, 4).flatten(2, 3).flatten(3, 4)
    y, blue, red = planes[:, :1] + 128, planes[:, 1:2] / 0.564, planes[:, 2:] / 0.713
    r, b = y + red, y + blue
    return torch.cat([r, (y - LUMA[0] * r - LUMA[2] * b) / LUMA[1], b], 1)


EFFECTS = (backlight, gamma, night, grey, blur, coarse, noise, jpeg)


def degrade(image: Tensor, shares: dict[str, float] = SHARES) -> Tensor:
    """A batch as cameras might have seen it; whole levels 0..255, as a camera gives them. The grey
    of the letterbox, which comes after the camera, stays as it is."""
    around = ((image - GREY).abs() < 0.2).all(1, keepdim=True)
    image = image.clone(memory_format=torch.contiguous_format)
    for effect in EFFECTS:
        count = round(shares[effect.__name__] * len(image))
        if count:
            rows = torch.rand(len(image), device=image.device).topk(count).indices
            image.index_copy_(0, rows, effect(image[rows]).clamp(0, 255))
    return torch.where(around, float(GREY), image).round()

"""Pictures as Ultralytics fits them to a network's input."""

import cv2
import numpy as np


def letterbox(picture, height, width):
    """Keeps the aspect ratio, in the middle of grey (114)."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    inner = cv2.resize(picture, (round(picture.shape[1] * scale), round(picture.shape[0] * scale)))
    out = np.full((height, width, 3), 114, np.uint8)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return out

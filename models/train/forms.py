"""The networks by name: how each is made, and what it learns from."""

from functools import partial
from typing import Callable, NamedTuple

import grid
from grid import Grid
from loss import TERMS, total_loss
from network import SHAPES, Body, Detector


class Form(NamedTuple):
    """`make` a network with random weights; its `loss` and the names of that one's five terms."""

    make: Callable[[], Body]
    loss: Callable = total_loss
    terms: tuple[str, ...] = TERMS


FORMS = {
    **{name: Form(partial(Detector, shape)) for name, shape in SHAPES.items()},
    "grid": Form(Grid, grid.total_loss, grid.TERMS),  # on the body of nano
    "grid16": Form(partial(Grid, 16), grid.total_loss, grid.TERMS),  # cells of 16 pixels
}

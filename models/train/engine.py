"""One whole training step: augmentation, teacher, student, loss, optimiser, averaged weights.

On a GPU the step of each input size is captured once in a CUDA graph and replayed, because the
network is so small that launching its kernels costs more than running them. `fused` also runs
torch.compile on the sampler and the loss, which are chains of element-wise kernels; `compiled`
runs it on the networks as well, which takes minutes.
"""

import copy
import traceback
from typing import Callable

import torch
from torch import Tensor, nn

from augment import Augmenter, Batch, Knobs, render
from dataset import Dataset
from loss import total_loss
from network import Body, cells
from teacher import Teacher

MODES = ("compiled", "fused", "graph", "eager")


class Engine:
    """Owns the trained network, its running average, the optimiser and the captured steps."""

    def __init__(
        self, model: Body, data: Dataset, teacher: Teacher | None, count: int,
        weight_decay: float = 0.05, truth_weight: float = 1.0, teacher_weight: float = 1.0,
        loss: Callable = total_loss,
    ):
        self.device = data.device
        self.gpu = self.device == "cuda"
        self.count = count
        self.model = model.to(self.device).to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.teacher = teacher
        if teacher is not None:
            self.teacher = teacher.to(self.device).to(memory_format=torch.channels_last)
        self.knobs = Knobs.on(self.device)
        if teacher is None:
            self.knobs.blend.zero_()  # blends have no boxes: only a teacher has a say on them
        self.augmenter = Augmenter(data, self.knobs, view=teacher.size if teacher else None)
        self.truth_weight, self.teacher_weight = truth_weight, teacher_weight

        self.lr = torch.zeros((), device=self.device)
        self.average_rate = torch.full((), 2e-4, device=self.device)
        self.sums = torch.zeros(6, device=self.device)  # five loss terms and the steps counted
        parameters = list(model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            groups, lr=self.lr, fused=self.gpu, capturable=self.gpu, foreach=False
        )
        live = zip(self.average.state_dict().values(), self.model.state_dict().values())
        pairs = [(a, m) for a, m in live if a.is_floating_point()]
        self._average, self._live = [a for a, _ in pairs], [m for _, m in pairs]
        self.loss = loss
        self.run_student, self.run_teacher, self.run_loss = self.model, self.teacher, loss
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.grids: dict[int, tuple[Tensor, Tensor]] = {}
        self.mode = "eager"

    def _body(self, size: int) -> None:
        batch: Batch = self.augmenter.batch(self.count, size, self.grids[size][0])
        target = self.run_teacher(batch.clean, size) if self.run_teacher is not None else None
        with self.model.autocast(batch.image):
            image = (batch.image / 255).contiguous(memory_format=torch.channels_last)
            outputs = self.run_student(image)
        loss, parts = self.run_loss(
            *outputs, batch, target, *self.grids[size], self.truth_weight, self.teacher_weight
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 20.0, foreach=self.gpu or None)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            delta = torch._foreach_sub(self._live, self._average)
            torch._foreach_mul_(delta, self.average_rate)
            torch._foreach_add_(self._average, delta)
            self.sums[:5] += parts
            self.sums[5] += 1

    def prepare(self, sizes: list[int], mode: str) -> str:
        """Compile and capture every size, falling back to a simpler mode if one fails.

        Warming up leaves no trace: weights, statistics and moments are as before. Returns the
        mode reached.
        """
        self.lr.zero_()
        before = [t.clone() for t in self._state()]
        for size in sizes:
            self.grids[size] = cells(size, self.device, self.model.strides)
        for mode in MODES[MODES.index(mode if self.gpu else "eager") :]:
            try:
                self._prepare(sizes, mode)
                break
            except Exception:  # whatever a compiler or a capture raises, training must go on
                traceback.print_exc()
                self.graphs.clear()
                self.optimizer.zero_grad(set_to_none=True)
        self.mode = mode
        self.sums.zero_()
        with torch.no_grad():
            for target, source in zip(self._state(), before):
                target.copy_(source)
            for tensor in self._moments():
                tensor.zero_()
        return mode

    def _prepare(self, sizes: list[int], mode: str) -> None:
        self.run_student, self.run_teacher = self.model, self.teacher
        self.run_loss, self.augmenter.render = self.loss, render
        if mode in ("compiled", "fused"):
            self.run_loss = torch.compile(self.loss, dynamic=False)
            self.augmenter.render = torch.compile(render, dynamic=False)
        if mode == "compiled":
            self.run_student = torch.compile(self.model, dynamic=False)
            if self.teacher is not None:
                self.run_teacher = torch.compile(self.teacher, dynamic=False)
        if mode == "eager":
            for size in sizes:
                self._body(size)
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for size in sizes:
                for _ in range(3):
                    self._body(size)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        pool = None
        for size in sizes:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool, side, capture_error_mode="thread_local"):
                self._body(size)
            pool = pool or graph.pool()
            self.graphs[size] = graph

    def step(self, size: int) -> None:
        """Run one step at a prepared size; does not wait for it."""
        if size in self.graphs:
            self.graphs[size].replay()
        else:
            self._body(size)

    def drain(self) -> list[float]:
        """Mean loss terms since the last call."""
        *terms, steps = self.sums.tolist()
        self.sums.zero_()
        return [term / max(steps, 1) for term in terms]

    def _state(self) -> list[Tensor]:
        """Weights and statistics, of the network and of its average."""
        return [*self.model.state_dict().values(), *self.average.state_dict().values()]

    def _moments(self) -> list[Tensor]:
        """What the optimiser keeps, in a fixed order (after the first step)."""
        return [
            state[key]
            for group in self.optimizer.param_groups
            for state in (self.optimizer.state[p] for p in group["params"])
            for key in ("step", "exp_avg", "exp_avg_sq")
        ]

    def snapshot(self) -> list[Tensor]:
        """A copy of everything that training changes, in host memory."""
        return [t.detach().to("cpu", copy=True) for t in [*self._state(), *self._moments()]]

    @torch.no_grad()
    def restore(self, saved: list[Tensor]) -> None:
        """Copy a snapshot back in place, so that captured steps keep their addresses; one
        without its last part (the moments) leaves those as they are."""
        for target, source in zip([*self._state(), *self._moments()], saved):
            target.copy_(source)


def seed_everything(seed: int) -> None:
    """Seed every generator; turn on the fast kernels."""
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def parameters_of(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in model.parameters())

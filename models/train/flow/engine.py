"""One training step, captured in a CUDA graph where there is a GPU: loss, optimiser, average."""

import copy
import traceback
from collections.abc import Callable

import torch
from torch import Tensor

from network import Flow


class Engine:
    """Owns the optimiser, the averaged network and the captured step of one objective."""

    def __init__(self, net: Flow, average: Flow, loss: Callable[[], Tensor], device: str):
        self.gpu = device == "cuda"
        self.net, self.average, self.loss = net, average, loss
        self.lr = torch.zeros((), device=device)
        self.rate = torch.full((), 1e-3, device=device)
        self.sums = torch.zeros(2, device=device)
        self.parameters = list(net.parameters())
        self.averaged = list(average.parameters())
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=self.lr, betas=(0.9, 0.99), fused=self.gpu, capturable=self.gpu
        )
        self.graph: torch.cuda.CUDAGraph | None = None

    def _body(self) -> None:
        loss = self.loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0, foreach=self.gpu or None)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            delta = torch._foreach_sub(self.parameters, self.averaged)
            torch._foreach_mul_(delta, self.rate)
            torch._foreach_add_(self.averaged, delta)
            self.sums[0] += loss.detach()
            self.sums[1] += 1

    def prepare(self) -> None:
        """Capture the step; the learning rate is 0 while warming up, so no weight moves."""
        self.lr.zero_()
        if not self.gpu:
            self._body()
            self.sums.zero_()
            return
        try:
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._body()
            torch.cuda.current_stream().wait_stream(side)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                self._body()
            self.graph = graph
        except Exception:  # whatever a capture raises, training must go on
            traceback.print_exc()
            self.optimizer.zero_grad(set_to_none=True)
        self.sums.zero_()

    def step(self) -> None:
        """One step; does not wait for it."""
        self.graph.replay() if self.graph is not None else self._body()

    def drain(self) -> float:
        """Mean loss since the last call."""
        total, steps = self.sums.tolist()
        self.sums.zero_()
        return total / max(steps, 1)

    def tensors(self) -> list[Tensor]:
        """Every tensor that training changes, in a fixed order (after the first step)."""
        moments = [
            self.optimizer.state[p][key]
            for p in self.parameters for key in ("step", "exp_avg", "exp_avg_sq")
        ]
        return [*(p.data for p in self.parameters), *self.averaged, *moments]

    def snapshot(self) -> list[Tensor]:
        """A copy of `tensors` in host memory."""
        return [t.detach().to("cpu", copy=True) for t in self.tensors()]

    @torch.no_grad()
    def restore(self, saved: list[Tensor]) -> None:
        """Copy a snapshot back in place, so that a captured step keeps its addresses."""
        for target, source in zip(self.tensors(), saved, strict=True):
            target.copy_(source)


def twin(net: Flow) -> Flow:
    """A copy that is not trained."""
    return copy.deepcopy(net).eval().requires_grad_(False)

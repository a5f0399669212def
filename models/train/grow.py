"""Carry weights over into a larger shape, so that it begins where the smaller one stands.

    python grow.py WEIGHTS.pt OUT.pt --shape nano --into nano-deep

New convolutions keep their random weights, and what reads their channels begins at zero: the larger
network computes what the smaller one did until training moves the zeros (Net2Net, arXiv:1511.05641,
whose deeper layers begin as identities in place of parts that nothing reads). Chains of a block may
be longer and heads wider; the widths of the stages must be the same.
"""

import argparse

import torch

from forms import FORMS
from network import Detector, half_weights, load_weights


def grow(small: Detector, large: Detector) -> None:
    """Copy the weights of `small` into `large`, in place."""
    old, new = small.state_dict(), large.state_dict()
    for name, wanted in new.items():
        found = old.get(name)
        if found is None:  # a convolution or a branch that the smaller network does not have
            if name.endswith(".skip"):
                wanted.zero_()
            continue
        if found.ndim != wanted.ndim or any(a > b for a, b in zip(found.shape, wanted.shape)):
            raise SystemExit(f"{name}: {tuple(found.shape)} does not fit into {tuple(wanted.shape)}")
        if found.ndim == 4:  # new inputs are not read; new outputs keep their random weights
            wanted[: found.shape[0], found.shape[1] :] = 0
        wanted[tuple(slice(side) for side in found.shape)] = found
    for name in old.keys() - new.keys():  # an identity branch, whose sides are no longer equal
        rows = torch.arange(len(old[name]))
        new[name.replace(".skip", ".point.weight")][rows, rows, 0, 0] += old[name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("out")
    parser.add_argument("--shape", choices=FORMS, default="nano")
    parser.add_argument("--into", choices=FORMS, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    small, large = FORMS[args.shape].make(), FORMS[args.into].make()
    load_weights(small, args.weights)
    grow(small, large)
    sample = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pairs = zip(small.eval()(sample), large.eval()(sample))
    difference = max(float((a - b).abs().max()) for a, b in pairs)
    print(f"{args.out}: largest difference between the two {difference:.2e}")
    if difference > 1e-3:
        raise SystemExit("the larger network does not compute what the smaller one does")
    torch.save(half_weights(large), args.out)


if __name__ == "__main__":
    main()

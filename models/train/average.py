"""The weighted mean of the weights of one training at several times.

    python average.py OUT.pt WEIGHTS.pt:SHARE ...

Shares are divided by their sum. Weights that began from the same ones lie in one basin, and their mean is often steadier
than each (model soups, arXiv:2203.05482). Counters are taken from the last.
"""

import argparse

import torch

from network import check_shape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("weights", nargs="+", metavar="WEIGHTS.pt:SHARE")
    args = parser.parse_args()
    states, shares = [], []
    for entry in args.weights:
        path, share = entry.rsplit(":", 1)
        states.append(torch.load(path, map_location="cpu", weights_only=True))
        shares.append(float(share))
        check_shape(path, list(states[-1].values()), list(states[0].values()))
    total = sum(shares)
    mean = {}
    for key, last in states[-1].items():
        parts = [state[key].float() * (share / total) for state, share in zip(states, shares)]
        mean[key] = sum(parts).half() if last.is_floating_point() else last
    torch.save(mean, args.out)


if __name__ == "__main__":
    main()

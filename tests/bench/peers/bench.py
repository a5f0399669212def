"""Times lapwing and its peers on the same networks, in turns, on the same cores.

Every round gives each engine one turn (A B C A B C ...), so that what else the machine does falls on
all alike. `cargo xtask bench peers` calls this with its own Python and has built what it needs.
"""

import argparse
import json
import pathlib
import statistics

import engines
import forms

TURN_MS = 250  # about how long a turn lasts
RUNS_MIN, RUNS_MAX = 3, 100


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(prog="cargo xtask bench peers", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where networks and forms are kept")
    parser.add_argument("--lapwing", type=pathlib.Path, required=True, help="the release binary")
    parser.add_argument("--rust", type=pathlib.Path, required=True, help="the binary of the Rust peers")
    parser.add_argument("--prepare", action="store_true", help="make networks and forms, time nothing")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--networks", nargs="+", default=[], metavar="NAME", help="default: all")
    parser.add_argument("--engines", nargs="+", default=list(engines.NAMES), choices=engines.NAMES)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 0], help="the first is used for one thread")
    parser.add_argument("--json", type=pathlib.Path, help="also write the result there")
    found = parser.parse_args()
    if max(found.threads) > len(found.cores):
        parser.error(f"--threads {max(found.threads)} needs as many --cores")
    return found


def measure(network, threads, wanted):
    """All engines on one network, in turns."""
    cores = set(wanted.cores[:threads])
    started = engines.start(wanted.engines, network, threads, cores, wanted.lapwing, wanted.rust)
    runs = {}
    for engine in started:  # a short turn that is thrown away, to learn how long a run takes
        engine.turn(RUNS_MIN)
        medians = engine.found.medians
        runs[id(engine)] = max(RUNS_MIN, min(RUNS_MAX, int(TURN_MS / medians[-1]))) if medians else 0
        medians.clear()
        engine.found.minimum_ms = float("inf")
    for _ in range(wanted.rounds):
        for engine in started:
            engine.turn(runs[id(engine)])
    for engine in started:
        engine.close()
    return [engine.found for engine in started]


def peak(found):
    """This machine's int8 peak for one thread in GMAC/s: the best that lapwing measured in this run."""
    rates = [rate / f.threads for f in found for rate in f.details.get("peak_gmac_per_s", [])]
    return max(rates, default=0.0)


def rows(network, found, gmac_peak):
    """One object an engine, ratios to lapwing."""
    ours = next((f for f in found if f.engine == "lapwing" and f.medians), None)
    for one in found:
        row = {"network": network.name, "engine": one.engine, "threads": one.threads}
        if one.failure or not one.medians:
            yield row | {"failure": one.failure or "no time"}
            continue
        median = statistics.median(one.medians)
        gmac_per_s = network.macs / 1e6 / one.minimum_ms
        row |= {
            "median_ms": round(median, 3),
            "min_ms": round(one.minimum_ms, 3),
            "median_to_lapwing": round(median / statistics.median(ours.medians), 3) if ours else None,
            "min_to_lapwing": round(one.minimum_ms / ours.minimum_ms, 3) if ours else None,
            "load_ms": round(min(one.load_ms), 2),
            "peak_rss_mb": one.peak_mb and round(one.peak_mb, 1),
            "own_rss_mb": one.own_mb and round(one.own_mb, 1),
            "gmac_per_s": round(gmac_per_s, 1),
            "peak_share": round(gmac_per_s / gmac_peak / one.threads, 3) if gmac_peak else None,
        }
        yield row | {key: value for key, value in one.details.items() if key != "peak_gmac_per_s"}


def table(all_rows, gmac_peak):
    """The rows for people."""
    head = f"{'network':14} {'engine':12} thr  median     min   x ours  x ours    load    RSS    own  peak"
    lines = [f"int8 peak of this machine: {gmac_peak:.0f} GMAC/s a thread", "", head]
    lines.append(f"{'':14} {'':12}          ms      ms  (medn)   (min)      ms     MB     MB     %")
    for row in all_rows:
        start = f"{row['network']:14} {row['engine']:12} {row['threads']:3}"
        if "failure" in row:
            lines.append(f"{start}  {row['failure'][:90]}")
            continue
        number = lambda key, form: "-".rjust(len(format(0.0, form))) if row[key] is None else format(row[key], form)
        lines.append(
            f"{start} {row['median_ms']:7.2f} {row['min_ms']:7.2f} {number('median_to_lapwing', '7.2f')} "
            f"{number('min_to_lapwing', '7.2f')} {row['load_ms']:7.1f} {number('peak_rss_mb', '6.1f')} "
            f"{number('own_rss_mb', '6.1f')} {100 * (row['peak_share'] or 0):5.0f}"
        )
    return "\n".join(lines)


def main():
    wanted = arguments()
    networks = forms.all_networks(wanted.folder, wanted.lapwing, wanted.networks)
    if wanted.prepare:
        return
    measured = []
    for network in networks:
        for threads in wanted.threads:
            forms.say(f"timing {network.name} on {threads} thread{'s' * (threads > 1)}")
            measured.append((network, measure(network, threads, wanted)))
    gmac_peak = peak([one for _, found in measured for one in found])
    all_rows = [row for network, found in measured for row in rows(network, found, gmac_peak)]
    result = {"peak_gmac_per_s": round(gmac_peak, 1), "rounds": wanted.rounds, "rows": all_rows}
    if wanted.json:
        wanted.json.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    forms.say(table(all_rows, gmac_peak))


if __name__ == "__main__":
    main()

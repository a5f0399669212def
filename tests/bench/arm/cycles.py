"""From executed blocks to instructions by class, predicted cycles and modelled traffic.

Cycles are the sum over blocks of executions times llvm-mca's cycles of the block: no cache misses, no
mispredictions, each block on its own. Use ratios and MAC a cycle; they are no measured speed.
"""

import argparse
import collections
import json
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MODELS = {"cortex-a72": "cortex-a72", "cortex-a76": "neoverse-n1"}  # llvm-mca's name of the core
FEATURES = "-mattr=+v8.2a,+dotprod,+fullfp16,+i8mm,+bf16,+lse,+rdm,+crypto"
COVERED = 0.99  # share of the instructions whose blocks are modelled; the rest is scaled up
BLOCKS_MAX = 1500
BLOCKS_A_CALL = 100
ITERATIONS = 100
PAGE = 4096
UNMODELLED = re.compile(r"(svc|brk|hint|mrs|msr|dmb|dsb|isb|dc|ic|prfm|udf|yield|bti|paci|auti|clrex)")
BRANCHES = ((0x7C000000, 0x14000000), (0xFE000000, 0x54000000), (0x7C000000, 0x34000000), (0xFE000000, 0xD6000000))
CLASSES = (
    ("multiply", re.compile(r"[su]?(dot|mmla)|[su]ml[as]l2?|[su]mull2?|sqr?dml?u?l|ml[as]|mul|[su]adalp|sqrdmulh")),
    ("load", re.compile(r"ld")),
    ("store", re.compile(r"st")),
    ("table", re.compile(r"tb[lx]")),
    ("permute", re.compile(r"zip|uzp|trn|ext|rev|dup|ins|mov[i]?|umov|smov")),
    ("branch", re.compile(r"b\.|b$|bl|br|cbn?z|tbn?z|ret")),
)


def tool(name):
    """An LLVM tool whose models of both cores are recent enough."""
    for candidate in [f"/usr/lib/llvm-{version}/bin/{name}" for version in (22, 21, 20, 19)] + [f"{name}-19"]:
        found = shutil.which(candidate)
        if found:
            return found
    raise SystemExit(f"{name} 19 is not here; install the Debian package llvm-19")


def read(path):
    """(instructions, misses of the last cache in MB, blocks as (count, words))."""
    instructions, traffic, blocks = 0, None, []
    for line in path.read_text().splitlines():
        words = line.split()
        if words[0] == "instructions":
            instructions = int(words[1])
        elif words[0] == "cache":
            traffic = int(words[3]) * 64 / 1e6
        else:
            blocks.append((int(words[0]), int(words[1], 16), [int(word, 16) for word in words[2:]]))
    blocks = joined(blocks)
    blocks.sort(key=lambda block: -block[0] * len(block[1]))
    return instructions, traffic, blocks


def joined(blocks):
    """Blocks (count, address, words) as (count, words), without the cuts that QEMU makes at the ends of pages."""
    after, whole = {}, []
    for block in blocks:
        if block[1] % PAGE == 0:
            after.setdefault(block[1], []).append([block[0], block[2]])
    for count, address, words in blocks:
        if address % PAGE == 0:
            continue
        rest = max(after.get(address + 4 * len(words), []), default=None, key=lambda block: block[0])
        if rest and not branches(words[-1]) and rest[0] >= count:
            rest[0] -= count
            words = words + rest[1]
        whole.append((count, words))
    return whole + [(count, words) for rests in after.values() for count, words in rests if count]


def branches(word):
    """True if an instruction may go elsewhere than to the next: B, BL, B.cond, CBZ, TBZ, BR, BLR, RET."""
    return any(word & mask == bits for mask, bits in BRANCHES)


def disassemble(words):
    """One line of assembly a word."""
    text = "\n".join(" ".join(f"0x{byte:02x}" for byte in word.to_bytes(4, "little")) for word in words)
    call = [tool("llvm-mc"), "-triple=aarch64", "-disassemble", "-mattr=+all"]
    said = subprocess.run(call, input=text, capture_output=True, text=True, check=True).stdout
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.strip().startswith(".")]
    if len(lines) != len(words):
        raise SystemExit(f"llvm-mc gave {len(lines)} lines for {len(words)} instructions")
    return lines


def classify(line):
    """The class of an instruction."""
    mnemonic, _, operands = line.partition("\t")
    for name, pattern in CLASSES:
        if pattern.match(mnemonic):
            return name
    return "vector" if re.match(r"[vqdsh]\d", operands.strip()) else "scalar"


def block_cycles(core, bodies):
    """llvm-mca's cycles of each body."""
    found = []
    for first in range(0, len(bodies), BLOCKS_A_CALL):
        text = ""
        for number, body in enumerate(bodies[first : first + BLOCKS_A_CALL]):
            kept = [line for line in body if not UNMODELLED.match(line)] or ["nop"]
            text += f"# LLVM-MCA-BEGIN r{number}\n" + "\n".join(kept) + f"\n# LLVM-MCA-END r{number}\n"
        call = [tool("llvm-mca"), "-mtriple=aarch64", f"-mcpu={MODELS[core]}", FEATURES, f"-iterations={ITERATIONS}"]
        call += ["-instruction-info=0", "-resource-pressure=0"]
        said = subprocess.run(call, input=text, capture_output=True, text=True)
        cycles = re.findall(r"Total Cycles:\s+(\d+)", said.stdout)
        if said.returncode or len(cycles) != len(bodies[first : first + BLOCKS_A_CALL]):
            raise SystemExit(f"llvm-mca failed: {said.stderr.strip()[:400]}")
        found += [int(count) / ITERATIONS for count in cycles]
    return found


def predict(core, path, mmac):
    """The figures of one run."""
    instructions, traffic, blocks = read(path)
    chosen, covered = [], 0
    for block in blocks[:BLOCKS_MAX]:
        if covered > COVERED * instructions:
            break
        chosen.append(block)
        covered += block[0] * len(block[1])
    lines = iter(disassemble([word for _, words in chosen for word in words]))
    bodies = [[next(lines) for _ in words] for _, words in chosen]
    classes = collections.Counter()
    for (count, _), body in zip(chosen, bodies):
        for line in body:
            classes[classify(line)] += count
    cycles = sum(count * one for (count, _), one in zip(chosen, block_cycles(core, bodies)))
    cycles *= instructions / max(covered, 1)
    return {
        "minstructions": round(instructions / 1e6, 2),
        "instructions_per_mac": round(instructions / 1e6 / mmac, 4),
        "mcycles": round(cycles / 1e6, 2),
        "mac_per_cycle": round(mmac / (cycles / 1e6), 2),
        "traffic_mb": traffic and round(traffic, 1),
        "classes": {name: round(count / max(covered, 1), 3) for name, count in classes.most_common()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="NETWORK:CPU:KERNELS:MMAC:FILE")
    peers = json.loads((HERE / "peers.json").read_text())
    result, lines = [], []
    for run in parser.parse_args().runs:
        network, core, kernels, mmac, path = run.split(":", 4)
        found = {"network": network, "cpu": core, "kernels": kernels, "mmac": float(mmac)}
        found |= predict(core, pathlib.Path(path), float(mmac))
        found["peers"] = peers.get(network, {}).get(core, {})
        result.append(found)
        lines.append(
            f"{network:14} {core:11} lapwing ({kernels}) {found['minstructions']:8.1f} M {found['instructions_per_mac']:6.3f} a MAC "
            f"{found['mcycles']:8.1f} Mcycles {found['mac_per_cycle']:6.2f} MAC/cycle  {found['traffic_mb']} MB"
        )
        for peer, (million, per_mac, mcycles, rate) in found["peers"].items():
            lines.append(f"{'':26} {peer:13} {million:8.1f} M {per_mac:6.3f} a MAC {mcycles:8.1f} Mcycles {rate:6.2f} MAC/cycle")
    print(json.dumps(result))
    print("\n".join(lines), file=sys.stderr)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What nvcc made of the kernels, as a Markdown table or a check: no GPU needed.

    tools/kernel_table.py build                 # every kernel of the objects that CMake's build made
    tools/kernel_table.py build --only experts
    tools/kernel_table.py build --check         # says which kernel is worse than designed, and fails

All is read from the machine code in build/engine/cuda/*.cu.o: registers, static shared memory, stack (where spills go),
threads (the launch bound), and instructions (the low 12 bits of 16 bytes). Dynamic shared memory follows from the
TileShape in a kernel's name, or is told below; blocks per multiprocessor follow from all of these. Instances of a
template share a line, which shows the range of their figures.
"""

import argparse
import collections
import dataclasses
import pathlib
import re
import struct
import sys

SHARED_KIB = {80: 164, 90: 228}  # per multiprocessor; a block costs 1 KiB more than it asks for
REGISTERS, THREADS, BLOCKS = 65536, 2048, 32  # per multiprocessor
HMMA, LDGSTS, BRA = 0x23C, 0xFAE, 0x947  # opcodes
MAX_THREADS, FRAME_SIZE, REGISTER_COUNT = 0x05, 0x11, 0x2F  # attributes
# A kernel that does what a lambda says is named by the function that holds the lambda, which is none of these.
WITHIN = {"rmoe", "cuda", "plain", "flash", "sum_columns", "sum_all"}
ATTENTION = ["causal_fwd", "causal_bwd_queries", "causal_bwd_keys", "span_fwd", "span_bwd_queries", "span_bwd_keys",
             "span_bwd_slots"]
# Kernels with tensor-core and cp.async instructions, and the blocks per multiprocessor that they are designed for.
TENSOR_CORES = {name: 2 for name in ["grouped_rows", "grouped_weights", "swiglu_fwd", "swiglu_bwd_x", "relu_fwd",
                                     "hidden", *(f"flash::{name}" for name in ATTENTION)]}
# Others are to fill half of the threads of a multiprocessor, but for these.
BLOCKS_WANTED = TENSOR_CORES | {f"plain::{name}": 4 for name in ATTENTION}
# KiB of dynamic shared memory that no TileShape tells: with 16 experts; with heads of 64, or by their width.
DYNAMIC_KIB = {
    "count": 0.5, "place": 0.5,
    "plain::causal_fwd": 28, "plain::causal_bwd_queries": 32, "plain::causal_bwd_keys": 36,
    "flash::causal_fwd 32": 30, "flash::causal_fwd 64": 54, "flash::causal_fwd 128": 68,
    "flash::causal_fwd 128 padded": 51,
    "flash::causal_bwd_keys 32": 31, "flash::causal_bwd_keys 64": 55, "flash::causal_bwd_keys 128": 68.5,
    "flash::causal_bwd_queries 32": 40, "flash::causal_bwd_queries 64": 72, "flash::causal_bwd_queries 128": 68,
    "flash::span_fwd 32": 62, "flash::span_fwd 48": 71,
    "flash::span_bwd_queries 32": 66, "flash::span_bwd_queries 48": 81,
    "flash::span_bwd_keys 32": 57, "flash::span_bwd_keys 48": 72,
    "flash::span_bwd_slots 32": 62, "flash::span_bwd_slots 48": 74,
}
# The sine of a large angle in double keeps a table there, once per length; what refuses a value, its message.
MAY_HAVE_A_STACK = {"fill_table: for_each", "embedding_fwd: for_each_row", "cross_entropy_mean: sum",
                    "cross_entropy_mean: sum_parts"}


@dataclasses.dataclass(frozen=True)
class Kernel:
    folder: str
    family: str
    arch: int
    threads: int
    registers: int
    shared: int
    stack: int
    blocks: int
    hmma: int
    ldgsts: int
    loop: str


# ---- what stands in the files

def sections(elf):
    """(name, type, info, bytes) of every section; a section without contents gives its size in zeros"""
    start, = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQII", elf, start + i * size) for i in range(count)]
    names = headers[names_index][4]
    for name, kind, _, _, offset, length, _, info in headers:
        text = elf[names + name:elf.index(b"\0", names + name)].decode()
        yield text, info, bytes(length) if kind == 8 else elf[offset:offset + length]


def cubins(path):
    """(architecture, ELF) of the fat binary in an object file"""
    for name, _, fat in sections(path.read_bytes()):
        begin = 0
        while name == ".nv_fatbin" and begin < len(fat):
            header, length = struct.unpack_from("<HQ", fat, begin + 6)
            at, begin = begin + header, begin + header + length
            while at < begin:
                kind, header, length = struct.unpack_from("<HxxIQ", fat, at)
                elf = fat[at + header:at + header + length]
                if kind == 2 and elf[:4] != b"\x7fELF":
                    sys.exit(f"{path}: its machine code is compressed")
                if kind == 2:
                    yield struct.unpack_from("<I", fat, at + 28)[0], elf
                at += header + length


def attributes(info):
    """(code, bytes) of a .nv.info section"""
    at = 0
    while at < len(info):
        form, code, length = struct.unpack_from("<BBH", info, at)
        at += 4
        if form == 4:
            yield code, info[at:at + length]
            at += length


def identifiers(mangled):
    """The names and literals of a mangled name, in order, and a "Z" before what holds a lambda."""
    token, at = re.compile(r"L[a-z]n?(\d+)E|S[0-9A-Z]*_|T\d*_|(\d+)|(Z)"), 0
    while at < len(mangled):
        found = token.match(mangled, at)
        at = found.end() if found else at + 1
        if found and found[1]:
            yield int(found[1])
        if found and found[2]:
            yield mangled[at:at + int(found[2])]
            at += int(found[2])
        if found and found[3]:
            yield "Z"


def family_of(mangled):
    """(name, dimensions of its TileShape)"""
    parts = list(identifiers(mangled[2:]))
    kernel = next(part for part in parts if str(part).endswith("_kernel"))
    name = kernel.removesuffix("_kernel")
    name = "::".join([part for part in parts[:parts.index(kernel)] if part in ("plain", "flash")] + [name])
    if "Z" in parts:
        function = next(part for part in parts[parts.index("Z"):]
                        if part != "Z" and part not in WITHIN and not part.startswith("_GLOBAL_"))
        return f"{function}: {name}", None
    if "TileShape" not in parts:
        width = parts[parts.index(kernel):] if "flash" in parts else []
        width = [part for part in width if isinstance(part, int)]
        return " ".join([name, *map(str, width[:1]), *(["padded"] if width[1:2] == [0] else [])]), None
    tile = parts[parts.index("TileShape") + 1:][:5]
    return f"{name} {tile[0]}x{tile[1]}", tile


# ---- figures

def dynamic_bytes(family):
    return int(1024 * DYNAMIC_KIB.get(family, DYNAMIC_KIB.get(family.removesuffix(" padded"), 0)))


def blocks_per_multiprocessor(arch, threads, registers, shared):
    of_warp = -(-registers * 32 // 256) * 256
    return min(REGISTERS // (of_warp * (threads // 32)), SHARED_KIB[arch] * 1024 // (shared + 1024), THREADS // threads,
               BLOCKS)


def main_loop(words):
    """Tensor-core instructions of all in the shortest loop around any, where the branch back can be seen: on sm_80."""
    opcodes, loops = [word & 0xFFF for word in words], []
    for i, word in enumerate(words):
        offset = word >> 34 & (1 << 48) - 1  # signed, from the next instruction, in units of 4 bytes
        first = i + 1 + (offset - (offset >> 47 << 48)) * 4 // 16
        if opcodes[i] == BRA and 0 <= first <= i and HMMA in opcodes[first:i]:
            loops.append((i + 1 - first, opcodes[first:i].count(HMMA)))
    return "{1} of {0}".format(*min(loops)) if loops else ""


def kernels_of(path, folder):
    for arch, elf in cubins(path):
        parts = {name: (info, data) for name, info, data in sections(elf)}
        of_symbol = {(code, struct.unpack_from("<I", data)[0]): struct.unpack_from("<I", data, 4)[0]
                     for code, data in attributes(parts[".nv.info"][1]) if code in (REGISTER_COUNT, FRAME_SIZE)}
        for mangled in (name.removeprefix(".text.") for name in parts if name.startswith(".text.")):
            info, code = parts[f".text.{mangled}"]
            symbol = info & 0xFFFFFF
            registers, stack = of_symbol[REGISTER_COUNT, symbol], of_symbol[FRAME_SIZE, symbol]
            family, tile = family_of(mangled)
            x, y, z = struct.unpack("<III", dict(attributes(parts[f".nv.info.{mangled}"][1]))[MAX_THREADS])
            # What the system keeps of a block's, 1 KiB, counts as static on sm_90.
            shared = max(len(parts.get(f".nv.shared.{mangled}", (0, b""))[1]) - (1024 if arch >= 90 else 0), 0)
            shared += tile[4] * (tile[0] + tile[1]) * 32 * 2 if tile else dynamic_bytes(family)
            words = [int.from_bytes(code[i:i + 16], "little") for i in range(0, len(code), 16)]
            opcodes = collections.Counter(word & 0xFFF for word in words)
            blocks = blocks_per_multiprocessor(arch, x * y * z, registers, shared)
            yield Kernel(folder, family, arch, x * y * z, registers, shared, stack, blocks, opcodes[HMMA],
                         opcodes[LDGSTS], main_loop(words) if arch == 80 else "")


# ---- what is shown

def shown(values):
    least, most = min(values), max(values)
    return str(least) if least == most else f"{least}-{most}"


def row(kernels):
    by_arch = {arch: [k for k in kernels if k.arch == arch] for arch in sorted({k.arch for k in kernels})}

    def field(name):
        texts = [shown([getattr(k, name) for k in some]) for some in by_arch.values()]
        return texts[0] if len(set(texts)) == 1 else " / ".join(texts)

    loops = ", ".join(sorted({k.loop for k in kernels if k.loop}))
    return [max(map(len, by_arch.values())),
            *map(field, ["threads", "registers", "shared", "stack", "blocks", "hmma", "ldgsts"]), loops]


def print_table(families):
    columns = ["folder", "kernel", "instances", "threads", "registers", "shared bytes", "stack bytes", "blocks", "HMMA",
               "LDGSTS", "HMMA in the loop"]
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for (folder, family), kernels in families.items():
        print("| " + " | ".join(map(str, [folder, family, *row(kernels)])) + " |")


def faults(kernel):
    name = kernel.family.split(" ")[0]
    wanted = BLOCKS_WANTED.get(name, max(1, THREADS // 2 // kernel.threads))
    if kernel.stack and kernel.family not in MAY_HAVE_A_STACK:
        yield f"{kernel.stack} bytes of stack, wanted none: registers spill"
    if kernel.blocks < wanted:
        yield (f"{kernel.blocks} blocks of {kernel.threads} threads per multiprocessor, wanted {wanted}: "
               f"{kernel.registers} registers, {kernel.shared} bytes of shared memory")
    if kernel.hmma and name not in TENSOR_CORES:
        yield "has tensor-core instructions, but is not listed with those that must"
    if name in TENSOR_CORES:
        yield from (f"no {instruction} instruction" for instruction, count in
                    (("HMMA", kernel.hmma), ("LDGSTS", kernel.ldgsts)) if count == 0)


def read_families(build, only):
    """The kernels of the objects whose name contains `only`, by folder and family."""
    root = pathlib.Path(__file__).resolve().parent.parent
    folders = {str(path.relative_to(root)).replace("/", "_"): str(path.parent.relative_to(root))
               for path in root.glob("[a-z]*/*/*.cu")}
    families = collections.defaultdict(list)
    for path in sorted((build / "engine/cuda").glob("*.cu.o")):
        if only in path.name and path.stem in folders:  # a source that is gone leaves its object
            for kernel in kernels_of(path, folders[path.stem]):
                families[kernel.folder, kernel.family].append(kernel)
    return families


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path, help="the build folder")
    parser.add_argument("--only", default="", help="object files whose name contains this")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    families = read_families(options.build, options.only)
    if not options.check:
        return print_table(families)
    bad = [f"{k.folder}: {k.family}, sm_{k.arch}: {fault}"
           for kernels in families.values() for k in kernels for fault in faults(k)]
    print("\n".join(bad) or f"{sum(map(len, families.values()))} kernels are as designed")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())

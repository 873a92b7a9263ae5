#!/usr/bin/env python3
"""What nvcc makes of the tensor-core kernels, as a Markdown table: no GPU needed.

    tools/kernel_table.py ops/grouped_linear/cuda.cu ops/experts/*.cu

Registers and static shared memory are ptxas', the dynamic shared memory follows from the TileShape in a kernel's
name, and blocks per multiprocessor from those three. Instructions are counted in the machine code (the low 12 bits of
16 bytes); "loop" is the shortest backward branch around tensor-core instructions, which sm_80 encodes so that it can
be found.
"""

import os
import re
import struct
import subprocess
import sys
import tempfile

NVCC = os.environ.get("NVCC", "/usr/local/cuda/bin/nvcc")
SHARED_KIB = {80: 164, 90: 228}  # per multiprocessor; a block costs 1 KiB more than it asks for
HMMA, BRA = 0x23C, 0x947


def compiled(source, arch, folder):
    """(text of ptxas, bytes of the cubin)"""
    cubin = os.path.join(folder, f"kernels.{arch}.cubin")
    run = subprocess.run([NVCC, "-std=c++20", "-O3", "--extended-lambda", f"-arch=sm_{arch}", "-cubin", "-Xptxas", "-v",
                          "-I.", source, "-o", cubin], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{source}: {run.stderr}")
    return run.stdout + run.stderr, open(cubin, "rb").read()


def code_sections(elf):
    """(mangled kernel, 16-byte instructions) of every .text section"""
    offset, = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, offset + i * size) for i in range(count)]
    names = headers[names_index][4]
    for name, _, _, _, start, length in headers:
        text = elf[names + name:elf.index(b"\0", names + name)].decode()
        if text.startswith(".text."):
            words = [int.from_bytes(elf[i:i + 16], "little") for i in range(start, start + length, 16)]
            yield text[6:], words


def branch_target(index, word):
    """A signed offset from the next instruction, in bits 34 and up, in units of 4 bytes."""
    offset = word >> 34 & (1 << 48) - 1
    return index + 1 + (offset - (offset >> 47 << 48)) * 4 // 16


def main_loop(words):
    """(instructions, tensor-core ones) of the shortest loop around any; None if there is none to be seen"""
    opcodes = [w & 0xFFF for w in words]
    loops = [(i + 1 - branch_target(i, w), branch_target(i, w)) for i, w in enumerate(words)
             if opcodes[i] == BRA and 0 <= branch_target(i, w) <= i and HMMA in opcodes[branch_target(i, w):i]]
    if not loops:
        return None
    length, first = min(loops)
    return length, opcodes[first:first + length].count(HMMA)


def shown_name(mangled):
    text = subprocess.run(["c++filt", mangled], capture_output=True, text=True).stdout.strip()
    text = re.sub(r"rmoe::cuda::|\(anonymous namespace\)::|^void ", "", text)
    text = re.sub(r"TileShape<(\d+), (\d+)[^>]*>", r"\1x\2", text)
    return re.sub(r"\(.*", "", text)


def rows_of(source, arch, folder):
    log, elf = compiled(source, arch, folder)
    code = dict(code_sections(elf))
    used = re.findall(r"entry function '(\S+)' for.*?(\d+) bytes spill stores.*?Used (\d+) registers(.*?)\n", log, re.S)
    for mangled, spills, registers, rest in used:
        tile = re.search(r"TileShapeILi(\d+)ELi(\d+)ELi(\d+)ELi(\d+)ELi(\d+)", mangled)
        if not tile or HMMA not in [w & 0xFFF for w in code[mangled]]:
            continue
        rows, columns, warp_rows, warp_columns, stages = map(int, tile.groups())
        static = re.search(r"(\d+) bytes smem", rest)
        shared = stages * (rows + columns) * 32 * 2 + (int(static.group(1)) if static else 0)
        of_warp = -(-int(registers) * 32 // 256) * 256
        blocks = min(65536 // (of_warp * warp_rows * warp_columns), SHARED_KIB[arch] * 1024 // (shared + 1024))
        loop = main_loop(code[mangled])
        yield (shown_name(mangled), arch, int(registers), int(spills), shared, blocks, len(code[mangled]),
               f"{loop[1]} of {loop[0]}" if loop and arch == 80 else "")


def main():
    columns = ["kernel", "sm", "registers", "spilled bytes", "shared bytes", "blocks per multiprocessor",
               "instructions", "HMMA in the loop"]
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for source in sys.argv[1:]:
            for arch in SHARED_KIB:
                for row in rows_of(source, arch, folder):
                    print("| " + " | ".join(map(str, row)) + " |", flush=True)


if __name__ == "__main__":
    main()

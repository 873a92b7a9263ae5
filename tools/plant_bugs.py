#!/usr/bin/env python3
"""Plants bugs in the CUDA kernels, one at a time, and demands that a test goes red.

    tools/plant_bugs.py                         # every bug of tools/planted_bugs/*.txt
    tools/plant_bugs.py ops.txt --only embedding --build planted

A file of bugs holds blocks; the old text must occur in the file exactly once:

    # embedding: the last row of a run is left out          (its name)
    # tests: *ops/embedding/*                               (optional; else the folder of the file)
    ops/embedding/cuda.cu
    <<<
    old text
    ===
    new text
    >>>

The tree is copied first, so nothing here is touched. A bug is caught if a test fails, or hangs, on the emulated device
with seed 0 or 1, or with the checker. A suite that is red without a bug proves nothing, so that is tried first.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT_S = 600
# program, seed: the cheap ones first
RUNS = [("rmoe_emulator_tests_ops", 0), ("rmoe_emulator_tests_ops", 1),
        ("rmoe_emulator_tests_ops_checked", 0), ("rmoe_emulator_tests_ops_checked", 1)]


@dataclasses.dataclass
class Bug:
    name: str
    file: str
    old: str
    new: str
    tests: str


def tests_for(file):
    folder = pathlib.PurePosixPath(file).parts
    return f"*ops/{folder[1]}/*" if folder[0] == "ops" else "*ops/*"


def read_bugs(path):
    """The blocks of one file, in order."""
    bugs, comments, lines = [], [], path.read_text().splitlines()
    i = 0
    while i < len(lines):
        line = lines[i].strip()
        i += 1
        if not line:
            comments = []
        elif line.startswith("#"):
            comments.append(line[1:].strip())
        else:
            opened, middle = i, lines.index("===", i)
            closed = lines.index(">>>", middle)
            if lines[opened] != "<<<":
                sys.exit(f"{path}:{opened + 1}: wanted <<< behind {line}")
            chosen = [c.removeprefix("tests:").strip() for c in comments if c.startswith("tests:")]
            names = [c for c in comments if not c.startswith("tests:")]
            bugs.append(Bug(" ".join(names), line, "\n".join(lines[opened + 1:middle]),
                            "\n".join(lines[middle + 1:closed]), chosen[0] if chosen else tests_for(line)))
            comments, i = [], closed + 1
    return bugs


def copy_tree(into):
    """The tracked files as they are in the working tree."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    for name in files.decode().rstrip("\0").split("\0"):
        source, target = ROOT / name, into / name
        if not source.is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copy2(source, target)


class Tree:
    """The copy, its build, and what stands in its files without a bug."""

    def __init__(self, folder, jobs, cmake):
        self.source, self.build, self.jobs = folder, folder / "build", jobs
        copy_tree(self.source)
        if not (self.build / "build.ninja").exists():
            subprocess.run(["cmake", "-G", "Ninja", "-B", self.build, "-S", self.source, *cmake], check=True,
                           stdout=subprocess.DEVNULL)

    def make(self, program):
        built = subprocess.run(["ninja", f"-j{self.jobs}", "-C", self.build, program], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return None if built.returncode == 0 else built.stdout[-2000:]

    def passes(self, program, seed, tests):
        environment = dict(os.environ, RMOE_EMULATOR_SEED=str(seed), RMOE_EMULATOR_MULTIPROCESSORS="2",
                           OMP_NUM_THREADS="1")
        try:
            run = subprocess.run([self.build / program, f"-sf={tests}"], env=environment, timeout=TIMEOUT_S,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return False
        return run.returncode == 0

    def first_failure(self, tests):
        """Where the tests go red: "program, seed"; "" if nowhere."""
        for program, seed in RUNS:
            error = self.make(program)
            if error:
                return f"does not build: {error}"
            if not self.passes(program, seed, tests):
                return f"{program}, seed {seed}"
        return ""


def try_bug(tree, bug):
    path = tree.source / bug.file
    text = path.read_text()
    if text.count(bug.old) != 1:
        return False, f"the old text occurs {text.count(bug.old)} times in {bug.file}, wanted once"
    path.write_text(text.replace(bug.old, bug.new))
    try:
        where = tree.first_failure(bug.tests)
    finally:
        path.write_text(text)
    return bool(where) and not where.startswith("does not build"), where


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="in tools/planted_bugs; all if none is named")
    parser.add_argument("--only", default="", help="bugs whose name or file contains this")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "planted", help="a folder to work in")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cmake", action="append", default=[], help="an argument for cmake, e.g. -DRMOE_WERROR=ON")
    options = parser.parse_args()
    folder = ROOT / "tools" / "planted_bugs"
    paths = [folder / name for name in options.files] or sorted(folder.glob("*.txt"))
    bugs = [bug for path in paths for bug in read_bugs(path) if options.only in bug.name + bug.file]
    tree = Tree(options.build.resolve(), options.jobs, options.cmake)
    for tests in sorted({bug.tests for bug in bugs}):
        where = tree.first_failure(tests)
        if where:
            sys.exit(f"{tests} is red without a bug: {where}")
    missed = 0
    for bug in bugs:
        caught, where = try_bug(tree, bug)
        missed += not caught
        print(f"{'caught' if caught else 'MISSED'}  {bug.file}: {bug.name}  ({where or 'all tests pass'})", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} caught")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Plants bugs in the CUDA backend, one at a time, and demands that a test goes red.

    tools/plant_bugs.py                         # every bug of tools/planted_bugs/*.txt
    tools/plant_bugs.py ops.txt --only embedding --build /tmp/planted

A file of bugs holds blocks; the old text must occur in the file exactly once:

    # embedding: the last row of a run is left out          (its name)
    # tests: *ops/embedding/*                               (optional; else the folder of the file)
    ops/embedding/cuda.cu
    <<<
    old text
    ===
    new text
    >>>

The tree is copied first, so nothing here is touched. A bug is caught if a test fails on the emulated device with seed
0 or 1, or with the checker; the same tests must be green without it. A kernel that hangs fails too: the emulator ends
it with its message, after WATCHDOG_S of computing or when all threads wait. Tests that do not end, in neither of
LIMITS_S, show nothing: the bug is unclear. One whose text has gone or does not build is broken. Both are errors, as one
that is missed.

What is compiled for a bug is its file, or what the tested folder makes of a header; and these objects come first where
the program is linked, so that their inline functions are the ones that run.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import fnmatch
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WATCHDOG_S = 60  # of one block, which is done in a second
LIMITS_S = 600, 2400  # of one run; of its second try
OPS, CHECKED, RANKS = "rmoe_emulator_tests_ops", "rmoe_emulator_tests_ops_checked", "rmoe_emulator_tests_ranks"
OP_RUNS = [(OPS, 0), (OPS, 1), (CHECKED, 1), (CHECKED, 0)]  # program, seed: the cheap ones first
RANK_RUNS = [(RANKS, 0), (RANKS, 1)]


@dataclasses.dataclass
class Bug:
    name: str
    file: str
    old: str
    new: str
    tests: str


class Broken(Exception):
    """A bug that cannot be planted."""


class Unclear(Exception):
    """Tests that do not end."""


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
    """The tracked files as they are in the working tree. CMake takes the sources it finds: those that are gone go."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    files = [name for name in listed.rstrip("\0").split("\0") if (ROOT / name).is_file()]
    for path in (path for suffix in ("cu", "cpp") for path in into.rglob(f"*.{suffix}")):
        if str(path.relative_to(into)) not in files and into / "build" not in path.parents:
            path.unlink()
    for name in files:
        source, target = ROOT / name, into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copyfile(source, target)


class Tree:
    """The copy and its build, which bugs leave as they are: what is made of one lies in the folder planted."""

    def __init__(self, folder, jobs, cmake):
        self.source, self.build, self.jobs = folder, folder / "build", jobs
        self.green = {}  # by program, seed and tests
        copy_tree(self.source)
        if not (self.build / "build.ninja").exists():
            subprocess.run(["cmake", "-G", "Ninja", "-B", self.build, "-S", self.source, *cmake], check=True,
                           stdout=subprocess.DEVNULL)
        subprocess.run(["ninja", f"-j{jobs}", "-C", self.build, OPS, CHECKED, RANKS], check=True,
                       stdout=subprocess.DEVNULL)
        self.links = {program: self.link_command(program) for program in (OPS, CHECKED, RANKS)}
        self.compiles = collections.defaultdict(dict)  # source: object: command
        for entry in json.loads((self.build / "compile_commands.json").read_text()):
            words = shlex.split(entry["command"])
            source = os.path.relpath(entry["file"], self.source)
            self.compiles[source][words[words.index("-o") + 1]] = words

    def link_command(self, program):
        commands = subprocess.run(["ninja", "-C", self.build, "-t", "commands", program], check=True, text=True,
                                  capture_output=True).stdout
        return [word for word in shlex.split(commands.splitlines()[-1]) if word not in (":", "&&")]

    def objects_of(self, program, file, tests):
        """What a bug in `file` changes in the program; of a header, what the tested folders make of it."""
        sources = [file]
        if file.endswith((".cuh", ".hpp")):
            sources = [s for s in self.compiles if s.endswith(".cu") and
                       fnmatch.fnmatch(f"/{pathlib.PurePosixPath(s).parent}/test.cpp", tests)]
        libraries = {pathlib.Path(word).stem.removeprefix("lib") for word in self.links[program] if word.endswith(".a")}
        found = {o: command for s in sources for o, command in self.compiles[s].items()
                 if o in self.links[program] or any(f"/{name}.dir/" in f"/{o}" for name in libraries)}
        return found or sys.exit(f"{file}: in no object of {program}")

    def compile(self, name, command):
        into = self.build / "planted" / name.replace("/", "_")
        into.parent.mkdir(exist_ok=True)
        words = [str(into) if word == name else word for word in command]
        run = subprocess.run([*words, "-w"], cwd=self.build, text=True, capture_output=True)
        if run.returncode != 0:
            raise Broken(f"does not build: {run.stderr[-2000:]}")
        return str(into)

    def build_planted(self, program, bug):
        objects = self.objects_of(program, bug.file, bug.tests)
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            made = list(pool.map(self.compile, objects, objects.values()))
        words = [word for word in self.links[program] if word not in objects]
        first, into = next(i for i, word in enumerate(words) if word.endswith(".o")), f"planted/{program}"
        words[first:first] = made
        words[words.index("-o") + 1] = into
        subprocess.run(words, cwd=self.build, check=True)
        return self.build / into

    def is_green(self, program, seed, tests):
        """Without a bug; tried once."""
        key = program, seed, tests
        if key not in self.green:
            self.green[key] = not failure(self.build / program, seed, tests)
        return self.green[key]

    def first_failure(self, bug):
        """The first program and seed with which the tests of the planted bug go red, and how; or None."""
        planted = {}
        for program, seed in OP_RUNS if "ops/" in bug.tests else RANK_RUNS:
            if program not in planted:
                planted[program] = self.build_planted(program, bug)
            if how := failure(planted[program], seed, bug.tests):
                return program, seed, how
        return None


def ends_within(limit_s, command, environment, output):
    """The exit code, or None. What does not end is killed with all ranks that it started."""
    run = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        return run.wait(limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return None


def failure(program, seed, tests):
    """How the tests go red, or None."""
    environment = dict(os.environ, RMOE_EMULATOR_SEED=str(seed), RMOE_EMULATOR_MULTIPROCESSORS="2",
                       RMOE_EMULATOR_WATCHDOG_S=str(WATCHDOG_S), RMOE_EMULATOR_COLLECTIVE_TIMEOUT_S="120",
                       OMP_NUM_THREADS="1")
    for limit_s in LIMITS_S:
        with tempfile.TemporaryFile() as output:
            code = ends_within(limit_s, [program, f"-sf={tests}", "--abort-after=1"], environment, output)
            output.seek(0)
            said = output.read()
        if code == 0:
            return None
        if code is not None:
            return next((how for how in ("watchdog", "deadlock") if f"{how}: ".encode() in said), "red")
    raise Unclear(f"{tests} do not end within {LIMITS_S[-1]} s: {pathlib.Path(program).name}, seed {seed}")


def try_bug(tree, bug):
    path = tree.source / bug.file
    text, written = path.read_text(), path.stat()
    if text.count(bug.old) != 1:
        raise Broken(f"the old text occurs {text.count(bug.old)} times, wanted once")
    path.write_text(text.replace(bug.old, bug.new))
    try:
        return tree.first_failure(bug)
    finally:
        path.write_text(text)
        os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))  # nothing to build next time


def outcome(tree, bug):
    """(caught, MISSED, UNCLEAR or BROKEN; what to say of it)"""
    try:
        found = try_bug(tree, bug)
        if not found:
            return "MISSED", "all tests pass"
        program, seed, how = found
        if not tree.is_green(program, seed, bug.tests):
            raise Broken(f"{bug.tests} is red without it")
        return "caught", f"{program.removeprefix('rmoe_emulator_tests_')}, seed {seed}, {how}"
    except Unclear as error:
        return "UNCLEAR", str(error)
    except Broken as error:
        return "BROKEN", str(error)


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
    caught = 0
    for bug in bugs:
        begun = time.monotonic()
        word, where = outcome(tree, bug)
        caught += word == "caught"
        print(f"{word}  {bug.file}: {bug.name}  ({where}; {time.monotonic() - begun:.0f} s)", flush=True)
    print(f"{caught} of {len(bugs)} caught")
    return caught < len(bugs)


if __name__ == "__main__":
    sys.exit(main())

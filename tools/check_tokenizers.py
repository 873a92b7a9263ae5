#!/usr/bin/env python3
"""Compares the tokenizers of rmoe with Hugging Face's `tokenizers` and Transformers and with SentencePiece's own
spm_encode, token for token, on some megabytes of mixed text: prose, code, emoji, CJK, other scripts, control bytes.

    pip install tokenizers transformers; apt install sentencepiece
    tools/check_tokenizers.py build/rmoe corpora/austen/austen.txt [--megabytes 10]

Prints one line per comparison and ends with 1 if any failed."""
import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
FAILED = []


def nasty(rng):
    """A few hundred characters of one kind."""
    n = rng.randint(1, 40)
    pick = lambda *ranges: chr(rng.choice([c for a, b in [rng.choice(ranges)] for c in [rng.randint(a, b)]]))
    kinds = [
        lambda: pick((0x1F300, 0x1FAFF)) + rng.choice(["", "\u200d", "\ufe0f", "\U0001f3fd"]),
        lambda: pick((0x4E00, 0x9FFF), (0x3040, 0x30FF), (0xAC00, 0xD7A3), (0x20000, 0x2A6DF)),
        lambda: pick((0x0, 0x20), (0x7F, 0xA0)),
        lambda: pick((0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1000, 0x109F)),
        lambda: rng.choice("aeonic") + pick((0x300, 0x36F)),
        lambda: pick((0x660, 0x669), (0x966, 0x96F), (0x2150, 0x2189), (0xFF10, 0xFF19), (0x1D7CE, 0x1D7FF)),
        lambda: rng.choice(["'s", "'S", "'ll", "'VE", "'\u017f", " 'd", "n't", "'re ", "\u2019s"]),
        lambda: rng.choice([" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\n\n\n", "   \n "]),
        lambda: rng.choice(["<|endoftext|>", "</s>", "<s>", "<unk>", "<0x0A>", "\u2581", "\u2581the", "\u0120"]),
        lambda: chr(rng.choice([rng.randint(0, 0xD7FF), rng.randint(0xE000, 0x10FFFF)])),
        lambda: rng.choice("aa ..--") * rng.randint(1, 50),
        lambda: str(rng.randint(0, 10**rng.randint(1, 12))),
    ]
    kind = rng.choice(kinds)
    return "".join(kind() for _ in range(n))


def mixed_text(sources, size):
    """Half of the bytes from the files, half made up; the same text every time."""
    rng = random.Random(1)
    real = "".join(p.read_bytes().decode("utf-8", "ignore") for p in sources)
    parts, bytes_ = [], 0
    while bytes_ < size:
        begin = rng.randrange(max(1, len(real) - 4000))
        part = real[begin:begin + rng.randint(1, 4000)]
        part += "".join(nasty(rng) for _ in range(rng.randint(1, 12)))
        parts.append(part)
        bytes_ += len(part.encode())
    return "".join(parts)


def rmoe(*args, **kwargs):
    command = [ARGS.rmoe, "tokenizer", *map(str, args)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **kwargs).stdout


def report(what, good, extra=""):
    print(f"{'same' if good else 'DIFFERENT':10}{what}{extra}", flush=True)
    if not good:
        FAILED.append(what)


def first_difference(a, b):
    at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f": token {at}: {a[at - 3:at + 5]} against {b[at - 3:at + 5]}"


def compare(what, tokenizer, file, wanted, *flags):
    begin = time.time()
    got = list(map(int, rmoe("encode", tokenizer, file, *flags).split()))
    seconds = time.time() - begin
    report(what, got == wanted, first_difference(got, wanted) if got != wanted else
           f": {len(got)} tokens, {file.stat().st_size / 1e6 / seconds:.1f} MB/s with start and output")


def round_trip(what, tokenizer, file, folder):
    ids = folder / "ids"
    ids.write_bytes(rmoe("encode", tokenizer, file))
    report(f"{what}: decode(encode(x)) == x", rmoe("decode", tokenizer, ids) == file.read_bytes())


def hugging_face(text_file, train_file, vocabulary):
    """A byte-level tokenizer as GPT-2's, trained by Hugging Face."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [train_file.read_bytes().decode()],
        trainers.BpeTrainer(vocab_size=vocabulary, min_frequency=2, show_progress=False,
                            special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def check_byte_level(folder, text_file, text, train_file):
    tokenizer = hugging_face(text_file, train_file, ARGS.vocab)
    ours = folder / "ours"
    begin = time.time()
    rmoe("train", "--kind", "bytes", "--vocab", ARGS.vocab, "--out", ours, train_file)
    seconds = time.time() - begin
    ours_json = json.loads((ours / "tokenizer.json").read_text())["model"]
    theirs_json = json.loads(tokenizer.to_str())["model"]
    same = (ours_json["vocab"] == theirs_json["vocab"] and
            [tuple(m.split(" ")) for m in ours_json["merges"]] == [tuple(m) for m in theirs_json["merges"]])
    report("merges learned by rmoe and by Hugging Face's trainer", same, f": in {seconds:.1f} s")

    added = folder / "added"
    added.mkdir()
    tokenizer.add_tokens([AddedToken("  ", normalized=True), AddedToken("the Abbey", normalized=False),
                          AddedToken("<s>", special=True, lstrip=True, rstrip=True, normalized=False)])
    tokenizer.save(str(added / "tokenizer.json"))
    compare("byte level, added tokens (specials parsed)", added, text_file, tokenizer.encode(text).ids, "--special")
    tokenizer.encode_special_tokens = True
    compare("byte level, added tokens (specials as text)", added, text_file, tokenizer.encode(text).ids)

    forms = {
        "GPT-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "GPT-2 with prefix space": pre_tokenizers.ByteLevel(add_prefix_space=True),
        "no regular expression": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        "Llama 3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
                                            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        "Qwen 2": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                           pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
    }
    for name, form in forms.items():
        tokenizer = Tokenizer.from_file(str(ours / "tokenizer.json"))
        tokenizer.pre_tokenizer = form
        where = folder / name.replace(" ", "-")
        where.mkdir()
        tokenizer.save(str(where / "tokenizer.json"))
        ids = tokenizer.encode(text).ids
        compare(f"byte level, {name}", where, text_file, ids, "--special")
        if "prefix" not in name:
            report(f"byte level, {name}: Hugging Face decodes to the text",
                   tokenizer.decode(ids, skip_special_tokens=False) == text)
    return ours


def check_sentencepiece(folder, text_file, text, train_file):
    ours = folder / "sentencepiece"
    begin = time.time()
    rmoe("train", "--kind", "sentencepiece", "--vocab", ARGS.vocab, "--coverage", 0.98, "--out", ours, train_file)
    print(f"{'':10}SentencePiece model of {ARGS.vocab} pieces in {time.time() - begin:.1f} s")
    plain = folder / "plain.txt"
    plain.write_bytes(text.replace("\u2581", "").encode())
    symbols = "--user_defined_symbols=Abbey, the the,\u2581of\u2581the,<u>"
    others = {"dummy prefix": [], "user-defined symbols": [symbols]}
    found = {"ours": ours}
    for name, flags in others.items():
        found[name] = folder / name.replace(" ", "-")
        found[name].mkdir()
        subprocess.run(["spm_train", f"--input={train_file}", f"--model_prefix={found[name]}/tokenizer",
                        "--model_type=bpe", f"--vocab_size={ARGS.vocab}", "--character_coverage=0.98",
                        "--byte_fallback", "--normalization_rule_name=identity", "--remove_extra_whitespaces=false",
                        *flags], check=True, capture_output=True)
    for name, model in found.items():
        run = subprocess.run(["spm_encode", f"--model={model}/tokenizer.model", "--output_format=id"],
                             input=plain.read_bytes(), check=True, capture_output=True)
        compare(f"SentencePiece against spm_encode, {name}", model, plain, list(map(int, run.stdout.split())),
                "--lines")
    return ours, found["dummy prefix"]


def check_transformers(folder, text_file, text, models_):
    from transformers import AutoTokenizer
    for name, model in models_.items():
        out = folder / f"export-{name}"
        rmoe("export", model, "--to", "hf", "--out", out)
        tokenizer = AutoTokenizer.from_pretrained(str(out))
        compare(f"Transformers on an export, {name}", model, text_file,
                tokenizer(text, add_special_tokens=False)["input_ids"], "--special")
        again = folder / f"import-{name}"
        rmoe("import", out, "--out", again)
        compare(f"an export imported again, {name}", again, text_file,
                tokenizer(text, add_special_tokens=False)["input_ids"], "--special")


def main():
    sources = [pathlib.Path(ARGS.text), *sorted(pathlib.Path(__file__).parent.parent.glob("ops/**/*.cpp"))]
    text = mixed_text(sources, ARGS.megabytes * 1e6)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="check_tokenizers-"))
    try:
        text_file, train_file, broken = folder / "text.txt", folder / "train.txt", folder / "broken.txt"
        text_file.write_bytes(text.encode())
        train_file.write_bytes(mixed_text(sources, 4e6).encode())
        rng = random.Random(2)
        bytes_ = bytearray(text.encode()[:2_000_000])
        for _ in range(50_000):
            bytes_[rng.randrange(len(bytes_))] = rng.randrange(256)
        broken.write_bytes(bytes(bytes_))
        byte_level = check_byte_level(folder, text_file, text, train_file)
        sentencepiece, classic = check_sentencepiece(folder, text_file, text, train_file)
        for name, model in {"byte level": byte_level, "SentencePiece": sentencepiece}.items():
            round_trip(name, model, text_file, folder)
            round_trip(f"{name}, broken UTF-8", model, broken, folder)
        check_transformers(folder, text_file, text,
                           {"bytes": byte_level, "sentencepiece": sentencepiece, "dummy-prefix": classic})
    finally:
        shutil.rmtree(folder)
    sys.exit(bool(FAILED))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rmoe")
    parser.add_argument("text", help="a text file; the sources of this project are added to it")
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--vocab", type=int, default=8000)
    ARGS = parser.parse_args()
    main()

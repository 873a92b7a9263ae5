#!/usr/bin/env python3
"""Writes tests/golden/tokenizer/: a nasty text and what Hugging Face's `tokenizers` and SentencePiece's own spm_encode
make of it.

    pip install tokenizers==0.23.3; apt install sentencepiece
    tools/make_tokenizer_golden.py
"""
import json
import pathlib
import shutil
import subprocess
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from check_tokenizers import LLAMA3, QWEN2

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests/golden/tokenizer"

NASTY = "".join([
    "It's the first line; they'll say we've DON'T'S 'twas y'all'd I'M 'Ll \u2019s '\u017f don\u2019t.\n",
    "  two spaces,   three,\ttab \t mixed, trailing   \n\n\n   \n"
    "\r\nCRLF\r\n \r \x0b\x0c\x1c\x85\xa0\u1680\u2028\u3000x\n",
    "1 12 123 1234 12345,6.78e-9 \u0661\u0662\u0663 \u0967\u0968 \uff11\uff12 \u00bd \u2167 \U0001d7d8 x2y3 4th\n",
    "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd \u2764\ufe0f "
    "\U0001f1e9\U0001f1ea\n",
    "\u4e2d\u6587\u5b57\u7b26 \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4 \U00020000\n",
    "e\u0301 \u00e9 a\u0308\u0323 \u1e9b\u0323 \u0915\u094d\u0937\u093f \u0e01\u0e33 \u05e9\u05b8\u05dc\u05d5\u05dd "
    "\u0645\u064e\u0631\u062d\n",
    "\x00\x01\x02\x1b[0m\x7f\u200b\u200e\ufeff\u2060\ufffd\U0010ffff\ue000\u0378\n",
    "<|endoftext|> </s><s> <unk> <pad><0x0A> the<u>the  the \u0120the \u2581the\u2581\n",
    "!!!???...---___***### (((nested))) {\"json\": [1, 2]} https://example.org/?a=b&c=%20 C++20 x->y a::b\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa                                 .................................\n",
    "no newline at the end ",
])


def byte_level(training):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [training], trainers.BpeTrainer(vocab_size=700, min_frequency=2, show_progress=False,
                                        special_tokens=["<|endoftext|>"],
                                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.save(str(FOLDER / "byte_level.json"))
    split = lambda regex: pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    forms = {"gpt2": tokenizer.pre_tokenizer,
             "prefix space": pre_tokenizers.ByteLevel(add_prefix_space=True),
             "no regex": pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
             "llama3": split(LLAMA3), "qwen2": split(QWEN2)}
    cases = []
    added = [AddedToken("<s>", special=True, normalized=False, lstrip=True, rstrip=True),
             AddedToken("  ", special=False, normalized=True), AddedToken("the the", special=False, normalized=False)]
    for name, form in forms.items():
        for tokens in ([], added):
            case = Tokenizer.from_file(str(FOLDER / "byte_level.json"))
            case.pre_tokenizer = form
            case.add_tokens(tokens)
            file = json.loads(case.to_str())
            parsed = case.encode(NASTY).ids
            case.encode_special_tokens = True
            cases.append({"name": name + (", added tokens" if tokens else ""), "parsed": parsed,
                          "as_text": case.encode(NASTY).ids, "pre_tokenizer": file["pre_tokenizer"],
                          "added_tokens": file["added_tokens"]})
    return cases


def sentencepiece(training):
    """Ids of each line; U+2581 is left out: what rmoe makes of it is its own rule."""
    text = "".join(NASTY.split("\u2581"))
    forms = {"plain": ["--add_dummy_prefix=false", "--allow_whitespace_only_pieces", "--pad_id=3"],
             "dummy_prefix": ["--user_defined_symbols=<u>,\u2581of\u2581the"]}
    cases = {}
    for name, flags in forms.items():
        with tempfile.TemporaryDirectory() as folder:  # its name must not get into the model
            (pathlib.Path(folder) / "text.txt").write_text(training)
            subprocess.run(["spm_train", "--input=text.txt", f"--model_prefix={name}", "--model_type=bpe",
                            "--vocab_size=700", "--byte_fallback", "--character_coverage=0.999",
                            "--normalization_rule_name=identity", "--remove_extra_whitespaces=false", *flags],
                           check=True, capture_output=True, cwd=folder)
            shutil.copy(pathlib.Path(folder) / f"{name}.model", FOLDER)
        run = subprocess.run(["spm_encode", f"--model={FOLDER}/{name}.model", "--output_format=id"],
                             input=text.encode(), check=True, capture_output=True)
        cases[name] = [[int(i) for i in line.split()] for line in run.stdout.decode().split("\n")[:-1]]
    return cases


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "nasty.txt").write_bytes(NASTY.encode())
    training = (ROOT / "data/README.md").read_text() + (ROOT / "LICENSE").read_text() + NASTY.replace("\x00", "")
    golden = {"byte_level": byte_level(training), "sentencepiece": sentencepiece(training)}
    (FOLDER / "ids.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")

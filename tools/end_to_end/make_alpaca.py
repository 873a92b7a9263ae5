"""Writes a small file of instructions in Alpaca's format out of any text: copying, spelling, ordering, continuing.

    python3 make_alpaca.py TEXT OUT.json [--examples 400]
"""
import argparse
import json
import random
import re


def sentences(text):
    flat = re.sub(r"\s+", " ", text)
    return [s for s in re.split(r"(?<=[.!?]) ", flat) if 30 < len(s) < 160 and s[0].isupper()]


def continue_sentence(sentence, _):
    words = sentence.split(" ")
    cut = len(words) // 2
    return "Finish the sentence.", " ".join(words[:cut]), " ".join(words[cut:])


def first_word(sentence, _):
    return "Which word does the sentence begin with?", sentence, sentence.split(" ")[0]


def shout(sentence, draw):
    word = draw.choice(re.findall(r"[a-z]{4,}", sentence) or ["word"])
    return f"Write the word {word} in capitals.", "", word.upper()


def count(sentence, draw):
    words = re.findall(r"[A-Za-z]+", sentence)[: draw.randint(2, 6)]
    return "How many words are these?", " ".join(words), str(len(words))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("text")
    parser.add_argument("out")
    parser.add_argument("--examples", type=int, default=400)
    options = parser.parse_args()
    with open(options.text, encoding="utf-8", errors="replace") as file:
        pool = sentences(file.read())
    draw = random.Random(1)
    kinds = [continue_sentence, first_word, shout, count]
    records = []
    for i in range(options.examples):
        instruction, given, output = kinds[i % len(kinds)](draw.choice(pool), draw)
        records.append({"instruction": instruction, "input": given, "output": output})
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(records, file, ensure_ascii=False, indent=0)
    print(f"{options.out}: {len(records)} examples")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Verdicts of r1_inspect verify beside those of the Python library, on answers that no test vector holds.

usage: tools/compare_verify.py [--bin build/bin] [--data ../shared/data] [--rows 5000] [--seed 5]
Needs Python with math-verify 0.9.0 and pyarrow. The golds are the answers of the MATH training problems, of GSM8K's and MATH-500's test
problems and of reasoning traces; the predictions are the golds themselves, rewritten or damaged, other rows' golds, and whole solutions.
Prints one line for each row on which the two differ; exits 1 when there are more than one in a hundred.
"""

import argparse
import collections
import json
import logging
import pathlib
import random
import re
import subprocess
import sys

import pyarrow.parquet
from latex2sympy2_extended import NormalizationConfig
from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

# What a solver might write for the answer `@`; some of them change its value.
REWRITINGS = {
    "self": "$@$", "plain": "@", "box": r"So the final answer is \boxed{@}.", "dollar": "The answer is $@$.",
    "display": r"\[ x = @ \]", "text": r"$\text{@}$", "parentheses": "$(@)$", "negative": "$-@$", "plus": "$@+1$",
    "unit": r"$\boxed{@ \text{ cm}}$", "set": r"$\{@\}$", "percent": r"\boxed{@\%}", "degrees": r"\boxed{@^\circ}",
    "think": "<think>\nmaybe $7$\n</think>\n\n<answer>@</answer>",
    "think_box": "<think>x</think>\n<answer>\n\\boxed{@}\n</answer>",
    "hope": "final answer is $@$. I hope it is correct.", "bold": "**Answer:** $@$", "two": r"so \boxed{@} and also \boxed{@}",
    "or": "$@$ or $0$", "function": "$f(x)=@$", "approximately": r"\boxed{\approx @}", "align": r"\begin{align*} a &= 3\\ b &= @ \end{align*}",
}
CHOICES = ["The answer is @", "(@)", "**@**", "@. because", "Answer: @", "I choose @ since B is wrong", r"\boxed{@}", "option @\nA is bad"]


def make_rows(data, count, generator):
    rows = []

    def add(gold, pred, kind, config="default"):
        rows.append({"gold": gold, "pred": pred, "kind": kind, "config": config})

    answers = sorted({row["answer"] for row in pyarrow.parquet.read_table(data / "rl/math_lvl3to5.parquet").to_pylist()})
    generator.shuffle(answers)
    integers = [a for a in answers if re.fullmatch(r"-?\d+", a)]
    answers = [a for a in answers if a not in set(integers)] + integers[:150]
    for answer, other in zip(answers, answers[1:]):
        add(f"${answer}$", f"${answer}$", "self")
        for kind in generator.sample(sorted(REWRITINGS), 3):
            add(f"${answer}$", REWRITINGS[kind].replace("@", answer), kind, generator.choice(["default", "default", "open_r1", "latex", "expr"]))
        if generator.random() < 0.25:
            add(f"${answer}$", rf"\boxed{{{other}}}", "other")
        if generator.random() < 0.25:
            changed = re.sub(r"\d", lambda digit: str((int(digit.group()) + 1) % 10), answer, count=1)
            add(f"${answer}$", f"${changed}$", "digit")
    for row in pyarrow.parquet.read_table(data / "rl/simplelr_qwen_test.parquet").to_pylist():
        add(f"${row['extra_info']['answer']}$", row["solution"], "solution", generator.choice(["default", "open_r1"]))
    for row in map(json.loads, (data / "bench/gsm8k/test.jsonl").read_text().splitlines()[:300]):
        gold = row["answer"].split("####")[-1].strip()
        add(f"${gold}$", row["answer"], "gsm8k", generator.choice(["default", "open_r1", "expr"]))
    for row in pyarrow.parquet.read_table(data / "sft/math_think_wrapped_2k.parquet").to_pylist()[:400]:
        text = row["messages"][-1]["content"]
        if boxes := re.findall(r"\\boxed\{([^{}]+)\}", text):
            add(f"${boxes[-1]}$", text, "trace", generator.choice(["default", "open_r1"]))
    for letter in "ABCD":
        for template in CHOICES:
            add(letter, template.replace("@", generator.choice("ABCD")), "choice", "choice")
    generator.shuffle(rows)
    return rows[:count]


def library_verdict(row):
    kinds = {"latex": LatexExtractionConfig(), "expr": ExprExtractionConfig(), "choice": StringExtractionConfig()}
    if row["config"] in kinds:
        config = [kinds[row["config"]]]
        return bool(verify(parse(row["gold"], extraction_config=config), parse(row["pred"], extraction_config=config)))
    if row["config"] == "default":
        return bool(verify(parse(row["gold"]), parse(row["pred"])))
    # Open R1's accuracy reward.
    normalisation = NormalizationConfig(
        nits=False, malformed_operators=False, basic_latex=True, equations=True, boxed="all", units=True)
    config = [LatexExtractionConfig(normalization_config=normalisation, boxed_match_priority=0, try_extract_without_anchor=False)]
    gold = parse(row["gold"], extraction_mode="first_match")
    return bool(verify(gold, parse(row["pred"], extraction_config=config, extraction_mode="first_match")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path("build/bin"))
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)

    rows = make_rows(arguments.data, arguments.rows, random.Random(arguments.seed))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    run = subprocess.run([arguments.bin / "r1_inspect", "verify"], input=lines, capture_output=True, text=True, check=True)
    ours = [json.loads(line)["correct"] for line in run.stdout.splitlines()]
    differing = collections.Counter()
    correct = 0
    for row, our in zip(rows, ours, strict=True):
        library = library_verdict(row)
        correct += library
        if our != library:
            differing["false positive" if our else "false negative"] += 1
            print(f"library {library}, ours {our}: {row['kind']}, {row['config']}: gold {row['gold']!r}, prediction ends {row['pred'][-100:]!r}")
    total = sum(differing.values())
    print(f"{len(rows)} rows, {correct} correct by the library, {total} differ {dict(differing)}")
    return int(total * 100 > len(rows))


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Runs bench_text and, on the same documents in the same run, Hugging Face tokenizers and tiktoken (those that are installed).

usage: bench_text.py --bench BUILD/bin/bench_text --model FOLDER [--template FILE] TEXT_FILE…
Numbers are MB/s of CPU time on one thread, best of 3; every id is compared with Hugging Face's."""
import argparse
import json
import os
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"


def documents_of(path):
    """The texts of a file as bench_text sees them."""
    content = open(path, encoding="utf-8").read()
    if not path.endswith(".jsonl"):
        return [content]
    documents = []

    def collect(value):
        if isinstance(value, str):
            documents.append(value)
        elif isinstance(value, (list, dict)):
            for item in value.values() if isinstance(value, dict) else value:
                collect(item)

    for line in content.split("\n"):
        if line:
            collect(json.loads(line))
    return documents


def best_of(work, runs=3):
    best = 1e30
    for _ in range(runs):
        begin = time.process_time()
        result = work()
        best = min(best, time.process_time() - begin)
    return best, result


def tiktoken_encoding(model):
    """The folder's vocabulary as a tiktoken encoding: ranks are the ids, which holds for Qwen and Llama 3."""
    import tiktoken

    tokenizer = json.load(open(f"{model}/tokenizer.json", encoding="utf-8"))
    printable = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    others = [b for b in range(256) if b not in printable]
    byte_of = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    ranks = {bytes(byte_of[c] for c in token): rank for token, rank in tokenizer["model"]["vocab"].items()}
    pattern = tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    return tiktoken.Encoding("folder", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--bench", required=True)
parser.add_argument("--model", required=True)
parser.add_argument("--inspect", help="r1_inspect beside it: its ids are compared with Hugging Face's")
parser.add_argument("--template")
parser.add_argument("files", nargs="+")
arguments = parser.parse_args()
print(subprocess.run([arguments.bench, arguments.model, *arguments.files, *(["--template", arguments.template] if arguments.template else [])], capture_output=True, text=True, check=True).stdout, end="")

try:
    from tokenizers import Tokenizer

    reference = Tokenizer.from_file(f"{arguments.model}/tokenizer.json")
except ImportError:
    reference = None
    print("Hugging Face tokenizers is not installed: not compared")
try:
    import tiktoken

    encoding = tiktoken_encoding(arguments.model)
except ImportError:
    encoding = None
    print("tiktoken is not installed: not compared")
for path in arguments.files:
    documents = documents_of(path)
    megabytes = sum(len(d.encode()) for d in documents) / 1e6
    if reference:
        seconds, ids = best_of(lambda: [reference.encode(d, add_special_tokens=False).ids for d in documents])
        decode_seconds, _ = best_of(lambda: [reference.decode(i, skip_special_tokens=False) for i in ids])
        print(f"{path}: Hugging Face tokenizers: encode {megabytes / seconds:.2f} MB/s, decode {megabytes / decode_seconds:.1f} MB/s")
        if arguments.inspect:
            rows = "".join(json.dumps({"text": d, "add_special_tokens": False}) + "\n" for d in documents)
            out = subprocess.run([arguments.inspect, "tokenize", "--model", arguments.model], input=rows, capture_output=True, text=True, check=True).stdout
            equal = sum(json.loads(line)["ids"] == i for line, i in zip(out.splitlines(), ids))
            print(f"{path}: {equal} of {len(documents)} documents have Hugging Face's ids")
    if encoding:
        seconds, ids = best_of(lambda: [encoding.encode_ordinary(d) for d in documents])
        decode_seconds, _ = best_of(lambda: [encoding.decode(i) for i in ids])
        print(f"{path}: tiktoken: encode {megabytes / seconds:.2f} MB/s, decode {megabytes / decode_seconds:.1f} MB/s")

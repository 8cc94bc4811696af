#!/usr/bin/env python3
"""Generation speed beside transformers generate(): same weights, prompts, lengths and threads; both sides in turn, in one run.

usage: tools/bench_generate.py [--bin build/bin] [--preset 25m|110m] [--rounds 3] [--threads 2] [--dtype float32]
Cases: one prompt, 8 and 32 together (all the same length), and 128 requests with 32 at a time whose completions have
geometric lengths (mean a quarter of the cap): there transformers runs static batches of 32, each as long as its longest row.
Also the time to the first token of one and of eight samples of a 512-token prompt (ours alone).
Needs torch and transformers in the Python that runs it.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

from bench_sft import PRESETS, write_inputs


def cases(new_tokens):
    fixed = lambda batch: dict(name=f"batch {batch}", prompt_lengths=[64] * batch, new_tokens=[new_tokens] * batch, resident=batch)
    random.seed(1)
    cap = 2 * new_tokens
    ragged = [min(cap, 1 + int(random.expovariate(4 / cap))) for _ in range(128)]
    return [fixed(1), fixed(8), fixed(32), dict(name="128 ragged", prompt_lengths=[64] * 128, new_tokens=ragged, resident=32)]


def transformers_child(args):
    import time

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    model = AutoModelForCausalLM.from_pretrained(args.child, dtype=getattr(torch, args.dtype)).eval()
    for line in sys.stdin:
        job = json.loads(line)
        begin = time.perf_counter()
        lengths = job["new_tokens"]
        with torch.inference_mode():
            for start in range(0, len(lengths), job["resident"]):
                rows = lengths[start:start + job["resident"]]
                ids = torch.randint(3, model.config.vocab_size, (len(rows), job["prompt_lengths"][0]))
                model.generate(ids, attention_mask=torch.ones_like(ids), min_new_tokens=max(rows), max_new_tokens=max(rows), do_sample=False,
                               eos_token_id=None, pad_token_id=2)
        seconds = time.perf_counter() - begin
        print(json.dumps(dict(seconds=seconds, new_tokens_per_s=sum(lengths) / seconds)), flush=True)


def ask(process, job):
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--preset", choices=PRESETS, default="25m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", help="of our weights; transformers computes in float32")
    parser.add_argument("--alone", action="store_true", help="our side only")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        args.dtype = "float32"
        return transformers_child(args)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_inputs(folder, args.preset, "fixed", 1)
        assets = pathlib.Path(__file__).resolve().parent.parent / "assets/chain"
        subprocess.run([f"{args.bin}/r1_inspect", "init-model", "--config", folder / "config.json", "--tokenizer", assets, "--output", folder / "model"],
                       check=True, stdout=subprocess.DEVNULL)
        start = lambda command: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        mine = start([f"{args.bin}/bench_generate", str(folder / "model"), str(args.threads), args.dtype])
        theirs = None if args.alone else start([sys.executable, __file__, "--child", str(folder / "model"), "--threads", str(args.threads)])
        for case in cases(args.new_tokens):
            ratios, ours, others = [], [], []
            warm = dict(case, new_tokens=[2] * len(case["new_tokens"]))
            ask(mine, warm)
            if theirs:
                ask(theirs, warm)
            for _ in range(args.rounds):
                result = ask(mine, case)
                ours.append(result["new_tokens_per_s"])
                if theirs:
                    others.append(ask(theirs, case)["new_tokens_per_s"])
                    ratios.append(ours[-1] / others[-1])
            line = f"{case['name']:12} ours {statistics.median(ours):8.1f} tok/s"
            if case["name"] == "batch 1":
                line += f" ({statistics.median(ours) * result['weight_bytes'] / 1e9:.1f} GB/s of weights)"
            if theirs:
                line += f", transformers {statistics.median(others):8.1f} tok/s, median ratio {statistics.median(ratios):.2f}"
            print(line, flush=True)
        first = {}
        for _ in range(args.rounds):
            for samples in (1, 8):
                job = dict(prompt_lengths=[512], new_tokens=[1], samples=samples, resident=8)
                first.setdefault(samples, []).append(ask(mine, job)["first_token_seconds"])
        one, eight = statistics.median(first[1]), statistics.median(first[8])
        print(f"first token of a 512-token prompt: one sample {one * 1e3:.0f} ms, all of eight {eight * 1e3:.0f} ms, ratio {eight / one:.2f}")
        for process in filter(None, (mine, theirs)):
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()

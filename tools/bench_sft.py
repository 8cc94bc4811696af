#!/usr/bin/env python3
"""SFT speed beside transformers' Trainer: same model shape, rows, batch and threads; both sides in turn, in one run.

usage: tools/bench_sft.py [--bin build/bin] [--preset 25m|110m] [--rows fixed|mixed] [--rounds 3] [--steps 6] [--threads 2]
Needs torch and transformers in the Python that runs it. Prints tokens per second (real tokens, no padding) of each round and
the median ratio. mixed: lengths between 16 and 512, most of them short, as instruction data has.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

PRESETS = {
    "25m": dict(hidden_size=512, intermediate_size=1408, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=2, vocab_size=16384),
    "110m": dict(hidden_size=768, intermediate_size=2048, num_hidden_layers=14, num_attention_heads=12, num_key_value_heads=4, vocab_size=32768),
}
WARMUP = 2


def write_inputs(folder, preset, kind, count):
    config = dict(PRESETS[preset], model_type="qwen2", architectures=["Qwen2ForCausalLM"], max_position_embeddings=4096, rope_theta=1e6,
                  rms_norm_eps=1e-6, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=2, hidden_act="silu",
                  torch_dtype="float32")
    (folder / "config.json").write_text(json.dumps(config))
    random.seed(0)
    rows = []
    for _ in range(count):
        length = 256 if kind == "fixed" else min(512, 16 + int(random.expovariate(1 / 120)))
        rows.append([random.randrange(3, config["vocab_size"]) for _ in range(length)])
    (folder / "rows.jsonl").write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))


def ours(args, folder):
    subprocess.run([f"{args.bin}/r1_train", "sft", "--model_name_or_path", folder / "model", "--dataset_name", folder / "rows.jsonl", "--output_dir",
                    folder / "out", "--overwrite_output_dir", "--max_steps", str(args.steps + WARMUP), "--per_device_train_batch_size", str(args.batch),
                    "--max_length", "512", "--save_strategy", "no", "--logging_steps", "1", "--num_threads", str(args.threads), "--learning_rate", "2e-5"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    steps = [json.loads(line) for line in open(folder / "out/metrics.jsonl")][WARMUP:]
    tokens = sum(s["tokens_per_second"] * s["step_seconds"] for s in steps)
    return dict(tokens_per_second=tokens / sum(s["step_seconds"] for s in steps), fraction_of_peak=statistics.median(s["mfu"] for s in steps),
                peak_mib=steps[-1]["peak_memory_bytes"] / 2**20)


def transformers_child(args, folder):
    """Runs in a process of its own, with the thread count set before torch is imported."""
    import resource
    import time

    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    torch.set_num_threads(args.threads)
    rows = [json.loads(line)["input_ids"] for line in open(folder / "rows.jsonl")]
    seen = []  # real tokens of each batch, in order

    def collate(items):
        longest = max(len(i["input_ids"]) for i in items)
        seen.append(sum(len(i["input_ids"]) for i in items))
        ids = torch.tensor([i["input_ids"] + [2] * (longest - len(i["input_ids"])) for i in items])
        mask = torch.tensor([[1] * len(i["input_ids"]) + [0] * (longest - len(i["input_ids"])) for i in items])
        return dict(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100))

    class Clock(TrainerCallback):
        begins, end = [], 0.0

        def on_step_begin(self, *unused, **unused_kw):
            self.begins.append(time.perf_counter())

        def on_step_end(self, *unused, **unused_kw):
            Clock.end = time.perf_counter()

    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    settings = TrainingArguments(output_dir=str(folder / "hf"), per_device_train_batch_size=args.batch, max_steps=args.steps + WARMUP, learning_rate=2e-5,
                                 use_cpu=True, report_to=[], save_strategy="no", logging_strategy="no", max_grad_norm=1.0, disable_tqdm=True, seed=42)
    Trainer(model=model, args=settings, train_dataset=[dict(input_ids=r) for r in rows], data_collator=collate, callbacks=[Clock()]).train()
    seconds = Clock.end - Clock.begins[WARMUP]
    print(json.dumps(dict(tokens_per_second=sum(seen[WARMUP:WARMUP + args.steps]) / seconds,
                          peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--preset", choices=PRESETS, default="25m")
    parser.add_argument("--rows", choices=["fixed", "mixed"], default="fixed")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return transformers_child(args, pathlib.Path(args.child))
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_inputs(folder, args.preset, args.rows, args.batch * (args.steps + WARMUP) * 2)
        assets = pathlib.Path(__file__).resolve().parent.parent / "assets/chain"
        subprocess.run([f"{args.bin}/r1_inspect", "init-model", "--config", folder / "config.json", "--tokenizer", assets, "--output", folder / "model"],
                       check=True, stdout=subprocess.DEVNULL)
        env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads), HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
        ratios = []
        for turn in range(args.rounds):
            mine = ours(args, folder)
            done = subprocess.run([sys.executable, __file__, "--child", scratch, "--batch", str(args.batch), "--steps", str(args.steps), "--threads",
                                   str(args.threads)], check=True, capture_output=True, text=True, env=env)
            theirs = json.loads(done.stdout.strip().splitlines()[-1])
            ratios.append(mine["tokens_per_second"] / theirs["tokens_per_second"])
            print(f"round {turn + 1}: ours {mine['tokens_per_second']:.0f} tok/s ({mine['fraction_of_peak']:.0%} of peak, {mine['peak_mib']:.0f} MiB), "
                  f"transformers {theirs['tokens_per_second']:.0f} tok/s ({theirs['peak_mib']:.0f} MiB), ratio {ratios[-1]:.2f}", flush=True)
        print(f"{args.preset}, {args.rows} rows, batch {args.batch}, {args.threads} threads: median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()

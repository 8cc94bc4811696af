#!/usr/bin/env python3
"""Seconds per GRPO step beside TRL's GRPOTrainer: same weights, prompts, group, lengths and threads; both sides in turn, in one run.

usage: tools/bench_grpo.py [--bin build/bin] [--preset 25m|110m] [--lengths fixed|ragged] [--rounds 3] [--steps 6] [--threads 1]
fixed: every completion has --completion tokens. ragged: the end token is drawn with probability 4 / --completion at each place, so
that lengths are geometric with a mean of about a quarter of the cap; nothing else differs. Prints the split by phase of both sides,
and the rollout's tokens per second inside GRPO beside r1_generate's on the prompts of one step.
Needs torch, transformers, datasets and trl in the Python that runs it.
"""
import argparse
import json
import math
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile

from bench_sft import PRESETS

WARMUP = 1
EOS = 1
LEARNING_RATE = "1e-12"  # all work of a step, but the likelihood of the end token stays what it is on both sides


def tokenizer(vocab_size):
    """One token per byte; further ids are words that no text has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<bos>", "<eos>", "<pad>"] + sorted(pre_tokenizers.ByteLevel.alphabet())
    names += [f"<unused{i}>" for i in range(len(names), vocab_size)]
    inner = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", padding_side="left")


def write_model(folder, args):
    """Random weights. All embeddings share a large first element, so the last hidden state has one too, and the end token's own first
    element sets how likely it is: found by bisection of its measured probability."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(**PRESETS[args.preset], max_position_embeddings=4096, rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True,
                         bos_token_id=0, eos_token_id=EOS, pad_token_id=2)
    model = Qwen2ForCausalLM(config).eval()
    embedding = model.model.embed_tokens.weight.data
    embedding[:, 0] = 1.0
    wanted = 4 / args.completion if args.lengths == "ragged" else 1e-9
    ids = torch.randint(3, 259, (8, 64))
    with torch.inference_mode():
        hidden = model.model(ids).last_hidden_state[:, -1]
        others = hidden @ embedding.T
        low, high = -20.0, 20.0
        for _ in range(60):
            middle = (low + high) / 2
            embedding[EOS, 0] = middle
            logits = others.clone()
            logits[:, EOS] = hidden @ embedding[EOS]
            share = logits.softmax(-1)[:, EOS].mean().item()
            low, high = (middle, high) if share < wanted else (low, middle)
    model.save_pretrained(folder)
    tokenizer(config.vocab_size).save_pretrained(folder)


def write_prompts(path, args):
    random.seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz 0123456789+-*/="
    rows = ["".join(random.choice(letters) for _ in range(64)) for _ in range((args.steps + WARMUP) * args.prompts)]
    path.write_text("".join(json.dumps({"prompt": row}) + "\n" for row in rows))


def ours(args, folder):
    batch = args.prompts * args.group
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    subprocess.run([f"{args.bin}/r1_train", "grpo", "--model_name_or_path", folder / "model", "--dataset_name", folder / "rows.jsonl", "--output_dir",
                    folder / "out", "--overwrite_output_dir", "--max_steps", str(args.steps + WARMUP), "--num_generations", str(args.group),
                    "--per_device_train_batch_size", str(args.micro_batch or batch), "--gradient_accumulation_steps",
                    str(batch // (args.micro_batch or batch)), "--max_completion_length", str(args.completion), "--beta", str(args.beta),
                    "--reward_funcs", "tag_count", "--learning_rate", LEARNING_RATE, "--temperature", "1", "--save_strategy", "no", "--logging_steps", "1",
                    "--chat_template", template, "--num_threads", str(args.threads)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    steps = [json.loads(line) for line in open(folder / "out/metrics.jsonl")][WARMUP:]
    mean = lambda key: statistics.mean(step[key] for step in steps)
    return dict(seconds=mean("step_seconds"), split={name: mean(f"time/{name}_seconds") for name in ("rollout", "reward", "logprob", "train")},
                mean_length=mean("completions/mean_length"), rollout_tokens_per_second=mean("rollout/tokens_per_second"))


def trl_child(args, folder):
    """Runs in a process of its own."""
    import time
    from collections import defaultdict

    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(args.threads)
    spent, marks = defaultdict(float), []

    def time_calls(owner, method, phase):
        inner = getattr(owner, method)

        def timed(*positional, **named):
            begin = time.perf_counter()
            try:
                return inner(*positional, **named)
            finally:
                spent[phase] += time.perf_counter() - begin

        setattr(owner, method, timed)

    class Marks(TrainerCallback):
        def on_step_begin(self, *_, **__):
            marks.append((time.perf_counter(), dict(spent)))

        def on_train_end(self, *_, **__):
            marks.append((time.perf_counter(), dict(spent)))

    batch = args.prompts * args.group
    micro_batch = args.micro_batch or batch
    rows = [json.loads(line)["prompt"] for line in open(folder / "rows.jsonl")]
    settings = GRPOConfig(output_dir=str(folder / "trl"), use_cpu=True, bf16=False, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
                          per_device_train_batch_size=micro_batch, gradient_accumulation_steps=batch // micro_batch, num_generations=args.group,
                          max_completion_length=args.completion, beta=args.beta, max_steps=args.steps + WARMUP, learning_rate=float(LEARNING_RATE), temperature=1.0,
                          top_k=PRESETS[args.preset]["vocab_size"],  # 0 leaves the library's default of 50 in force, which makes the end token likelier
                          gradient_checkpointing=False)
    trainer = GRPOTrainer(model=AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32),
                          reward_funcs=lambda completions, **_: [len(set(text)) / max(1, len(text)) for text in completions], args=settings,
                          train_dataset=Dataset.from_dict({"prompt": rows}), processing_class=tokenizer(PRESETS[args.preset]["vocab_size"]),
                          callbacks=[Marks()])
    for method, phase in (("_generate", "rollout"), ("_calculate_rewards", "reward"), ("_get_per_token_logps_and_entropies", "logprob"),
                          ("_prepare_inputs", "prepare"), ("training_step", "step")):
        time_calls(trainer, method, phase)
    sys.stdout, stdout = sys.stderr, sys.stdout
    trainer.train()
    sys.stdout = stdout
    steps = [(b[0] - a[0], {phase: b[1][phase] - a[1].get(phase, 0.0) for phase in b[1]}) for a, b in zip(marks, marks[1:])][WARMUP:]
    seconds = statistics.mean(step[0] for step in steps)
    phases = {phase: statistics.mean(step[1][phase] for step in steps) for phase in steps[0][1]}
    lengths = [entry["completions/mean_length"] for entry in trainer.state.log_history if "completions/mean_length" in entry][WARMUP:]
    split = dict(rollout=phases["rollout"], reward=phases["reward"], logprob=phases["prepare"] - phases["rollout"] - phases["reward"],
                 train=seconds - phases["prepare"])
    print(json.dumps(dict(seconds=seconds, split=split, mean_length=statistics.mean(lengths))))


def generate_tokens_per_second(args, folder):
    """r1_generate on the same prompts, those of one step at a time."""
    out = folder / "generated"
    subprocess.run(["rm", "-rf", out], check=True)
    done = subprocess.run([f"{args.bin}/r1_generate", "--model", folder / "model", "--hf-dataset", folder / "rows.jsonl", "--hf-output-dataset", out, "--num-generations",
                           str(args.group), "--max-new-tokens", str(args.completion), "--temperature", "1", "--no-chat-template", "--prompt-template",
                           "{{ instruction }}", "--num_threads", str(args.threads), "--output-format", "jsonl", "--input-batch-size", str(args.prompts)],
                          check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    report = (out / "_report.html").read_text()
    found = re.search(r"new tokens/s[^0-9]*(?:<[^>]*>)*\s*([0-9.,]+)", report)
    return float(found.group(1).replace(",", "")) if found else math.nan


def show(name, result):
    split = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in result["split"].items())
    print(f"  {name:4} {result['seconds']:6.2f} s/step ({split}), mean length {result['mean_length']:.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--preset", choices=PRESETS, default="25m")
    parser.add_argument("--lengths", choices=("fixed", "ragged"), default="fixed")
    parser.add_argument("--prompts", type=int, default=2, help="per step")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--completion", type=int, default=128)
    parser.add_argument("--micro-batch", type=int, default=0, help="completions; 0: all of a step")
    parser.add_argument("--beta", type=float, default=0.04)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return trl_child(args, pathlib.Path(args.child))
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_model(folder / "model", args)
        write_prompts(folder / "rows.jsonl", args)
        child = [sys.executable, __file__, "--child", str(folder)]
        for name in ("preset", "prompts", "group", "completion", "micro_batch", "beta", "steps", "threads"):
            child += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
        ratios, shares = [], []
        for number in range(args.rounds):
            mine = ours(args, folder)
            theirs = json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout)
            alone = generate_tokens_per_second(args, folder)
            ratios.append(theirs["seconds"] / mine["seconds"])
            shares.append(mine["rollout_tokens_per_second"] / alone)
            print(f"round {number + 1}: ratio {ratios[-1]:.2f}; rollout {mine['rollout_tokens_per_second']:.0f} tokens/s, r1_generate {alone:.0f}")
            show("ours", mine)
            show("TRL", theirs)
        print(f"{args.preset}, {args.lengths} lengths, {args.prompts} x {args.group} completions of up to {args.completion}, beta {args.beta}, "
              f"{args.threads} thread(s): median ratio {statistics.median(ratios):.2f}; rollout at {statistics.median(shares):.0%} of r1_generate")


if __name__ == "__main__":
    main()

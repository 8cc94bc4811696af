#!/usr/bin/env python3
"""What tools/gpu_check measures of our programs, in PyTorch and transformers on the same device: one JSON line each in OUT_JSONL, written
when it is known. Work that fails (too little memory, say) has a line with "error", and the rest goes on.

usage: transformers_speed.py MODEL_FOLDER ROWS_JSONL OUT_JSONL --quick|--full
"""
import gc
import json
import statistics
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM


def seconds_of(work):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def load(folder, dtype):
    kinds = dict(attn_implementation="sdpa")
    try:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **kinds).cuda()
    except TypeError:  # before transformers 4.56
        return AutoModelForCausalLM.from_pretrained(folder, torch_dtype=dtype, **kinds).cuda()


def training(folder, rows, recompute):
    """AdamW with f32 weights and bf16 arithmetic, clipping: what r1_train sft --bf16 does. Tokens per second, and the first loss."""
    model = load(folder, torch.float32).train()
    if recompute:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=False))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
    ids = torch.tensor(rows).cuda()
    losses = []

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())

    for _ in range(2):
        step()
    seconds = statistics.median(seconds_of(step) for _ in range(4))
    return ids.numel() / seconds, losses[0].item()


def decoding(model, batch, prompt, new_tokens):
    """generate() as it comes: eager, with a cache that grows. The median of three, without the prefill."""
    ids = torch.randint(3, model.config.vocab_size, (batch, prompt)).cuda()

    def generate(count):
        model.generate(ids, attention_mask=torch.ones_like(ids), min_new_tokens=count, max_new_tokens=count, do_sample=False, pad_token_id=0)

    with torch.inference_mode():
        generate(4)
        first = statistics.median(seconds_of(lambda: generate(1)) for _ in range(3))
        whole = statistics.median(seconds_of(lambda: generate(new_tokens)) for _ in range(3))
    return batch * (new_tokens - 1) / (whole - first)


def main():
    if len(sys.argv) != 5 or sys.argv[4] not in ("--quick", "--full"):
        sys.exit(__doc__)
    folder, quick = sys.argv[1], sys.argv[4] == "--quick"
    rows = [json.loads(line)["input_ids"] for line in open(sys.argv[2])]
    out = open(sys.argv[3], "w")

    def tell(**row):
        out.write(json.dumps(row) + "\n")
        out.flush()

    def clean():
        gc.collect()
        torch.cuda.empty_cache()

    tell(versions=dict(torch=torch.__version__, transformers=transformers.__version__, cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version()))
    for recompute in (True, False):
        name = f"SFT step, {'gradient checkpointing' if recompute else 'no recompute'}"
        batch, problem = len(rows), "not enough memory for one sequence"
        while batch > 0:
            try:
                rate, loss = training(folder, rows[:batch], recompute)
                tell(name=name, work="training", recompute=recompute, batch=batch, tokens_per_second=rate, first_loss=loss)
                problem = None
                break
            except torch.cuda.OutOfMemoryError:
                batch //= 2
            except Exception as error:  # the other measurements are worth having
                problem = f"{type(error).__name__}: {error}"[:400]
                break
            finally:
                clean()
        if problem:
            tell(name=name, work="training", recompute=recompute, error=problem)
    model = None
    for batch in (1, 32, 256):
        name = f"decoding, bfloat16, batch {batch} (eager, dynamic cache)"
        try:
            model = model or load(folder, torch.bfloat16).eval()
            tell(name=name, work="decoding", batch=batch, tokens_per_second=decoding(model, batch, 8 if quick else 128, 8 if quick else 65))
        except Exception as error:
            tell(name=name, work="decoding", batch=batch, error=f"{type(error).__name__}: {error}"[:400])
        clean()


main()

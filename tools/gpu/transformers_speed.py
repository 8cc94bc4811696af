#!/usr/bin/env python3
"""What tools/gpu_check measures of our programs, in PyTorch and transformers on the same device: one JSON line each.

usage: transformers_speed.py MODEL_FOLDER ROWS_JSONL --quick|--full
"""
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM


def seconds_of(work):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def training(folder, rows, batch):
    """AdamW with f32 weights and bf16 arithmetic, recomputation, clipping: what r1_train sft --bf16 --gradient_checkpointing does."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").cuda().train()
    model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)
    ids = torch.tensor(rows[:batch]).cuda()

    def step():
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(2):
        step()
    seconds = sorted(seconds_of(step) for _ in range(4))[1]
    return ids.numel() / seconds


def decoding(model, vocab_size, batch, prompt, new_tokens):
    ids = torch.randint(3, vocab_size, (batch, prompt)).cuda()

    def generate(count):
        model.generate(ids, attention_mask=torch.ones_like(ids), min_new_tokens=count, max_new_tokens=count, do_sample=False, pad_token_id=0)

    with torch.inference_mode():
        generate(4)
        first = seconds_of(lambda: generate(1))
        return batch * (new_tokens - 1) / (seconds_of(lambda: generate(new_tokens)) - first)


def main():
    if len(sys.argv) != 4 or sys.argv[3] not in ("--quick", "--full"):
        sys.exit(__doc__)
    folder, rows, quick = sys.argv[1], [json.loads(line)["input_ids"] for line in open(sys.argv[2])], sys.argv[3] == "--quick"
    versions = dict(torch=torch.__version__)
    tell = lambda name, work, rate, **more: print(json.dumps(dict(name=name, work=work, tokens_per_second=rate, **more, **versions)), flush=True)
    tell("SFT step", "training", training(folder, rows, 2 if quick else 4))
    torch.cuda.empty_cache()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="sdpa").cuda().eval()
    for batch in (1, 32, 256):
        rate = decoding(model, model.config.vocab_size, batch, 8 if quick else 128, 8 if quick else 256)
        tell(f"decoding, bfloat16, batch {batch}", "decoding", rate, batch=batch)


main()

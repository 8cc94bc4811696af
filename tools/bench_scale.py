#!/usr/bin/env python3
"""Weak scaling of SFT over MPI ranks: the step time of DDP, ZeRO-2 and ZeRO-3, deterministic reduction on and off.

usage: tools/bench_scale.py [--bin build/bin] [--preset 25m|110m] [--ranks 1,2] [--tokens 1024] [--accumulation 1,4] [--steps 5] [--rounds 3]
Every rank has one thread and the same work at any number of ranks: --tokens per micro-batch, --accumulation micro-batches a step.
All cases of a round run one after another; the table has the median and the best step of all rounds, and by the best step the factor over
one rank of the same sharding: other work on the machine lengthens steps, nothing shortens them.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

from bench_sft import WARMUP, write_inputs

MPI = dict(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1")
ROW_TOKENS = 256


def step_seconds(args, folder, ranks, sharding, deterministic, accumulation):
    root = pathlib.Path(__file__).resolve().parent.parent
    out = folder / "out"
    subprocess.run(["mpirun", "-n", str(ranks), f"{args.bin}/r1_train", "sft", "--model_name_or_path", folder / "model", "--dataset_name",
                    folder / "rows.jsonl", "--output_dir", out, "--overwrite_output_dir", "--max_steps", str(args.steps + WARMUP),
                    "--per_device_train_batch_size", str(args.tokens // ROW_TOKENS), "--gradient_accumulation_steps", str(accumulation),
                    "--max_length", "512", "--save_strategy", "no", "--logging_steps", "1", "--num_threads", "1", "--learning_rate", "2e-5",
                    "--deterministic_reduction", str(deterministic).lower(), "--accelerate_config",
                    root / f"accelerate_configs/{sharding}.yaml"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ, **MPI))
    steps = [json.loads(line)["step_seconds"] for line in open(out / "metrics.jsonl")][WARMUP:]
    return steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bin")
    parser.add_argument("--preset", default="25m")
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--accumulation", default="1,4")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ranks = [int(n) for n in args.ranks.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        write_inputs(folder, args.preset, "fixed", 512)
        assets = pathlib.Path(__file__).resolve().parent.parent / "assets/chain"
        subprocess.run([f"{args.bin}/r1_inspect", "init-model", "--config", folder / "config.json", "--tokenizer", assets, "--output", folder / "model"],
                       check=True, stdout=subprocess.DEVNULL)
        for accumulation in (int(a) for a in args.accumulation.split(",")):
            cases = [(sharding, deterministic, n) for sharding in ("ddp", "zero2", "zero3") for deterministic in (True, False) for n in ranks
                     if n > 1 or deterministic]  # the reduction of one rank is the same
            seconds = {case: [] for case in cases}
            for _ in range(args.rounds):
                for sharding, deterministic, n in cases:
                    seconds[sharding, deterministic, n].extend(step_seconds(args, folder, n, sharding, deterministic, accumulation))
            print(f"{args.preset}, {args.tokens} tokens a micro-batch, {accumulation} micro-batches a step and rank, 1 thread a rank")
            print("sharding  deterministic  ranks  step seconds: best   median   weak scaling")
            for (sharding, deterministic, n), values in seconds.items():
                alone = min(seconds[sharding, True, ranks[0]])
                print(f"{sharding:9} {'on' if deterministic else 'off':14} {n:5} {min(values):19.3f} {statistics.median(values):8.3f} "
                      f"{alone / min(values):14.2f}", flush=True)


if __name__ == "__main__":
    main()

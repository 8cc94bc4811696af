# shellcheck shell=bash
# The settings of this site: the only file under slurm/ to edit. Each variable that is already set wins, so that a single job can differ.
# `source slurm/env.sh` before sbatch makes the first block hold for jobs submitted by hand too; run_benchmarks does it itself.

# Where jobs run: read by sbatch. Left out: the cluster's default partition and account.
# export SBATCH_PARTITION="${SBATCH_PARTITION:-hopper-prod}"
# export SBATCH_ACCOUNT="${SBATCH_ACCOUNT:-my_account}"

# What the programs need on the nodes.
# module load openmpi hdf5 cuda

# Folder of the programs; relative to the project's folder.
export R1_BIN="${R1_BIN:-build/bin}"
# Folder of MODEL/TASK/config_SUFFIX.yaml.
export R1_RECIPES="${R1_RECIPES:-recipes}"
# auto, cpu or cuda.
export R1_DEVICE="${R1_DEVICE:-auto}"
# Ranks per node; empty: one per GPU of the allocation, else one.
export R1_RANKS_PER_NODE="${R1_RANKS_PER_NODE:-}"
# srun (with PMIx) or mpirun.
export R1_LAUNCHER="${R1_LAUNCHER:-srun}"
# Folder on storage that all nodes see, for the restart counts of requeued jobs.
export R1_JOB_STATE="${R1_JOB_STATE:-data/.slurm}"
# A fast folder of each node's own (empty: none): train.slurm copies model and data there and, on one node, writes checkpoints there; each goes
# to the output folder in the background. With a fast folder that all nodes see, R1_SCRATCH_SHARED takes the checkpoints of any number of nodes.
export R1_SCRATCH="${R1_SCRATCH:-}"
export R1_SCRATCH_SHARED="${R1_SCRATCH_SHARED:-}"

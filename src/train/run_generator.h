// A rank that generates for the trainers of a GRPO run.
#pragma once

#include "train/generator_link.h"
#include "train/rollout.h"

namespace r1::train {

/// Carries out the trainers' orders until they finish, computing in their dtype; no weights are read from disk: the trainers send them.
/// eval_prompts may be null. Collective over the generators. Throws signals::Stopped when the trainers were stopped by a signal.
void run_generator(const ExecContext& ctx, GeneratorLink& link, const models::ModelConfig& model, const RolloutOptions& options,
                   DType dtype, const GrpoPrompts& prompts, const GrpoPrompts* eval_prompts);

}  // namespace r1::train

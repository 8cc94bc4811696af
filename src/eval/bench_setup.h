// Everything of a benchmark run that is known before the first weight is read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "checkpoint/inference_model.h"
#include "config/bench_config.h"
#include "engine/sampling_params.h"
#include "eval/task_scores.h"
#include "generate/generation_plan.h"
#include "models/model_config.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace r1::eval {

struct BenchSetup {
  std::string model_folder, model_hash;
  models::ModelConfig model_config;
  std::optional<text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  engine::SamplingParams params;
  std::int64_t max_model_len = 0;
  Device device;
  std::vector<PreparedTask> tasks;
};

/// Opens model and tasks, renders and encodes every prompt, reads every gold answer. Throws Error; what makes scores incomparable with
/// published ones (a lower limit of tokens) is a warning.
/// Collective: the first rank hashes the model.
BenchSetup prepare_bench(const config::BenchConfig& config, comm::Communicator& ranks);

/// For the plan, of prompts as long as the model takes.
generate::GenerationJob generation_job(const config::BenchConfig& config, const BenchSetup& setup);

/// The effective configuration, the tasks with their first prompts, memory and work.
void print_bench_plan(const config::BenchConfig& config, const BenchSetup& setup);

}  // namespace r1::eval

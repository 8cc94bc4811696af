// Speed of the engine: reads jobs as JSON lines, writes one result per job. Driven by tools/bench_generate.py.
// usage: bench_generate MODEL_FOLDER [THREADS] [float32|bfloat16|int8] [cpu|cuda]
// job: {"prompt_lengths": [..], "new_tokens": [..], "samples": n, "resident": n, "kv_cache_gib": 2, "enforce_eager": false,
// "batch_invariant": false}
//   -> {"seconds", "first_token_seconds", "new_tokens_per_s", "weight_bytes", …}
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "base/json.h"
#include "base/rng.h"
#include "checkpoint/inference_model.h"
#include "engine/engine.h"
#include "ops/device_context.h"
#include "tensor/device_choice.h"

namespace {

using namespace r1;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

parallel::WeightStorage storage_of(const std::string& name) {
  if (name == "float32") return parallel::WeightStorage::kF32;
  if (name == "bfloat16") return parallel::WeightStorage::kBF16;
  if (name == "int8") return parallel::WeightStorage::kInt8;
  fail(ErrorKind::kUsage, "expected float32, bfloat16 or int8, found '{}'", name);
}

Json run(const ExecContext& ctx, checkpoint::InferenceModel& loaded, const Json& job) {
  engine::EngineOptions options;
  options.max_num_sequences = job.value("resident", 32);
  options.max_model_len = 2048;
  ops::set_batch_invariant(ctx, job.value("batch_invariant", false));
  options.enforce_eager = job.value("enforce_eager", false);
  options.kv_cache_bytes = static_cast<std::int64_t>(job.value("kv_cache_gib", 2.0) * (1 << 30));
  engine::Engine engine(ctx, *loaded.model, *loaded.runner, nullptr, options);
  RandomStream random(1, "prompts");
  const auto vocab = static_cast<std::uint64_t>(loaded.model->config().vocab_size);
  const std::size_t count = job["prompt_lengths"].size();
  double first_tokens = 0;  // when the last request got its first token
  std::int64_t num_first = 0, num_tokens = 0;
  const auto begin = Clock::now();
  for (std::size_t row = 0; row < count; ++row) {
    auto prompt = std::make_shared<std::vector<std::int32_t>>();
    for (std::int64_t i = 0; i < job["prompt_lengths"][row].get<std::int64_t>(); ++i) {
      prompt->push_back(static_cast<std::int32_t>(3 + random.below(vocab - 3)));
    }
    auto params = std::make_shared<engine::SamplingParams>();
    params->settings.temperature = job.value("temperature", 0.0F);
    params->settings.top_p = job.value("top_p", 1.0F);
    params->max_new_tokens = job["new_tokens"][row].get<std::int64_t>();
    for (std::uint32_t sample = 0; sample < job.value("samples", 1U); ++sample) {
      auto seen = std::make_shared<bool>(false);
      engine.add({row, sample, prompt, params, [&, seen](std::int32_t) {
                    ++num_tokens;
                    if (*seen) return;
                    *seen = true;
                    ++num_first;
                    first_tokens = seconds_since(begin);
                  }});
    }
  }
  while (engine.has_unfinished()) engine.step();
  const double seconds = seconds_since(begin);
  return {{"seconds", seconds},
          {"first_token_seconds", first_tokens},
          {"new_tokens", num_tokens},
          {"new_tokens_per_s", static_cast<double>(num_tokens) / seconds},
          {"steps", engine.stats().steps},
          {"replayed_steps", engine.stats().replayed_steps},
          {"weight_bytes", loaded.store->num_bytes()}};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_generate MODEL_FOLDER [THREADS] [float32|bfloat16|int8] [cpu|cuda]\n");
    return 2;
  }
  const auto ctx = ops::make_context(choose_device(argc > 4 ? argv[4] : "cpu"), argc > 2 ? std::stoi(argv[2]) : 0);
  const auto loaded = checkpoint::load_inference_model(*ctx, argv[1], storage_of(argc > 3 ? argv[3] : "float32"));
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << to_json_line(run(*ctx, *loaded, parse_json(line, "job"))) << std::endl;
  }
  return 0;
}

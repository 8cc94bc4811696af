// Speed of the engine: reads jobs as JSON lines, writes one result per job. Driven by tools/bench_generate.py.
// usage: bench_generate MODEL_FOLDER [THREADS] [float32|bfloat16|int8|float8_e4m3fn] [cpu|cuda]
// job: {"prompt_lengths": [..], "new_tokens": [..], "samples": n, "resident": n, "kv_cache_gib": 2, "enforce_eager": false,
// "batch_invariant": false}
//   -> {"seconds", "first_token_seconds", "new_tokens_per_s", "weight_bytes", …}; {"error": text} for a job that failed
// "decode_…" are medians over steps in which all sequences of the job decode and nothing else happens: tokens per second, and bytes of
// weights and of the cache that such a step reads, per second of it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "base/json.h"
#include "base/rng.h"
#include "checkpoint/inference_model.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
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
  if (name == "float8_e4m3fn") return parallel::WeightStorage::kFp8;
  fail(ErrorKind::kUsage, "expected float32, bfloat16, int8 or float8_e4m3fn, found '{}'", name);
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values.size() % 2 == 1 ? values[values.size() / 2] : (values[values.size() / 2 - 1] + values[values.size() / 2]) / 2;
}

/// One engine step in which all sequences decoded.
struct DecodeStep {
  double seconds, bytes;
  bool is_replayed;
};

/// Where the device replays steps, those that it did not replay (the first of their shapes) are no part of the figures.
std::vector<DecodeStep> that_count(std::vector<DecodeStep> steps) {
  if (std::ranges::any_of(steps, &DecodeStep::is_replayed)) std::erase_if(steps, [](const DecodeStep& step) { return !step.is_replayed; });
  return steps;
}

class JobRun {
 public:
  JobRun(const ExecContext& ctx, checkpoint::InferenceModel& loaded, const Json& job) : ctx_(ctx), loaded_(loaded), job_(job) {}

  Json run() {
    ops::set_batch_invariant(ctx_, job_.value("batch_invariant", false));
    engine::Engine engine(ctx_, *loaded_.model, *loaded_.runner, nullptr, options());
    begin_ = Clock::now();
    add_requests(engine);
    while (engine.has_unfinished()) step(engine);
    const double seconds = seconds_since(begin_);
    Json result = {{"seconds", seconds},
                   {"first_token_seconds", first_tokens_},
                   {"new_tokens", num_tokens_},
                   {"new_tokens_per_s", static_cast<double>(num_tokens_) / seconds},
                   {"steps", engine.stats().steps},
                   {"replayed_steps", engine.stats().replayed_steps},
                   {"weight_bytes", loaded_.store->num_bytes()}};
    result.update(decoding());
    return result;
  }

 private:
  engine::EngineOptions options() const {
    engine::EngineOptions options;
    options.max_num_sequences = job_.value("resident", 32);
    options.max_model_len = 2048;
    options.enforce_eager = job_.value("enforce_eager", false);
    options.kv_cache_bytes = static_cast<std::int64_t>(job_.value("kv_cache_gib", 2.0) * (1 << 30));
    return options;
  }

  void add_requests(engine::Engine& engine) {
    RandomStream random(1, "prompts");
    const auto vocab = static_cast<std::uint64_t>(loaded_.model->config().vocab_size);
    for (std::size_t row = 0; row < job_["prompt_lengths"].size(); ++row) {
      auto prompt = std::make_shared<std::vector<std::int32_t>>();
      for (std::int64_t i = 0; i < job_["prompt_lengths"][row].get<std::int64_t>(); ++i) {
        prompt->push_back(static_cast<std::int32_t>(3 + random.below(vocab - 3)));
      }
      auto params = std::make_shared<engine::SamplingParams>();
      params->settings.temperature = job_.value("temperature", 0.0F);
      params->settings.top_p = job_.value("top_p", 1.0F);
      params->max_new_tokens = job_["new_tokens"][row].get<std::int64_t>();
      for (std::uint32_t sample = 0; sample < job_.value("samples", 1U); ++sample) {
        auto seen = std::make_shared<bool>(false);
        ++num_sequences_;
        context_ += static_cast<std::int64_t>(prompt->size());
        engine.add({row, sample, prompt, params, [this, seen](std::int32_t) {
                      ++num_tokens_;
                      if (*seen) return;
                      *seen = true;
                      first_tokens_ = seconds_since(begin_);
                    }});
      }
    }
  }

  void step(engine::Engine& engine) {
    const engine::EngineStats before = engine.stats();
    const std::int64_t tokens_before = num_tokens_;
    const auto begin = Clock::now();
    engine.step();
    const double seconds = seconds_since(begin);
    const engine::EngineStats& after = engine.stats();
    const bool all_decode = after.prefill_tokens == before.prefill_tokens && after.decode_tokens - before.decode_tokens == num_sequences_;
    if (!all_decode) return;
    // The step reads all weights, and keys and values of each sequence up to its last token.
    const double block = static_cast<double>(engine::kv_block_bytes(*loaded_.model, 1, loaded_.runner->activation_dtype()));
    const double cache = static_cast<double>(context_ + tokens_before) * block;
    steps_.push_back({seconds, static_cast<double>(loaded_.store->num_bytes()) + cache, after.replayed_steps > before.replayed_steps});
  }

  Json decoding() const {
    std::vector<double> token_rates, byte_rates, seconds;
    for (const DecodeStep& one : that_count(steps_)) {
      seconds.push_back(one.seconds);
      token_rates.push_back(static_cast<double>(num_sequences_) / one.seconds);
      byte_rates.push_back(one.bytes / one.seconds);
    }
    return {{"decode_steps", seconds.size()},
            {"decode_step_seconds", median(seconds)},
            {"decode_tokens_per_s", median(token_rates)},
            {"decode_bytes_per_s", median(byte_rates)}};
  }

  const ExecContext& ctx_;
  checkpoint::InferenceModel& loaded_;
  const Json& job_;
  Clock::time_point begin_;
  double first_tokens_ = 0;                                        // when the last request got its first token
  std::int64_t num_sequences_ = 0, num_tokens_ = 0, context_ = 0;  // context: tokens of all prompts
  std::vector<DecodeStep> steps_;
};

/// A job that fails leaves the others.
Json result_of(const ExecContext& ctx, checkpoint::InferenceModel& loaded, const std::string& line) {
  try {
    const Json job = parse_json(line, "job");
    return JobRun(ctx, loaded, job).run();
  } catch (const std::exception& error) {
    return {{"error", error.what()}};
  }
}

int serve(int argc, char** argv) {
  const auto ctx = ops::make_context(choose_device(argc > 4 ? argv[4] : "cpu"), argc > 2 ? std::stoi(argv[2]) : 0);
  const auto loaded = checkpoint::load_inference_model(*ctx, argv[1], storage_of(argc > 3 ? argv[3] : "float32"));
  for (std::string line; std::getline(std::cin, line);) std::cout << to_json_line(result_of(*ctx, *loaded, line)) << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: bench_generate MODEL_FOLDER [THREADS] [float32|bfloat16|int8|float8_e4m3fn] [cpu|cuda]\n");
    return 2;
  }
  try {
    return serve(argc, argv);
  } catch (const Error& error) {
    fmt::print(stderr, "bench_generate: {}\n", error.what());
    return exit_code(error.kind());
  }
}

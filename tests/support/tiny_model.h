// Small models with seeded weights, for tests that need no file.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/init_weights.h"
#include "models/registry.h"
#include "nn/unit_runner.h"
#include "parallel/parameter_store.h"

namespace r1::test {

struct TinyModel {
  std::unique_ptr<models::CausalLM> model;
  std::unique_ptr<parallel::ParameterStore> store;
  std::unique_ptr<nn::UnitRunner> runner;
};

/// Odd sizes on purpose; `more` is appended to the JSON, such as R"(, "tie_word_embeddings": true)".
inline std::string tiny_config_json(const std::string& model_type, const std::string& more = "") {
  return R"({"model_type": ")" + model_type +
         R"(", "vocab_size": 53, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4,
             "num_key_value_heads": 2, "head_dim": 6, "max_position_embeddings": 128, "rms_norm_eps": 1e-6)" +
         more + "}";
}

inline TinyModel with_weights(TinyModel tiny, std::uint64_t seed) {
  tiny.runner = std::make_unique<nn::UnitRunner>(tiny.model->parameters(), *tiny.store);
  checkpoint::init_weights(*tiny.model, *tiny.store, {checkpoint::InitScheme::kScaled, 0.3, seed});
  return tiny;
}

inline TinyModel make_tiny_model(const ExecContext& ctx, const std::string& config_json, std::uint64_t seed = 1) {
  TinyModel tiny;
  tiny.model = models::make_model(models::parse_model_config(config_json, "tiny config"));
  tiny.store = parallel::make_replicated_store(ctx, tiny.model->parameters(), parallel::OptimizerState::kAdamW);
  return with_weights(std::move(tiny), seed);
}

/// The same with its parameters on the ranks of a group, which outlives it.
inline TinyModel make_tiny_model(const ExecContext& ctx, const std::string& config_json, comm::Communicator& ranks,
                                 const parallel::StoreOptions& options) {
  TinyModel tiny;
  tiny.model = models::make_model(models::parse_model_config(config_json, "tiny config"));
  tiny.store = parallel::make_parameter_store(ctx, tiny.model->parameters(), ranks, options);
  return with_weights(std::move(tiny), 1);
}

}  // namespace r1::test

// Everything of a run but its tensors.
#pragma once

#include <cstdint>
#include <string>

#include "checkpoint/export_options.h"

namespace r1::checkpoint {

/// What a run must have in common with the checkpoint that it continues from.
struct RunIdentity {
  std::string task;   // sft, grpo
  std::string model;  // fingerprint of the source model's configuration and weights
  std::string data;   // fingerprint of the training rows
  std::int64_t seed = 0, data_seed = 0;
  std::int64_t rows_per_step = 0;  // over all ranks: any split into ranks, batch size and accumulation with this product continues
  std::int64_t max_steps = 0;      // of the schedule; another one is a notice
  friend bool operator==(const RunIdentity&, const RunIdentity&) = default;
};

/// What makes a Hugging Face folder of the weights.
struct ModelOrigin {
  std::string config_json;  // the source model's config.json
  ExportOptions save;       // as the run itself saves
};

struct TrainingState {
  std::int64_t step = 0;  // optimizer steps done; schedule, random streams and order of data are functions of it and the seeds
  RunIdentity identity;
  ModelOrigin model;
  std::string config;          // the effective configuration, as text
  std::string trainer_json;    // running sums of the trainer, a JSON object
  std::string objective_json;  // what the objective carries from step to step, a JSON object
};

std::string to_json(const TrainingState& state);
/// Throws Error(kData) "where: …".
TrainingState training_state_from(const std::string& json, const std::string& where);

/// Text about what differs, for a message; empty when a run of `now` may continue from `saved`. max_steps does not count.
std::string differences(const RunIdentity& saved, const RunIdentity& now);

/// xxh3 over a model folder's config.json and, of each weight file, name, size and the first and last MiB.
std::string fingerprint_model(const std::string& folder);

}  // namespace r1::checkpoint

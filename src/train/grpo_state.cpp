// What GRPO carries from step to step in a checkpoint: the running prompt number, a rollout that more iterations will use, and a
// reference model that was mixed with the policy.
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "io/element_convert.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "ops/copy.h"
#include "train/grpo.h"

namespace r1::train {
namespace {

constexpr const char* kReferenceFolder = "/reference";
constexpr const char* kReferenceFile = "/model.safetensors";

Json to_json(const RolloutCompletion& completion, const std::vector<double>& old_log_probs) {
  Json rewards = Json::array();
  for (const rewards::RewardResult& reward : completion.rewards)
    rewards.push_back({reward.value ? Json(*reward.value) : Json(), static_cast<int>(reward.status)});
  return {{"prompt", completion.prompt},
          {"prompt_number", completion.prompt_number},
          {"sample", completion.sample},
          {"ids", completion.ids},
          {"log_probs", completion.log_probs},
          {"is_truncated", completion.is_truncated},
          {"text", completion.text},
          {"rewards", std::move(rewards)},
          {"reward", completion.reward ? Json(*completion.reward) : Json()},
          {"advantage", completion.advantage},
          {"old_log_probs", old_log_probs}};
}

RolloutCompletion completion_from(const Json& json) {
  RolloutCompletion completion;
  completion.prompt = json.at("prompt");
  completion.prompt_number = json.at("prompt_number");
  completion.sample = json.at("sample");
  completion.ids = json.at("ids").get<std::vector<std::int32_t>>();
  completion.log_probs = json.at("log_probs").get<std::vector<float>>();
  completion.is_truncated = json.at("is_truncated");
  completion.text = json.at("text");
  for (const Json& reward : json.at("rewards")) {
    rewards::RewardResult& result = completion.rewards.emplace_back();
    if (!reward.at(0).is_null()) result.value = reward.at(0).get<double>();
    result.status = static_cast<rewards::RewardStatus>(reward.at(1).get<int>());
  }
  if (!json.at("reward").is_null()) completion.reward = json.at("reward").get<double>();
  completion.advantage = json.at("advantage");
  return completion;
}

}  // namespace

std::string GrpoObjective::save_state() {
  Json state{{"next_prompt_number", next_prompt_number_}, {"num_tokens", total_tokens_}};
  const bool is_in_use = config_.num_iterations > 1 && iteration_ + 1 < config_.num_iterations;
  if (!is_in_use) return state.dump();
  // Each rank has the old log-probabilities of its own micro-batches: one flat list per rank, completions in order, empty where unknown.
  std::vector<double> values;
  std::vector<std::int64_t> counts;
  for (const std::vector<double>& old : old_log_probs_) {
    counts.push_back(static_cast<std::int64_t>(old.size()));
    values.insert(values.end(), old.begin(), old.end());
  }
  comm::Communicator& communicator = parts_.trainer.store.communicator();
  const auto all_values = communicator.host_gather_values(std::span<const double>(values), "old log-probabilities");
  const auto all_counts = communicator.host_gather_values(std::span<const std::int64_t>(counts), "old log-probabilities");
  std::vector<std::vector<double>> old(completions_.size());
  for (std::size_t r = 0; r < all_values.size(); ++r) {
    auto at = all_values[r].begin();
    for (std::size_t i = 0; i < old.size(); ++i) {
      const auto end = at + all_counts[r][i];
      if (at != end) old[i].assign(at, end);
      at = end;
    }
  }
  Json completions = Json::array();
  for (std::size_t i = 0; i < completions_.size(); ++i) completions.push_back(to_json(completions_[i], old[i]));
  state["rollout"] = {{"completions", std::move(completions)},
                      {"advantages", advantages_.values},
                      {"group_mean", advantages_.group_mean},
                      {"group_std", advantages_.group_std},
                      {"num_zero_std_groups", advantages_.num_zero_std_groups},
                      {"num_unscored_groups", advantages_.num_unscored_groups},
                      {"dropped_groups", dropped_groups_},
                      {"weights_version", weights_.version},
                      {"weights_checksum", weights_.checksum}};
  return to_json_line(state);
}

void GrpoObjective::load_state(const std::string& json) {
  const Json state = Json::parse(json);
  next_prompt_number_ = state.at("next_prompt_number");
  total_tokens_ = state.at("num_tokens");
  if (!state.contains("rollout")) return;
  const Json& rollout = state.at("rollout");
  completions_.clear();
  std::vector<std::vector<double>> old;
  for (const Json& completion : rollout.at("completions")) {
    completions_.push_back(completion_from(completion));
    old.push_back(completion.at("old_log_probs").get<std::vector<double>>());
  }
  advantages_ = {rollout.at("advantages").get<std::vector<double>>(), rollout.at("group_mean").get<std::vector<double>>(),
                 rollout.at("group_std").get<std::vector<double>>(), rollout.at("num_zero_std_groups"), rollout.at("num_unscored_groups")};
  dropped_groups_ = rollout.at("dropped_groups");
  weights_ = {rollout.value("weights_version", std::int64_t{-1}), rollout.value("weights_checksum", std::uint64_t{0})};
  cut_into_micro_batches();
  old_log_probs_ = std::move(old);
}

void GrpoObjective::save_files(const std::string& folder) {
  if (!mixes_reference() || parts_.trainer.store.communicator().rank() != 0) return;  // the same on every rank
  nn::ParameterSet& parameters = parts_.reference->model->parameters();
  std::vector<io::TensorDescription> descriptions;
  parameters.for_each([&](nn::Parameter& parameter) {
    descriptions.push_back({parameter.name, DType::kF32, {parameter.shape.dims().begin(), parameter.shape.dims().end()}});
  });
  make_directories(folder + kReferenceFolder);
  Tensor current;
  io::write_safetensors(folder + kReferenceFolder + kReferenceFile, descriptions, [&](const io::TensorDescription& description) {
    current = ops::to_host(parts_.trainer.ctx, parameters.find(description.name)->value);
    return std::as_bytes(std::span<const float>(current.host_span<float>()));
  });
}

void GrpoObjective::load_files(const std::string& folder) {
  const std::string path = folder + kReferenceFolder + kReferenceFile;
  if (!mixes_reference()) return;
  if (!std::filesystem::exists(path)) {
    fail(ErrorKind::kUsage, "{}: expected the reference model as it was mixed with the policy, found none: that run had no sync_ref_model",
         path);
  }
  const io::Safetensors file = io::Safetensors::open_file(path);
  parts_.reference->model->parameters().for_each([&](nn::Parameter& parameter) {
    const io::StoredTensor& stored = file.at(parameter.name);
    Tensor value = Tensor::host(parameter.shape, DType::kF32);
    io::convert_to_f32(stored.dtype, stored.bytes, value.host_span<float>());
    parts_.reference->store->set_value(parameter, value);
  });
}

}  // namespace r1::train

#include "generate/sampling_choice.h"

namespace r1::generate {
namespace {

template <typename T>
T first_given(const std::optional<T>& flag, const std::optional<T>& of_model, T otherwise) {
  return flag ? *flag : of_model ? *of_model : otherwise;
}

}  // namespace

ops::SamplingSettings choose_sampling(const config::SamplingArgs& flags, const checkpoint::GenerationDefaults& defaults) {
  ops::SamplingSettings settings;
  const bool model_is_greedy = defaults.do_sample.has_value() && !*defaults.do_sample;
  settings.temperature =
      static_cast<float>(model_is_greedy ? flags.temperature.value_or(0.0) : first_given(flags.temperature, defaults.temperature, 1.0));
  settings.top_p = static_cast<float>(first_given(flags.top_p, defaults.top_p, 1.0));
  settings.top_k = first_given(flags.top_k, defaults.top_k, 0);
  settings.min_p = static_cast<float>(first_given(flags.min_p, defaults.min_p, 0.0));
  settings.repetition_penalty = static_cast<float>(first_given(flags.repetition_penalty, defaults.repetition_penalty, 1.0));
  return settings;
}

ops::SamplingSettings choose_sampling(const config::SamplingArgs& flags) { return choose_sampling(flags, {}); }

parallel::WeightStorage weight_storage(const std::optional<config::GenerationDType>& dtype) {
  if (!dtype) return parallel::WeightStorage::kStored;
  switch (*dtype) {
    case config::GenerationDType::kFloat32:
      return parallel::WeightStorage::kF32;
    case config::GenerationDType::kBFloat16:
      return parallel::WeightStorage::kBF16;
    case config::GenerationDType::kInt8:
      return parallel::WeightStorage::kInt8;
    case config::GenerationDType::kFloat8:
      return parallel::WeightStorage::kFp8;
  }
  return parallel::WeightStorage::kStored;
}

}  // namespace r1::generate

#include "models/registry.h"

#include "base/strings.h"
#include "models/architectures.h"

namespace r1::models {
namespace {

struct Entry {
  const char* model_type;
  std::unique_ptr<CausalLM> (*make)(ModelConfig, ModelPart);
};

constexpr Entry kArchitectures[] = {
    {"qwen2", make_qwen2},
    {"llama", make_llama},
    {"qwen3", make_qwen3},
};

}  // namespace

std::unique_ptr<CausalLM> make_model(ModelConfig config, ModelPart part) {
  for (const Entry& entry : kArchitectures) {
    if (config.model_type == entry.model_type) return entry.make(std::move(config), part);
  }
  fail(ErrorKind::kModel, "config.json: unknown model_type '{}'; known are {}", config.model_type, join(known_model_types(), ", "));
}

std::vector<std::string> known_model_types() {
  std::vector<std::string> names;
  for (const Entry& entry : kArchitectures) names.emplace_back(entry.model_type);
  return names;
}

}  // namespace r1::models

#include "checkpoint/init_weights.h"

#include <cmath>

#include "base/json.h"
#include "base/rng.h"

namespace r1::checkpoint {
namespace {

double initializer_range(const models::ModelConfig& config) {
  return parse_json(config.json_text, "config.json", ErrorKind::kModel).value("initializer_range", 0.02);
}

double standard_deviation(const nn::Parameter& parameter, const models::ModelConfig& config, const InitOptions& options) {
  if (options.scheme == InitScheme::kNormal) return initializer_range(config);
  if (parameter.init.is_embedding) return options.embedding_std;
  const double scaled = 0.7 / std::sqrt(static_cast<double>(parameter.init.fan_in));
  return parameter.init.is_residual_output ? scaled / std::sqrt(2.0 * config.num_hidden_layers) : scaled;
}

}  // namespace

void init_weights(models::CausalLM& model, parallel::ParameterStore& store, const InitOptions& options) {
  model.parameters().for_each([&](nn::Parameter& parameter) {
    Tensor value = Tensor::host(parameter.shape, DType::kF32);
    auto values = value.host_span<float>();
    if (parameter.init.kind != nn::Init::Kind::kNormal) {
      std::fill(values.begin(), values.end(), parameter.init.kind == nn::Init::Kind::kOnes ? 1.0F : 0.0F);
    } else {
      const double deviation = standard_deviation(parameter, model.config(), options);
      RandomStream random(options.seed, parameter.name);
      for (float& element : values) element = static_cast<float>(deviation * random.normal());
    }
    store.set_value(parameter, value);
  });
}

}  // namespace r1::checkpoint

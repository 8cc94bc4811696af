#include "tests/support/gradient_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/op_tensors.h"

namespace r1::test {
namespace {

std::vector<Tensor> input_tensors(const ExecContext& ctx, const std::vector<GradientInput>& inputs) {
  std::vector<Tensor> tensors;
  for (const GradientInput& input : inputs) tensors.push_back(device_tensor(ctx, input.shape, input.values));
  return tensors;
}

std::vector<double> loss_weights(std::int64_t count, std::size_t output) { return random_values<double>(count, 1000 + output); }

double loss_at(const ExecContext& ctx, const GradientCheck& check, const std::vector<GradientInput>& inputs) {
  const std::vector<Tensor> outputs = check.forward(ctx, input_tensors(ctx, inputs));
  double loss = 0;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const std::vector<double> values = values_of<double>(ctx, outputs[o]);
    const std::vector<double> weights = loss_weights(outputs[o].num_elements(), o);
    for (std::size_t i = 0; i < values.size(); ++i) loss += weights[i] * values[i];
  }
  return loss;
}

}  // namespace

void expect_gradients_match(const GradientCheck& check) {
  const auto ctx = make_cpu_context(1, Backend::kReference);
  const std::vector<Tensor> tensors = input_tensors(*ctx, check.inputs);
  std::vector<Tensor> grad_outputs;
  for (const Tensor& output : check.forward(*ctx, tensors)) {
    grad_outputs.push_back(device_tensor(*ctx, output.shape(), loss_weights(output.num_elements(), grad_outputs.size())));
  }
  const std::vector<Tensor> gradients = check.backward(*ctx, tensors, grad_outputs);
  ASSERT_EQ(gradients.size(), check.inputs.size());

  double largest_gradient = 0;
  std::vector<GradientInput> probed = check.inputs;
  for (std::size_t input = 0; input < probed.size(); ++input) {
    const std::vector<double> analytic = values_of<double>(*ctx, gradients[input]);
    std::vector<double>& values = probed[input].values;
    ASSERT_EQ(analytic.size(), values.size()) << probed[input].name;
    const std::size_t stride = std::max<std::size_t>(1, values.size() / static_cast<std::size_t>(check.max_elements));
    for (std::size_t i = 0; i < values.size(); i += stride) {
      const double centre = values[i];
      values[i] = centre + check.step;
      const double above = loss_at(*ctx, check, probed);
      values[i] = centre - check.step;
      const double below = loss_at(*ctx, check, probed);
      values[i] = centre;
      const double numeric = (above - below) / (2 * check.step);
      EXPECT_LE(std::abs(analytic[i] - numeric), check.tolerance * (1 + std::abs(numeric)))
          << probed[input].name << "[" << i << "]: backward " << analytic[i] << ", central difference " << numeric;
      largest_gradient = std::max(largest_gradient, std::abs(numeric));
    }
  }
  EXPECT_GT(largest_gradient, 1e-3) << "the check shows nothing: all gradients are about zero";
}

}  // namespace r1::test

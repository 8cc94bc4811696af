#include "ops/adamw.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/support/op_tensors.h"
#include "tests/support/paths.h"

namespace r1::test {
namespace {

std::vector<double> flat(const Json& values) { return values.get<std::vector<double>>(); }

struct State {
  std::vector<double> parameter, exp_avg, exp_avg_sq;
};

/// One step on a context in f32 or f64.
template <typename T>
void take_step(const ExecContext& ctx, State& state, const std::vector<double>& gradient, const ops::AdamWStep& step) {
  const auto tensor = [&](const std::vector<double>& values) {
    return device_tensor(ctx, {static_cast<std::int64_t>(values.size())}, std::vector<T>(values.begin(), values.end()));
  };
  Tensor parameter = tensor(state.parameter), exp_avg = tensor(state.exp_avg), exp_avg_sq = tensor(state.exp_avg_sq);
  ops::adamw(ctx, parameter, tensor(gradient), exp_avg, exp_avg_sq, step);
  const auto read = [&](const Tensor& x) {
    const auto values = values_of<T>(ctx, x);
    return std::vector<double>(values.begin(), values.end());
  };
  state = {read(parameter), read(exp_avg), read(exp_avg_sq)};
}

void expect_close(const std::vector<double>& found, const Json& expected, double tolerance, const char* name) {
  const auto values = flat(expected);
  ASSERT_EQ(found.size(), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_LE(std::abs(found[i] - values[i]), tolerance * std::abs(values[i])) << name << " element " << i;
  }
}

template <typename T>
void expect_torch(const ExecContext& ctx, const Json& c, double tolerance) {
  std::vector<State> states;
  for (const Json& initial : c["initial"]) {
    const std::vector<double> zeros(initial.size(), 0.0);
    states.push_back({flat(initial), zeros, zeros});
  }
  std::int64_t step_index = 0;
  for (const Json& step : c["steps"]) {
    ops::AdamWStep settings{
        .learning_rate = c["lr"], .beta1 = c["betas"][0], .beta2 = c["betas"][1], .epsilon = c["eps"], .step = ++step_index};
    // torch clips by max_norm / (norm + 1e-6), at most 1, in the dtype of the gradients.
    if (!c["max_grad_norm"].is_null()) {
      const T norm = static_cast<T>(step["grad_norm"].get<double>()) + static_cast<T>(1e-6);
      settings.gradient_scale = std::min(1.0, static_cast<double>(static_cast<T>(c["max_grad_norm"].get<double>()) / norm));
    }
    for (std::size_t i = 0; i < states.size(); ++i) {
      SCOPED_TRACE(fmt::format("step {}, tensor {}", step_index, i));
      settings.weight_decay = c["decay"][i].get<bool>() ? c["weight_decay"].get<double>() : 0.0;
      take_step<T>(ctx, states[i], flat(step["grads"][i]), settings);
      expect_close(states[i].parameter, step["params"][i], tolerance, "parameter");
      expect_close(states[i].exp_avg, step["exp_avg"][i], tolerance, "exp_avg");
      expect_close(states[i].exp_avg_sq, step["exp_avg_sq"][i], tolerance, "exp_avg_sq");
    }
  }
}

TEST(AdamW, FollowsTorch) {
  R1_REQUIRE_SHARED(shared);
  const Json cases = read_json_file(shared + "/vectors/optim/adamw.json")["cases"];
  ASSERT_GE(cases.size(), 5U);
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(fmt::format("case {}", i));
    const bool is_double = cases[i]["dtype"] == "float64";
    if (is_double) expect_torch<double>(*reference, cases[i], 1e-12);
    if (is_double) continue;
    expect_torch<float>(*reference, cases[i], 0);
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(variant);
      expect_torch<float>(ctx, cases[i], 0);
    });
  }
}

TEST(AdamW, HasTheBitsOfTheReferenceWhateverTheLengthAndTheThreads) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  const ops::AdamWStep step{.learning_rate = 3e-4, .weight_decay = 0.1, .step = 7, .gradient_scale = 0.3};
  for (const std::int64_t n : {1, 15, 16, 17, 1000, 40001}) {
    struct Result {
      std::vector<float> parameter, exp_avg, exp_avg_sq;
      std::vector<std::int16_t> rounded;
    };
    const auto run = [&](const ExecContext& ctx) {
      Tensor parameter = device_tensor(ctx, {n}, random_values(n, 1)), exp_avg = device_tensor(ctx, {n}, random_values(n, 2, 0.1));
      std::vector<float> squares = random_values(n, 3, 0.1);
      for (float& value : squares) value *= value;
      Tensor exp_avg_sq = device_tensor(ctx, {n}, squares), rounded = ctx.empty({n}, DType::kBF16);
      ops::adamw(ctx, parameter, device_tensor(ctx, {n}, random_values(n, 4)), exp_avg, exp_avg_sq, step, &rounded);
      return Result{values_of<float>(ctx, parameter), values_of<float>(ctx, exp_avg), values_of<float>(ctx, exp_avg_sq),
                    values_of<std::int16_t>(ctx, rounded)};
    };
    const Result expected = run(*reference);
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      const Result found = run(ctx);
      SCOPED_TRACE(fmt::format("{} elements, {}", n, variant));
      EXPECT_EQ(first_difference(found.parameter, expected.parameter), -1);
      EXPECT_EQ(first_difference(found.exp_avg, expected.exp_avg), -1);
      EXPECT_EQ(first_difference(found.exp_avg_sq, expected.exp_avg_sq), -1);
      EXPECT_EQ(found.rounded, expected.rounded);
    });
  }
}

TEST(AdamW, CountsStepsFromOne) {
  const auto ctx = make_cpu_context(1);
  Tensor a = ctx->empty({2}), b = ctx->empty({2}), c = ctx->empty({2});
  EXPECT_THROW(ops::adamw(*ctx, a, ctx->empty({2}), b, c, {.step = 0}), Error);
}

}  // namespace
}  // namespace r1::test

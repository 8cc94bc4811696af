#include "ops/loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

template <typename T>
std::vector<double> logits_of(const T* hidden, const Tensor& weight, double temperature) {
  const bool is_bf16 = weight.dtype() == DType::kBF16;
  std::vector<double> logits(static_cast<std::size_t>(weight.dim(0)));
  for (std::int64_t v = 0; v < weight.dim(0); ++v) {
    double sum = 0;
    for (std::int64_t i = 0; i < weight.dim(1); ++i) {
      const double value = is_bf16 ? double{bf16_to_f32(row<std::uint16_t>(weight, v)[i])} : static_cast<double>(row<T>(weight, v)[i]);
      sum += static_cast<double>(hidden[i]) * value;
    }
    logits[static_cast<std::size_t>(v)] = sum / temperature;
  }
  return logits;
}

double log_sum_exp(const std::vector<double>& logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

double entropy_of(const std::vector<double>& logits, double lse) {
  double entropy = 0;
  for (const double logit : logits) {
    const double p = std::exp(logit - lse);
    if (p > 0) entropy -= p * (logit - lse);
  }
  return entropy;
}

/// Adds d/dhidden and d/dweight of coefficient * log softmax(hidden · weight^T / temperature)[id].
template <typename T>
void add_gradients(const T* hidden, const Tensor& weight, const std::vector<double>& logits, double lse, std::int64_t id,
                   double coefficient, double temperature, std::vector<double>& grad_hidden, std::vector<double>& grad_weight) {
  const std::int64_t hidden_size = weight.dim(1);
  for (std::int64_t v = 0; v < weight.dim(0); ++v) {
    const double p = std::exp(logits[static_cast<std::size_t>(v)] - lse);
    const double grad_logit = coefficient / temperature * ((v == id ? 1.0 : 0.0) - p);
    for (std::int64_t i = 0; i < hidden_size; ++i) {
      grad_hidden[static_cast<std::size_t>(i)] += grad_logit * static_cast<double>(row<T>(weight, v)[i]);
      grad_weight[static_cast<std::size_t>(v * hidden_size + i)] += grad_logit * static_cast<double>(hidden[i]);
    }
  }
}

/// Gradients of the sum over rows of coefficient(t) * log prob(ids[t]); rows without an id get 0.
template <typename T, typename Coefficient>
void head_gradients(const Tensor& hidden, const Tensor& weight, const Tensor& ids, double temperature, Coefficient&& coefficient,
                    Tensor& grad_hidden, Tensor& grad_weight, Accumulate accumulate_weight) {
  std::vector<double> weight_sums(static_cast<std::size_t>(weight.num_elements()), 0.0);
  for (std::int64_t t = 0; t < hidden.dim(0); ++t) {
    std::vector<double> row_sums(static_cast<std::size_t>(hidden.dim(1)), 0.0);
    const std::int32_t id = raw<std::int32_t>(ids)[t];
    if (id != kIgnoreIndex) {
      const auto logits = logits_of(row<T>(hidden, t), weight, temperature);
      add_gradients(row<T>(hidden, t), weight, logits, log_sum_exp(logits), id, coefficient(t), temperature, row_sums, weight_sums);
    }
    for (std::int64_t i = 0; i < hidden.dim(1); ++i) row<T>(grad_hidden, t)[i] = static_cast<T>(row_sums[static_cast<std::size_t>(i)]);
  }
  T* total = raw<T>(grad_weight);
  for (std::size_t i = 0; i < weight_sums.size(); ++i) {
    const double before = accumulate_weight == Accumulate::kYes ? static_cast<double>(total[i]) : 0.0;
    total[i] = static_cast<T>(before + weight_sums[i]);
  }
}

}  // namespace

void linear_cross_entropy(const ExecContext&, const Tensor& hidden, const Tensor& weight, const Tensor& labels, Tensor& token_loss,
                          Tensor& is_correct, const std::optional<CrossEntropyGradients>& gradients, std::size_t) {
  with_float_type(hidden, [&]<typename T>(T) {
    for (std::int64_t t = 0; t < hidden.dim(0); ++t) {
      const std::int32_t label = raw<std::int32_t>(labels)[t];
      *row<T>(token_loss, t) = 0;
      *row<T>(is_correct, t) = 0;
      if (label == kIgnoreIndex) continue;
      const auto logits = logits_of(row<T>(hidden, t), weight, 1.0);
      *row<T>(token_loss, t) = static_cast<T>(log_sum_exp(logits) - logits[static_cast<std::size_t>(label)]);
      *row<T>(is_correct, t) = std::max_element(logits.begin(), logits.end()) - logits.begin() == label ? T{1} : T{0};
    }
    if (!gradients) return;
    head_gradients<T>(
        hidden, weight, labels, 1.0, [&](std::int64_t) { return -static_cast<double>(gradients->scale); }, *gradients->hidden,
        *gradients->weight, gradients->accumulate_weight);
  });
}

void selected_log_probs(const ExecContext&, const Tensor& hidden, const Tensor& weight, const Tensor& ids, float temperature,
                        Tensor& log_probs, Tensor* entropy, Tensor* lse, std::size_t) {
  with_float_type(hidden, [&]<typename T>(T) {
    for (std::int64_t t = 0; t < hidden.dim(0); ++t) {
      const std::int32_t id = raw<std::int32_t>(ids)[t];
      *row<T>(log_probs, t) = 0;
      if (entropy != nullptr) *row<T>(*entropy, t) = 0;
      if (lse != nullptr) *row<T>(*lse, t) = 0;
      if (id == kIgnoreIndex) continue;
      const auto logits = logits_of(row<T>(hidden, t), weight, double{temperature});
      const double log_sum = log_sum_exp(logits);
      *row<T>(log_probs, t) = static_cast<T>(logits[static_cast<std::size_t>(id)] - log_sum);
      if (entropy != nullptr) *row<T>(*entropy, t) = static_cast<T>(entropy_of(logits, log_sum));
      if (lse != nullptr) *row<T>(*lse, t) = static_cast<T>(log_sum);
    }
  });
}

void selected_log_probs_backward(const ExecContext&, const Tensor& grad_log_probs, const Tensor& hidden, const Tensor& weight,
                                 const Tensor& ids, float temperature, const Tensor&, Tensor& grad_hidden, Tensor& grad_weight,
                                 Accumulate accumulate_weight, std::size_t) {
  with_float_type(hidden, [&]<typename T>(T) {
    head_gradients<T>(
        hidden, weight, ids, double{temperature}, [&](std::int64_t t) { return static_cast<double>(*row<T>(grad_log_probs, t)); },
        grad_hidden, grad_weight, accumulate_weight);
  });
}

void log_probs_of_logits(const ExecContext&, const Tensor& logits, const Tensor& ids, float temperature, Tensor& log_probs,
                         Tensor* entropy) {
  with_float_type(logits, [&]<typename T>(T) {
    for (std::int64_t t = 0; t < logits.dim(0); ++t) {
      const std::int32_t id = raw<std::int32_t>(ids)[t];
      std::vector<double> scaled(row<T>(logits, t), row<T>(logits, t) + logits.dim(1));
      for (double& logit : scaled) logit /= double{temperature};
      const double log_sum = log_sum_exp(scaled);
      *row<T>(log_probs, t) = id == kIgnoreIndex ? T{0} : static_cast<T>(scaled[static_cast<std::size_t>(id)] - log_sum);
      if (entropy != nullptr) *row<T>(*entropy, t) = id == kIgnoreIndex ? T{0} : static_cast<T>(entropy_of(scaled, log_sum));
    }
  });
}

}  // namespace r1::ops::reference

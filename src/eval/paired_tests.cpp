#include "eval/paired_tests.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace r1::eval {

PairedBootstrap paired_bootstrap(std::span<const double> scores_a, std::span<const double> scores_b, std::uint64_t seed,
                                 int num_resamples) {
  R1_ASSERT(!scores_a.empty() && scores_a.size() == scores_b.size() && num_resamples > 0, "a paired test needs pairs");
  const std::size_t count = scores_a.size();
  std::vector<double> differences(count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += differences[i] = scores_b[i] - scores_a[i];

  PairedBootstrap result;
  result.difference = sum / static_cast<double>(count);
  RandomStream random(seed, "paired bootstrap");
  std::vector<double> means(static_cast<std::size_t>(num_resamples));
  for (double& mean : means) {
    double resampled = 0;
    for (std::size_t i = 0; i < count; ++i) resampled += differences[random.below(count)];
    mean = resampled / static_cast<double>(count);
  }
  std::ranges::sort(means);
  const auto percentile = [&](double share) {
    return means[static_cast<std::size_t>(std::lround(share * static_cast<double>(means.size() - 1)))];
  };
  result.low = percentile(0.025);
  result.high = percentile(0.975);
  // Sums in another order may miss zero by a rounding error.
  constexpr double kZero = 1e-12;
  const auto others = std::ranges::count_if(means, [&](double mean) { return result.difference >= 0 ? mean <= kZero : mean >= -kZero; });
  // One more on both sides: a p-value of zero cannot come from a finite number of draws.
  result.p_value = std::min(1.0, 2.0 * static_cast<double>(others + 1) / static_cast<double>(num_resamples + 1));
  return result;
}

McNemar mcnemar(std::int64_t only_a, std::int64_t only_b) {
  McNemar result{only_a, only_b, 1};
  const std::int64_t total = only_a + only_b;
  if (total == 0) return result;
  const std::int64_t fewer = std::min(only_a, only_b);
  // The tail of a binomial distribution with chance one half, by logarithms: 2^-total underflows.
  const double log_total = std::lgamma(static_cast<double>(total) + 1);
  double tail = 0;
  for (std::int64_t k = 0; k <= fewer; ++k) {
    tail += std::exp(log_total - std::lgamma(static_cast<double>(k) + 1) - std::lgamma(static_cast<double>(total - k) + 1) -
                     static_cast<double>(total) * std::log(2.0));
  }
  result.p_value = std::min(1.0, 2 * tail);
  return result;
}

McNemar mcnemar(std::span<const bool> right_a, std::span<const bool> right_b) {
  R1_ASSERT(right_a.size() == right_b.size(), "a paired test needs pairs");
  std::int64_t only_a = 0, only_b = 0;
  for (std::size_t i = 0; i < right_a.size(); ++i) {
    only_a += right_a[i] && !right_b[i] ? 1 : 0;
    only_b += right_b[i] && !right_a[i] ? 1 : 0;
  }
  return mcnemar(only_a, only_b);
}

}  // namespace r1::eval

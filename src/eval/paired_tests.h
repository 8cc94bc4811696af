// Is one model better than another on the same problems?
#pragma once

#include <cstdint>
#include <span>

namespace r1::eval {

/// Mean difference b − a over problems that both answered.
struct PairedBootstrap {
  double difference = 0;
  double low = 0, high = 0;  // 95 % interval: percentiles of the resampled mean differences
  double p_value = 1;        // two-sided: how often the sign is the other one, or zero, doubled
};

/// scores_a[i] and scores_b[i] belong to one problem; whole problems are drawn with replacement, so that samples of one problem stay
/// together. A pure function of its arguments. Needs one problem at least.
/// Source: Efron & Tibshirani 1993, "An introduction to the bootstrap", §13 and §16.
PairedBootstrap paired_bootstrap(std::span<const double> scores_a, std::span<const double> scores_b, std::uint64_t seed,
                                 int num_resamples = 10'000);

/// Exact test of McNemar: of the problems where exactly one of the two is right, how unlikely is a split as uneven as this one?
struct McNemar {
  std::int64_t only_a = 0, only_b = 0;  // right in one of the two alone
  double p_value = 1;                   // two-sided binomial test with chance one half
};
McNemar mcnemar(std::span<const bool> right_a, std::span<const bool> right_b);
McNemar mcnemar(std::int64_t only_a, std::int64_t only_b);

}  // namespace r1::eval

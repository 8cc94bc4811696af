// Scores of a benchmark from right and wrong samples, each with its standard error.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace r1::eval {

/// A mean over problems. standard_error is nothing for a single problem: its spread is unknown, not zero.
struct Estimate {
  double mean = 0;
  std::optional<double> standard_error;
};

/// Mean of one value per problem, with the sample deviation (n − 1) over √n. Samples of one problem are a cluster: they enter as the
/// problem's mean, so that many samples of few problems do not look like many problems. Zero values: mean 0.
Estimate mean_over_problems(std::span<const double> values);

/// Chance that at least one of k samples is right, when num_correct of num_samples drawn ones were: 1 − C(n−c, k) / C(n, k). Unbiased for
/// every k ≤ n. 1 ≤ k ≤ num_samples, 0 ≤ num_correct ≤ num_samples.
/// Source: Chen et al. 2021, "Evaluating large language models trained on code", equation 1.
double pass_at_k(int num_samples, int num_correct, int k);

/// 1, 2, 4, … below num_samples, and num_samples itself.
std::vector<int> pass_at_k_levels(int num_samples);

/// Majority vote. votes[i] is the class of sample i's answer, or −1 for a sample without an answer, which does not vote. The class with
/// most votes; of several the one that was named first; −1 without a vote.
int majority_class(std::span<const int> votes);

/// Groups answers: the class of an answer is the first earlier one that it equals, and a new one otherwise. equal(a, b) compares the
/// answers at two places, a being the earlier; has_answer(i) false: −1.
std::vector<int> classes_of(int num_answers, const std::function<bool(int)>& has_answer, const std::function<bool(int, int)>& equal);

}  // namespace r1::eval

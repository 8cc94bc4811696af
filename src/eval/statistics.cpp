#include "eval/statistics.h"

#include <cmath>

#include "base/error.h"

namespace r1::eval {

Estimate mean_over_problems(std::span<const double> values) {
  Estimate estimate;
  if (values.empty()) return estimate;
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  estimate.mean = sum / count;
  if (values.size() < 2) return estimate;
  double squares = 0;
  for (const double value : values) squares += (value - estimate.mean) * (value - estimate.mean);
  estimate.standard_error = std::sqrt(squares / (count - 1) / count);
  return estimate;
}

double pass_at_k(int num_samples, int num_correct, int k) {
  R1_ASSERT(1 <= k && k <= num_samples && 0 <= num_correct && num_correct <= num_samples, "pass@k outside of 1 <= k <= n");
  // C(n−c, k) / C(n, k) is the product of (i − k) / i over the last c values of i up to n: no large binomials.
  double all_wrong = 1;
  for (int i = num_samples - num_correct + 1; i <= num_samples; ++i) {
    if (i - k <= 0) return 1;
    all_wrong *= static_cast<double>(i - k) / static_cast<double>(i);
  }
  return 1 - all_wrong;
}

std::vector<int> pass_at_k_levels(int num_samples) {
  std::vector<int> levels;
  for (int k = 1; k < num_samples; k *= 2) levels.push_back(k);
  levels.push_back(num_samples);
  return levels;
}

int majority_class(std::span<const int> votes) {
  int winner = -1;
  std::int64_t most = 0;
  std::vector<std::int64_t> count(votes.size(), 0);
  for (const int vote : votes)
    if (vote >= 0) ++count.at(static_cast<std::size_t>(vote));
  for (const int vote : votes) {  // in the order of first mention
    if (vote < 0 || count[static_cast<std::size_t>(vote)] <= most) continue;
    most = count[static_cast<std::size_t>(vote)];
    winner = vote;
  }
  return winner;
}

std::vector<int> classes_of(int num_answers, const std::function<bool(int)>& has_answer, const std::function<bool(int, int)>& equal) {
  std::vector<int> classes(static_cast<std::size_t>(num_answers), -1), first_members;
  for (int i = 0; i < num_answers; ++i) {
    if (!has_answer(i)) continue;
    int found = i;
    for (const int member : first_members) {
      if (!equal(member, i)) continue;
      found = member;
      break;
    }
    if (found == i) first_members.push_back(i);
    classes[static_cast<std::size_t>(i)] = found;
  }
  return classes;
}

}  // namespace r1::eval

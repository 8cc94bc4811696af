// V vocab_size. A row's scores are copied once and then narrowed in place: penalty, temperature, top_k, top_p, min_p.
// Sums of probabilities: blocks of 1,024 ids, 16 f32 chains each added pairwise, the blocks' sums added in double in order.
#include "ops/sampling.h"

#include <algorithm>
#include <vector>

#include "ops/cpu/kernels.h"
#include "ops/cpu/scratch.h"

#include "ops/cpu/log_softmax.h"
#include "ops/cpu/rows.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

constexpr float kRemoved = -std::numeric_limits<float>::infinity();

float largest_of(const float* values, std::int64_t V) {
  Vec largest = broadcast(kRemoved);
  for (std::int64_t i = 0; i < V; i += kLanes) largest = max(largest, load_first(values + i, V - i, broadcast(kRemoved)));
  return reduce_max(largest);
}

/// The lowest id whose value is `value`.
std::int64_t first_equal(const float* values, std::int64_t V, float value) {
  const Vec wanted = broadcast(value);
  for (std::int64_t i = 0; i < V; i += kLanes) {
    const unsigned mask = equal_mask(load_first(values + i, V - i, broadcast(std::numeric_limits<float>::quiet_NaN())), wanted);
    if (mask != 0) return i + std::countr_zero(mask);
  }
  return 0;
}

/// One row's scores or probabilities on their way through the filters.
class Row {
 public:
  Row(float* values, std::int64_t vocab_size, std::vector<std::int32_t>& order) : values_(values), V_(vocab_size), order_(order) {}

  void set_penalised_logits(const float* logits, std::span<const std::int32_t> seen, float penalty) {
    std::copy_n(logits, V_, values_);
    if (penalty == 1.0F) return;
    for (const std::int32_t id : seen) {
      R1_ASSERT(id >= 0 && id < V_, "a seen id outside of the vocabulary");
      values_[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] / penalty;
    }
  }

  std::int64_t argmax(std::int64_t row) const { return first_equal(values_, V_, finite_largest(row)); }

  /// Scores become probabilities relative to the most likely id (which is 1); 0 where removed.
  void to_relative_probabilities(const SamplingSettings& settings, std::int64_t row) {
    const Vec temperature = broadcast(settings.temperature);
    for_each_vec(V_, [&](std::int64_t i, auto io) { io.store(values_ + i, div(io.load(values_ + i), temperature)); });
    const Vec largest = broadcast(finite_largest(row));
    const Vec lowest_kept = broadcast(settings.top_k > 0 && settings.top_k < V_ ? kth_largest(settings.top_k) : kRemoved);
    for_each_vec(V_, [&](std::int64_t i, auto io) {
      const Vec score = io.load(values_ + i);
      io.store(values_ + i, select_less(score, lowest_kept, zero(), exp(sub(score, largest))));
    });
    if (settings.top_p < 1) keep_top_p(settings.top_p);
    if (settings.min_p > 0) {
      const Vec min_p = broadcast(settings.min_p);
      for_each_vec(V_, [&](std::int64_t i, auto io) {
        const Vec p = io.load(values_ + i);
        io.store(values_ + i, select_less(p, min_p, zero(), p));
      });
    }
  }

  float at(std::int64_t id) const { return values_[id]; }

  double total() const {
    double sum = 0;
    for (std::int64_t first = 0; first < V_; first += kVocabularyBlock) sum += block_sum(first);
    return sum;
  }

  /// The first id, ascending, whose cumulative probability exceeds uniform * total.
  std::int64_t inverse_cumulative(float uniform, std::int64_t row) const {
    const double sum = total();
    if (!(sum > 0)) fail(ErrorKind::kNumeric, "sample: the logits of row {} hold NaN", row);
    const double target = static_cast<double>(uniform) * sum;  // below the sum: uniform is at most 1 - 2^-24
    double before = 0;
    std::int64_t first = 0;
    for (double block = block_sum(0); before + block <= target; block = block_sum(first)) {
      before += block;
      first += kVocabularyBlock;
    }
    // Id by id the sum may end a rounding short of the block's: then the last id kept in the block.
    std::int64_t chosen = first;
    for (std::int64_t i = first; i < std::min(V_, first + kVocabularyBlock) && before <= target; ++i) {
      if (values_[i] > 0) chosen = i;
      before += static_cast<double>(values_[i]);
    }
    return chosen;
  }

 private:
  float finite_largest(std::int64_t row) const {
    const float largest = largest_of(values_, V_);
    if (!(largest > kRemoved && largest < std::numeric_limits<float>::infinity())) {
      fail(ErrorKind::kNumeric, "sample: the highest logit of row {} is {}: the model's output holds NaN or infinity", row, largest);
    }
    return largest;
  }

  double block_sum(std::int64_t first) const {
    Vec sums = zero();
    for_each_vec(std::min(kVocabularyBlock, V_ - first), [&](std::int64_t i, auto io) { sums = add(sums, io.load(values_ + first + i)); });
    return static_cast<double>(reduce_add(sums));
  }

  float kth_largest(std::int64_t k) {
    // A heap of the k largest so far; most scores stop at the comparison with its smallest.
    std::vector<float> heap(values_, values_ + k);
    std::make_heap(heap.begin(), heap.end(), std::greater<>());
    for (std::int64_t i = k; i < V_; ++i) {
      if (!(values_[i] > heap.front())) continue;
      std::pop_heap(heap.begin(), heap.end(), std::greater<>());
      heap.back() = values_[i];
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
    return heap.front();
  }

  /// Keeps the most likely ids until their sum reaches top_p. Ids below (1 - top_p) / V of the total cannot be among them:
  /// all of these together weigh less than what is to be removed. So only the others are sorted.
  void keep_top_p(float top_p) {
    const double sum = total();
    const auto negligible = static_cast<float>(0.999 * (1.0 - static_cast<double>(top_p)) * sum / static_cast<double>(V_));
    order_.clear();
    for (std::int64_t i = 0; i < V_; ++i) {
      if (values_[i] >= negligible && values_[i] > 0) {
        order_.push_back(static_cast<std::int32_t>(i));
      } else {
        values_[i] = 0;
      }
    }
    std::sort(order_.begin(), order_.end(),
              [this](std::int32_t a, std::int32_t b) { return values_[a] != values_[b] ? values_[a] > values_[b] : a < b; });
    const double wanted = static_cast<double>(top_p) * sum;
    double before = 0;
    for (const std::int32_t id : order_) {
      const auto p = static_cast<double>(values_[id]);
      if (before >= wanted) values_[id] = 0;
      before += p;
    }
  }

  float* values_;
  std::int64_t V_;
  std::vector<std::int32_t>& order_;
};

/// Calls body(row number, row with penalised logits) for each row, rows split over the threads.
template <typename Body>
void for_each_row(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
                  const Tensor& seen_offsets, Body&& body) {
  const std::int64_t V = logits.dim(1);
  const auto* offsets = raw<std::int32_t>(seen_offsets);
  Scratch<float> scores(ctx, ctx.threads().num_threads() * V);
  ctx.threads().parallel_for(
      logits.dim(0),
      [&](std::int64_t begin, std::int64_t end, int thread) {
        std::vector<std::int32_t> order;
        for (std::int64_t r = begin; r < end; ++r) {
          Row values(scores.data() + thread * V, V, order);
          const std::span seen(raw<std::int32_t>(seen_ids) + offsets[r], static_cast<std::size_t>(offsets[r + 1] - offsets[r]));
          values.set_penalised_logits(row(logits, r), seen, settings[static_cast<std::size_t>(r)].repetition_penalty);
          body(r, values);
        }
      },
      rows_worth_a_thread(8 * V));
}

}  // namespace

void sample(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
            const Tensor& seen_offsets, const Tensor& uniforms, Tensor& ids, Tensor* log_probs) {
  for_each_row(ctx, logits, settings, seen_ids, seen_offsets, [&](std::int64_t r, Row& values) {
    const SamplingSettings& s = settings[static_cast<std::size_t>(r)];
    std::int64_t chosen = 0;
    if (s.temperature == 0) {
      chosen = values.argmax(r);
    } else {
      values.to_relative_probabilities(s, r);
      chosen = values.inverse_cumulative(raw<float>(uniforms)[r], r);
    }
    raw<std::int32_t>(ids)[r] = static_cast<std::int32_t>(chosen);
    if (log_probs == nullptr) return;
    const float temperature = s.temperature == 0 ? 1.0F : s.temperature;
    raw<float>(*log_probs)[r] =
        log_softmax_stats(row(logits, r), logits.dim(1), temperature, false).log_prob(row(logits, r)[chosen] / temperature);
  });
}

void sampling_probabilities(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings,
                            const Tensor& seen_ids, const Tensor& seen_offsets, Tensor& probabilities) {
  const std::int64_t V = logits.dim(1);
  for_each_row(ctx, logits, settings, seen_ids, seen_offsets, [&](std::int64_t r, Row& values) {
    const SamplingSettings& s = settings[static_cast<std::size_t>(r)];
    float* result = row(probabilities, r);
    if (s.temperature == 0) {
      std::fill_n(result, V, 0.0F);
      result[values.argmax(r)] = 1.0F;
      return;
    }
    values.to_relative_probabilities(s, r);
    const double sum = values.total();
    for (std::int64_t i = 0; i < V; ++i) result[i] = static_cast<float>(static_cast<double>(values.at(i)) / sum);
  });
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

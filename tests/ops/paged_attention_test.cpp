#include "ops/paged_attention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "ops/attention.h"
#include "tests/ops/attention_cases.h"
#include "tests/support/op_tensors.h"

namespace r1::test {
namespace {

/// Sequences in a paged cache whose blocks are dealt in a shuffled order, fed in chunks.
class PagedRun {
 public:
  PagedRun(const ExecContext& ctx, const AttentionCase& c, int block_size, std::uint64_t seed)
      : ctx_(ctx),
        heads_{c.num_attention_heads, c.num_key_value_heads, c.head_dim, 1.0F / std::sqrt(static_cast<float>(c.head_dim))},
        lengths_(c.lengths),
        block_size_(block_size),
        written_(c.lengths.size(), 0) {
    const std::int64_t blocks_each = *std::max_element(lengths_.begin(), lengths_.end()) / block_size + 1;
    blocks_each_ = blocks_each;
    const std::int64_t num_blocks = blocks_each * static_cast<std::int64_t>(lengths_.size()) + 3;
    std::vector<std::int32_t> order(static_cast<std::size_t>(num_blocks));
    std::iota(order.begin(), order.end(), 0);
    RandomStream random(seed, "blocks");
    shuffle(std::span(order), random);
    tables_.assign(order.begin(), order.end() - 3);
    // Garbage in unwritten slots must not show.
    const auto garbage = [&](Shape shape) {
      return device_tensor(ctx, shape, std::vector<float>(static_cast<std::size_t>(shape.num_elements()), std::nanf("")));
    };
    key_cache_ = garbage(ops::key_cache_shape(num_blocks, heads_, block_size));
    value_cache_ = garbage(ops::value_cache_shape(num_blocks, heads_, block_size));
    q_width_ = std::int64_t{heads_.num_attention_heads} * heads_.head_dim;
    kv_width_ = std::int64_t{heads_.num_key_value_heads} * heads_.head_dim;
    const std::int64_t num_tokens = std::accumulate(lengths_.begin(), lengths_.end(), std::int64_t{0});
    qkv_ = random_values(num_tokens * (q_width_ + 2 * kv_width_), 5, c.spread);
    out_.resize(static_cast<std::size_t>(num_tokens * q_width_));
  }

  /// The next counts[s] tokens of each sequence in one batch.
  void step(const std::vector<std::int32_t>& counts) {
    const std::int64_t width = q_width_ + 2 * kv_width_;
    std::vector<float> rows;
    std::vector<std::int32_t> slots, starts = {0}, contexts;
    std::vector<std::int64_t> targets;
    std::int64_t sequence_start = 0;
    for (std::size_t s = 0; s < lengths_.size(); ++s) {
      for (std::int32_t i = 0; i < counts[s]; ++i) {
        const std::int64_t position = written_[s]++;
        const std::int64_t token = sequence_start + position;
        rows.insert(rows.end(), qkv_.begin() + token * width, qkv_.begin() + (token + 1) * width);
        slots.push_back(
            static_cast<std::int32_t>(tables_[s * blocks_each_ + position / block_size_] * block_size_ + position % block_size_));
        targets.push_back(token);
      }
      starts.push_back(static_cast<std::int32_t>(targets.size()));
      contexts.push_back(static_cast<std::int32_t>(written_[s]));
      sequence_start += lengths_[s];
    }
    const auto num_new = static_cast<std::int64_t>(targets.size());
    const auto num_sequences = static_cast<std::int64_t>(lengths_.size());
    const Tensor qkv = device_tensor(ctx_, {num_new, width}, rows);
    Tensor out = ctx_.empty({num_new, q_width_});
    ops::write_kv_cache(ctx_, qkv.cols(q_width_, q_width_ + kv_width_), qkv.cols(q_width_ + kv_width_, width),
                        device_tensor(ctx_, {num_new}, slots), heads_, key_cache_, value_cache_);
    ops::paged_attention(ctx_, qkv.cols(0, q_width_), key_cache_, value_cache_, device_tensor(ctx_, {num_sequences + 1}, starts),
                         device_tensor(ctx_, {num_sequences}, contexts), device_tensor(ctx_, {num_sequences, blocks_each_}, tables_),
                         heads_, out);
    const std::vector<float> values = values_of<float>(ctx_, out);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      std::copy_n(values.begin() + static_cast<std::int64_t>(i) * q_width_, q_width_, out_.begin() + targets[i] * q_width_);
    }
  }

  /// Feeds everything, at most `chunk` tokens of each sequence at a time.
  const std::vector<float>& in_chunks(std::int32_t chunk) {
    while (true) {
      std::vector<std::int32_t> counts;
      for (std::size_t s = 0; s < lengths_.size(); ++s)
        counts.push_back(std::min<std::int32_t>(chunk, lengths_[s] - static_cast<std::int32_t>(written_[s])));
      if (*std::max_element(counts.begin(), counts.end()) == 0) return out_;
      step(counts);
    }
  }

  std::vector<float> training() const {
    const std::int64_t num_tokens = static_cast<std::int64_t>(out_.size()) / q_width_;
    std::vector<std::int32_t> starts = {0};
    for (const std::int32_t length : lengths_) starts.push_back(starts.back() + length);
    const Tensor qkv = device_tensor(ctx_, {num_tokens, q_width_ + 2 * kv_width_}, qkv_);
    Tensor out = ctx_.empty({num_tokens, q_width_});
    ops::attention(ctx_, qkv.cols(0, q_width_), qkv.cols(q_width_, q_width_ + kv_width_),
                   qkv.cols(q_width_ + kv_width_, q_width_ + 2 * kv_width_),
                   device_tensor(ctx_, {static_cast<std::int64_t>(starts.size())}, starts), heads_, out);
    return values_of<float>(ctx_, out);
  }

 private:
  const ExecContext& ctx_;
  ops::AttentionHeads heads_;
  std::vector<std::int32_t> lengths_;
  std::int64_t block_size_, blocks_each_ = 0, q_width_ = 0, kv_width_ = 0;
  std::vector<std::int64_t> written_;
  std::vector<std::int32_t> tables_;
  Tensor key_cache_, value_cache_;
  std::vector<float> qkv_, out_;
};

TEST(PagedAttention, EqualsTrainingAttentionBitForBitInChunksOfAnySize) {
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    for (const AttentionCase& c :
         {AttentionCase{4, 2, 16, {70, 1, 33}, 1.0}, AttentionCase{8, 2, 64, {131}, 1.0}, AttentionCase{6, 2, 20, {65, 64, 7}, 3.0}}) {
      const std::vector<float> expected = PagedRun(ctx, c, 16, 1).training();
      for (const int block_size : {16, 32, 64}) {
        for (const std::int32_t chunk : {1, 5, 64, 512}) {
          if (ops::cpu_isa() == ops::CpuIsa::kPortable && chunk != 5) continue;  // slow: every FMA is a call
          SCOPED_TRACE(fmt::format("head_dim {}, blocks of {}, chunks of {}, {}", c.head_dim, block_size, chunk, variant));
          PagedRun run(ctx, c, block_size, static_cast<std::uint64_t>(chunk));
          EXPECT_EQ(first_difference(run.in_chunks(chunk), expected), -1);
        }
      }
    }
  });
}

TEST(PagedAttention, AnswersPrefillAndDecodeInOneBatchAsAlone) {
  const auto ctx = make_cpu_context(2);
  const AttentionCase c{8, 2, 32, {90, 40, 150}, 1.0};
  PagedRun run(*ctx, c, 16, 3);
  run.step({89, 0, 0});
  run.step({1, 13, 100});  // a decode step beside two prefills
  run.step({0, 27, 49});
  EXPECT_EQ(first_difference(run.in_chunks(1), run.training()), -1);
}

TEST(PagedAttention, MatchesTheReference) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  const auto ctx = make_cpu_context(2);
  for (const AttentionCase& c : kAttentionCases) {
    if (*std::max_element(c.lengths.begin(), c.lengths.end()) > 130) continue;
    EXPECT_LE(largest_error(PagedRun(*ctx, c, 32, 1).in_chunks(40), PagedRun(*reference, c, 16, 2).in_chunks(50)), attention_tolerance(c));
  }
}

TEST(PagedAttention, RefusesABlockSizeThatDoesNotDivide64) {
  const auto ctx = make_cpu_context(1);
  const ops::AttentionHeads heads{2, 1, 16, 0.25F};
  Tensor key_cache = ctx->empty(ops::key_cache_shape(2, heads, 24)), value_cache = ctx->empty(ops::value_cache_shape(2, heads, 24));
  const Tensor k = ctx->empty({1, 16});
  try {
    ops::write_kv_cache(*ctx, k, k, ctx->empty({1}, DType::kI32), heads, key_cache, value_cache);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("must be 16, 32 or 64"));
  }
}

}  // namespace
}  // namespace r1::test

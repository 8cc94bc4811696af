// Gradients of attention, block pair by block pair: 64 keys by 64 queries.
// Hq query heads, Hkv key/value heads, D head_dim, Dp = D rounded up to 16
//
// A task is one (sequence, key/value head): it alone writes the head's grad_k and grad_v and its query heads' grad_q. It
// takes the key blocks in order, for each the query heads of the group, for each the query blocks from the diagonal on:
//   S = Q K^T, P = exp(scale S - lse), dP = dO V^T, dS = P (dP - delta) scale, delta = dO · O
//   dV += P^T dO, dK += dS^T Q (chains over query heads, then queries), dQ += dS K (chains over keys)
#include <span>

#include "ops/cpu/attention_tasks.h"
#include "ops/cpu/kernels.h"

#include "ops/cpu/attention_rows.h"
#include "ops/cpu/block_copy.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

struct Arguments {
  const Tensor &grad_out, &q, &k, &v, &out, &lse;
  const AttentionHeads& heads;
  Tensor &grad_q, &grad_k, &grad_v;
};

/// A thread's blocks, dense.
struct Scratch {
  float *keys, *keys_transposed, *values_transposed;  // [64, Dp], [Dp, 64], [Dp, 64]
  float *queries, *grad_outs, *grad_queries;          // [64, Dp]
  float *grad_keys, *grad_values;                     // [64, Dp]
  float *probabilities, *grad_scores;                 // [64 queries, 64 keys]

  static std::int64_t size(std::int64_t Dp) { return 8 * kKeyBlock * Dp + 2 * kKeyBlock * kKeyBlock; }
  Scratch(float* memory, std::int64_t Dp) {
    for (float** block : {&keys, &keys_transposed, &values_transposed, &queries, &grad_outs, &grad_queries, &grad_keys, &grad_values}) {
      *block = memory;
      memory += kKeyBlock * Dp;
    }
    probabilities = memory;
    grad_scores = memory + kKeyBlock * kKeyBlock;
  }
};

/// delta[row] = grad_out · out: 16 FMA chains added pairwise.
float row_delta(const float* grad_out, const float* out, std::int64_t D) {
  Vec sums = zero();
  for_each_vec(D, [&](std::int64_t i, auto io) { sums = fma(io.load(grad_out + i), io.load(out + i), sums); });
  return reduce_add(sums);
}

/// P and dS of R query rows. Row r sees counts[r] keys; the vectors of keys behind the last one are set to 0.
template <int R>
void grad_score_rows(const Scratch& scratch, std::int64_t first, const int* counts, const float* lse, const float* delta, std::int64_t D,
                     std::int64_t Dp, float scale) {
  alignas(64) static constexpr float kLaneIndex[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const Vec lane_index = load(kLaneIndex);
  const Vec scale_vector = broadcast(scale);
  const int num_vectors = (counts[R - 1] + kLanes - 1) / kLanes;
  float* probabilities = scratch.probabilities + first * kKeyBlock;
  float* grad_scores = scratch.grad_scores + first * kKeyBlock;
  const auto product = [&]<int C>(const float* a, const float* b, int column, float* to) __attribute__((always_inline)) {
    Vec sums[R][C];
    const float* columns[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) columns[c] = b + (column + c) * kLanes;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) sums[r][c] = zero();
    }
    product_tile<R, C>(a + first * Dp, Dp, 1, columns, kKeyBlock, D, sums);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) store(to + r * kKeyBlock + (column + c) * kLanes, sums[r][c]);
    }
  };
  for_each_column_group(
      num_vectors, [&]<int C>(int column) __attribute__((always_inline)) {
        product.template operator()<C>(scratch.queries, scratch.keys_transposed, column, probabilities);
        product.template operator()<C>(scratch.grad_outs, scratch.values_transposed, column, grad_scores);
      });
  for (int r = 0; r < R; ++r) {
    const Vec row_lse = broadcast(lse[r]);
    const Vec row_delta = broadcast(delta[r]);
    float* p_row = probabilities + r * kKeyBlock;
    float* ds_row = grad_scores + r * kKeyBlock;
    for (int c = 0; c < num_vectors; ++c) {
      const Vec visible = broadcast(static_cast<float>(counts[r] - c * kLanes));
      const Vec score = mul(load(p_row + c * kLanes), scale_vector);
      const Vec p = select_less(lane_index, visible, exp(sub(score, row_lse)), zero());
      const Vec ds = mul(mul(p, sub(load(ds_row + c * kLanes), row_delta)), scale_vector);
      store(p_row + c * kLanes, p);
      store(ds_row + c * kLanes, select_less(lane_index, visible, ds, zero()));
    }
    for (int c = num_vectors; c < kKeyVectors; ++c) {
      store(p_row + c * kLanes, zero());
      store(ds_row + c * kLanes, zero());
    }
  }
}

/// One pair of blocks: adds to the scratch's grad_keys and grad_values and to grad_q.
void block_pair(const Arguments& args, const Scratch& scratch, const SequenceBlock& keys, const SequenceBlock& queries, int head,
                const float* delta) {
  const std::int64_t D = args.heads.head_dim;
  const std::int64_t Dp = padded_head_dim(D);
  const auto num_vectors = static_cast<int>(Dp / kLanes);
  const std::int64_t Hq = args.heads.num_attention_heads;
  const std::int64_t column = head * D;
  const bool diagonal = keys.first_token == queries.first_token;
  copy_block(row(args.q, queries.first_token) + column, args.q.row_stride(), queries.num_tokens, D, scratch.queries, Dp, 0);
  copy_block(row(args.grad_out, queries.first_token) + column, args.grad_out.row_stride(), queries.num_tokens, D, scratch.grad_outs, Dp, 0);

  for_each_row_group(0, queries.num_tokens, [&]<int R>(std::int64_t first) {
    int counts[R];
    float row_lse[R], row_deltas[R];
    for (int r = 0; r < R; ++r) {
      const std::int64_t at = (queries.first_token + first + r) * Hq + head;
      counts[r] = static_cast<int>(diagonal ? first + r + 1 : keys.num_tokens);
      row_lse[r] = raw<float>(args.lse)[at];
      row_deltas[r] = delta[at];
    }
    grad_score_rows<R>(scratch, first, counts, row_lse, row_deltas, D, Dp, args.heads.scale);
  });

  // On the diagonal, key j is seen by the queries from j on, query i sees the keys up to i.
  const auto first_query = [&](std::int64_t key) { return diagonal ? key : 0; };
  const auto all_queries = [&](std::int64_t) { return queries.num_tokens; };
  const auto end_key = [&](std::int64_t query) { return diagonal ? query : keys.num_tokens; };
  const auto zero_index = [](std::int64_t) { return std::int64_t{0}; };
  block_product<true>(scratch.probabilities, 1, kKeyBlock, keys.num_tokens, scratch.grad_outs, Dp, num_vectors, scratch.grad_values, Dp,
                      first_query, all_queries);
  block_product<true>(scratch.grad_scores, 1, kKeyBlock, keys.num_tokens, scratch.queries, Dp, num_vectors, scratch.grad_keys, Dp,
                      first_query, all_queries);
  float* grad_q = row(args.grad_q, queries.first_token) + column;
  if (keys.index_in_sequence == 0) {
    block_product<false>(scratch.grad_scores, kKeyBlock, 1, queries.num_tokens, scratch.keys, Dp, num_vectors, scratch.grad_queries, Dp,
                         zero_index, end_key);
  } else {
    copy_block(grad_q, args.grad_q.row_stride(), queries.num_tokens, D, scratch.grad_queries, Dp, 0);
    block_product<true>(scratch.grad_scores, kKeyBlock, 1, queries.num_tokens, scratch.keys, Dp, num_vectors, scratch.grad_queries, Dp,
                        zero_index, end_key);
  }
  copy_rows(scratch.grad_queries, Dp, queries.num_tokens, D, grad_q, args.grad_q.row_stride());
}

/// All block pairs of one sequence and key/value head. blocks: the sequence's.
void sequence_head(const Arguments& args, const Scratch& scratch, std::span<const SequenceBlock> blocks, int kv_head, const float* delta) {
  const std::int64_t D = args.heads.head_dim;
  const std::int64_t Dp = padded_head_dim(D);
  const int group = args.heads.num_attention_heads / args.heads.num_key_value_heads;
  for (std::size_t j = 0; j < blocks.size(); ++j) {
    const SequenceBlock& keys = blocks[j];
    const float* k = row(args.k, keys.first_token) + kv_head * D;
    const float* v = row(args.v, keys.first_token) + kv_head * D;
    copy_block(k, args.k.row_stride(), keys.num_tokens, D, scratch.keys, Dp, kKeyBlock);
    transpose_block(k, args.k.row_stride(), keys.num_tokens, D, scratch.keys_transposed, kKeyBlock, kKeyBlock);
    transpose_block(v, args.v.row_stride(), keys.num_tokens, D, scratch.values_transposed, kKeyBlock, kKeyBlock);
    std::fill_n(scratch.grad_keys, kKeyBlock * Dp, 0.0F);
    std::fill_n(scratch.grad_values, kKeyBlock * Dp, 0.0F);
    for (int head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::size_t i = j; i < blocks.size(); ++i) block_pair(args, scratch, keys, blocks[i], head, delta);
    }
    copy_rows(scratch.grad_keys, Dp, keys.num_tokens, D, row(args.grad_k, keys.first_token) + kv_head * D, args.grad_k.row_stride());
    copy_rows(scratch.grad_values, Dp, keys.num_tokens, D, row(args.grad_v, keys.first_token) + kv_head * D, args.grad_v.row_stride());
  }
}

}  // namespace

void attention_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& out, const Tensor& lse, const Tensor& cu_seqlens, const AttentionHeads& heads, Tensor& grad_q,
                        Tensor& grad_k, Tensor& grad_v) {
  const std::int64_t D = heads.head_dim;
  const std::int64_t Hq = heads.num_attention_heads;
  const auto blocks = sequence_blocks(raw<std::int32_t>(cu_seqlens), cu_seqlens.dim(0) - 1);
  if (blocks.empty()) return;

  Tensor deltas = ctx.empty({q.dim(0), Hq});
  ctx.threads().parallel_for(
      q.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
          for (std::int64_t head = 0; head < Hq; ++head) {
            row(deltas, t)[head] = row_delta(row(grad_out, t) + head * D, row(out, t) + head * D, D);
          }
        }
      },
      rows_worth_a_thread(Hq * D));

  // The border of sequences: where index_in_sequence is 0.
  std::vector<std::int64_t> starts;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].index_in_sequence == 0) starts.push_back(static_cast<std::int64_t>(i));
  }
  const auto num_sequences = static_cast<std::int64_t>(starts.size());
  starts.push_back(static_cast<std::int64_t>(blocks.size()));
  const auto num_blocks = [&](std::int64_t s) { return starts[static_cast<std::size_t>(s) + 1] - starts[static_cast<std::size_t>(s)]; };

  const TaskSplit tasks(num_sequences * heads.num_key_value_heads, ctx.threads().num_threads(), [&](std::int64_t i) {
    const std::int64_t n = num_blocks(i / heads.num_key_value_heads);
    return n * (n + 1) / 2;
  });
  const std::int64_t scratch_size = Scratch::size(padded_head_dim(D));
  Tensor memory = ctx.empty({ctx.threads().num_threads() * scratch_size});
  const Arguments args{grad_out, q, k, v, out, lse, heads, grad_q, grad_k, grad_v};
  ctx.threads().run_on_all([&](std::int64_t thread, std::int64_t, int) {
    const Scratch scratch(raw<float>(memory) + thread * scratch_size, padded_head_dim(D));
    for (std::int64_t i = tasks.begin(thread); i < tasks.end(thread); ++i) {
      const std::int64_t s = i / heads.num_key_value_heads;
      const std::span sequence(blocks.data() + starts[static_cast<std::size_t>(s)], static_cast<std::size_t>(num_blocks(s)));
      sequence_head(args, scratch, sequence, static_cast<int>(i % heads.num_key_value_heads), raw<float>(deltas));
    }
  });
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

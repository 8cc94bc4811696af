// T tokens, Hq query heads, Hkv key/value heads, D head_dim
#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

template <typename T>
double dot(const T* a, const T* b, std::int64_t count) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// Calls body(first token of its sequence, token, query head, key/value head) for every row.
template <typename Body>
void for_each_row(const Tensor& cu_seqlens, const AttentionHeads& heads, Body&& body) {
  const auto* starts = raw<std::int32_t>(cu_seqlens);
  const int group = heads.num_attention_heads / heads.num_key_value_heads;
  for (std::int64_t s = 0; s + 1 < cu_seqlens.dim(0); ++s) {
    for (std::int64_t t = starts[s]; t < starts[s + 1]; ++t) {
      for (int head = 0; head < heads.num_attention_heads; ++head) body(std::int64_t{starts[s]}, t, head, head / group);
    }
  }
}

}  // namespace

void attention(const ExecContext&, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens, const AttentionHeads& heads,
               Tensor& out, Tensor* lse) {
  with_float_type(q, [&]<typename T>(T) {
    const std::int64_t D = heads.head_dim;
    std::vector<double> probabilities;
    for_each_row(cu_seqlens, heads, [&](std::int64_t start, std::int64_t t, int head, int kv_head) {
      const T* query = row<T>(q, t) + head * D;
      probabilities.clear();
      double maximum = -std::numeric_limits<double>::infinity();
      for (std::int64_t j = start; j <= t; ++j) {
        probabilities.push_back(static_cast<double>(heads.scale) * dot(query, row<T>(k, j) + kv_head * D, D));
        maximum = std::max(maximum, probabilities.back());
      }
      double sum = 0;
      for (double& p : probabilities) sum += p = std::exp(p - maximum);
      T* result = row<T>(out, t) + head * D;
      for (std::int64_t d = 0; d < D; ++d) {
        double value = 0;
        for (std::int64_t j = start; j <= t; ++j) {
          value += probabilities[static_cast<std::size_t>(j - start)] * static_cast<double>(row<T>(v, j)[kv_head * D + d]);
        }
        result[d] = static_cast<T>(value / sum);
      }
      if (lse != nullptr) row<T>(*lse, t)[head] = static_cast<T>(maximum + std::log(sum));
    });
  });
}

// p = exp(score - lse); dp = grad_out · v; ds = p * (dp - grad_out · out) * scale;
// grad_v += p grad_out, grad_q += ds k, grad_k += ds q.
void attention_backward(const ExecContext&, const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                        const Tensor& lse, const Tensor& cu_seqlens, const AttentionHeads& heads, Tensor& grad_q, Tensor& grad_k,
                        Tensor& grad_v) {
  with_float_type(q, [&]<typename T>(T) {
    const std::int64_t D = heads.head_dim;
    const std::int64_t key_width = D * heads.num_key_value_heads;
    std::vector<double> key_sums(static_cast<std::size_t>(q.dim(0) * key_width), 0.0);
    std::vector<double> value_sums(key_sums.size(), 0.0);
    std::vector<double> query_sums(static_cast<std::size_t>(D));
    for_each_row(cu_seqlens, heads, [&](std::int64_t start, std::int64_t t, int head, int kv_head) {
      const T* query = row<T>(q, t) + head * D;
      const T* grad = row<T>(grad_out, t) + head * D;
      const double delta = dot(grad, row<T>(out, t) + head * D, D);
      std::fill(query_sums.begin(), query_sums.end(), 0.0);
      for (std::int64_t j = start; j <= t; ++j) {
        const T* key = row<T>(k, j) + kv_head * D;
        const double score = static_cast<double>(heads.scale) * dot(query, key, D);
        const double p = std::exp(score - static_cast<double>(row<T>(lse, t)[head]));
        const double ds = p * (dot(grad, row<T>(v, j) + kv_head * D, D) - delta) * static_cast<double>(heads.scale);
        const auto base = static_cast<std::size_t>(j * key_width + kv_head * D);
        for (std::int64_t d = 0; d < D; ++d) {
          const auto at = static_cast<std::size_t>(d);
          value_sums[base + at] += p * static_cast<double>(grad[d]);
          key_sums[base + at] += ds * static_cast<double>(query[d]);
          query_sums[at] += ds * static_cast<double>(key[d]);
        }
      }
      T* result = row<T>(grad_q, t) + head * D;
      for (std::int64_t d = 0; d < D; ++d) result[d] = static_cast<T>(query_sums[static_cast<std::size_t>(d)]);
    });
    for (std::int64_t t = 0; t < q.dim(0); ++t) {
      for (std::int64_t i = 0; i < key_width; ++i) {
        row<T>(grad_k, t)[i] = static_cast<T>(key_sums[static_cast<std::size_t>(t * key_width + i)]);
        row<T>(grad_v, t)[i] = static_cast<T>(value_sums[static_cast<std::size_t>(t * key_width + i)]);
      }
    }
  });
}

}  // namespace r1::ops::reference

#include "ops/paged_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

// The cache's layout (ops/paged_attention.h): keys [block, Hkv, D, position], values [block, Hkv, position, padded D].
template <typename T>
struct Cache {
  Cache(const Tensor& key_cache, const Tensor& value_cache)
      : keys(raw<T>(key_cache)),
        values(raw<T>(value_cache)),
        num_heads(key_cache.dim(1)),
        head_dim(key_cache.dim(2)),
        block_size(key_cache.dim(3)),
        padded_dim(value_cache.dim(3)) {}
  T& key(std::int64_t slot, std::int64_t head, std::int64_t d) const {
    return keys[(((slot / block_size) * num_heads + head) * head_dim + d) * block_size + slot % block_size];
  }
  T& value(std::int64_t slot, std::int64_t head, std::int64_t d) const {
    return values[(((slot / block_size) * num_heads + head) * block_size + slot % block_size) * padded_dim + d];
  }
  T *keys, *values;
  std::int64_t num_heads, head_dim, block_size, padded_dim;
};

}  // namespace

void write_kv_cache(const ExecContext&, const Tensor& k, const Tensor& v, const Tensor& slot_mapping, const AttentionHeads& heads,
                    Tensor& key_cache, Tensor& value_cache) {
  with_float_type(k, [&]<typename T>(T) {
    const Cache<T> cache(key_cache, value_cache);
    for (std::int64_t t = 0; t < k.dim(0); ++t) {
      const std::int64_t slot = raw<std::int32_t>(slot_mapping)[t];
      if (slot < 0) continue;
      for (std::int64_t head = 0; head < heads.num_key_value_heads; ++head) {
        for (std::int64_t d = 0; d < heads.head_dim; ++d) {
          cache.key(slot, head, d) = row<T>(k, t)[head * heads.head_dim + d];
          cache.value(slot, head, d) = row<T>(v, t)[head * heads.head_dim + d];
        }
        for (std::int64_t d = heads.head_dim; d < cache.padded_dim; ++d) cache.value(slot, head, d) = T{0};
      }
    }
  });
}

void paged_attention(const ExecContext&, const Tensor& q, const Tensor& key_cache, const Tensor& value_cache, const Tensor& cu_seqlens,
                     const Tensor& context_lens, const Tensor& block_tables, const AttentionHeads& heads, Tensor& out) {
  with_float_type(q, [&]<typename T>(T) {
    const Cache<T> cache(key_cache, value_cache);
    const std::int64_t D = heads.head_dim;
    const int group = heads.num_attention_heads / heads.num_key_value_heads;
    const auto* starts = raw<std::int32_t>(cu_seqlens);
    for (std::int64_t s = 0; s < context_lens.dim(0); ++s) {
      const auto* table = row<std::int32_t>(block_tables, s);
      const auto slot = [&](std::int64_t position) {
        return table[position / cache.block_size] * cache.block_size + position % cache.block_size;
      };
      for (std::int64_t t = starts[s]; t < starts[s + 1]; ++t) {
        const std::int64_t count = raw<std::int32_t>(context_lens)[s] - starts[s + 1] + t + 1;
        for (int head = 0; head < heads.num_attention_heads; ++head) {
          std::vector<double> p(static_cast<std::size_t>(count), 0.0);
          double maximum = -std::numeric_limits<double>::infinity();
          for (std::int64_t j = 0; j < count; ++j) {
            double dot = 0;
            for (std::int64_t d = 0; d < D; ++d) {
              dot += static_cast<double>(row<T>(q, t)[head * D + d]) * static_cast<double>(cache.key(slot(j), head / group, d));
            }
            p[static_cast<std::size_t>(j)] = dot * static_cast<double>(heads.scale);
            maximum = std::max(maximum, p[static_cast<std::size_t>(j)]);
          }
          double sum = 0;
          for (double& value : p) sum += value = std::exp(value - maximum);
          for (std::int64_t d = 0; d < D; ++d) {
            double value = 0;
            for (std::int64_t j = 0; j < count; ++j) {
              value += p[static_cast<std::size_t>(j)] * static_cast<double>(cache.value(slot(j), head / group, d));
            }
            row<T>(out, t)[head * D + d] = static_cast<T>(value / sum);
          }
        }
      }
    }
  });
}

}  // namespace r1::ops::reference

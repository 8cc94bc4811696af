#include "ops/elementwise.h"

#include <cstring>

#include "ops/cast.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

// Memory traffic is the limit: a thread is worth waking for about 64 Ki elements.
constexpr std::int64_t kElementsPerThread = 65536;

/// Calls body(row, first element, count) on parts that cover a tensor of any rank, in parallel. Dense tensors are one row.
template <typename Body>
void for_each_part(const ExecContext& ctx, const Tensor& x, bool dense, Body&& body) {
  const std::int64_t count = x.num_elements();
  if (count == 0) return;
  if (dense) {
    ctx.threads().parallel_for(
        count, [&](std::int64_t begin, std::int64_t end, int) { body(std::int64_t{0}, begin, end - begin); }, kElementsPerThread);
    return;
  }
  const std::int64_t length = count / x.dim(0);
  ctx.threads().parallel_for(
      x.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t r = begin; r < end; ++r) body(r, std::int64_t{0}, length);
      },
      std::max<std::int64_t>(1, kElementsPerThread / length));
}

float* at(const Tensor& x, std::int64_t r, std::int64_t first) { return raw<float>(x) + r * x.row_stride() + first; }

std::byte* byte_at(const Tensor& x, std::int64_t r, std::int64_t first) {
  return RawAccess::data(x) + static_cast<std::size_t>(r * x.row_stride() + first) * size_of(x.dtype());
}

}  // namespace

void fill(const ExecContext& ctx, Tensor& x, float value) {
  for_each_part(ctx, x, x.is_contiguous(), [&](std::int64_t r, std::int64_t first, std::int64_t count) {
    if (value == 0) {
      std::memset(byte_at(x, r, first), 0, static_cast<std::size_t>(count) * size_of(x.dtype()));
      return;
    }
    const Vec all = broadcast(value);
    for_each_vec(count, [&](std::int64_t i, auto io) { io.store(at(x, r, first) + i, all); });
  });
}

void add(const ExecContext& ctx, const Tensor& a, const Tensor& b, Tensor& out) {
  const bool dense = a.is_contiguous() && b.is_contiguous() && out.is_contiguous();
  for_each_part(ctx, a, dense, [&](std::int64_t r, std::int64_t first, std::int64_t count) {
    const float* left = at(a, r, first);
    const float* right = at(b, r, first);
    float* sum = at(out, r, first);
    for_each_vec(count, [&](std::int64_t i, auto io) { io.store(sum + i, add(io.load(left + i), io.load(right + i))); });
  });
}

void scale(const ExecContext& ctx, Tensor& x, float factor) {
  const Vec all = broadcast(factor);
  for_each_part(ctx, x, x.is_contiguous(), [&](std::int64_t r, std::int64_t first, std::int64_t count) {
    float* values = at(x, r, first);
    for_each_vec(count, [&](std::int64_t i, auto io) { io.store(values + i, mul(io.load(values + i), all)); });
  });
}

void copy(const ExecContext& ctx, const Tensor& x, Tensor& out) {
  for_each_part(ctx, x, x.is_contiguous() && out.is_contiguous(), [&](std::int64_t r, std::int64_t first, std::int64_t count) {
    std::memcpy(byte_at(out, r, first), byte_at(x, r, first), static_cast<std::size_t>(count) * size_of(x.dtype()));
  });
}

void cast(const ExecContext& ctx, const Tensor& x, Tensor& out) {
  for_each_part(ctx, x, true, [&](std::int64_t, std::int64_t first, std::int64_t count) {
    const DType from = x.dtype(), to = out.dtype();
    if (from == to) {
      std::memcpy(byte_at(out, 0, first), byte_at(x, 0, first), static_cast<std::size_t>(count) * size_of(to));
    } else if (from == DType::kBF16) {
      const std::uint16_t* bf16 = raw<std::uint16_t>(x) + first;
      float* f32 = raw<float>(out) + first;
      std::int64_t i = 0;
      for (; i + kLanes <= count; i += kLanes) store(f32 + i, load_bf16(bf16 + i));
      for (; i < count; ++i) f32[i] = bf16_to_f32(bf16[i]);
    } else if (from == DType::kF16) {
      for (std::int64_t i = first; i < first + count; ++i) raw<float>(out)[i] = f16_to_f32(raw<std::uint16_t>(x)[i]);
    } else if (from == DType::kF8E4M3) {
      for (std::int64_t i = first; i < first + count; ++i) raw<float>(out)[i] = f8e4m3_to_f32(raw<std::uint8_t>(x)[i]);
    } else if (to == DType::kBF16) {
      const float* f32 = raw<float>(x);
      std::uint16_t* bf16 = raw<std::uint16_t>(out);
      for (std::int64_t i = first; i < first + count; ++i) bf16[i] = f32_to_bf16(f32[i]);
    } else {
      for (std::int64_t i = first; i < first + count; ++i) raw<std::uint16_t>(out)[i] = f32_to_f16(raw<float>(x)[i]);
    }
  });
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

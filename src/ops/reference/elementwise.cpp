#include "ops/elementwise.h"

#include <cstring>

#include "ops/cast.h"
#include "ops/reference/float_types.h"
#include "ops/reference/kernels.h"

namespace r1::ops::reference {
namespace {

// A tensor of any rank as rows of dense elements; a scalar is one row of one element.
std::int64_t num_rows(const Tensor& x) { return x.shape().rank() == 0 ? 1 : x.dim(0); }
std::int64_t row_length(const Tensor& x) { return num_rows(x) == 0 ? 0 : x.num_elements() / num_rows(x); }

}  // namespace

void fill(const ExecContext&, Tensor& x, float value) {
  const std::size_t element = size_of(x.dtype());
  for (std::int64_t r = 0; r < num_rows(x); ++r) {
    if (value == 0) {
      std::memset(RawAccess::data(x) + static_cast<std::size_t>(r * x.row_stride()) * element, 0,
                  static_cast<std::size_t>(row_length(x)) * element);
      continue;
    }
    with_float_type(x, [&]<typename T>(T) {
      for (std::int64_t i = 0; i < row_length(x); ++i) row<T>(x, r)[i] = static_cast<T>(value);
    });
  }
}

void add(const ExecContext&, const Tensor& a, const Tensor& b, Tensor& out) {
  with_float_type(a, [&]<typename T>(T) {
    for (std::int64_t r = 0; r < num_rows(a); ++r) {
      for (std::int64_t i = 0; i < row_length(a); ++i) row<T>(out, r)[i] = row<T>(a, r)[i] + row<T>(b, r)[i];
    }
  });
}

void scale(const ExecContext&, Tensor& x, float factor) {
  with_float_type(x, [&]<typename T>(T) {
    for (std::int64_t r = 0; r < num_rows(x); ++r) {
      for (std::int64_t i = 0; i < row_length(x); ++i) row<T>(x, r)[i] *= static_cast<T>(factor);
    }
  });
}

void copy(const ExecContext&, const Tensor& x, Tensor& out) {
  const std::size_t element = size_of(x.dtype());
  for (std::int64_t r = 0; r < num_rows(x); ++r) {
    std::memmove(RawAccess::data(out) + static_cast<std::size_t>(r * out.row_stride()) * element,
                 RawAccess::data(x) + static_cast<std::size_t>(r * x.row_stride()) * element,
                 static_cast<std::size_t>(row_length(x)) * element);
  }
}

void cast(const ExecContext&, const Tensor& x, Tensor& out) {
  for (std::int64_t i = 0; i < x.num_elements(); ++i) {
    float value = 0;
    if (x.dtype() == DType::kF32) value = raw<float>(x)[i];
    if (x.dtype() == DType::kBF16) value = bf16_to_f32(raw<std::uint16_t>(x)[i]);
    if (x.dtype() == DType::kF16) value = f16_to_f32(raw<std::uint16_t>(x)[i]);
    if (x.dtype() == DType::kF8E4M3) value = f8e4m3_to_f32(raw<std::uint8_t>(x)[i]);
    if (out.dtype() == DType::kF32) raw<float>(out)[i] = value;
    if (out.dtype() == DType::kBF16) raw<std::uint16_t>(out)[i] = f32_to_bf16(value);
    if (out.dtype() == DType::kF16) raw<std::uint16_t>(out)[i] = f32_to_f16(value);
  }
}

}  // namespace r1::ops::reference

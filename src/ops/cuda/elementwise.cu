#include "ops/elementwise.h"

#include "ops/cast.h"
#include "ops/cuda/elementwise_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/movement.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

LaunchGrid grid_of(index_t num_rows, index_t length, index_t width) {
  return {blocks_for(length, 256 * width), static_cast<unsigned>(std::min<index_t>(num_rows, 65535))};
}

/// Bytes of the rows as units of 16, 8, 4, 2 or 1.
template <typename Body>
void with_unit(std::uintptr_t all_addresses_and_sizes, Body&& body) {
  if (all_addresses_and_sizes % 16 == 0) return body(uint4{});
  if (all_addresses_and_sizes % 8 == 0) return body(index_t{});
  if (all_addresses_and_sizes % 4 == 0) return body(int{});
  if (all_addresses_and_sizes % 2 == 0) return body(short{});
  body(char{});
}

void move_rows(const ExecContext& ctx, const char* op, const Tensor& x, const Tensor* x_rows, Tensor& out, const Tensor* out_rows,
               index_t num_rows) {
  const auto element = static_cast<index_t>(size_of(x.dtype()));
  const auto row_shape = [](const Tensor& t) {
    return t.shape().rank() == 0 || t.dim(0) == 0 ? std::int64_t{1} : t.num_elements() / t.dim(0);
  };
  const index_t row_bytes = row_shape(x) * element;
  if (num_rows == 0 || row_bytes == 0 || x.num_elements() == 0) return;
  const index_t x_stride = (x.shape().rank() == 0 ? 1 : x.row_stride()) * element;
  const index_t out_stride = (out.shape().rank() == 0 ? 1 : out.row_stride()) * element;
  const auto bits = reinterpret_cast<std::uintptr_t>(RawAccess::data(x)) | reinterpret_cast<std::uintptr_t>(RawAccess::data(out)) |
                    static_cast<std::uintptr_t>(row_bytes | x_stride | out_stride);
  for (const Tensor* tensor : {&x, static_cast<const Tensor*>(&out)}) {
    const index_t stride = tensor == &x ? x_stride : out_stride, rows = tensor->shape().rank() == 0 ? 1 : tensor->dim(0);
    note_device_range(RawAccess::data(*tensor), static_cast<std::size_t>((rows - 1) * stride + row_bytes));
  }
  with_unit(bits, [&]<typename Unit>(Unit) {
    constexpr auto size = static_cast<index_t>(sizeof(Unit));
    launch(ctx, op, move_rows_kernel<Unit>, grid_of(num_rows, row_bytes, size), 256, 0, reinterpret_cast<const Unit*>(RawAccess::data(x)),
           x_stride / size, x_rows ? device_pointer<int>(*x_rows) : nullptr, reinterpret_cast<Unit*>(RawAccess::data(out)),
           out_stride / size, out_rows ? device_pointer<int>(*out_rows) : nullptr, num_rows, row_bytes / size);
  });
}

/// Without gaps: 16 bytes at a time, and what is left after them in its own units.
void move_bytes(const ExecContext& ctx, const char* op, const Tensor& x, Tensor& out) {
  constexpr std::size_t kWhole = sizeof(uint4);
  const std::size_t bytes = x.num_bytes();
  auto* from = reinterpret_cast<char*>(RawAccess::data(x));
  auto* to = reinterpret_cast<char*>(RawAccess::data(out));
  note_device_range(from, bytes);
  note_device_range(to, bytes);
  const auto addresses = reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to);
  const auto move = [&](std::size_t begin, std::size_t count) {
    if (count == 0) return;
    with_unit(addresses | begin | count, [&]<typename Unit>(Unit) {
      const auto units = static_cast<index_t>(count / sizeof(Unit));
      launch(ctx, op, move_rows_kernel<Unit>, grid_of(1, units, 1), 256, 0, reinterpret_cast<const Unit*>(from + begin), units,
             static_cast<const int*>(nullptr), reinterpret_cast<Unit*>(to + begin), units, static_cast<const int*>(nullptr), index_t{1},
             units);
    });
  };
  const std::size_t whole = addresses % kWhole == 0 ? bytes / kWhole * kWhole : 0;
  move(0, whole);
  move(whole, bytes - whole);
}

}  // namespace

void fill(const ExecContext& ctx, Tensor& x, float value) {
  if (x.num_elements() == 0) return;
  const auto run = [&]<typename T>(T) {
    Rows<T> rows(x);
    join_rows(rows);
    with_width<T>(rows.is_aligned(), [&](auto width) {
      launch(ctx, "fill", fill_kernel<T, width>, grid_of(rows.count, rows.length, width), 256, 0, rows.data, rows.stride, rows.count,
             rows.length, value);
    });
  };
  if (x.dtype() == DType::kF32 || x.dtype() == DType::kBF16) return with_storage("fill", x, run);
  // The public op has checked that the value is 0, whose bytes are zero in every dtype: written as words.
  const std::size_t bytes = x.num_bytes();
  if (!x.is_contiguous() || bytes % 4 != 0) {
    fail(ErrorKind::kDType, "fill: {} on CUDA must be contiguous and a multiple of 4 bytes, found {}", dtype_name(x.dtype()),
         x.shape().to_string());
  }
  note_device_range(RawAccess::data(x), bytes);
  const auto words = static_cast<index_t>(bytes / 4);
  with_width<float>(reinterpret_cast<std::uintptr_t>(RawAccess::data(x)) % 16 == 0, [&](auto width) {
    launch(ctx, "fill", fill_kernel<float, width>, grid_of(1, words, width), 256, 0, reinterpret_cast<float*>(RawAccess::data(x)), words,
           index_t{1}, words, 0.0F);
  });
}

void add(const ExecContext& ctx, const Tensor& a, const Tensor& b, Tensor& out) {
  if (a.num_elements() == 0) return;
  with_storage("add", a, [&]<typename T>(T) {
    Rows<T> left(a), right(b), result(out);
    join_rows(left, right, result);
    with_width<T>(left.is_aligned() && right.is_aligned() && result.is_aligned(), [&](auto width) {
      launch(ctx, "add", add_kernel<T, width>, grid_of(left.count, left.length, width), 256, 0, left.data, left.stride, right.data,
             right.stride, result.data, result.stride, left.count, left.length);
    });
  });
}

void scale(const ExecContext& ctx, Tensor& x, float factor) {
  if (x.num_elements() == 0) return;
  with_storage("scale", x, [&]<typename T>(T) {
    Rows<T> rows(x);
    join_rows(rows);
    with_width<T>(rows.is_aligned(), [&](auto width) {
      launch(ctx, "scale", scale_kernel<T, width>, grid_of(rows.count, rows.length, width), 256, 0, rows.data, rows.stride, rows.count,
             rows.length, factor);
    });
  });
}

void copy(const ExecContext& ctx, const Tensor& x, Tensor& out) {
  if (x.is_contiguous() && out.is_contiguous()) return move_bytes(ctx, "copy", x, out);
  move_rows(ctx, "copy", x, nullptr, out, nullptr, x.shape().rank() == 0 ? 1 : x.dim(0));
}

void gather_rows(const ExecContext& ctx, const Tensor& x, const Tensor& rows, Tensor& out) {
  move_rows(ctx, "gather_rows", x, &rows, out, nullptr, rows.dim(0));
}

void scatter_rows(const ExecContext& ctx, const Tensor& x, const Tensor& rows, Tensor& out) {
  move_rows(ctx, "scatter_rows", x, nullptr, out, &rows, rows.dim(0));
}

void move_segments(const ExecContext& ctx, const Tensor& x, std::span<const SegmentMove> segments, Tensor& out) {
  if (segments.empty()) return;
  static_assert(sizeof(SegmentMove) == sizeof(Segment));
  const auto count = static_cast<index_t>(segments.size());
  const Tensor list = ctx.empty({3 * count}, DType::kI64);
  copy_to_device(ctx, RawAccess::data(list), segments.data(), segments.size_bytes());
  index_t largest = 1;
  for (const SegmentMove& segment : segments) largest = std::max<index_t>(largest, segment.count);
  with_storage("move_segments", x, [&]<typename T>(T) {
    device_pointer<index_t>(list);
    launch(ctx, "move_segments", move_segments_kernel<T>,
           {std::min(blocks_for(largest, 256 * kVectorWidth<T>), 1024U), static_cast<unsigned>(std::min<index_t>(count, 65535))}, 256, 0,
           device_pointer<T>(x), device_pointer<T>(out), reinterpret_cast<const Segment*>(RawAccess::data(list)), count);
  });
}

void cast(const ExecContext& ctx, const Tensor& x, Tensor& out) {
  const index_t count = x.num_elements();
  if (count == 0) return;
  const auto run = [&]<typename From, typename To>(From, To) {
    const auto convert = [&](auto width) {
      launch(ctx, "cast", cast_kernel<From, To, width>, {blocks_for(count, 256 * width)}, 256, 0, device_pointer<From>(x),
             device_pointer<To>(out), count);
    };
    if (is_at_16_bytes(x) && is_at_16_bytes(out)) return convert(std::integral_constant<int, 8>{});
    convert(std::integral_constant<int, 1>{});
  };
  const DType from = x.dtype(), to = out.dtype();
  if (from == to) return copy(ctx, x, out);
  if (from == DType::kF32 && to == DType::kBF16) return run(float{}, bf16{});
  if (from == DType::kF32 && to == DType::kF16) return run(float{}, f16{});
  if (from == DType::kBF16 && to == DType::kF32) return run(bf16{}, float{});
  if (from == DType::kF16 && to == DType::kF32) return run(f16{}, float{});
  if (from == DType::kF8E4M3 && to == DType::kF32) return run(f8e4m3{}, float{});
  fail(ErrorKind::kDType, "cast: {} to {} is not supported on CUDA", dtype_name(from), dtype_name(to));
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

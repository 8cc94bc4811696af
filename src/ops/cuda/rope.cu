#include "ops/rope.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/rope_kernels.cuh"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

void rope(const ExecContext& ctx, Tensor& x, const Tensor& position_ids, const Tensor& cos, const Tensor& sin, int num_heads, int head_dim,
          RopeStyle style, RopeDirection direction) {
  const auto num_angles = static_cast<int>(cos.dim(1));
  if (x.dim(0) == 0 || num_heads == 0 || num_angles == 0) return;
  with_storage("rope", x, [&]<typename T>(T) {
    T* elements = device_pointer<T>(x);
    constexpr int kVector = kVectorWidth<T>;
    const bool is_vectorisable = reinterpret_cast<std::uintptr_t>(elements) % 16 == 0 && num_angles % kVector == 0 &&
                                 head_dim % kVector == 0 && (x.dim(0) == 1 || x.row_stride() % kVector == 0);
    with_width<T>(is_vectorisable, [&](auto width) {
      const auto kernel = style == RopeStyle::kInterleaved ? rope_kernel<T, width, true> : rope_kernel<T, width, false>;
      launch(ctx, "rope", kernel, {static_cast<unsigned>(x.dim(0))}, threads_for(index_t{num_heads} * num_angles / width), 0, elements,
             x.row_stride(), device_pointer<int>(position_ids), device_pointer<float>(cos), device_pointer<float>(sin), num_heads, head_dim,
             num_angles, direction == RopeDirection::kForward ? 1.0F : -1.0F);
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

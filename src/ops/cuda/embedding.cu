#include "ops/embedding.h"

#include "ops/cuda/embedding_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

void embedding(const ExecContext& ctx, const Tensor& ids, const Tensor& weight, Tensor& out) {
  if (out.num_elements() == 0) return;
  with_storage("embedding", weight, [&]<typename W>(W) {
    with_storage("embedding", out, [&]<typename T>(T) {
      const Rows<W> table(weight);
      const Rows<T> result(out);
      // The wider of the two accesses decides the width, so that both are whole pieces of 16 bytes.
      constexpr int kWidth = kVectorWidth < W >> kVectorWidth<T> ? kVectorWidth<W> : kVectorWidth<T>;
      const auto run = [&](auto width) {
        launch(ctx, "embedding", embedding_kernel<W, T, width>,
               {static_cast<unsigned>(result.count), blocks_for(result.length / width, threads_for(result.length / width))},
               threads_for(result.length / width), 0, device_pointer<int>(ids), table.data, result.data, result.stride, result.length);
      };
      if (table.is_vectorisable() && result.is_vectorisable() && result.length % kWidth == 0) {
        run(std::integral_constant<int, kWidth>{});
      } else {
        run(std::integral_constant<int, 1>{});
      }
    });
  });
}

void embedding_backward(const ExecContext& ctx, const Tensor& ids, const Tensor& grad_out, Tensor& grad_weight, Accumulate accumulate) {
  if (accumulate == Accumulate::kNo) fill(ctx, grad_weight, 0);
  if (grad_out.num_elements() == 0) return;
  with_storage("embedding_backward", grad_weight, [&]<typename W>(W) {
    with_storage("embedding_backward", grad_out, [&]<typename T>(T) {
      const Rows<W> total(grad_weight);
      const Rows<T> grads(grad_out);
      constexpr int kWidth = kVectorWidth < W >> kVectorWidth<T> ? kVectorWidth<W> : kVectorWidth<T>;
      const auto run = [&](auto width) {
        launch(ctx, "embedding_backward", embedding_backward_kernel<T, W, width>,
               {static_cast<unsigned>(grads.count), blocks_for(grads.length / width, kEmbeddingThreads)}, kEmbeddingThreads, 0,
               device_pointer<int>(ids), grads.count, grads.data, grads.stride, total.data, grads.length);
      };
      if (total.is_vectorisable() && grads.is_vectorisable() && grads.length % kWidth == 0) {
        run(std::integral_constant<int, kWidth>{});
      } else {
        run(std::integral_constant<int, 1>{});
      }
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

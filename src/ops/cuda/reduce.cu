#include "ops/reduce.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/reduce_kernels.cuh"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

static_assert(kReduceElements == kReduceBlock);

template <bool kSquares>
void sum_each_block(const ExecContext& ctx, const char* op, const Tensor& x, Tensor& sums) {
  if (x.num_elements() == 0) return;
  with_storage(op, x, [&]<typename T>(T) {
    const T* elements = device_pointer<T>(x);
    const auto kernel =
        reinterpret_cast<std::uintptr_t>(elements) % 16 == 0 ? sum_blocks_kernel<T, kSquares, true> : sum_blocks_kernel<T, kSquares, false>;
    constexpr index_t kLanes = 8 / kVectorWidth<T>;
    launch(ctx, op, kernel, {blocks_for(sums.dim(0) * kLanes, 256)}, 256, 0, elements, index_t{x.num_elements()},
           device_pointer<double>(sums), index_t{sums.dim(0)});
  });
}

}  // namespace

void sum_squares_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums) { sum_each_block<true>(ctx, "sum_squares_blocks", x, sums); }
void sum_blocks(const ExecContext& ctx, const Tensor& x, Tensor& sums) { sum_each_block<false>(ctx, "sum_blocks", x, sums); }

}  // namespace r1::ops::R1_CUDA_NAMESPACE

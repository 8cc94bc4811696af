#include "ops/norm.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/norm_kernels.cuh"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

template <typename T, bool kAdd>
void normalise(const ExecContext& ctx, const Tensor& x, const Tensor* residual, const Tensor& weight, float eps, Tensor* sum, Tensor& out,
               Tensor* rstd) {
  const Rows<T> input(x), result(out), weights(weight.view({1, weight.dim(0)}));
  const Rows<T> added = residual ? Rows<T>(*residual) : Rows<T>(), total = sum ? Rows<T>(*sum) : Rows<T>();
  if (input.count == 0) return;
  const bool is_vectorisable = input.is_vectorisable() && result.is_vectorisable() && weights.is_vectorisable() &&
                               added.is_vectorisable() && total.is_vectorisable();
  with_width<T>(is_vectorisable, [&](auto width) {
    launch(ctx, kAdd ? "add_rms_norm" : "rms_norm", rms_norm_kernel<T, width, kAdd>, {static_cast<unsigned>(input.count)},
           threads_for(input.length / width), 0, input.data, input.stride, added.data, added.stride, weights.data, eps, total.data,
           total.stride, result.data, result.stride, rstd ? device_pointer<float>(*rstd) : nullptr, input.length);
  });
}

}  // namespace

void rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& weight, float eps, Tensor& out, Tensor* rstd) {
  with_storage("rms_norm", x, [&]<typename T>(T) { normalise<T, false>(ctx, x, nullptr, weight, eps, nullptr, out, rstd); });
}

void add_rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, Tensor& sum,
                  Tensor& out, Tensor* rstd) {
  with_storage("add_rms_norm", x, [&]<typename T>(T) { normalise<T, true>(ctx, x, &residual, weight, eps, &sum, out, rstd); });
}

void rms_norm_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                       Tensor& grad_x, Accumulate accumulate, Tensor& grad_weight, Accumulate accumulate_weight) {
  const char* op = "rms_norm_backward";
  const index_t hidden_size = x.dim(1), num_parts = (x.dim(0) + kNormRowsPerBlock - 1) / kNormRowsPerBlock;
  if (hidden_size * 4 > 48 * 1024) fail(ErrorKind::kShape, "{}: hidden_size is at most 12288 on CUDA, found {}", op, hidden_size);
  const Tensor partial_sums = ctx.empty({num_parts, hidden_size});
  with_storage(op, x, [&]<typename T>(T) {
    const Rows<T> grads(grad_out), input(x), weights(weight.view({1, hidden_size})), result(grad_x);
    const Rows<float> parts(partial_sums);
    const bool is_vectorisable =
        grads.is_vectorisable() && input.is_vectorisable() && weights.is_vectorisable() && result.is_vectorisable();
    if (num_parts > 0) {
      with_width<T>(is_vectorisable, [&](auto width) {
        const auto kernel =
            accumulate == Accumulate::kYes ? rms_norm_backward_kernel<T, width, true> : rms_norm_backward_kernel<T, width, false>;
        launch(ctx, op, kernel, {static_cast<unsigned>(num_parts)}, threads_for(hidden_size / width),
               static_cast<std::size_t>(hidden_size) * sizeof(float), grads.data, grads.stride, input.data, input.stride, weights.data,
               device_pointer<float>(rstd), result.data, result.stride, parts.data, input.count, hidden_size);
      });
    }
    with_storage(op, grad_weight, [&]<typename W>(W) {
      with_width<float>(hidden_size % kVectorWidth<float> == 0 && is_at_16_bytes(grad_weight),
                        [&](auto columns) {  // the parts are f32; a bf16 out takes 8 bytes of them
                          launch(ctx, op, sum_parts_kernel<W, columns>, {blocks_for(hidden_size, kWarp * columns)}, 256, 0, parts.data,
                                 num_parts, hidden_size, device_pointer<W>(grad_weight), accumulate_weight == Accumulate::kYes);
                        });
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

#include "ops/attention.h"

#include "ops/cuda/attention_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

constexpr int kLargestHeadDim = 256;

AttentionShape shape_of(const char* op, const AttentionHeads& heads, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& cu_seqlens) {
  if (heads.head_dim > kLargestHeadDim) {
    fail(ErrorKind::kShape, "{}: head_dim is at most {} on CUDA, found {}", op, kLargestHeadDim, heads.head_dim);
  }
  AttentionShape shape{};
  shape.num_sequences = static_cast<int>(cu_seqlens.dim(0)) - 1;
  shape.num_heads = heads.num_attention_heads;
  shape.num_kv_heads = heads.num_key_value_heads;
  shape.head_dim = heads.head_dim;
  shape.scale = heads.scale;
  shape.q_stride = q.row_stride();
  shape.k_stride = k.row_stride();
  shape.v_stride = v.row_stride();
  return shape;
}

/// At least as many tiles as the sequences have: their lengths are on the device.
unsigned tiles_for(const Tensor& q, const AttentionShape& shape) {
  return static_cast<unsigned>(q.dim(0) / kTileRows + shape.num_sequences);
}

/// body(pieces of 32 elements that hold a head), as a compile-time constant.
template <typename Body>
void with_pieces(int head_dim, Body&& body) {
  if (head_dim <= 2 * kWarp) return body(std::integral_constant<int, 2>{});
  if (head_dim <= 4 * kWarp) return body(std::integral_constant<int, 4>{});
  body(std::integral_constant<int, 8>{});
}

std::size_t shared_bytes(int head_dim, int num_tiles) {
  return sizeof(float) * static_cast<std::size_t>(num_tiles * kTileRows * head_dim + 2 * kWarp * (head_dim + 1));
}

}  // namespace

void attention(const ExecContext& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
               const AttentionHeads& heads, Tensor& out, Tensor* lse) {
  const char* op = "attention";
  AttentionShape shape = shape_of(op, heads, q, k, v, cu_seqlens);
  if (q.num_elements() == 0) return;
  shape.out_stride = out.row_stride();
  with_storage(op, q, [&]<typename T>(T) {
    with_pieces(heads.head_dim, [&](auto pieces) {
      launch(ctx, op, attention_kernel<T, pieces>, {tiles_for(q, shape), static_cast<unsigned>(shape.num_heads)}, kTrainingAttentionThreads,
             shared_bytes(shape.head_dim, 1), device_pointer<T>(q), device_pointer<T>(k), device_pointer<T>(v),
             device_pointer<int>(cu_seqlens), shape, device_pointer<T>(out), lse ? device_pointer<float>(*lse) : nullptr);
    });
  });
}

void attention_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& out, const Tensor& lse, const Tensor& cu_seqlens, const AttentionHeads& heads, Tensor& grad_q,
                        Tensor& grad_k, Tensor& grad_v) {
  const char* op = "attention_backward";
  AttentionShape shape = shape_of(op, heads, q, k, v, cu_seqlens);
  if (q.num_elements() == 0) return;
  shape.out_stride = out.row_stride();
  shape.grad_out_stride = grad_out.row_stride();
  shape.grad_q_stride = grad_q.row_stride();
  shape.grad_k_stride = grad_k.row_stride();
  shape.grad_v_stride = grad_v.row_stride();
  const Tensor deltas = ctx.empty({q.dim(0), shape.num_heads});
  const auto num_heads = static_cast<unsigned>(shape.num_heads), num_kv_heads = static_cast<unsigned>(shape.num_kv_heads);
  with_storage(op, q, [&]<typename T>(T) {
    launch(ctx, "attention_deltas", attention_deltas_kernel<T>,
           {static_cast<unsigned>(q.dim(0)), (num_heads + kTrainingAttentionWarps - 1) / kTrainingAttentionWarps},
           kTrainingAttentionThreads, 0, device_pointer<T>(grad_out), device_pointer<T>(out), shape, device_pointer<float>(deltas));
    with_pieces(heads.head_dim, [&](auto pieces) {
      launch(ctx, "attention_grad_q", attention_grad_q_kernel<T, pieces>, {tiles_for(q, shape), num_heads}, kTrainingAttentionThreads,
             shared_bytes(shape.head_dim, 2), device_pointer<T>(grad_out), device_pointer<T>(q), device_pointer<T>(k), device_pointer<T>(v),
             device_pointer<float>(lse), device_pointer<float>(deltas), device_pointer<int>(cu_seqlens), shape, device_pointer<T>(grad_q));
      launch(ctx, "attention_grad_kv", attention_grad_kv_kernel<T, pieces>, {tiles_for(q, shape), num_kv_heads}, kTrainingAttentionThreads,
             shared_bytes(shape.head_dim, 2), device_pointer<T>(grad_out), device_pointer<T>(q), device_pointer<T>(k), device_pointer<T>(v),
             device_pointer<float>(lse), device_pointer<float>(deltas), device_pointer<int>(cu_seqlens), shape, device_pointer<T>(grad_k),
             device_pointer<T>(grad_v));
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE

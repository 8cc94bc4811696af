// Matrix products through cuBLASLt: f32 x f32, bf16 x bf16 and f32 activations with a bf16 weight (rounded to bf16 for the product),
// always with f32 sums. cuBLASLt numbers matrices by columns: our row-major [R, C] is its [C, R] with the row stride as leading
// dimension, so each product below is written for the transposed result.
#include "ops/linear.h"

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>

#include "ops/cuda/bias_gradient.h"
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/libraries.h"
#include "ops/cuda/linear.h"
#include "tensor/raw_access.h"

namespace r1::ops::cuda {

namespace {

using r1::cuda::blas_lt;
using r1::cuda::BlasLt;

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

/// The batch whose best algorithm all batches take in the batch-invariant mode.
constexpr std::int64_t kInvariantRows = 256;
std::atomic<bool> is_batch_invariant = false;

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(ErrorKind::kInternal, "{}: {}", what, blas_lt().status_text(status));
}

cudaDataType_t data_type(const char* op, const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) return CUDA_R_32F;
  if (tensor.dtype() == DType::kBF16) return CUDA_R_16BF;
  fail(ErrorKind::kDType, "{}: float32 or bfloat16 expected on CUDA, found {}", op, dtype_name(tensor.dtype()));
}

/// d (column-major m x n) = a b + beta c, c = d; bias: m elements, added to each column.
struct Product {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
  const Tensor *a, *b;
  Tensor* d;
  float beta;
  const Tensor* bias;
  bool is_invariant = false;  // n is a batch, whose columns do not depend on each other
};

/// The largest power of two up to 16 that divides address and row stride.
std::uint32_t alignment_of(const Tensor& tensor) {
  const auto bits = reinterpret_cast<std::uintptr_t>(RawAccess::data(tensor)) |
                    static_cast<std::uintptr_t>(tensor.row_stride()) * size_of(tensor.dtype()) | 16U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

using PlanKey = std::tuple<int, std::int64_t, std::int64_t, std::int64_t, bool, bool, int, int, int, int, std::int64_t, std::int64_t,
                           std::int64_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, bool, bool>;

struct Plan {
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

template <typename Value>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, Value value) {
  check(blas_lt().desc_set(description, attribute, &value, sizeof value), "cuBLASLt description");
}

Plan make_plan(const char* op, const Product& p, cublasLtHandle_t handle, const std::uint32_t (&alignments)[4]) {
  const BlasLt& lt = blas_lt();
  Plan plan;
  check(lt.desc_create(&plan.description, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cuBLASLt description");
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
  set(plan.description, CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (p.bias != nullptr) {
    set(plan.description, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(data_type(op, *p.bias)));
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(RawAccess::data(*p.bias)));
  }
  const auto layout = [&](const Tensor& x, std::int64_t rows, std::int64_t cols) {
    cublasLtMatrixLayout_t result = nullptr;
    check(lt.layout_create(&result, data_type(op, x), static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(cols),
                           std::max<std::int64_t>(x.row_stride(), rows)),
          "cuBLASLt layout");
    return result;
  };
  plan.a = p.transpose_a ? layout(*p.a, p.k, p.m) : layout(*p.a, p.m, p.k);
  plan.b = p.transpose_b ? layout(*p.b, p.n, p.k) : layout(*p.b, p.k, p.n);
  plan.d = layout(*p.d, p.m, p.n);

  cublasLtMatmulPreference_t preference = nullptr;
  check(lt.preference_create(&preference), "cuBLASLt preference");
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(lt.preference_set(preference, attribute, &value, sizeof value), "cuBLASLt preference");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{kWorkspaceBytes});
  // A sum that is split is added up in f32 in one order, never in place by whoever comes first.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         static_cast<std::uint32_t>(p.is_invariant ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignments[0]);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignments[1]);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignments[2]);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignments[2]);
  // In the batch-invariant mode the algorithm is sought for one batch, whatever this one's size is.
  const cublasLtMatrixLayout_t sought_b = p.is_invariant ? layout(*p.b, p.k, kInvariantRows) : plan.b,
                               sought_d = p.is_invariant ? layout(*p.d, p.m, kInvariantRows) : plan.d;
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = lt.heuristic(handle, plan.description, plan.a, sought_b, sought_d, sought_d, preference, 1, &found, &count);
  lt.preference_destroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS || count == 0) {
    fail(ErrorKind::kInternal, "{}: cuBLASLt has no algorithm for {} x {} x {} of {} and {}: {}", op, p.m, p.n, p.k,
         dtype_name(p.a->dtype()), dtype_name(p.b->dtype()), lt.status_text(status));
  }
  plan.algorithm = found.algo;
  if (p.is_invariant) {
    lt.layout_destroy(sought_b);
    lt.layout_destroy(sought_d);
    cublasLtMatmulHeuristicResult_t checked{};
    check(lt.algorithm_check(handle, plan.description, plan.a, plan.b, plan.d, plan.d, &plan.algorithm, &checked),
          "the batch-invariant algorithm of cuBLASLt for this shape");
  }
  return plan;
}

struct PlanCache {
  std::mutex mutex;
  std::map<int, cublasLtHandle_t> handles;
  std::map<PlanKey, Plan> plans;  // algorithm choices are asked once per shape; a run has a few dozen
};

void multiply(const ExecContext& ctx, const char* op, const Product& p) {
  const BlasLt& lt = blas_lt();
  static auto* cache = new PlanCache;          // outlives every static tensor
  const cudaStream_t stream = stream_of(ctx);  // also makes the device current
  const Tensor workspace = ctx.empty({static_cast<std::int64_t>(kWorkspaceBytes / 4)});
  const std::uint32_t alignments[4] = {alignment_of(*p.a), alignment_of(*p.b), alignment_of(*p.d), p.bias ? alignment_of(*p.bias) : 16U};
  const int device = ctx.device().index;
  const PlanKey key{device,
                    p.m,
                    p.n,
                    p.k,
                    p.transpose_a,
                    p.transpose_b,
                    static_cast<int>(p.a->dtype()),
                    static_cast<int>(p.b->dtype()),
                    static_cast<int>(p.d->dtype()),
                    p.bias ? static_cast<int>(p.bias->dtype()) : -1,
                    p.a->row_stride(),
                    p.b->row_stride(),
                    p.d->row_stride(),
                    alignments[0],
                    alignments[1],
                    alignments[2],
                    alignments[3],
                    p.beta != 0,
                    p.is_invariant};
  std::lock_guard lock(cache->mutex);
  cublasLtHandle_t& handle = cache->handles[device];
  if (handle == nullptr) check(lt.create(&handle), "cuBLASLt");
  auto place = cache->plans.find(key);
  if (place == cache->plans.end()) place = cache->plans.emplace(key, make_plan(op, p, handle, alignments)).first;
  const Plan& plan = place->second;
  if (p.bias != nullptr) {
    set(plan.description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, static_cast<const void*>(RawAccess::data(*p.bias)));
  }
  const float one = 1;
  check(lt.matmul(handle, plan.description, &one, RawAccess::data(*p.a), plan.a, RawAccess::data(*p.b), plan.b, &p.beta,
                  RawAccess::data(*p.d), plan.d, RawAccess::data(*p.d), plan.d, &plan.algorithm, RawAccess::data(workspace),
                  kWorkspaceBytes, stream),
        op);
}

/// x in the dtype of `like`: both factors of a product have one storage type.
Tensor as_dtype_of(const ExecContext& ctx, const Tensor& x, const Tensor& like) {
  if (x.dtype() == like.dtype()) return x;
  Tensor dense = x;
  if (!x.is_contiguous()) {
    dense = ctx.empty(x.shape(), x.dtype());
    copy(ctx, x, dense);
  }
  Tensor result = ctx.empty(x.shape(), like.dtype());
  cast(ctx, dense, result);
  return result;
}

}  // namespace

void set_batch_invariant(bool on) { is_batch_invariant = on; }

void linear(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  if (out.num_elements() == 0) return;
  const Tensor input = as_dtype_of(ctx, x, weight);
  std::optional<Tensor> added;  // cuBLASLt adds a bias of the result's dtype
  if (bias != nullptr) added = as_dtype_of(ctx, *bias, out);
  multiply(
      ctx, "linear",
      {weight.dim(0), x.dim(0), x.dim(1), true, false, &weight, &input, &out, 0, added ? &*added : nullptr, is_batch_invariant.load()});
}

void linear_int8(const ExecContext&, const Tensor&, const Tensor&, const Tensor&, const Tensor*, Tensor&) {
  fail(ErrorKind::kUsage, "weights in int8 are for the CPU: on CUDA use --dtype bfloat16");
}

void linear_backward_input(const ExecContext& ctx, const Tensor& grad_out, const Tensor& weight, Tensor& grad_x, Accumulate accumulate) {
  if (grad_x.num_elements() == 0) return;
  multiply(ctx, "linear_backward_input",
           {weight.dim(1), grad_out.dim(0), weight.dim(0), false, false, &weight, &grad_out, &grad_x,
            accumulate == Accumulate::kYes ? 1.0F : 0.0F, nullptr, is_batch_invariant.load()});
}

void linear_backward_weight(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, Tensor& grad_weight, Tensor* grad_bias,
                            Accumulate accumulate) {
  const bool adds = accumulate == Accumulate::kYes;
  if (grad_out.dim(0) == 0) {  // no rows, no sum
    if (!adds) fill(ctx, grad_weight, 0);
    if (!adds && grad_bias != nullptr) fill(ctx, *grad_bias, 0);
    return;
  }
  multiply(ctx, "linear_backward_weight",
           {x.dim(1), grad_out.dim(1), x.dim(0), false, true, &x, &grad_out, &grad_weight, adds ? 1.0F : 0.0F, nullptr});
  if (grad_bias != nullptr) bias_gradient(ctx, grad_out, *grad_bias, accumulate);
}

}  // namespace r1::ops::cuda

#include "ops/cuda/cublaslt_product.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "ops/cuda/launch.h"
#include "ops/cuda/libraries.h"
#include "tensor/raw_access.h"

namespace r1::ops::cuda {
namespace {

using r1::cuda::blas_lt;
using r1::cuda::BlasLt;

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

/// The batch whose best algorithm all batches take in the batch-invariant mode.
constexpr std::int64_t kInvariantRows = 256;

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(ErrorKind::kInternal, "{}: {}", what, blas_lt().status_text(status));
}

cudaDataType_t data_type(const char* op, const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) return CUDA_R_32F;
  if (tensor.dtype() == DType::kBF16) return CUDA_R_16BF;
  if (tensor.dtype() == DType::kF8E4M3) return CUDA_R_8F_E4M3;
  fail(ErrorKind::kDType, "{}: float32 or bfloat16 expected on CUDA, found {}", op, dtype_name(tensor.dtype()));
}

/// The largest power of two up to 256 that divides a vector's address. cuBLASLt chooses by what it is.
std::uint32_t address_alignment_of(const Tensor& vector) {
  const auto bits = reinterpret_cast<std::uintptr_t>(RawAccess::data(vector)) | 256U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

/// The largest power of two up to 16 that divides address and row stride.
std::uint32_t alignment_of(const Tensor& tensor) {
  const auto bits = reinterpret_cast<std::uintptr_t>(RawAccess::data(tensor)) |
                    static_cast<std::uintptr_t>(tensor.row_stride()) * size_of(tensor.dtype()) | 16U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

using PlanKey = std::tuple<int, std::int64_t, std::int64_t, std::int64_t, bool, bool, int, int, int, int, std::int64_t, std::int64_t,
                           std::int64_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, bool, bool, bool>;

struct Plan {
  cublasLtMatmulDesc_t description = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

template <typename Value>
void set(cublasLtMatmulDesc_t description, cublasLtMatmulDescAttributes_t attribute, Value value) {
  check(blas_lt().desc_set(description, attribute, &value, sizeof value), "cuBLASLt description");
}

/// What a description points to differs from call to call.
void set_pointers(const Plan& plan, const Product& p) {
  const auto point = [&](cublasLtMatmulDescAttributes_t attribute, const Tensor* to) {
    if (to != nullptr) set(plan.description, attribute, static_cast<const void*>(RawAccess::data(*to)));
  };
  point(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  point(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, p.a_scales);
  point(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.b_scales);
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
  }
  if (p.a_scales != nullptr) {
    set(plan.description, CUBLASLT_MATMUL_DESC_A_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
    set(plan.description, CUBLASLT_MATMUL_DESC_B_SCALE_MODE, std::int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
  }
  set_pointers(plan, p);
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
  std::map<PlanKey, Plan> plans;  // algorithm choices are asked once per shape
};

/// Batches of many lengths have a shape each.
constexpr std::size_t kMostPlans = 16384;

void forget_plans(PlanCache& cache) {
  const BlasLt& lt = blas_lt();
  for (const auto& [key, plan] : cache.plans) {
    lt.desc_destroy(plan.description);
    for (const cublasLtMatrixLayout_t matrix : {plan.a, plan.b, plan.d}) lt.layout_destroy(matrix);
  }
  cache.plans.clear();
}

}  // namespace

void multiply(const ExecContext& ctx, const char* op, const Product& p) {
  const BlasLt& lt = blas_lt();
  static auto* cache = new PlanCache;          // outlives every static tensor
  const cudaStream_t stream = stream_of(ctx);  // also makes the device current
  const Tensor workspace = ctx.empty({static_cast<std::int64_t>(kWorkspaceBytes / 4)});
  const std::uint32_t alignments[4] = {alignment_of(*p.a), alignment_of(*p.b), alignment_of(*p.d),
                                       p.bias ? address_alignment_of(*p.bias) : 256U};
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
                    p.is_invariant,
                    p.a_scales != nullptr};
  std::lock_guard lock(cache->mutex);
  cublasLtHandle_t& handle = cache->handles[device];
  if (handle == nullptr) check(lt.create(&handle), "cuBLASLt");
  if (cache->plans.size() >= kMostPlans) forget_plans(*cache);
  auto place = cache->plans.find(key);
  if (place == cache->plans.end()) place = cache->plans.emplace(key, make_plan(op, p, handle, alignments)).first;
  const Plan& plan = place->second;
  set_pointers(plan, p);
  const float one = 1;
  check(lt.matmul(handle, plan.description, &one, RawAccess::data(*p.a), plan.a, RawAccess::data(*p.b), plan.b, &p.beta,
                  RawAccess::data(*p.d), plan.d, RawAccess::data(*p.d), plan.d, &plan.algorithm, RawAccess::data(workspace),
                  kWorkspaceBytes, stream),
        op);
}

Fp8Support fp8_support(const ExecContext& ctx) {
  constexpr std::size_t kWithRowScales = 120900;  // cuBLASLt 12.9
  int major = 0, minor = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ctx.device().index);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ctx.device().index);
  return {major * 10 + minor >= 89, major == 9 && blas_lt().version() >= kWithRowScales};
}

}  // namespace r1::ops::cuda

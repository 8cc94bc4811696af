// From an op's contract to one implementation of it: a table of functions per backend.
//
// ops/<op>.cpp checks shapes once, opens an OpScope and calls op_table(ctx).<op>. A backend fills one table:
//   reference/  plain loops, double sums; fallback for what a backend lacks is never silent: an empty entry is an error
//   cpu/        one source, compiled for AVX-512, AVX2 + FMA and portable C++ (ops/cpu/simd.h); all three give the same bits
//   cuda/       from the module libr1_cuda.so
#pragma once

#include "ops/activation.h"
#include "ops/adamw.h"
#include "ops/attention.h"
#include "ops/cast.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/norm.h"
#include "ops/paged_attention.h"
#include "ops/reduce.h"
#include "ops/rope.h"
#include "ops/sampling.h"

namespace r1::ops {

/// Same signatures as the public functions; arguments are already checked.
struct OpTable {
  decltype(&ops::linear) linear = nullptr;
  decltype(&ops::linear_int8) linear_int8 = nullptr;
  decltype(&ops::linear_fp8) linear_fp8 = nullptr;
  decltype(&ops::linear_swiglu) linear_swiglu = nullptr;  // null: linear, then swiglu
  decltype(&ops::linear_backward_input) linear_backward_input = nullptr;
  decltype(&ops::linear_backward_weight) linear_backward_weight = nullptr;
  decltype(&ops::rms_norm) rms_norm = nullptr;
  decltype(&ops::add_rms_norm) add_rms_norm = nullptr;
  decltype(&ops::rms_norm_backward) rms_norm_backward = nullptr;
  decltype(&ops::rope) rope = nullptr;
  decltype(&ops::attention) attention = nullptr;
  decltype(&ops::attention_backward) attention_backward = nullptr;
  decltype(&ops::write_kv_cache) write_kv_cache = nullptr;
  decltype(&ops::paged_attention) paged_attention = nullptr;
  decltype(&ops::swiglu) swiglu = nullptr;
  decltype(&ops::swiglu_backward) swiglu_backward = nullptr;
  decltype(&ops::embedding) embedding = nullptr;
  decltype(&ops::embedding_backward) embedding_backward = nullptr;
  decltype(&ops::linear_cross_entropy) linear_cross_entropy = nullptr;
  decltype(&ops::selected_log_probs) selected_log_probs = nullptr;
  decltype(&ops::selected_log_probs_backward) selected_log_probs_backward = nullptr;
  decltype(&ops::log_probs_of_logits) log_probs_of_logits = nullptr;
  decltype(&ops::fill) fill = nullptr;
  decltype(&ops::add) add = nullptr;
  decltype(&ops::scale) scale = nullptr;
  decltype(&ops::copy) copy = nullptr;
  decltype(&ops::cast) cast = nullptr;
  decltype(&ops::sum_squares_blocks) sum_squares_blocks = nullptr;
  decltype(&ops::sum_blocks) sum_blocks = nullptr;
  decltype(&ops::adamw) adamw = nullptr;
  decltype(&ops::sample) sample = nullptr;
  decltype(&ops::sampling_probabilities) sampling_probabilities = nullptr;
};

/// The table of the context's backend; for kCpu the variant of cpu_isa().
const OpTable& op_table(const ExecContext& ctx);

/// Instruction sets that ops/cpu is compiled for. All give the same bits.
enum class CpuIsa : std::uint8_t { kPortable, kAvx2, kAvx512 };

/// The best one of this processor; R1_CPU_ISA=portable|avx2|avx512 in the environment chooses another (error if unusable).
CpuIsa cpu_isa();
/// For tests and benchmarks.
void set_cpu_isa(CpuIsa isa);
bool cpu_supports(CpuIsa isa);
const char* cpu_isa_name(CpuIsa isa);

/// The table behind Backend::kCuda: set by the CUDA module when it is opened, and by tests that run its kernels on an emulation.
/// Null takes it away. The table must outlive its use. Returns the one before.
const OpTable* set_cuda_table(const OpTable* table);

/// Each backend's table.
const OpTable& reference_table();
namespace cpu_portable {
const OpTable& table();
}
namespace cpu_avx2 {
const OpTable& table();
}
namespace cpu_avx512 {
const OpTable& table();
}

}  // namespace r1::ops

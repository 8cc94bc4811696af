// An ExecContext whose ops are the CUDA kernels on the emulation.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "ops/dispatch.h"
#include "tensor/exec_context.h"

namespace r1::ops::simt_backend {
#include "ops/kernels.inc"
}  // namespace r1::ops::simt_backend

namespace r1::test {

/// Own kernels emulated; linear and its backward products, which are cuBLASLt's on a GPU, are the CPU
/// backend's.
const ops::OpTable& simt_table();

/// Backend::kCuda on ordinary memory; sets simt_table() as the table behind it. A kernel may touch the tensors of its own op alone.
std::unique_ptr<ExecContext> make_simt_context();

/// Values in the storage type, as floats: what a kernel reads of them.
std::vector<float> rounded(const std::vector<float>& values, DType dtype);
/// A tensor of the given storage type (f32 or bf16) from floats, and back.
Tensor stored_tensor(const ExecContext& ctx, Shape shape, const std::vector<float>& values, DType dtype);
std::vector<float> floats_of(const ExecContext& ctx, const Tensor& tensor);

using Results = std::vector<std::vector<float>>;

/// run(context) in order and with two shuffled schedules. Throws std::runtime_error when the results differ in any bit:
/// a kernel whose result depends on the order of threads is wrong.
Results on_all_schedules(const std::function<Results(const ExecContext&)>& run);

}  // namespace r1::test

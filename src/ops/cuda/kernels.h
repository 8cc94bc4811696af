// The functions of this backend: namespace ops::simt_backend on the emulation, ops::cuda in the CUDA module.
#pragma once

#include "ops/dispatch.h"

#if defined(R1_SIMT)
#define R1_CUDA_NAMESPACE simt_backend
#else
#define R1_CUDA_NAMESPACE cuda
#endif

namespace r1::ops::R1_CUDA_NAMESPACE {
#include "ops/kernels.inc"
}

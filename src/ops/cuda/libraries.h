// CUDA's libraries, opened at run time: a machine may have some of them, and the module starts without any.
#pragma once

#include <cublasLt.h>
#include <nccl.h>

#include "tensor/cuda_abi.h"

namespace r1::cuda {

/// The functions of cuBLASLt that the module calls.
struct BlasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulAlgoCheck) algorithm_check;
  decltype(&cublasLtGetStatusString) status_text;
  decltype(&cublasLtGetVersion) version;
};

struct Nccl {
  decltype(&ncclGetUniqueId) unique_id;
  decltype(&ncclCommInitRank) init;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
  decltype(&ncclAllReduce) all_reduce;
  decltype(&ncclReduce) reduce;
  decltype(&ncclBroadcast) broadcast;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
  decltype(&ncclGetErrorString) error_text;
  decltype(&ncclGetVersion) version;
};

/// libcudnn's handle for dlsym: its functions are called by their own names (cudnn_symbols.cpp). Null where it is not there, or where
/// this module was built without the unit that calls it.
void* cudnn_library();

/// Throws Error(kUsage) with what is missing.
const BlasLt& blas_lt();
const Nccl& nccl();

/// What was found of each library; false behind the last one.
bool describe_library(int number, R1CudaLibrary& result);

}  // namespace r1::cuda

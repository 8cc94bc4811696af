// Opens libr1_cuda.so when CUDA is asked for; the programs themselves need no CUDA library.
#pragma once

#include <memory>
#include <string>

#include "tensor/allocator.h"
#include "tensor/cuda_abi.h"

namespace r1 {

/// The module, or null with why: not built, of another build, or a library that it needs is missing. It is looked for beside the
/// program (or at R1_CUDA_MODULE) once per process.
const R1CudaModule* find_cuda_module(std::string* problem = nullptr);

/// The module of a program that has a tensor or a context on a CUDA device. Throws Error(kUsage).
const R1CudaModule& cuda_module();

/// Number of devices that can be used; 0 with why: no module, no driver, no device.
int count_cuda_devices(std::string* problem = nullptr);

/// Memory of one device. Opens the device. Throws Error(kUsage); allocate() throws Error(kMemory).
std::unique_ptr<MemorySource> make_cuda_source(int device);

/// Throws Error(kInternal) with the text of a module's function that failed.
void check_cuda(const char* problem, const char* what);

/// R1CudaModule::copy: rows of row_bytes bytes, the pitches apart. The watchdog is told that the host may stand still. Throws
/// Error(kInternal) with `what`.
void cuda_copy(int device, R1CudaCopy kind, void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch, std::size_t row_bytes,
               std::size_t num_rows, const char* what);

}  // namespace r1

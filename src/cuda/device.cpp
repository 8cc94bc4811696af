#include "cuda/device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "base/error.h"
#include "ops/cuda/launch.h"

namespace r1::cuda {

void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // reported here; whoever goes on after it must not find it at the next launch
  fail(ErrorKind::kInternal, "{}: {} ({})", what, cudaGetErrorString(result), cudaGetErrorName(result));
}

Staging::Staging() {
  pieces_.resize(kNumPieces);
  for (Piece& piece : pieces_) {
    check(cudaHostAlloc(reinterpret_cast<void**>(&piece.memory), kPieceBytes, cudaHostAllocDefault), "pinned host memory");
    check(cudaEventCreateWithFlags(&piece.passed, cudaEventDisableTiming), "event");
  }
}

Staging::Piece& Staging::next() {
  Piece& piece = pieces_[next_];
  next_ = (next_ + 1) % kNumPieces;
  wait(piece);
  return piece;
}

void Staging::mark(Piece& piece, cudaStream_t stream) {
  check(cudaEventRecord(piece.passed, stream), "event");
  piece.in_flight = true;
}

void Staging::wait(Piece& piece) {
  if (piece.in_flight) check(cudaEventSynchronize(piece.passed), "copy between host and device");
  piece.in_flight = false;
}

namespace {

/// For the constructor: the device must be current before its members are made.
int made_current(int index) {
  check(cudaSetDevice(index), "cudaSetDevice");
  return index;
}

}  // namespace

Device::Device(int index) : index_(made_current(index)) {
  int has_pools = 0;
  check(cudaDeviceGetAttribute(&has_pools, cudaDevAttrMemoryPoolsSupported, index), "device attribute");
  if (has_pools == 0) fail(ErrorKind::kUsage, "the device or its driver has no stream-ordered memory pools");
  int major = 0, minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), "device attribute");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index), "device attribute");
  compute_capability_ = 10 * major + minor;
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
  check(cudaDeviceGetDefaultMemPool(&pool_, index), "memory pool");
  std::uint64_t keep_all = UINT64_MAX;
  check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all), "memory pool");
  check(cudaEventCreate(&timing_begin_), "event");
  check(cudaEventCreate(&timing_end_), "event");
}

void* Device::allocate(std::size_t bytes) {
  // It would become a part of the graph, and be freed and taken again at every replay.
  if (is_recording_) fail(ErrorKind::kInternal, "{} bytes were asked for while work was recorded", bytes);
  void* memory = nullptr;
  cudaError_t result = cudaMallocAsync(&memory, bytes, stream_);
  if (result == cudaErrorMemoryAllocation) {  // what the pool keeps in pieces may be room enough as a whole
    cudaGetLastError();
    synchronize();
    cudaMemPoolTrimTo(pool_, 0);
    result = cudaMallocAsync(&memory, bytes, stream_);
  }
  if (result != cudaSuccess) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    fail(ErrorKind::kMemory, "{}; {:.1f} of {:.1f} GiB are free", cudaGetErrorString(result), static_cast<double>(free) / (1 << 30),
         static_cast<double>(total) / (1 << 30));
  }
  return memory;
}

// At the end of the process CUDA may be gone before the last tensor: then there is nothing left to free.
void Device::release(void* memory) noexcept { cudaFreeAsync(memory, stream_); }

void Device::copy(R1CudaCopy kind, std::byte* to, std::size_t to_pitch, const std::byte* from, std::size_t from_pitch,
                  std::size_t row_bytes, std::size_t num_rows) {
  if (row_bytes == 0 || num_rows == 0) return;
  if (kind == R1_CUDA_ON_DEVICE) {
    const bool is_dense = num_rows == 1 || (to_pitch == row_bytes && from_pitch == row_bytes);  // of any size: a pitch is at most 2 GiB
    check(is_dense ? cudaMemcpyAsync(to, from, row_bytes * num_rows, cudaMemcpyDeviceToDevice, stream_)
                   : cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, row_bytes, num_rows, cudaMemcpyDeviceToDevice, stream_),
          "copy on the device");
    return;
  }
  std::lock_guard lock(staging_mutex_);
  if (row_bytes <= Staging::kPieceBytes) return copy_rows(kind, to, to_pitch, from, from_pitch, row_bytes, num_rows);
  for (std::size_t row = 0; row < num_rows; ++row) {  // long rows: each as short rows of its own
    for (std::size_t at = 0; at < row_bytes; at += Staging::kPieceBytes) {
      const std::size_t bytes = std::min(Staging::kPieceBytes, row_bytes - at);
      copy_rows(kind, to + row * to_pitch + at, bytes, from + row * from_pitch + at, bytes, bytes, 1);
    }
  }
}

void Device::copy_rows(R1CudaCopy kind, std::byte* to, std::size_t to_pitch, const std::byte* from, std::size_t from_pitch,
                       std::size_t row_bytes, std::size_t num_rows) {
  const std::size_t rows_per_piece = Staging::kPieceBytes / row_bytes;
  for (std::size_t first = 0; first < num_rows; first += rows_per_piece) {
    const std::size_t rows = std::min(rows_per_piece, num_rows - first);
    Staging::Piece& piece = staging_.next();
    if (kind == R1_CUDA_TO_DEVICE) {
      for (std::size_t row = 0; row < rows; ++row) {
        std::memcpy(piece.memory + row * row_bytes, from + (first + row) * from_pitch, row_bytes);
      }
      check(cudaMemcpy2DAsync(to + first * to_pitch, rows == 1 ? row_bytes : to_pitch, piece.memory, row_bytes, row_bytes, rows,
                              cudaMemcpyHostToDevice, stream_),
            "copy to the device");
      Staging::mark(piece, stream_);
    } else {
      check(cudaMemcpy2DAsync(piece.memory, row_bytes, from + first * from_pitch, rows == 1 ? row_bytes : from_pitch, row_bytes, rows,
                              cudaMemcpyDeviceToHost, stream_),
            "copy to the host");
      Staging::mark(piece, stream_);
      Staging::wait(piece);
      for (std::size_t row = 0; row < rows; ++row) {
        std::memcpy(to + (first + row) * to_pitch, piece.memory + row * row_bytes, row_bytes);
      }
    }
  }
}

void Device::synchronize() { check(cudaStreamSynchronize(stream_), "the device's work"); }

// Thread-local: other threads may go on allocating and copying on their own streams.
void Device::begin_recording() {
  check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "recording");
  is_recording_ = true;
}

cudaGraphExec_t Device::end_recording() {
  is_recording_ = false;
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream_, &graph), "recording");
  cudaGraphExec_t runnable = nullptr;
  const cudaError_t result = cudaGraphInstantiate(&runnable, graph, 0);
  cudaGraphDestroy(graph);
  check(result, "recording");
  return runnable;
}

void Device::begin_timing() { check(cudaEventRecord(timing_begin_, stream_), "event"); }

double Device::end_timing() {
  check(cudaEventRecord(timing_end_, stream_), "event");
  check(cudaEventSynchronize(timing_end_), "the device's work");
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, timing_begin_, timing_end_), "event");
  return milliseconds * 1e-3;
}

Device& device(int index) {
  static std::mutex mutex;
  static auto* devices = new std::map<int, std::unique_ptr<Device>>;
  thread_local int current = -1;
  thread_local Device* opened = nullptr;
  if (current == index) return *opened;
  std::lock_guard lock(mutex);
  current = -1;  // until all of the following has succeeded
  std::unique_ptr<Device>& entry = (*devices)[index];
  if (!entry) entry = std::make_unique<Device>(index);
  check(cudaSetDevice(index), "cudaSetDevice");
  current = index;
  opened = entry.get();
  return *entry;
}

}  // namespace r1::cuda

namespace r1::ops {

cudaStream_t stream_of(const ExecContext& ctx) { return cuda::device(ctx.device().index).stream(); }

bool launches_early(const ExecContext& ctx) {
  static const bool is_wanted = [] {
    const char* value = std::getenv("R1_CUDA_EARLY_LAUNCH");
    return value == nullptr || std::strcmp(value, "0") != 0;
  }();
  const cuda::Device& device = cuda::device(ctx.device().index);
  return is_wanted && device.is_recording() && device.compute_capability() >= 90;
}

void check_launch(const ExecContext&, const char* name) { cuda::check(cudaGetLastError(), name); }

void copy_to_device(const ExecContext& ctx, void* to, const void* host, std::size_t bytes) {
  cuda::device(ctx.device().index)
      .copy(R1_CUDA_TO_DEVICE, static_cast<std::byte*>(to), bytes, static_cast<const std::byte*>(host), bytes, bytes, 1);
}

}  // namespace r1::ops

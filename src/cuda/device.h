// One CUDA device of this process: its stream, its memory pool and its pinned staging memory.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "tensor/cuda_abi.h"

namespace r1::cuda {

/// Throws Error(kInternal) with CUDA's text.
void check(cudaError_t result, const char* what);

/// Pinned host memory in pieces; a piece is used again when the stream has passed its last copy.
class Staging {
 public:
  static constexpr std::size_t kPieceBytes = std::size_t{4} << 20;
  struct Piece {
    std::byte* memory = nullptr;
    cudaEvent_t passed = nullptr;
    bool in_flight = false;
  };
  Staging();
  /// The piece that was used longest ago; waits until it is free.
  Piece& next();
  /// To be called after the copy from or to the piece was given to the stream.
  static void mark(Piece& piece, cudaStream_t stream);
  /// Waits for a copy to the piece.
  static void wait(Piece& piece);

 private:
  static constexpr std::size_t kNumPieces = 4;
  std::vector<Piece> pieces_;
  std::size_t next_ = 0;
};

class Device {
 public:
  explicit Device(int index);
  int index() const { return index_; }
  cudaStream_t stream() const { return stream_; }

  void* allocate(std::size_t bytes);
  void release(void* memory) noexcept;
  void copy(R1CudaCopy kind, std::byte* to, std::size_t to_pitch, const std::byte* from, std::size_t from_pitch, std::size_t row_bytes,
            std::size_t num_rows);
  void synchronize();
  /// Between them the calling thread's work for the stream is kept, not run.
  void begin_recording();
  bool is_recording() const { return is_recording_; }
  int compute_capability() const { return compute_capability_; }
  cudaGraphExec_t end_recording();
  void begin_timing();
  double end_timing();

 private:
  void copy_rows(R1CudaCopy kind, std::byte* to, std::size_t to_pitch, const std::byte* from, std::size_t from_pitch, std::size_t row_bytes,
                 std::size_t num_rows);

  int index_, compute_capability_ = 0;
  bool is_recording_ = false;  // used by the thread that records
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
  cudaEvent_t timing_begin_ = nullptr, timing_end_ = nullptr;
  std::mutex staging_mutex_;
  Staging staging_;
};

/// The device, opened at its first use and made the calling thread's current one. Devices live to the end of the process.
Device& device(int index);

}  // namespace r1::cuda

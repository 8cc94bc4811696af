// Row and segment movement that the public ops do not offer yet: for shards and the engine's batches.
#pragma once

#include <span>

#include "ops/types.h"

#if defined(R1_SIMT)
namespace r1::ops::simt_backend {
#else
namespace r1::ops::cuda {
#endif

/// out[r] = x[rows[r]]; x and out of one dtype and row length, rows [n] i32, negative = row r of out stays.
void gather_rows(const ExecContext& ctx, const Tensor& x, const Tensor& rows, Tensor& out);
/// out[rows[r]] = x[r]; negative = not stored. The rows must differ.
void scatter_rows(const ExecContext& ctx, const Tensor& x, const Tensor& rows, Tensor& out);

struct SegmentMove {
  std::int64_t from, to, count;  // elements
};
/// out[to + i] = x[from + i] for each segment of the flat f32 or bf16 buffers. What is written must not overlap.
void move_segments(const ExecContext& ctx, const Tensor& x, std::span<const SegmentMove> segments, Tensor& out);

/// uniforms[r] = token_uniform(seed, row_ids[r], samples[r], positions[r]) of base/rng.h, on the device.
/// row_ids [n] i64, samples and positions [n] i32, uniforms [n] f32
void token_uniforms(const ExecContext& ctx, std::uint64_t seed, const Tensor& row_ids, const Tensor& samples, const Tensor& positions,
                    Tensor& uniforms);
}

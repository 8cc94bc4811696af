// M rows, N columns of the output; K the reduction index.
//
// Large M (gemm_by_rows): for blocks of columns, for blocks of K: all threads pack the block of B together, then each packs
// and multiplies its own rows of A. Two buffers for B: one barrier a block.
// Few rows (gemm_by_columns): the rows of A stay in cache; each thread packs its own panels of B one by one and uses each at
// once, so B is read once and written nowhere but to the cache.
//
// Rows are cut into groups of nearly equal size <= kPanelRows: no remainder runs in a slow small tile.
#include "ops/cpu/gemm.h"

#include <algorithm>

#include "ops/cpu/scratch.h"

#include "ops/cpu/gemm_kernel.h"
#include "ops/cpu/gemm_pack.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

constexpr std::int64_t kDepth = 384;             // of a block in K: a panel of B and one of A stay in the first-level cache
constexpr std::int64_t kBlockRows = 448;         // of A, packed: half of a 2 MiB second-level cache
constexpr std::int64_t kBlockColumns = 4096;     // of B, packed: third-level cache
constexpr std::int64_t kFewRows = 64;            // up to here: gemm_by_columns
constexpr std::int64_t kSmallProduct = 1 << 18;  // multiply-adds under which waking a thread costs more than it saves

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct Product {
  std::int64_t M, N, K;
  const GemmOperand& a;
  const GemmOperand& b;
  const GemmOutput& c;
};

/// Group g of `count` nearly equal groups of [0, M).
std::int64_t group_begin(std::int64_t M, std::int64_t count, std::int64_t g) { return M * g / count; }

/// One panel: kPanelColumns columns, or 16 when no more than 16 are left.
std::int64_t panel_vecs(std::int64_t N, std::int64_t first) { return N - first <= kLanes ? 1 : kPanelVecs; }

void pack_panel(const Product& p, std::int64_t first, std::int64_t k, std::int64_t depth, float* out) {
  const std::int64_t vecs = panel_vecs(p.N, first);
  for (std::int64_t v = 0; v < vecs; ++v) {
    const std::int64_t column = first + v * kLanes;
    pack(p.b, column, std::min<std::int64_t>(kLanes, p.N - column), k, depth, out + v * kLanes, vecs * kLanes);
  }
}

/// Rows groups [begin, end) of A, one after the other: group of m rows as [depth][m].
void pack_groups(const Product& p, std::int64_t num_groups, std::int64_t begin, std::int64_t end, std::int64_t k, std::int64_t depth,
                 float* out) {
  for (std::int64_t g = begin; g < end; ++g) {
    const std::int64_t row = group_begin(p.M, num_groups, g);
    const std::int64_t rows = group_begin(p.M, num_groups, g + 1) - row;
    pack(p.a, row, rows, k, depth, out, rows);
    out += rows * depth;
  }
}

/// All groups [begin, end) times one panel.
void multiply_panel(const Product& p, std::int64_t num_groups, std::int64_t begin, std::int64_t end, const float* packed_a,
                    const float* panel, std::int64_t first_column, std::int64_t k, std::int64_t depth) {
  const std::int64_t vecs = panel_vecs(p.N, first_column);
  TileOutput out;
  out.stride = p.c.stride;
  out.num_columns = std::min<std::int64_t>(vecs * kLanes, p.N - first_column);
  out.from_stored = k > 0 || p.c.accumulate;
  out.bias = k + depth == p.K && p.c.bias != nullptr ? p.c.bias + first_column : nullptr;
  for (std::int64_t g = begin; g < end; ++g) {
    const std::int64_t row = group_begin(p.M, num_groups, g);
    const std::int64_t rows = group_begin(p.M, num_groups, g + 1) - row;
    out.c = p.c.data + row * p.c.stride + first_column;
    tile_kernel_for(rows, vecs)(depth, packed_a, panel, out);
    packed_a += rows * depth;
  }
}

/// Calls body(block index, k, depth) for nearly equal blocks of K.
template <typename Body>
void for_each_depth(std::int64_t K, Body&& body) {
  const std::int64_t blocks = std::max<std::int64_t>(1, ceil_div(K, kDepth));
  for (std::int64_t i = 0; i < blocks; ++i) body(i, K * i / blocks, K * (i + 1) / blocks - K * i / blocks);
}

std::int64_t max_depth(std::int64_t K) { return std::min(K, ceil_div(K, std::max<std::int64_t>(1, ceil_div(K, kDepth)))); }

void gemm_by_columns(const ExecContext& ctx, const Product& p) {
  const std::int64_t num_groups = ceil_div(p.M, kPanelRows);
  const std::int64_t num_panels = ceil_div(p.N, kPanelColumns);
  const std::int64_t a_floats = p.M * max_depth(p.K) + kLanes;
  const std::int64_t floats_per_thread = ceil_div(a_floats + kPanelColumns * max_depth(p.K), kLanes) * kLanes;
  const bool alone = p.M * p.N * p.K < kSmallProduct;
  const Scratch<float> scratch(ctx, floats_per_thread * (alone ? 1 : ctx.threads().num_threads()));
  ctx.threads().parallel_for(
      num_panels,
      [&](std::int64_t begin, std::int64_t end, int thread) {
        float* packed_a = scratch.data() + floats_per_thread * thread;
        float* panel = packed_a + ceil_div(a_floats, kLanes) * kLanes;
        for_each_depth(p.K, [&](std::int64_t, std::int64_t k, std::int64_t depth) {
          pack_groups(p, num_groups, 0, num_groups, k, depth, packed_a);
          for (std::int64_t i = begin; i < end; ++i) {
            pack_panel(p, i * kPanelColumns, k, depth, panel);
            multiply_panel(p, num_groups, 0, num_groups, packed_a, panel, i * kPanelColumns, k, depth);
          }
        });
      },
      alone ? num_panels : 1);
}

void gemm_by_rows(const ExecContext& ctx, const Product& p) {
  ThreadPool& threads = ctx.threads();
  const std::int64_t num_threads = threads.num_threads();
  const std::int64_t num_groups = ceil_div(p.M, kPanelRows);
  const std::int64_t groups_per_block = kBlockRows / kPanelRows;
  const std::int64_t block_columns = std::min(kBlockColumns, ceil_div(p.N, kPanelColumns) * kPanelColumns);
  const std::int64_t b_floats = block_columns * max_depth(p.K);
  const std::int64_t a_floats = ceil_div(groups_per_block * kPanelRows * max_depth(p.K) + kLanes, kLanes) * kLanes;
  const Scratch<float> packed_b(ctx, 2 * b_floats);
  const Scratch<float> packed_a(ctx, a_floats * num_threads);

  threads.run_on_all([&](std::int64_t thread, std::int64_t, int) {
    const std::int64_t my_begin = num_groups * thread / num_threads;
    const std::int64_t my_end = num_groups * (thread + 1) / num_threads;
    float* my_a = packed_a.data() + a_floats * thread;
    std::int64_t turn = 0;
    for (std::int64_t column = 0; column < p.N; column += block_columns) {
      const std::int64_t num_panels = ceil_div(std::min(block_columns, p.N - column), kPanelColumns);
      for_each_depth(p.K, [&](std::int64_t, std::int64_t k, std::int64_t depth) {
        float* b = packed_b.data() + (turn++ % 2) * b_floats;
        const std::int64_t panel_floats = kPanelColumns * depth;
        for (std::int64_t i = num_panels * thread / num_threads; i < num_panels * (thread + 1) / num_threads; ++i) {
          pack_panel(p, column + i * kPanelColumns, k, depth, b + i * panel_floats);
        }
        threads.barrier();  // the other buffer is free again: everyone has finished the block before the last one
        for (std::int64_t g = my_begin; g < my_end; g += groups_per_block) {
          const std::int64_t end = std::min(my_end, g + groups_per_block);
          pack_groups(p, num_groups, g, end, k, depth, my_a);
          for (std::int64_t i = 0; i < num_panels; ++i) {
            multiply_panel(p, num_groups, g, end, my_a, b + i * panel_floats, column + i * kPanelColumns, k, depth);
          }
        }
      });
    }
  });
}

}  // namespace

void gemm(const ExecContext& ctx, std::int64_t M, std::int64_t N, std::int64_t K, const GemmOperand& a, const GemmOperand& b,
          const GemmOutput& c) {
  if (M == 0 || N == 0) return;
  const Product product{M, N, K, a, b, c};
  if (M <= kFewRows || M * N * K < kSmallProduct) {
    gemm_by_columns(ctx, product);
  } else {
    gemm_by_rows(ctx, product);
  }
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

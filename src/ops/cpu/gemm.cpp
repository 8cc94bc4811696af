// M rows, N columns of the output; K the reduction index.
//
// Many rows (gemm_by_rows): for each block of K and of columns all threads pack the block of B together, small enough for
// half of a second-level cache; then each thread multiplies its own rows: a group of rows of A, packed, stays in the
// first-level cache while the panels of B stream past it. Two buffers for B: one barrier a block.
// Few rows (gemm_by_columns, and gemm_one_group for the fewest): the rows of A stay in cache; each thread packs its own panels of B one by
// one and uses each at once, so B is read once and written nowhere but to the cache.
//
// Rows are cut into groups of nearly equal size <= kPanelRows: no remainder runs in a slow small tile.
#include "ops/cpu/gemm.h"

#include <unistd.h>

#include <algorithm>

#include "ops/cpu/scratch.h"

#include "ops/cpu/gemm_kernel.h"
#include "ops/cpu/gemm_pack.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

constexpr std::int64_t kDepth = 512;             // of a block in K: a group of A (14 rows) takes 28 KiB
constexpr std::int64_t kRowsPerThread = 2048;    // whose packed A is kept while the blocks of columns pass
constexpr std::int64_t kGroupsPacked = 8;        // together: their rows of memory are neighbours
constexpr std::int64_t kFewRows = 64;            // up to here: gemm_by_columns
constexpr std::int64_t kSmallProduct = 1 << 18;  // multiply-adds under which waking a thread costs more than it saves

/// Floats of a packed block of B. The size changes no bit of a result.
std::int64_t block_floats() {
  static const std::int64_t floats = [] {
    const long bytes = ::sysconf(_SC_LEVEL2_CACHE_SIZE);  // 0 where the system does not tell
    return std::clamp<std::int64_t>(bytes > 0 ? bytes : 512 << 10, 256 << 10, 2 << 20) / 2 / static_cast<std::int64_t>(sizeof(float));
  }();
  return floats;
}

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

/// Panels [begin, end) of B, panel i at out + (i - begin) * panel_floats.
void pack_panels(const Product& p, std::int64_t begin, std::int64_t end, std::int64_t k, std::int64_t depth, float* out,
                 std::int64_t panel_floats) {
  std::int64_t first = begin;
  if (p.b.dense == Dense::kOutput) {
    // Panels with all their columns: row by row of memory across them, in the order that the prefetchers follow.
    first = std::max(begin, std::min(end, p.N / kPanelColumns));
    for (std::int64_t row = 0; row < depth; ++row) {
      const float* source = straight_row(p.b, k + row);
      float* target = out + row * kPanelColumns;
      for (std::int64_t i = begin; i < first; ++i, target += panel_floats) {
        for (int v = 0; v < kPanelVecs; ++v) store(target + v * kLanes, load(source + i * kPanelColumns + v * kLanes));
      }
    }
  }
  for (std::int64_t i = first; i < end; ++i) {
    const std::int64_t vecs = panel_vecs(p.N, i * kPanelColumns);
    for (std::int64_t v = 0; v < vecs; ++v) {
      const std::int64_t column = i * kPanelColumns + v * kLanes;
      pack(p.b, column, std::min<std::int64_t>(kLanes, p.N - column), k, depth, out + (i - begin) * panel_floats + v * kLanes,
           vecs * kLanes);
    }
  }
}

/// Groups [begin, end) of the rows, group g as [depth][rows of the group] at out + (g - begin) * group_floats. Writes up to
/// kLanes floats beyond a group's end.
void pack_groups(const Product& p, std::int64_t num_groups, std::int64_t begin, std::int64_t end, std::int64_t k, std::int64_t depth,
                 float* out, std::int64_t group_floats) {
  if (p.a.dense == Dense::kReduction) {
    for (std::int64_t g = begin; g < end; ++g) {
      const std::int64_t row = group_begin(p.M, num_groups, g);
      const std::int64_t rows = group_begin(p.M, num_groups, g + 1) - row;
      pack(p.a, row, rows, k, depth, out + (g - begin) * group_floats, rows);
    }
    return;
  }
  // Batches of groups whose elements are neighbours in memory, for the prefetchers' sake.
  for (std::int64_t first = begin; first < end; first += kGroupsPacked) {
    const std::int64_t count = std::min(kGroupsPacked, end - first);
    std::int64_t rows[kGroupsPacked];
    for (std::int64_t i = 0; i < count; ++i) {
      rows[i] = group_begin(p.M, num_groups, first + i + 1) - group_begin(p.M, num_groups, first + i);
    }
    const float* source = straight_row(p.a, k) + group_begin(p.M, num_groups, first);
    float* const batch = out + (first - begin) * group_floats;
    for (std::int64_t depth_index = 0; depth_index < depth; ++depth_index, source += p.a.stride) {
      const float* group_source = source;
      for (std::int64_t i = 0; i < count; group_source += rows[i++]) {
        store(batch + i * group_floats + depth_index * rows[i], load_partial(group_source, static_cast<int>(rows[i]), zero()));
      }
    }
  }
}

/// One group times one panel.
void multiply(const Product& p, std::int64_t num_groups, std::int64_t g, const float* group, const float* panel, std::int64_t column,
              std::int64_t k, std::int64_t depth) {
  const std::int64_t row = group_begin(p.M, num_groups, g);
  const std::int64_t rows = group_begin(p.M, num_groups, g + 1) - row;
  const std::int64_t vecs = panel_vecs(p.N, column);
  TileOutput out;
  out.c = p.c.data + row * p.c.stride + column;
  out.stride = p.c.stride;
  out.num_columns = std::min<std::int64_t>(vecs * kLanes, p.N - column);
  out.from_stored = k > 0 || p.c.accumulate;
  const bool is_end = k + depth == p.K;
  out.bias = is_end && p.c.bias != nullptr ? p.c.bias + column : nullptr;
  out.scales = is_end && p.c.scales != nullptr ? p.c.scales + column : nullptr;
  tile_kernel_for(rows, vecs)(depth, group, panel, out);
}

/// Calls body(k, depth) for nearly equal blocks of K.
template <typename Body>
void for_each_depth(std::int64_t K, Body&& body) {
  const std::int64_t blocks = std::max<std::int64_t>(1, ceil_div(K, kDepth));
  for (std::int64_t i = 0; i < blocks; ++i) body(K * i / blocks, K * (i + 1) / blocks - K * i / blocks);
}

std::int64_t max_depth(std::int64_t K) { return std::min(K, ceil_div(K, std::max<std::int64_t>(1, ceil_div(K, kDepth)))); }

/// Up to kPanelRows rows: limited by the reading of B. Each thread reads the rows of its panels from end to end, so that the prefetchers
/// see long streams.
void gemm_one_group(const ExecContext& ctx, const Product& p) {
  const std::int64_t num_panels = ceil_div(p.N, kPanelColumns);
  const std::int64_t group_floats = kPanelRows * p.K + kLanes;
  const std::int64_t floats_per_thread = ceil_div(group_floats + kPanelColumns * max_depth(p.K), kLanes) * kLanes;
  const bool alone = p.M * p.N * p.K < kSmallProduct;
  const Scratch<float> scratch(ctx, floats_per_thread * (alone ? 1 : ctx.threads().num_threads()));
  ctx.threads().parallel_for(
      num_panels,
      [&](std::int64_t begin, std::int64_t end, int thread) {
        float* panel = scratch.data() + floats_per_thread * thread;
        float* group = panel + kPanelColumns * max_depth(p.K);
        pack(p.a, 0, p.M, 0, p.K, group, p.M);
        for (std::int64_t i = begin; i < end; ++i) {
          for_each_depth(p.K, [&](std::int64_t k, std::int64_t depth) {
            pack_panels(p, i, i + 1, k, depth, panel, 0);
            multiply(p, 1, 0, group + k * p.M, panel, i * kPanelColumns, k, depth);
          });
        }
      },
      alone ? num_panels : 1);
}

void gemm_by_columns(const ExecContext& ctx, const Product& p) {
  const std::int64_t num_groups = ceil_div(p.M, kPanelRows);
  const std::int64_t num_panels = ceil_div(p.N, kPanelColumns);
  const std::int64_t group_floats = kPanelRows * max_depth(p.K) + kLanes;
  const std::int64_t floats_per_thread = ceil_div(num_groups * group_floats + kPanelColumns * max_depth(p.K), kLanes) * kLanes;
  const bool alone = p.M * p.N * p.K < kSmallProduct;
  const Scratch<float> scratch(ctx, floats_per_thread * (alone ? 1 : ctx.threads().num_threads()));
  ctx.threads().parallel_for(
      num_panels,
      [&](std::int64_t begin, std::int64_t end, int thread) {
        float* panel = scratch.data() + floats_per_thread * thread;
        float* groups = panel + kPanelColumns * max_depth(p.K);
        for_each_depth(p.K, [&](std::int64_t k, std::int64_t depth) {
          pack_groups(p, num_groups, 0, num_groups, k, depth, groups, group_floats);
          for (std::int64_t i = begin; i < end; ++i) {
            pack_panels(p, i, i + 1, k, depth, panel, 0);
            for (std::int64_t g = 0; g < num_groups; ++g) {
              multiply(p, num_groups, g, groups + g * group_floats, panel, i * kPanelColumns, k, depth);
            }
          }
        });
      },
      alone ? num_panels : 1);
}

void gemm_by_rows(const ExecContext& ctx, const Product& p) {
  ThreadPool& threads = ctx.threads();
  const std::int64_t num_threads = threads.num_threads();
  const std::int64_t num_groups = ceil_div(p.M, kPanelRows);
  const std::int64_t group_floats = kPanelRows * max_depth(p.K) + kLanes;
  const std::int64_t num_panels = ceil_div(p.N, kPanelColumns);
  const std::int64_t panel_floats = kPanelColumns * max_depth(p.K);
  const std::int64_t num_column_blocks = ceil_div(num_panels, std::max<std::int64_t>(1, block_floats() / panel_floats));
  const std::int64_t panels_per_block = ceil_div(num_panels, num_column_blocks);
  // With one block of columns a packed group is used once: the batches of a thread share one place.
  const bool keep_groups = num_column_blocks > 1;
  const std::int64_t groups_per_thread = std::min(ceil_div(num_groups, num_threads), kRowsPerThread / kPanelRows);
  const std::int64_t groups_at_once = groups_per_thread * num_threads;
  const std::int64_t thread_floats = ceil_div((keep_groups ? groups_per_thread : kGroupsPacked) * group_floats, kLanes) * kLanes;
  const Scratch<float> packed_b(ctx, 2 * panels_per_block * panel_floats);
  const Scratch<float> packed_a(ctx, thread_floats * num_threads);

  threads.run_on_all([&](std::int64_t thread, std::int64_t, int) {
    float* my_a = packed_a.data() + thread_floats * thread;
    std::int64_t turn = 0;
    for (std::int64_t first_group = 0; first_group < num_groups; first_group += groups_at_once) {
      const std::int64_t count = std::min(groups_at_once, num_groups - first_group);
      const std::int64_t my_begin = first_group + count * thread / num_threads;
      const std::int64_t my_end = first_group + count * (thread + 1) / num_threads;
      for_each_depth(p.K, [&](std::int64_t k, std::int64_t depth) {
        for (std::int64_t block = 0; block < num_column_blocks; ++block) {
          float* b = packed_b.data() + (turn++ % 2) * panels_per_block * panel_floats;
          const std::int64_t first = num_panels * block / num_column_blocks;
          const std::int64_t panels = num_panels * (block + 1) / num_column_blocks - first;
          const std::int64_t my_panels = panels * thread / num_threads;
          pack_panels(p, first + my_panels, first + panels * (thread + 1) / num_threads, k, depth, b + my_panels * panel_floats,
                      panel_floats);
          threads.barrier();  // the other buffer is free as well: everyone has finished the block before the last one
          for (std::int64_t g = my_begin; g < my_end; ++g) {
            const std::int64_t batch = (g - my_begin) / kGroupsPacked * kGroupsPacked;  // first of those packed together
            float* groups = my_a + (keep_groups ? batch * group_floats : 0);
            if (block == 0 && g == my_begin + batch) {
              pack_groups(p, num_groups, g, std::min(my_end, g + kGroupsPacked), k, depth, groups, group_floats);
            }
            const float* group = groups + (g - my_begin - batch) * group_floats;
            for (std::int64_t i = 0; i < panels; ++i) {
              multiply(p, num_groups, g, group, b + i * panel_floats, (first + i) * kPanelColumns, k, depth);
            }
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
  if (M <= kPanelRows && b.dense == Dense::kReduction) {
    gemm_one_group(ctx, product);
  } else if (M <= kFewRows || M * N * K < kSmallProduct) {
    gemm_by_columns(ctx, product);
  } else {
    gemm_by_rows(ctx, product);
  }
}

}  // namespace r1::ops::R1_CPU_NAMESPACE

#!/usr/bin/env bash
# Shows that the tests of the emulated CUDA kernels can fail: puts one fault at a time into a copy of the kernels and expects the tests
# to find it. Fails if a mutation survives, or no longer changes anything.
set -euo pipefail

if [[ "${1:-}" == --help ]]; then
  echo "usage: tests/ops/mutations.sh [BUILD_FOLDER] [NAME…]      default: build-mutations and all mutations; takes some minutes"
  exit 0
fi
source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
build="${1:-$source_folder/build-mutations}"
shift || true
wanted=" $* "
overlay="$build/overlay"
jobs="${JOBS:-2}"

# name | kind | file | Perl substitution on the whole file | filter of the tests that must find it
mutations=(
  # all reductions
  'block_sum_without_barrier|barrier|device.cuh|s/(if \(threadIdx.x % kWarp == 0\) warp_sums.*?;\n)  __syncthreads\(\);/$1/|SimtRmsNorm*'
  'block_sum_reused_too_early|race|device.cuh|s/  __syncthreads\(\);  \/\/ the last call.s values have been read\n//|SimtRmsNorm*'
  'warp_sum_half|stride|device.cuh|s/(T warp_sum.*?)kWarp \/ 2/$1kWarp \/ 4/s|SimtRmsNorm*'
  'bf16_truncates|rounding|device.cuh|s/\(bits \+ 0x7FFFu \+ \(\(bits >> 16\) & 1u\)\) >> 16/bits >> 16/|StorageTypes*'
  # norm
  'norm_weight_sums_not_cleared|initialisation|norm_kernels.cuh|s/weight_sums\[k \* vectors \+ v\] = 0.0f;/;/|SimtRmsNorm*'
  'norm_ignores_row_stride|stride|norm_kernels.cuh|s/x \+= row \* x_stride/x += row * hidden_size/|SimtRmsNorm*'
  'norm_parts_one_short|index|norm_kernels.cuh|s/\(num_parts \+ 7\) \/ 8/num_parts \/ 8/|SimtRmsNorm*'
  'norm_parts_without_barrier|barrier|norm_kernels.cuh|s/(kWarp \+ lane\] = sums\.v\[k\];\n)  __syncthreads\(\);/$1/|SimtRmsNorm*'
  # rope
  'rope_wrong_partner|index|rope_kernels.cuh|s/(seconds = load_floats<kWidth>\(elements \+ )num_angles/$1head_dim \/ 2/|SimtRope*'
  'rope_ignores_direction|sign|rope_kernels.cuh|s/sine = sign \* sines/sine = sines/g|SimtRope*'
  # swiglu
  'swiglu_no_column_mask|mask|activation_kernels.cuh|s/if \(i >= intermediate_size\) return;//|SimtSwiglu*'
  'swiglu_backward_swaps|index|activation_kernels.cuh|s/(store_floats\(grad_gate_up \+ row \* grad_gate_up_stride) \+ intermediate_size \+ i, ups/$1 + i, ups/|SimtSwiglu*'
  # embedding
  'embedding_every_token_adds|race|embedding_kernels.cuh|s/if \(match < token\) return;.*\n//|SimtEmbedding*'
  'embedding_matches_race|race|embedding_kernels.cuh|s/  __syncthreads\(\);  \/\/ the last piece.s matches have been read\n//|SimtEmbedding*'
  'embedding_total_not_loaded|initialisation|embedding_kernels.cuh|s/if \(match == token\) total = load_floats<kWidth>\(target\)/if (match == token) total = Floats<kWidth>{}/|SimtEmbedding*'
  # optimizer and norms of gradients
  'adamw_tail_dropped|mask|adamw_kernels.cuh|s/for \(index_t k = i; k < count; \+\+k\)/for (index_t k = i; k + 1 < count; ++k)/|SimtAdamW*'
  'adamw_moment_order|order|adamw_kernels.cuh|s/__fmaf_rn\(c.one_minus_beta1, __fsub_rn\(g, m\), m\)/__fadd_rn(__fmul_rn(c.one_minus_beta1, __fsub_rn(g, m)), m)/|SimtAdamW*'
  'reduce_chains_swapped|stride|reduce_kernels.cuh|s/thread % kLanes\) \* kWidth/thread % kLanes)/|SimtReduce*'
  # head
  'loss_state_not_begun|initialisation|loss_kernels.cuh|s/if \(first_id > 0\) \{\n/if (true) {\n/|SimtHead*'
  'loss_argmax_takes_last|tie|loss_kernels.cuh|s/value == other_value && id < other_id/value == other_value \&\& id > other_id/|SimtHead*'
  'loss_state_race|race|loss_kernels.cuh|s/(weighted = block_sum\(weighted\);\n)  __syncthreads\(\);[^\n]*\n/$1/|SimtHead*'
  'loss_ignored_rows_kept|mask|loss_kernels.cuh|s/if \(id < 0\) \{\n/if (false) {\n/|SimtHead*'
  # paged attention
  'attention_scores_without_barrier|barrier|paged_attention_kernels.cuh|s/    __syncthreads\(\);\n(    \/\/ Probabilities)/$1/|SimtPagedAttention*'
  'attention_reads_behind_context|mask|paged_attention_kernels.cuh|s/at < valid; at/at < kStepPositions; at/|SimtPagedAttention*'
  'attention_block_table_stride|stride|paged_attention_kernels.cuh|s/sequence \* shape.table_stride/sequence * (shape.table_stride - 1)/|SimtPagedAttention*'
  'attention_query_head|index|paged_attention_kernels.cuh|s/kv_head \* shape.group \+ first_in_group/kv_head * shape.group/|SimtPagedAttention*'
  'attention_no_correction|initialisation|paged_attention_kernels.cuh|s/if \(lane == 0\) corrections\[h\] = correction;//|SimtPagedAttention*'
  'attention_slots_race|barrier|paged_attention_kernels.cuh|s/(  \}\n)  __syncthreads\(\);\n(  for \(int i = thread; i < num_heads)/$1$2/|SimtPagedAttention*'
  'attention_split_border|index|paged_splits.h|s/context <= 512 \? 64 : /context < 512 ? 64 : /|PagedSplits*'
  'attention_wrong_launch|index|paged_attention_kernels.cuh|s/token = shape.first_token \+ launched/token = launched/|SimtPagedAttention*'
  'merge_forgets_weight|index|paged_attention_kernels.cuh|s/__fmaf_rn\(weight, split_sum, sum\)/__fmaf_rn(1.0f, split_sum, sum)/|SimtPagedAttention*'
  'cache_padding_not_written|initialisation|paged_attention_kernels.cuh|s/(store_floats\(value_cache)/if (d < head_dim) $1/|SimtPagedAttention*'
  # sampling
  'sampling_histogram_not_cleared|initialisation|sampling_kernels.cuh|s/if \(threadIdx.x < 256\) bins\[threadIdx.x\] = 0ull;//|SimtSampling*'
  'sampling_histogram_race|barrier|sampling_kernels.cuh|s/(if \(threadIdx.x < 256\) bins\[threadIdx.x\] = 0ull;\n)    __syncthreads\(\);/$1/|SimtSampling*'
  'sampling_scores_race|race|sampling_kernels.cuh|s/  __syncthreads\(\);\n(  fixed_t total = 0;)/$1/|SimtSampling*'
  'sampling_ties_all_kept|tie|sampling_kernels.cuh|s/ \|\| \(p == threshold && i > last_tie\)//|SimtSampling*'
  'sampling_divergent_barrier|barrier|sampling_kernels.cuh|s/if \(is_penalised\) \{/if (is_penalised \&\& threadIdx.x < 256) {/|SimtSampling*'
  'sampling_wide_tiles|stride|sampling_kernels.cuh|s/i = tile \* tile_length \+ lane \* kWidth; i < end; i \+= kStep/i = tile * tile_length + lane; i < end; i += kStep/|SimtSampling*'
  'merge_one_weight_for_all|index|paged_attention_kernels.cuh|s/d \+= blockDim\.x \* kWidth/d += blockDim.x/|SimtPagedAttention*'
  'philox_rounds|index|sampling_kernels.cuh|s/round < 10/round < 9/|SimtSampling*'
  # movement
  'segments_tail|mask|elementwise_kernels.cuh|s/count \/ kWidth \* kWidth \+ first; i < count/count \/ kWidth * kWidth + first + 1; i < count/|SimtMovement*'
  'segments_misaligned|alignment|elementwise_kernels.cuh|s/from % kWidth == 0 && to % kWidth == 0/from % kWidth == 0/|SimtMovement*'
  'rows_all_to_one|race|elementwise_kernels.cuh|s/out \+ to \* out_stride/out + 0 * to * out_stride/|SimtMovement*:SimtElementwise*'
  'row_rest|index|elementwise_kernels.cuh|s/i \+ kWidth <= length/i + kWidth - 1 <= length/|SimtElementwise*'
  # e4m3
  'f8_ties|rounding|device.cuh|s/0x7FFFFu \+ \(\(magnitude >> 20\) & 1u\)/0x7FFFFu/|StorageTypes*'
  'f8_row_maximum|index|fp8_kernels.cuh|s/  largest = block_max\(largest\);\n//|SimtFp8*'
  'f8_scale_of_another_column|index|fp8_kernels.cuh|s/\(column_scales \+ column\)/(column_scales)/|SimtFp8*'
  # products of few rows
  'few_rows_tail|mask|small_product_kernels.cuh|s/if \(i \+ p \* kStep >= K\) break;//|SimtSmallProduct*'
  'few_rows_behind_the_weight|index|small_product_kernels.cuh|s/\(first \+ r \* row_step < num_rows \? first \+ r \* row_step : N - 1\)/(first + r * row_step)/|SimtSmallProduct*'
  'few_rows_gate_beside_gate|index|small_product_kernels.cuh|s/row_step = kIsGated \? N : 1/row_step = 1/|SimtSmallProduct*'
  'few_rows_gate_not_rounded|rounding|small_product_kernels.cuh|s/gate = to_float\(rounded<T>\(totals\[0\]\)\)/gate = totals[0]/|SimtSmallProduct*'
  'few_rows_lift|rounding|small_product_kernels.cuh|s/total \* kF8Lift/total/|SimtSmallProduct*'
)

launcher=()
if command -v ccache >/dev/null 2>&1; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
rm -rf "$overlay"
mkdir -p "$overlay/ops"
cp -r "$source_folder/src/ops/cuda" "$overlay/ops/"
cmake -S "$source_folder" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DR1_BUILD_TOOLS=OFF -DR1_SIMT_OVERLAY="$overlay" \
  -DR1_FOLDERS="tensor;ops" "${launcher[@]}" >"$build/configure.log" 2>&1 || { cat "$build/configure.log"; exit 1; }
cmake --build "$build" -j "$jobs" --target simt_test >"$build/build.log" 2>&1 || { tail -40 "$build/build.log"; exit 1; }
test_program="$build/tests/simt_test"
"$test_program" --gtest_brief=1 || { echo "the tests fail without any mutation" >&2; exit 1; }

num_killed=0 survivors=()
for entry in "${mutations[@]}"; do
  # The substitution may hold the separator: the fields around it are taken from both ends.
  name="${entry%%|*}" rest="${entry#*|}"
  kind="${rest%%|*}" rest="${rest#*|}"
  file="${rest%%|*}" rest="${rest#*|}"
  filter="${rest##*|}" substitution="${rest%|*}"
  if [[ "$wanted" != "  " && "$wanted" != *" $name "* ]]; then continue; fi
  target="$overlay/ops/cuda/$file" original="$source_folder/src/ops/cuda/$file"
  perl -0777 -pi -e "$substitution" "$target"
  if cmp -s "$target" "$original"; then
    echo "$name: changes nothing: the kernel was rewritten, adapt the mutation" >&2
    exit 1
  fi
  verdict=survived
  if ! cmake --build "$build" -j "$jobs" --target simt_test >"$build/build.log" 2>&1; then
    tail -20 "$build/build.log" >&2
    echo "$name: the mutated kernel does not compile" >&2
    exit 1
  fi
  if ! timeout 300 "$test_program" --gtest_brief=1 --gtest_fail_fast --gtest_filter="$filter" >"$build/run.log" 2>&1; then verdict=killed; fi
  cp "$original" "$target"
  if [[ $verdict == killed ]]; then
    num_killed=$((num_killed + 1))
  else
    survivors+=("$name")
  fi
  printf '%-36s %-15s %-9s %s\n' "$name" "$kind" "$verdict" "$(grep -m1 -oE '(race on|divergent|read before|outside of|not aligned|depends on the order)[^"]{0,60}' "$build/run.log" || true)"
done
echo "$num_killed mutations killed, ${#survivors[@]} survived${survivors[*]:+: ${survivors[*]}}"
((${#survivors[@]} == 0))

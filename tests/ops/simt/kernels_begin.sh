#!/usr/bin/env bash
# Every CUDA kernel calls begin_kernel(): without it a kernel that is launched early (src/ops/cuda/launch.h) would read what the one before
# has not written, and the emulation, which runs kernels one after another, would not see it. It is the first statement, but for kernels
# that ask for their weights before it.
set -euo pipefail

source_folder="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
folder="${1:-$source_folder/src/ops/cuda}"
perl -0777 -ne '
  my $file = $ARGV;
  while (/__global__ void[^{;]*?(\w+)\([^{;]*\{\n(.*?)\n\}\n/sg) {
    my ($kernel, $body) = ($1 eq "__launch_bounds__" ? "" : $1, $2);
    ($kernel) = $& =~ /(\w+_kernel)\(/ if $kernel eq "";
    my $is_first = $body =~ /^\s*begin_kernel\(\);/;
    my $is_there = $body =~ /^\s*begin_kernel\(\);/m;
    ++$count;
    next if $is_first || ($is_there && $kernel eq "small_product_kernel");
    print "$file: $kernel: no begin_kernel() at its beginning\n";
    $bad = 1;
  }
  END { print "$count kernels\n"; exit($bad || $count == 0 ? 1 : 0) }
' "$folder"/*.cuh

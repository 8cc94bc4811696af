// The border between the programs and libr1_cuda.so. Plain C: a function returns null or a text that says what failed (valid until the
// thread's next call), so that no exception crosses it here. The ops behind op_table() are C++ and take our tensors: they are handed
// out only to a program of the same build, whose types have the same layout.
#pragma once

#include <stddef.h>
#include <stdint.h>

extern "C" {

/// Raised whenever anything below changes; both sides must agree.
#define R1_CUDA_ABI_VERSION 3

struct R1CudaDevice {
  char name[256];
  int32_t compute_capability;  // 90: 9.0
  int32_t num_multiprocessors;
  uint64_t total_bytes, free_bytes;
  uint8_t uuid[16];  // the same in every process, whatever devices are visible to it
};

/// A library that the module opens at run time.
struct R1CudaLibrary {
  char name[32];      // "cuBLASLt"
  char path[256];     // empty: not found
  char problem[256];  // why not
  int32_t version;    // as the library numbers it
};

enum R1CudaCopy : int32_t { R1_CUDA_TO_DEVICE, R1_CUDA_TO_HOST, R1_CUDA_ON_DEVICE };
enum R1CudaReduce : int32_t { R1_CUDA_SUM, R1_CUDA_MAX, R1_CUDA_MIN };
/// Elements of a reduction.
enum R1CudaElement : int32_t { R1_CUDA_F32, R1_CUDA_F64, R1_CUDA_I32, R1_CUDA_I64, R1_CUDA_BF16, R1_CUDA_BYTE };

/// Whose kernels attention of training takes: cuDNN's where they serve and our own elsewhere, or always the same ones (a call that cuDNN
/// does not serve is then an error). Others than AUTO are for checks and measurements.
enum R1CudaAttention : int32_t { R1_CUDA_ATTENTION_AUTO, R1_CUDA_ATTENTION_OWN, R1_CUDA_ATTENTION_CUDNN };

/// Who multiplies up to four rows with a weight: our own kernels (always with cuBLASLt in the batch-invariant mode), or cuBLASLt.
enum R1CudaSmallProducts : int32_t { R1_CUDA_SMALL_PRODUCTS_OWN, R1_CUDA_SMALL_PRODUCTS_CUBLASLT };

#define R1_CUDA_GROUP_ID_BYTES 128

struct R1CudaModule {
  uint32_t abi_version;
  /// "CUDA 13.0, sm_80 sm_90"
  const char* description;

  const char* (*count_devices)(int32_t* count);
  const char* (*describe_device)(int32_t device, R1CudaDevice* result);
  /// What is opened at run time; false behind the last one.
  bool (*describe_library)(int32_t number, R1CudaLibrary* result);

  /// Makes the device's stream and memory pool; once is enough. The functions below need it.
  const char* (*open_device)(int32_t device);
  /// In stream order, as everything below.
  const char* (*allocate)(int32_t device, size_t bytes, void** memory);
  void (*release)(int32_t device, void* memory);
  /// Rows of row_bytes bytes, the pitches apart. To the device: `from` may change after the call. To the host: complete on return.
  const char* (*copy)(int32_t device, R1CudaCopy kind, void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t row_bytes,
                      size_t num_rows);
  const char* (*synchronize)(int32_t device);
  /// Seconds between the two calls as the device measures them: begin, work, end. Waits for the device.
  const char* (*begin_timing)(int32_t device);
  const char* (*end_timing)(int32_t device, double* seconds);

  /// CUDA graphs: what the thread gives to the stream between the two calls is kept and not run. end_recording: graph is null when
  /// keeping failed. All four are null in a module that cannot (the tests' stand-in).
  const char* (*begin_recording)(int32_t device);
  const char* (*end_recording)(int32_t device, void** graph);
  /// On the device's stream.
  const char* (*replay)(int32_t device, void* graph);
  void (*forget_graph)(void* graph);

  /// The table r1::ops::OpTable of a program whose types have this layout (ops/cuda_layout.h); null: another build.
  const void* (*op_table)(uint64_t layout);
  /// For all devices and threads, from the next call on. A problem: this module was built without cuDNN.
  const char* (*choose_attention)(R1CudaAttention choice);
  /// Whether a row of linear() and linear_backward_input() has the same bits in a batch of any size: cuBLASLt then takes one algorithm for
  /// all of them, and splits no sum. For all devices and threads, from the next call on.
  void (*set_batch_invariant)(bool on);
  void (*choose_small_products)(R1CudaSmallProducts choice);

  /// NCCL. An id is made on one rank and brought to the others; then all of them join with it.
  const char* (*make_group_id)(uint8_t id[R1_CUDA_GROUP_ID_BYTES]);
  const char* (*join_group)(int32_t device, const uint8_t id[R1_CUDA_GROUP_ID_BYTES], int32_t rank, int32_t size, void** group);
  /// abandon: the group failed, its transfers are given up. Otherwise waits for them.
  void (*leave_group)(void* group, bool abandon);
  /// Transfers run on a stream of the group, after what the device's stream has been given so far. Between begin_transfers and
  /// end_transfers they are collected and start together. The event of end_transfers is complete when all of them are.
  const char* (*begin_transfers)(void* group);
  const char* (*end_transfers)(void* group, void** event);
  const char* (*all_reduce)(void* group, const void* from, void* to, uint64_t count, R1CudaElement element, R1CudaReduce reduce);
  const char* (*reduce)(void* group, const void* from, void* to, uint64_t count, R1CudaElement element, R1CudaReduce reduce, int32_t root);
  const char* (*broadcast)(void* group, const void* from, void* to, uint64_t count, R1CudaElement element, int32_t root);
  const char* (*send)(void* group, const void* from, uint64_t bytes, int32_t peer);
  const char* (*receive)(void* group, void* to, uint64_t bytes, int32_t peer);
  /// The device's stream goes on after the event; the host does not wait. Frees the event.
  const char* (*wait_event)(void* group, void* event);
  /// Whether the event is complete.
  const char* (*query_event)(void* group, void* event, bool* is_complete);
  /// An error that happened on the group's stream meanwhile, or null.
  const char* (*group_error)(void* group);
};

/// The one symbol of the module.
const R1CudaModule* r1_cuda_module();
}

/** @file ONNX Runtime's refusals become one sentence with a reason: words as CUDA said them on a GPU whose memory others held. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../../native-models/runtime/runtime.ts';

const source = '/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:154 std::conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, const char*, SUCCTYPE, const char*, const char*, int) [with ERRTYPE = cublasStatus_t; bool THRW = true; SUCCTYPE = cublasStatus_t; std::conditional_t<THRW, void, common::Status> = void] '; // prettier-ignore
const place =
  ' ; GPU=0 ; hostname=somebodys-machine ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_stream_handle.cc ; line=61';

for (const [said, kept] of [
  [
    `${source}${source}CUBLAS failure 3: the resource allocation failed${place} ; expr=cublasCreate(&cublas_handle_);`,
    /\(CUBLAS failure 3: the resource allocation failed ; expr=cublasCreate/,
  ],
  [
    `Exception during initialization: ${source}CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR${place} ; expr=cudnnCreate(&cudnn_handle_);`,
    /CUDNN_STATUS_INTERNAL_ERROR ; expr=cudnnCreate/,
  ],
  [
    `${source}CUDA failure 2: out of memory${place} ; expr=cudaSetDevice(info_.device_id);`,
    /CUDA failure 2: out of memory ; expr=cudaSetDevice/,
  ],
  [
    "Non-zero status code returned while running FusedMatMul node. Name:'a' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Failed to allocate memory for requested buffer of size 293847040\n",
    /Status Message: Failed to allocate memory for requested buffer of size 293847040/,
  ],
  [
    "Non-zero status code returned while running Cast node. Name:'b' Status Message: CUDA error cudaErrorMemoryAllocation:out of memory",
    /cudaErrorMemoryAllocation/,
  ],
] as const)
  // prettier-ignore
  test(`no memory: ${kept.source.slice(0, 40)}`, () => {
    const { reason, message } = explain('T5EncoderModel', 'cuda', new Error(said));
    assert.equal(reason, 'outOfMemory');
    assert.match(message, /^T5EncoderModel: cuda has no memory left; /);
    assert.match(message, kept);
    assert.doesNotMatch(message, /onnxruntime_src|hostname|THRW/);
  });

test('another failure of CUDA is none of memory', () => {
  const { reason, message } = explain(
    'x',
    'cuda',
    new Error(`${source}CUBLAS failure 14: an internal operation failed${place} ; expr=cublasGemmEx(h, a, b);`),
  );
  assert.equal(reason, 'other');
  assert.match(message, /^x: ONNX Runtime: CUBLAS failure 14: an internal operation failed ; expr=cublasGemmEx/);
});

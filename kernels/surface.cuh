// A decoded picture in device memory, and how it is sampled. anpr/ops/cuda_jobs.py packs the same structure.
#pragma once
#include <cuda_fp16.h>

// NV12 or P010: luma (height, width), then chroma (ceil(height/2), ceil(width/2)) pairs u, v; pitches are in bytes.
// A value takes `bytes`: 1, or 2 with the 10 bits uppermost. Everything is told in grey levels of 8 bits.
struct Surface {
    const unsigned char *luma;
    const unsigned char *chroma;
    int luma_pitch, chroma_pitch;
    int width, height;
    int bytes;
    int unused;
};

// Stored values per grey level.
template <typename Value> __device__ inline float one_level() { return sizeof(Value) == 1 ? 1.0f : 256.0f; }

template <typename Value> __device__ inline const Value *luma_row(const Surface &surface, int y) {
    return reinterpret_cast<const Value *>(surface.luma + static_cast<size_t>(y) * surface.luma_pitch);
}

// The luma, as stored, at (base_x + x, base_y + y), bilinear between pixel centres, edges repeated. The base keeps
// fractions of a pixel exact in pictures of any size.
template <typename Value>
__device__ inline float bilinear_luma(const Surface &surface, int base_x, int base_y, float x, float y) {
    x = fminf(fmaxf(x, static_cast<float>(-base_x)), static_cast<float>(surface.width - 1 - base_x));
    y = fminf(fmaxf(y, static_cast<float>(-base_y)), static_cast<float>(surface.height - 1 - base_y));
    const float whole_x = floorf(x), whole_y = floorf(y);
    const int left = base_x + static_cast<int>(whole_x), top = base_y + static_cast<int>(whole_y);
    const int right = min(left + 1, surface.width - 1), bottom = min(top + 1, surface.height - 1);
    const float share_x = x - whole_x, share_y = y - whole_y;
    const Value *above = luma_row<Value>(surface, top), *below = luma_row<Value>(surface, bottom);
    const float upper = above[left] * (1.0f - share_x) + above[right] * share_x;
    const float lower = below[left] * (1.0f - share_x) + below[right] * share_x;
    return upper * (1.0f - share_y) + lower * share_y;
}

// Element `index` of a buffer of float32, or of float16 if `half`.
__device__ inline float load(const void *buffer, size_t index, int half) {
    return half ? __half2float(static_cast<const __half *>(buffer)[index]) : static_cast<const float *>(buffer)[index];
}

__device__ inline void store(void *buffer, size_t index, int half, float value) {
    if (half)
        static_cast<__half *>(buffer)[index] = __float2half_rn(value);
    else
        static_cast<float *>(buffer)[index] = value;
}

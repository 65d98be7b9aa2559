// chroma: the colour cast of plates, and of the pictures on which they lie.
//
// in    jobs[i]   the surface on which plate i lies, and the plate's corners (x, y) in luma pixels of that surface,
//                 clockwise from the plate's top left
// out   casts     (plates, 2) float32: u - 128 and v - 128 of the plate's background
//       spreads   (plates,) float32: how far the picture's chroma lies, in the mean, from its own median
//
// A plate is sampled bilinearly at PATCH_COLUMNS x PATCH_ROWS points of its middle; the stronger half of them, those at
// least as far from grey as the median, is the background, since characters are pale. A picture is sampled at every
// SPREAD_STEP-th chroma value of every SPREAD_STEP-th row. Chroma of P010 is rounded to 8 bits first. A quadrilateral
// without area gives the cast 0.
//
// launch  grid (plates), block (CHROMA_THREADS); at most CHROMA_JOBS plates a launch
#include "block.cuh"
#include "homography.cuh"
#include "surface.cuh"

#define CHROMA_JOBS 48
#define CHROMA_THREADS 256
#define PATCH_COLUMNS 18
#define PATCH_ROWS 8
#define POINTS (PATCH_COLUMNS * PATCH_ROWS)
#define SPREAD_STEP 8

struct ChromaJob {
    Surface surface;
    float quad[8];
};

struct ChromaJobs {
    ChromaJob at[CHROMA_JOBS];
};

// u (`which` 0) or v (1) at column x, row y of the chroma plane, 8 bits.
__device__ inline int chroma_at(const Surface &surface, int which, int x, int y) {
    const unsigned char *row = surface.chroma + static_cast<size_t>(y) * surface.chroma_pitch;
    if (surface.bytes == 1)
        return row[2 * x + which];
    return min(255, (reinterpret_cast<const unsigned short *>(row)[2 * x + which] + 128) >> 8);
}

__device__ inline float bilinear_chroma(const Surface &surface, int which, float x, float y) {
    const int columns = (surface.width + 1) / 2, rows = (surface.height + 1) / 2;
    x = fminf(fmaxf(x, 0.0f), columns - 1.0f);
    y = fminf(fmaxf(y, 0.0f), rows - 1.0f);
    const int left = static_cast<int>(x), top = static_cast<int>(y);
    const int right = min(left + 1, columns - 1), bottom = min(top + 1, rows - 1);
    const float share_x = x - left, share_y = y - top;
    const float upper =
        chroma_at(surface, which, left, top) * (1.0f - share_x) + chroma_at(surface, which, right, top) * share_x;
    const float lower =
        chroma_at(surface, which, left, bottom) * (1.0f - share_x) + chroma_at(surface, which, right, bottom) * share_x;
    return upper * (1.0f - share_y) + lower * share_y;
}

// The median of whole numbers, from their histogram of 256 bins.
__device__ float median_of(const int *counts, int count) {
    int low = -1, seen = 0;
    for (int value = 0; value < 256; ++value) {
        seen += counts[value];
        if (low < 0 && seen > (count - 1) / 2)
            low = value;
        if (seen > count / 2)
            return 0.5f * (low + value);
    }
    return 0.0f;
}

extern "C" __global__ void __launch_bounds__(CHROMA_THREADS)
    chroma(const ChromaJobs jobs, float *casts, float *spreads) {
    __shared__ int counts[2][256];
    __shared__ float medians[2];
    __shared__ float parts[CHROMA_THREADS];
    __shared__ float strengths[POINTS];
    __shared__ float middle[2];
    __shared__ Homography plane;
    const ChromaJob &job = jobs.at[blockIdx.x];
    const Surface &surface = job.surface;
    const int thread = threadIdx.x;
    const int columns = ((surface.width + 1) / 2 + SPREAD_STEP - 1) / SPREAD_STEP;
    const int samples = columns * (((surface.height + 1) / 2 + SPREAD_STEP - 1) / SPREAD_STEP);
    counts[0][thread] = 0;
    counts[1][thread] = 0;
    if (thread == 0)
        plane = homography_of(job.quad);
    __syncthreads();
    for (int sample = thread; sample < samples; sample += CHROMA_THREADS)
        for (int which = 0; which < 2; ++which)
            atomicAdd(
                &counts[which][chroma_at(
                    surface, which, sample % columns * SPREAD_STEP, sample / columns * SPREAD_STEP)],
                1);
    __syncthreads();
    if (thread < 2)
        medians[thread] = median_of(counts[thread], samples);
    __syncthreads();
    float distances = 0.0f;
    for (int sample = thread; sample < samples; sample += CHROMA_THREADS) {
        const int x = sample % columns * SPREAD_STEP, y = sample / columns * SPREAD_STEP;
        const float u = chroma_at(surface, 0, x, y) - medians[0], v = chroma_at(surface, 1, x, y) - medians[1];
        distances += sqrtf(u * u + v * v);
    }
    const float spread = block_sum<CHROMA_THREADS>(distances, parts) / samples;

    float u = 0.0f, v = 0.0f;
    if (thread < POINTS && !plane.degenerate) {
        const float across = (thread % PATCH_COLUMNS + 3) / 24.0f, down = (thread / PATCH_COLUMNS + 2) / 12.0f;
        const float w = plane.g * across + plane.h * down + 1.0f;
        const float x = job.quad[0] + (plane.along_x * across + plane.down_x * down) / w;
        const float y = job.quad[1] + (plane.along_y * across + plane.down_y * down) / w;
        u = bilinear_chroma(surface, 0, 0.5f * x, 0.5f * y) - 128.0f;
        v = bilinear_chroma(surface, 1, 0.5f * x, 0.5f * y) - 128.0f;
    }
    const float strength = sqrtf(u * u + v * v);
    if (thread < POINTS)
        strengths[thread] = strength;
    __syncthreads();
    if (thread < POINTS) {
        int rank = 0;
        for (int other = 0; other < POINTS; ++other)
            rank += strengths[other] < strength || (strengths[other] == strength && other < thread);
        if (rank == POINTS / 2 - 1)
            middle[0] = strength;
        if (rank == POINTS / 2)
            middle[1] = strength;
    }
    __syncthreads();
    const bool strong = thread < POINTS && strength >= 0.5f * (middle[0] + middle[1]);
    const float count = block_sum<CHROMA_THREADS>(strong ? 1.0f : 0.0f, parts);
    const float sum_u = block_sum<CHROMA_THREADS>(strong ? u : 0.0f, parts);
    const float sum_v = block_sum<CHROMA_THREADS>(strong ? v : 0.0f, parts);
    if (thread == 0) {
        casts[2 * blockIdx.x] = sum_u / count;
        casts[2 * blockIdx.x + 1] = sum_v / count;
        spreads[blockIdx.x] = spread;
    }
}

// rectify: plates of many surfaces -> the reader's batch.
//
// in    jobs[i]     the surface on which plate i lies, and the plate's corners (x, y) in pixel centres of that surface,
//                   clockwise from the plate's top left
//       margin      by which share of its size the plate is grown on every side
// out   crops       (plates, 1, height, width), float32, or float16 if half; height * width at most RECTIFY_PIXELS
//       contrasts   (plates,) float32
//
// The quadrilateral is made frontal by a homography. Each pixel is the mean of samples_x * samples_y bilinear samples:
// as many a side as source pixels fall on it, rounded, at most SAMPLES_MOST. The crop is then standardised to mean 0
// and deviation 1, but never by less than DEVIATION_FLOOR grey levels; the deviation before that, in grey levels, is
// the contrast. A quadrilateral without area gives zeros and the contrast 0.
//
// launch  grid (plates), block (RECTIFY_THREADS); at most RECTIFY_JOBS plates a launch
#include "block.cuh"
#include "homography.cuh"
#include "surface.cuh"

#define RECTIFY_JOBS 48
#define RECTIFY_PIXELS 8192
#define RECTIFY_THREADS 512
#define SAMPLES_MOST 4
#define DEVIATION_FLOOR 4.0f

struct RectifyJob {
    Surface surface;
    float quad[8];
};

struct RectifyJobs {
    RectifyJob at[RECTIFY_JOBS];
};

// How many samples a side a pixel takes, if a plate's two sides are `one` and `other` pixels long.
__device__ inline int samples_of(double one, double other, double grown, int pixels) {
    return max(1, min(SAMPLES_MOST, static_cast<int>(rint(fmin(fmax(one, other) * grown / pixels, 100.0)))));
}

template <typename Value>
__device__ float sampled(
    const Surface &surface, const float *quad, const Homography &plane, int samples_x, int samples_y, int column,
    int row, int width, int height, float margin) {
    const int base_x = static_cast<int>(fminf(fmaxf(quad[0], 0.0f), surface.width - 1.0f));
    const int base_y = static_cast<int>(fminf(fmaxf(quad[1], 0.0f), surface.height - 1.0f));
    const float rest_x = quad[0] - base_x, rest_y = quad[1] - base_y;
    const float step_u = (1.0f + 2.0f * margin) / (width * samples_x);
    const float step_v = (1.0f + 2.0f * margin) / (height * samples_y);
    float value = 0.0f;
    for (int sub_row = 0; sub_row < samples_y; ++sub_row) {
        const float v = (row * samples_y + sub_row + 0.5f) * step_v - margin;
        for (int sub_column = 0; sub_column < samples_x; ++sub_column) {
            const float u = (column * samples_x + sub_column + 0.5f) * step_u - margin;
            const float near = 1.0f / (plane.g * u + plane.h * v + 1.0f);
            const float x = rest_x + (plane.along_x * u + plane.down_x * v) * near;
            const float y = rest_y + (plane.along_y * u + plane.down_y * v) * near;
            value += bilinear_luma<Value>(surface, base_x, base_y, x, y);
        }
    }
    return value / (samples_x * samples_y * one_level<Value>());
}

extern "C" __global__ void __launch_bounds__(RECTIFY_THREADS) rectify(
    const RectifyJobs jobs, void *crops, float *contrasts, int half, int width, int height, float margin) {
    __shared__ float values[RECTIFY_PIXELS];
    __shared__ float parts[RECTIFY_THREADS];
    __shared__ Homography plane;
    __shared__ int samples_x, samples_y;
    const RectifyJob &job = jobs.at[blockIdx.x];
    const float *quad = job.quad;
    const int pixels = width * height;
    const size_t first = static_cast<size_t>(blockIdx.x) * pixels;
    if (threadIdx.x == 0) {
        plane = homography_of(quad);
        const double grown = 1.0 + 2.0 * margin;
        const double x0 = quad[0], y0 = quad[1], x1 = quad[2], y1 = quad[3];
        const double x2 = quad[4], y2 = quad[5], x3 = quad[6], y3 = quad[7];
        samples_x = samples_of(hypot(x1 - x0, y1 - y0), hypot(x2 - x3, y2 - y3), grown, width);
        samples_y = samples_of(hypot(x3 - x0, y3 - y0), hypot(x2 - x1, y2 - y1), grown, height);
    }
    __syncthreads();
    float total = 0.0f;
    for (int pixel = threadIdx.x; pixel < pixels; pixel += RECTIFY_THREADS) {
        const int column = pixel % width, row = pixel / width;
        float value = 0.0f;
        if (!plane.degenerate)
            value = job.surface.bytes == 1
                        ? sampled<unsigned char>(
                              job.surface, quad, plane, samples_x, samples_y, column, row, width, height, margin)
                        : sampled<unsigned short>(
                              job.surface, quad, plane, samples_x, samples_y, column, row, width, height, margin);
        values[pixel] = value;
        total += value;
    }
    const float mean = block_sum<RECTIFY_THREADS>(total, parts) / pixels;
    float squares = 0.0f;
    for (int pixel = threadIdx.x; pixel < pixels; pixel += RECTIFY_THREADS)
        squares += (values[pixel] - mean) * (values[pixel] - mean);
    const float deviation = sqrtf(block_sum<RECTIFY_THREADS>(squares, parts) / pixels);
    for (int pixel = threadIdx.x; pixel < pixels; pixel += RECTIFY_THREADS)
        store(crops, first + pixel, half, (values[pixel] - mean) / fmaxf(deviation, DEVIATION_FLOOR));
    if (threadIdx.x == 0)
        contrasts[blockIdx.x] = deviation;
}

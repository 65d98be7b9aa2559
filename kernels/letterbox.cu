// letterbox: luma of a batch of surfaces -> the detector's input.
//
// in    jobs[i]   surface i (NV12 or P010, any size from 2 x 2) and its size on the canvas, out_width x out_height
// out   canvas    (pictures, 1, canvas_height, canvas_width), float32, or float16 if half; all of it is written
//
// canvas[i, 0, y, x] = (grey - mean) * scale for y < out_height, x < out_width, and 0 beyond. Grey is in levels 0 to
// 255: the exact area average of the pixels under (y, x) where the picture shrinks in both directions, else bilinear
// between pixel centres with the edges repeated. The picture lies at the top left.
//
// launch  grid (ceil(canvas_width / 32), ceil(canvas_height / 8), pictures), block (32, 8); at most LETTERBOX_JOBS
//         pictures a launch, the canvas beginning at the first of them
#include "shrink.cuh"

extern "C" __global__ void letterbox(
    const LetterboxJobs jobs, void *canvas, int half, int canvas_width, int canvas_height, float mean, float scale) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= canvas_width || y >= canvas_height)
        return;
    const LetterboxJob &job = jobs.at[blockIdx.z];
    float value = 0.0f;
    if (x < job.out_width && y < job.out_height)
        value = (grey_level(job, x, y) - mean) * scale;
    store(canvas, (static_cast<size_t>(blockIdx.z) * canvas_height + y) * canvas_width + x, half, value);
}

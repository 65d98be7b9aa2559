// letterbox_blocks: luma of a batch of surfaces -> the input of a detector that takes blocks of bytes.
//
// in    jobs[i]   as for letterbox
//       fill      what stands beside the picture
// out   blocks    (pictures, canvas_height / BLOCK_PX, canvas_width / BLOCK_PX, BLOCK_PX * BLOCK_PX) uint8, the pixels
//                 of a block row by row; all of it is written. The canvas's sides are multiples of BLOCK_PX.
//
// Each byte is the grey level nearest to that of letterbox, halves rounded up; 10 bits reach above 255, bytes do not.
//
// launch  as for letterbox
#include "shrink.cuh"

#define BLOCK_PX 4

extern "C" __global__ void letterbox_blocks(
    const LetterboxJobs jobs, unsigned char *blocks, int canvas_width, int canvas_height, int fill) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= canvas_width || y >= canvas_height)
        return;
    const LetterboxJob &job = jobs.at[blockIdx.z];
    int value = fill;
    if (x < job.out_width && y < job.out_height)
        value = min(255, static_cast<int>(grey_level(job, x, y) + 0.5f));
    const size_t row = static_cast<size_t>(blockIdx.z) * (canvas_height / BLOCK_PX) + y / BLOCK_PX;
    const size_t block = row * (canvas_width / BLOCK_PX) + x / BLOCK_PX;
    blocks[block * (BLOCK_PX * BLOCK_PX) + y % BLOCK_PX * BLOCK_PX + x % BLOCK_PX] = static_cast<unsigned char>(value);
}

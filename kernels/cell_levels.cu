// cell_levels: luma of a batch of surfaces -> the logarithmic brightness of their cells.
//
// in    jobs[i]    a surface, and the levels of its camera: (rows, columns) = (height / CELL_PX, width / CELL_PX)
//       level_of   (255 * SAMPLES + 1,) float32: level by the sum of a cell's samples
// out   levels     (rows, columns) float32 of each job: level_of[sum of two rows of the cell]; P010 counts its upper 8
//                  bits
//
// launch  grid (ceil(most cells of a job / CELL_THREADS), 1, pictures), block (CELL_THREADS); at most CELL_JOBS
//         pictures a launch
#include "surface.cuh"

#define CELL_JOBS 64
#define CELL_THREADS 128
#define CELL_PX 16
#define UPPER_ROW 4
#define LOWER_ROW 12

struct CellJob {
    Surface surface;
    float *levels;
    int rows, columns;
};

struct CellJobs {
    CellJob at[CELL_JOBS];
};

extern "C" __global__ void cell_levels(const CellJobs jobs, const float *level_of) {
    const CellJob &job = jobs.at[blockIdx.z];
    const int cell = blockIdx.x * blockDim.x + threadIdx.x;
    if (cell >= job.rows * job.columns)
        return;
    const Surface &surface = job.surface;
    // The uppermost byte of a value is the last: the machine is little-endian.
    const int left = cell % job.columns * CELL_PX * surface.bytes + surface.bytes - 1;
    const int top = cell / job.columns * CELL_PX;
    const unsigned char *upper = surface.luma + static_cast<size_t>(top + UPPER_ROW) * surface.luma_pitch + left;
    const unsigned char *lower = surface.luma + static_cast<size_t>(top + LOWER_ROW) * surface.luma_pitch + left;
    int sum = 0;
    for (int x = 0; x < CELL_PX; ++x)
        sum += upper[x * surface.bytes] + lower[x * surface.bytes];
    job.levels[cell] = level_of[sum];
}

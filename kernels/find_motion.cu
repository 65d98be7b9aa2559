// find_motion: the levels of a batch of cameras' pictures -> how many cells have moved.
//
// in    jobs[i]   levels (rows, columns) float32, lanes (rows, columns) uint8 (not 0 inside), at most MOTION_CELLS each
// inout           scene (3, rows, columns) float32 of the same camera: background, noise, level looked at last
// out   moved     (pictures,) int32
//
// A cell has changed if it differs from its background and from what was looked at by more than noise_factor times its
// noise, each difference less the median of the whole picture's; it has moved if it lies inside the lanes, not at the
// picture's rim, and at least NEIGHBOURS_LEAST of the 3 x 3 cells around it have changed. Background and noise follow
// the picture (sigma-delta; see anpr/ops/cpu_motion.py, which this repeats step by step).
//
// launch  grid (pictures), block (MOTION_THREADS); at most MOTION_JOBS pictures a launch, no camera twice
#include "block.cuh"

#define MOTION_JOBS 64
#define MOTION_THREADS 512
#define MOTION_CELLS 131072
#define NOISE_STEP 1.02f
#define FOLLOWED 0.25f
#define SHIFT_STEPS 4
#define SHIFT_MIDDLE (100 * SHIFT_STEPS)
#define NEIGHBOURS_LEAST 5

struct MotionJob {
    const float *levels;
    float *scene;
    const unsigned char *lanes;
    int rows, columns;
};

struct MotionJobs {
    MotionJob at[MOTION_JOBS];
};

__device__ inline int shift_bin(float difference) {
    const float steps = SHIFT_STEPS * difference + (SHIFT_MIDDLE + 0.5f);
    return static_cast<int>(fminf(fmaxf(steps, 0.0f), 2.0f * SHIFT_MIDDLE));
}

// The median of the differences that were counted.
__device__ float shift_of(const int *counts, int cells) {
    int left = cells / 2;
    for (int step = 0; step <= 2 * SHIFT_MIDDLE; ++step) {
        left -= counts[step];
        if (left < 0)
            return static_cast<float>(step - SHIFT_MIDDLE) / SHIFT_STEPS;
    }
    return 0.0f;
}

extern "C" __global__ void __launch_bounds__(MOTION_THREADS)
    find_motion(const MotionJobs jobs, int *moved, float noise_factor, float noise_least) {
    __shared__ int counts[2][2 * SHIFT_MIDDLE + 1];
    __shared__ float shifts[2];
    __shared__ unsigned changed[MOTION_CELLS / 32];
    __shared__ int together;
    const MotionJob &job = jobs.at[blockIdx.x];
    const int cells = job.rows * job.columns, thread = threadIdx.x;
    float *background = job.scene, *noise = job.scene + cells;
    const float *looked_at = job.scene + 2 * cells;
    for (int step = thread; step <= 2 * SHIFT_MIDDLE; step += MOTION_THREADS)
        counts[0][step] = counts[1][step] = 0;
    for (int word = thread; 32 * word < cells; word += MOTION_THREADS)
        changed[word] = 0;
    if (thread == 0)
        together = 0;
    __syncthreads();
    for (int cell = thread; cell < cells; cell += MOTION_THREADS) {
        atomicAdd(&counts[0][shift_bin(job.levels[cell] - background[cell])], 1);
        atomicAdd(&counts[1][shift_bin(job.levels[cell] - looked_at[cell])], 1);
    }
    __syncthreads();
    if (thread % 32 == 0 && thread / 32 < 2)
        shifts[thread / 32] = shift_of(counts[thread / 32], cells);
    __syncthreads();
    const float lighter = shifts[0], lighter_since = shifts[1];
    for (int cell = thread; cell < cells; cell += MOTION_THREADS) {
        const float level = job.levels[cell], spread = noise[cell];
        const float difference = level - background[cell] - lighter;
        const float amount = fabsf(difference), limit = noise_factor * spread, follow = FOLLOWED * spread;
        if (amount > limit && fabsf(level - looked_at[cell] - lighter_since) > limit)
            set_bit(changed, cell);
        background[cell] += lighter + fminf(fmaxf(difference, -follow), follow);
        noise[cell] = fmaxf(amount > spread ? spread * NOISE_STEP : spread / NOISE_STEP, noise_least);
    }
    __syncthreads();
    int mine = 0;
    for (int cell = thread; cell < cells; cell += MOTION_THREADS) {
        const int row = cell / job.columns, column = cell % job.columns;
        if (row == 0 || column == 0 || row == job.rows - 1 || column == job.columns - 1)
            continue;
        if (!bit_of(changed, cell) || !job.lanes[cell])
            continue;
        int near = 0;
        for (int other = cell - job.columns; other <= cell + job.columns; other += job.columns)
            near += bit_of(changed, other - 1) + bit_of(changed, other) + bit_of(changed, other + 1);
        mine += near >= NEIGHBOURS_LEAST;
    }
    atomicAdd(&together, mine);
    __syncthreads();
    if (thread == 0)
        moved[blockIdx.x] = together;
}

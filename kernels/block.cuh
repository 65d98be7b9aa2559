// What the threads of a block do together.
#pragma once

// The sum of every thread's `part`, for all of them; `parts` is shared. A block has `Threads` threads, a power of two.
template <int Threads> __device__ float block_sum(float part, float *parts) {
    const int thread = threadIdx.x;
    __syncthreads();
    parts[thread] = part;
    __syncthreads();
    for (int reach = Threads / 2; reach > 0; reach /= 2) {
        if (thread < reach)
            parts[thread] += parts[thread + reach];
        __syncthreads();
    }
    return parts[0];
}

// A shared row of bits, one for each cell of a grid.
__device__ inline void set_bit(unsigned *bits, int cell) { atomicOr(&bits[cell / 32], 1u << (cell % 32)); }
__device__ inline int bit_of(const unsigned *bits, int cell) { return bits[cell / 32] >> (cell % 32) & 1u; }

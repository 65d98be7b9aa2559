// match_lattices: a batch of reads against every plate of a list.
//
// in    ratios     (reads, SLOTS, RADIX) float32, bases (reads,) float32: each read as anpr/ops/matching_contract.py
//                  says, the last column being 'no character here'
//       plates     (plates,) int64, codes; 0 is no plate
//       missing, extra   the factors of a character that was not read, and of one too many
//       least      a score counts from here on
// inout found      int32: how many scored; the caller sets it to 0
// out   hits       (capacity,) {int32 read, int32 position, float32 score, 0}, in any order; those beyond the capacity
//                  are counted and not written
//
// The score is that of the contract, its products taken in the same order.
//
// launch  grid (any, ceil(reads / READS)), block (MATCH_THREADS); threads stride over the plates
#include "plate_code.cuh"

#define MATCH_THREADS 256
#define READS 16
#define SLOTS (LONGEST + 1)
#define EMPTY (RADIX - 1)

struct Hit {
    int read, position;
    float score;
    int unused;
};

// The best of three ways to lay a plate of `length` characters on the slots of one read.
__device__ float score_of(const float *ratios, float base, const int *digits, int length, float missing, float extra) {
    float before[LONGEST + 1];
    before[0] = 1.0f;
    for (int k = 0; k < length; ++k)
        before[k + 1] = before[k] * ratios[k * RADIX + digits[k] - 1];
    float tail = 1.0f;
    for (int slot = SLOTS - 1; slot > length; --slot)
        tail *= ratios[slot * RADIX + EMPTY];
    float after = tail, best_extra = before[length] * after;
    for (int k = length - 1; k >= 0; --k) {
        after *= ratios[(k + 1) * RADIX + digits[k] - 1];
        best_extra = fmaxf(best_extra, before[k] * after);
    }
    tail *= ratios[length * RADIX + EMPTY];
    const float best = before[length] * tail;
    after = tail * ratios[(length - 1) * RADIX + EMPTY];
    float best_missing = before[length - 1] * after;
    for (int k = length - 1; k > 0; --k) {
        after *= ratios[(k - 1) * RADIX + digits[k] - 1];
        best_missing = fmaxf(best_missing, before[k - 1] * after);
    }
    return fmaxf(best, fmaxf(best_missing * missing, best_extra * extra)) * base;
}

extern "C" __global__ void __launch_bounds__(MATCH_THREADS) match_lattices(
    const float *ratios, const float *bases, const long long *plates, int *found, Hit *hits, int reads, int count,
    int capacity, float missing, float extra, float least) {
    __shared__ float own[READS * SLOTS * RADIX];
    const int first = blockIdx.y * READS, here = min(READS, reads - first);
    for (int index = threadIdx.x; index < here * SLOTS * RADIX; index += MATCH_THREADS)
        own[index] = ratios[static_cast<size_t>(first) * SLOTS * RADIX + index];
    __syncthreads();
    const long long stride = static_cast<long long>(gridDim.x) * MATCH_THREADS;
    for (long long position = static_cast<long long>(blockIdx.x) * MATCH_THREADS + threadIdx.x; position < count;
         position += stride) {
        int digits[LONGEST];
        const int length = digits_of(plates[position], digits);
        for (int read = 0; length > 0 && read < here; ++read) {
            const float base = bases[first + read];
            const float score = score_of(own + read * SLOTS * RADIX, base, digits, length, missing, extra);
            if (score >= least) {
                const int place = atomicAdd(found, 1);
                if (place < capacity)
                    hits[place] = Hit{first + read, static_cast<int>(position), score, 0};
            }
        }
    }
}

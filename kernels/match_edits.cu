// match_edits: an analyst's query against every stored plate.
//
// in    plates     (count,) int64, codes; 0 is no plate
//       query      for each digit of a code the places, from the left, at which it stands in the query, as bits; and
//                  the query's length, 1 to LONGEST
//       most       so many insertions, deletions and substitutions are allowed
// inout found      int32: how many match; the caller sets it to 0
// out   hits       (capacity,) {int32 position, int32 edits}, in any order; those beyond the capacity are counted and
//                  not written
//
// Levenshtein's distance by Myers 1999, "A fast bit-vector algorithm for approximate string matching": the query's
// places are the bits of one word.
//
// launch  grid (any), block (EDIT_THREADS); threads stride over the plates
#include "plate_code.cuh"

#define EDIT_THREADS 256

struct Query {
    unsigned places[RADIX];
    int length;
};

struct EditHit {
    int position, edits;
};

__device__ int edits_of(const unsigned *places, int length, const int *digits, int plate_length) {
    const unsigned last = 1u << (length - 1);
    unsigned rises = (1u << length) - 1, falls = 0;
    int distance = length;
    for (int k = 0; k < plate_length; ++k) {
        const unsigned equal = places[digits[k]];
        const unsigned diagonal = (((equal & rises) + rises) ^ rises) | equal | falls;
        unsigned up = falls | ~(diagonal | rises);
        const unsigned down = rises & diagonal;
        distance += (up & last) != 0;
        distance -= (down & last) != 0;
        up = up << 1 | 1u;
        rises = down << 1 | ~(diagonal | up);
        falls = up & diagonal;
    }
    return distance;
}

extern "C" __global__ void __launch_bounds__(EDIT_THREADS)
    match_edits(
        const Query query, const long long *plates, int *found, EditHit *hits, int count, int capacity, int most) {
    __shared__ unsigned places[RADIX];
    if (threadIdx.x < RADIX)
        places[threadIdx.x] = query.places[threadIdx.x];
    __syncthreads();
    const long long stride = static_cast<long long>(gridDim.x) * EDIT_THREADS;
    for (long long position = static_cast<long long>(blockIdx.x) * EDIT_THREADS + threadIdx.x; position < count;
         position += stride) {
        int digits[LONGEST];
        const int length = digits_of(plates[position], digits);
        if (length == 0)
            continue;
        const int edits = edits_of(places, query.length, digits, length);
        if (edits <= most) {
            const int place = atomicAdd(found, 1);
            if (place < capacity)
                hits[place] = EditHit{static_cast<int>(position), edits};
        }
    }
}

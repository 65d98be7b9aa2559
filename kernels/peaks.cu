// peaks: a detector's maps -> the plates on them.
//
// in    maps     (pictures, 10, height, width), float32, or float16 if half: heat, share of two lines, then x, y of 4
//                corners as offsets from the cell in cells; height * width at most PEAKS_CELLS
// out   peaks    (pictures, most, 10) float32: score, share of two lines, 8 corner coordinates in canvas pixels;
//                best first, of equal ones the first in reading order; rows beyond the count are 0
//       counts   (pictures,) int32
//
// A peak is a cell whose heat is at least `threshold` and the highest of its 3 x 3 neighbourhood; of equal neighbours
// the first in reading order is taken. Of more than PEAKS_MOST peaks the first in reading order are looked at. A heat
// that is no number is no peak.
//
// launch  grid (pictures), block (PEAKS_THREADS)
#include "block.cuh"
#include "surface.cuh"

#define PEAKS_CELLS 65536
#define PEAKS_MOST 64
#define PEAKS_THREADS 256
#define CHANNELS 10

__device__ bool is_peak(const void *maps, size_t heat, int half, int x, int y, int width, int height, float threshold) {
    const float score = load(maps, heat + static_cast<size_t>(y) * width + x, half);
    if (!(score >= threshold))
        return false;
    for (int other_y = max(0, y - 1); other_y < min(height, y + 2); ++other_y)
        for (int other_x = max(0, x - 1); other_x < min(width, x + 2); ++other_x) {
            const float other = load(maps, heat + static_cast<size_t>(other_y) * width + other_x, half);
            const bool earlier = other_y < y || (other_y == y && other_x < x);
            if (other > score || (other == score && earlier))
                return false;
        }
    return true;
}

extern "C" __global__ void __launch_bounds__(PEAKS_THREADS) peaks(
    const void *maps, float *peaks, int *counts, int half, int width, int height, float threshold, int stride,
    int most) {
    __shared__ unsigned marks[PEAKS_CELLS / 32];
    __shared__ int cells[PEAKS_MOST];
    __shared__ float scores[PEAKS_MOST];
    __shared__ int found;
    const int plane = width * height, words = (plane + 31) / 32;
    const size_t heat = static_cast<size_t>(blockIdx.x) * CHANNELS * plane;
    float *rows = peaks + static_cast<size_t>(blockIdx.x) * most * CHANNELS;
    for (int word = threadIdx.x; word < words; word += PEAKS_THREADS)
        marks[word] = 0;
    for (int index = threadIdx.x; index < most * CHANNELS; index += PEAKS_THREADS)
        rows[index] = 0.0f;
    __syncthreads();
    for (int cell = threadIdx.x; cell < plane; cell += PEAKS_THREADS)
        if (is_peak(maps, heat, half, cell % width, cell / width, width, height, threshold))
            set_bit(marks, cell);
    __syncthreads();
    if (threadIdx.x == 0) {
        found = 0;
        for (int word = 0; word < words; ++word)
            for (unsigned mark = marks[word]; mark && found < PEAKS_MOST; mark &= mark - 1)
                cells[found++] = 32 * word + __ffs(mark) - 1;
        counts[blockIdx.x] = min(found, most);
    }
    __syncthreads();
    const int mine = threadIdx.x;
    if (mine < found)
        scores[mine] = load(maps, heat + cells[mine], half);
    __syncthreads();
    if (mine >= found)
        return;
    int rank = 0;
    for (int other = 0; other < found; ++other)
        rank += scores[other] > scores[mine] || (scores[other] == scores[mine] && other < mine);
    if (rank >= most)
        return;
    const int cell = cells[mine];
    float *row = rows + static_cast<size_t>(rank) * CHANNELS;
    row[0] = scores[mine];
    row[1] = load(maps, heat + plane + cell, half);
    for (int corner = 0; corner < 4; ++corner) {
        const size_t offset = heat + static_cast<size_t>(2 + 2 * corner) * plane + cell;
        row[2 + 2 * corner] = (cell % width + 0.5f + load(maps, offset, half)) * stride - 0.5f;
        row[3 + 2 * corner] = (cell / width + 0.5f + load(maps, offset + plane, half)) * stride - 0.5f;
    }
}

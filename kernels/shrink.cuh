// A surface on a smaller or larger canvas.
#pragma once
#include "surface.cuh"

#define LETTERBOX_JOBS 64

struct LetterboxJob {
    Surface surface;
    int out_width, out_height;
};

struct LetterboxJobs {
    LetterboxJob at[LETTERBOX_JOBS];
};

// Lengths are counted in 1/out pixels of the source, so that every weight is whole and the sums are exact.
template <typename Value> __device__ float area_average(const LetterboxJob &job, int x, int y) {
    const Surface &surface = job.surface;
    const int left = x * surface.width, right = left + surface.width;
    const int top = y * surface.height, bottom = top + surface.height;
    const int first_column = left / job.out_width, last_column = (right - 1) / job.out_width;
    const int first_row = top / job.out_height, last_row = (bottom - 1) / job.out_height;
    float total = 0.0f;
    for (int row = first_row; row <= last_row; ++row) {
        const Value *line = luma_row<Value>(surface, row);
        unsigned sum = 0;
        for (int column = first_column; column <= last_column; ++column) {
            const int edge = column * job.out_width;
            sum += static_cast<unsigned>(min(right, edge + job.out_width) - max(left, edge)) * line[column];
        }
        const int edge = row * job.out_height;
        total += static_cast<float>(min(bottom, edge + job.out_height) - max(top, edge)) * static_cast<float>(sum);
    }
    return total / (static_cast<float>(surface.width) * static_cast<float>(surface.height) * one_level<Value>());
}

template <typename Value> __device__ float grey_of(const LetterboxJob &job, int x, int y) {
    const Surface &surface = job.surface;
    if (job.out_width < surface.width && job.out_height < surface.height)
        return area_average<Value>(job, x, y);
    const float source_x = (x + 0.5f) * surface.width / job.out_width - 0.5f;
    const float source_y = (y + 0.5f) * surface.height / job.out_height - 0.5f;
    return bilinear_luma<Value>(surface, 0, 0, source_x, source_y) / one_level<Value>();
}

// The grey level, 0 to 255, at (x, y) of the picture on the canvas.
__device__ inline float grey_level(const LetterboxJob &job, int x, int y) {
    return job.surface.bytes == 1 ? grey_of<unsigned char>(job, x, y) : grey_of<unsigned short>(job, x, y);
}

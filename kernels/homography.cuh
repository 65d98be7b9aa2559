// The unit square onto a quadrilateral.
#pragma once

// Point (u, v) of the unit square lies at corner 0 + ((along_x * u + down_x * v) / w, (along_y * u + down_y * v) / w),
// w = g * u + h * v + 1 (Heckbert 1989, section 2.2.3, taken relative to corner 0 so that float32 holds it).
struct Homography {
    float along_x, down_x, along_y, down_y, g, h;
    int degenerate;
};

// `quad` is x, y of 4 corners, clockwise from the one of (u, v) = (0, 0).
__device__ inline Homography homography_of(const float *quad) {
    const double x0 = quad[0], y0 = quad[1], x1 = quad[2], y1 = quad[3];
    const double x2 = quad[4], y2 = quad[5], x3 = quad[6], y3 = quad[7];
    const double sum_x = x0 - x1 + x2 - x3, sum_y = y0 - y1 + y2 - y3;
    const double right_x = x1 - x2, right_y = y1 - y2, left_x = x3 - x2, left_y = y3 - y2;
    const double determinant = right_x * left_y - left_x * right_y;
    Homography result = {};
    if (!(fabs(determinant) >= 1e-9)) {
        result.degenerate = 1;
        return result;
    }
    const double g = (sum_x * left_y - left_x * sum_y) / determinant;
    const double h = (right_x * sum_y - sum_x * right_y) / determinant;
    result.along_x = static_cast<float>((1.0 + g) * (x1 - x0));
    result.along_y = static_cast<float>((1.0 + g) * (y1 - y0));
    result.down_x = static_cast<float>((1.0 + h) * (x3 - x0));
    result.down_y = static_cast<float>((1.0 + h) * (y3 - y0));
    result.g = static_cast<float>(g);
    result.h = static_cast<float>(h);
    return result;
}

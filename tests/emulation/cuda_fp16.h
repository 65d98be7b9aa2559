// float16 for the emulation: rounding to the nearest, ties to even, as CUDA's own.
#pragma once
#include <cstdint>
#include <cstring>

struct __half {
    std::uint16_t bits;
};

inline float __half2float(__half half) {
    const std::uint32_t sign = (half.bits & 0x8000u) << 16, exponent = half.bits >> 10 & 31u, rest = half.bits & 1023u;
    float value;
    if (exponent == 0) {
        value = rest / 16777216.0f;
    } else {
        const std::uint32_t bits = (exponent == 31 ? 255u : exponent + 112u) << 23 | rest << 13;
        std::memcpy(&value, &bits, 4);
    }
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    bits |= sign;
    std::memcpy(&value, &bits, 4);
    return value;
}

inline __half __float2half_rn(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const std::uint16_t sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    std::uint32_t half;
    if (bits > 0x7f800000u) {
        half = 0x7fffu;
    } else if (bits >= 0x47800000u) {
        half = 0x7c00u;
    } else if (bits < 0x38800000u) {
        float rounded;
        std::memcpy(&rounded, &bits, 4);
        rounded += 0.5f;  // aligns the mantissa so that adding rounds it
        std::memcpy(&half, &rounded, 4);
        half -= 0x3f000000u;
    } else {
        half = (bits + 0xfffu + (bits >> 13 & 1u) - 0x38000000u) >> 13;
    }
    return __half{static_cast<std::uint16_t>(sign | half)};
}

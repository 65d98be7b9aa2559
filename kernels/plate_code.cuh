// A plate as one number.
#pragma once

#define RADIX 37
#define LONGEST 10

// The digits of a plate's code, 1 + index into the alphabet, from the left: code = sum of digit * RADIX^place
// (anpr/ops/matching_contract.py). Returns how many; 0 for no plate.
__device__ inline int digits_of(long long code, int *digits) {
    int reversed[LONGEST], length = 0;
    for (; code > 0 && length < LONGEST; code /= RADIX)
        reversed[length++] = static_cast<int>(code % RADIX);
    if (code != 0)
        return 0;
    for (int place = 0; place < length; ++place)
        digits[place] = reversed[length - 1 - place];
    return length;
}

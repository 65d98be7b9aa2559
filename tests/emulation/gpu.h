// Runs kernels on the processor, thread by thread, for tests of their arithmetic, indexing and synchronisation.
//
// A thread runs until it ends or meets a barrier; there its stack is put aside and the next thread runs. So a kernel
// sees the very order that a GPU may choose, forwards or, to find races, backwards: a result that depends on the order
// within a phase is a missing barrier. Threads of a block that do not all meet the same barriers are reported.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __constant__ static
#define __restrict__
#define __launch_bounds__(...)

using std::max;
using std::min;

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

static dim3 gridDim, blockDim, blockIdx, threadIdx;

template <typename T> T atomicAdd(T *place, T value) {
    const T before = *place;
    *place += value;
    return before;
}
template <typename T> T atomicOr(T *place, T value) {
    const T before = *place;
    *place |= value;
    return before;
}
template <typename T> T atomicMax(T *place, T value) {
    const T before = *place;
    *place = max(before, value);
    return before;
}
template <typename T> T atomicMin(T *place, T value) {
    const T before = *place;
    *place = min(before, value);
    return before;
}
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }

namespace emulation {

constexpr std::size_t STACK_BYTES = 128 * 1024;
enum Outcome { FINISHED = 0, DIVERGED = 1, WRONG_ARGUMENTS = 2 };

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK_BYTES]};
    dim3 thread;
};

struct Block {
    ucontext_t scheduler;
    std::vector<std::unique_ptr<Fiber>> idle, waiting;
    Fiber *running = nullptr;
    bool at_barrier = false;
    void (*body)(void *) = nullptr;
    void *arguments = nullptr;
    unsigned next = 0, ended = 0, threads = 0;
    bool backwards = false;
};

static Block block;

inline dim3 thread_of(unsigned number) {
    const unsigned at = block.backwards ? block.threads - 1 - number : number;
    return {at % blockDim.x, at / blockDim.x % blockDim.y, at / (blockDim.x * blockDim.y)};
}

// Runs threads one after another until one waits at a barrier or none is left.
inline void work() {
    while (block.next < block.threads) {
        block.running->thread = threadIdx = thread_of(block.next++);
        block.body(block.arguments);
        ++block.ended;
    }
}

inline void resume(Fiber *fiber) {
    block.running = fiber;
    block.at_barrier = false;
    threadIdx = fiber->thread;
    swapcontext(&block.scheduler, &fiber->context);
}

inline void barrier() {
    Fiber *mine = block.running;
    block.at_barrier = true;
    swapcontext(&mine->context, &block.scheduler);
}

inline std::unique_ptr<Fiber> fresh() {
    std::unique_ptr<Fiber> fiber;
    if (block.idle.empty()) {
        fiber.reset(new Fiber);
    } else {
        fiber = std::move(block.idle.back());
        block.idle.pop_back();
    }
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = STACK_BYTES;
    fiber->context.uc_link = &block.scheduler;
    makecontext(&fiber->context, reinterpret_cast<void (*)()>(work), 0);
    return fiber;
}

inline void settle(std::unique_ptr<Fiber> fiber, std::vector<std::unique_ptr<Fiber>> &waiting) {
    resume(fiber.get());
    (block.at_barrier ? waiting : block.idle).push_back(std::move(fiber));
}

inline Outcome run_block() {
    block.next = block.ended = 0;
    block.waiting.clear();
    while (block.next < block.threads)
        settle(fresh(), block.waiting);
    while (!block.waiting.empty()) {
        if (block.ended != 0)
            return DIVERGED;
        std::vector<std::unique_ptr<Fiber>> resumed;
        resumed.swap(block.waiting);
        for (auto &fiber : resumed)
            settle(std::move(fiber), block.waiting);
        if (!block.waiting.empty() && block.waiting.size() != block.threads)
            return DIVERGED;
    }
    return FINISHED;
}

// Takes the next argument from the packed ones, aligned as C does.
template <typename T> T take(const unsigned char *packed, std::size_t &offset) {
    offset = (offset + alignof(T) - 1) / alignof(T) * alignof(T);
    T value;
    std::memcpy(&value, packed + offset, sizeof(T));
    offset += sizeof(T);
    return value;
}

template <typename... Arguments> constexpr std::size_t packed_size() {
    std::size_t size = 0;
    (
        [&] {
            size = (size + alignof(Arguments) - 1) / alignof(Arguments) * alignof(Arguments) + sizeof(Arguments);
        }(),
        ...);
    return size;
}

template <typename... Arguments>
int launch(
    void (*kernel)(Arguments...), const unsigned *grid, const unsigned *threads, const unsigned char *packed,
    std::size_t size, int backwards) {
    if (size != packed_size<std::remove_const_t<Arguments>...>() || size > 4096)
        return WRONG_ARGUMENTS;
    std::size_t offset = 0;
    struct Call {
        void (*kernel)(Arguments...);
        std::tuple<std::remove_const_t<Arguments>...> arguments;
    } call{kernel, {take<std::remove_const_t<Arguments>>(packed, offset)...}};
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads[0], threads[1], threads[2]};
    block.threads = threads[0] * threads[1] * threads[2];
    block.backwards = backwards;
    block.arguments = &call;
    block.body = [](void *given) {
        Call &own = *static_cast<Call *>(given);
        std::apply(own.kernel, own.arguments);
    };
    const unsigned blocks = grid[0] * grid[1] * grid[2];
    for (unsigned number = 0; number < blocks; ++number) {
        const unsigned at = backwards ? blocks - 1 - number : number;
        blockIdx = {at % grid[0], at / grid[0] % grid[1], at / (grid[0] * grid[1])};
        if (const Outcome outcome = run_block())
            return outcome;
    }
    return FINISHED;
}

}  // namespace emulation

inline void __syncthreads() { emulation::barrier(); }

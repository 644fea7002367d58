/*
 * The hot loops of the reader, for Python by ctypes. Each has a twin in Python that gives the same result to the bit; a test
 * holds the two against each other. Nothing here allocates, keeps state, or reads outside of what it is handed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define HS_EXPORT __declspec(dllexport)
#else
#define HS_EXPORT __attribute__((visibility("default")))
#endif

/* Why an inflater stopped. The words for it are those of the twin, which the Python side then asks. */
typedef enum HS_BROKEN {
    HsWhole = 0,
    HsEndsAtFlags = 1,
    HsEndsAtLiteral = 2,
    HsEndsEarly = 3,
    HsEndsInLength = 4,
    HsImpossibleLength = 5,
    HsReachesBack = 6,
    HsPassesEnd = 7,
    HsGoesOn = 8,
    HsSaysEnd = 9,
    HsNoChunk = 10,
    HsStoredTooLong = 11,
    HsEndsInChunk = 12,
    HsEndsInTable = 13,
    HsIncompleteCode = 14,
    HsEndsAtBlock = 15,
    HsEndsInBlock = 16,
} HS_BROKEN;

/* Result of an inflater. `made` bytes of the output are good; with an error, the stream is broken at `broken_at`. */
typedef struct HS_INFLATED {
    uint64_t made;
    uint64_t broken_at;
    int32_t error; /* HS_BROKEN */
    int32_t reserved;
} HS_INFLATED;

static inline uint16_t hs_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint32_t hs_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t hs_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* Append `length` bytes from `offset` bytes back; what it appends may be part of what it copies. All inside the output. */
static inline void hs_copy_match(uint8_t *to, uint64_t offset, uint64_t length)
{
    const uint8_t *from = to - offset;

    if (offset >= length) {
        memcpy(to, from, length);
    } else if (offset == 1) {
        memset(to, *from, length);
    } else {
        while (length-- != 0) {
            *to++ = *from++;
        }
    }
}

/* Rows are asked for so many ahead of their turn. */
#define HS_AHEAD 8

static inline void hs_prefetch(const uint8_t *at)
{
#if defined(__GNUC__)
    __builtin_prefetch(at);
    __builtin_prefetch(at + 64);
#else
    (void)at;
#endif
}

/* Rows that are equal byte for byte get one number (grouping.py has the twin). */
#include "kernel.h"

/* One part of every row's key: `length` bytes at `offset` of the data. */
typedef struct HS_KEY_PART {
    const int64_t *offset;
    const int64_t *length;
} HS_KEY_PART;

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_row(const uint8_t *data, const HS_KEY_PART *parts, unsigned count, uint64_t row)
{
    uint64_t hash = 0;
    unsigned p;

    for (p = 0; p < count; p++) {
        const uint8_t *at = data + parts[p].offset[row];
        uint64_t left = (uint64_t)parts[p].length[row];

        hash = mix(hash, left);
        for (; left >= 8; left -= 8, at += 8) {
            uint64_t word;

            memcpy(&word, at, 8);
            hash = mix(hash, word);
        }
        for (; left != 0; left--) {
            hash = mix(hash, *at++);
        }
    }
    return hash;
}

static int same(const uint8_t *data, const HS_KEY_PART *parts, unsigned count, uint64_t a, uint64_t b)
{
    unsigned p;

    for (p = 0; p < count; p++) {
        int64_t length = parts[p].length[a];

        if (length != parts[p].length[b] || memcmp(data + parts[p].offset[a], data + parts[p].offset[b], (size_t)length) != 0) {
            return 0;
        }
    }
    return 1;
}

/*
 * Numbers go by first appearance; first[n] is the first row of number n. `table` has `slots` entries of -1, a power of two.
 * Returns how many numbers there are, or -1 when there are more than slots / 2: try again with more.
 */
HS_EXPORT int64_t hs_group(const uint8_t *data, const int64_t *const *columns, uint32_t parts, uint64_t rows, int32_t *table,
                           uint64_t slots, int32_t *code, int64_t *first)
{
    HS_KEY_PART keys[8];
    int64_t groups = 0;
    uint64_t row;
    unsigned p;

    for (p = 0; p < parts && p < 8; p++) {
        keys[p].offset = columns[2 * p];
        keys[p].length = columns[2 * p + 1];
    }
    for (row = 0; row < rows; row++) {
        uint64_t slot = hash_row(data, keys, parts, row) & (slots - 1);

        while (table[slot] >= 0 && !same(data, keys, parts, row, (uint64_t)first[table[slot]])) {
            slot = (slot + 1) & (slots - 1);
        }
        if (table[slot] < 0) {
            if ((uint64_t)groups >= slots / 2) {
                return -1;
            }
            first[groups] = (int64_t)row;
            table[slot] = (int32_t)groups++;
        }
        code[row] = table[slot];
    }
    return groups;
}

/* XPRESS-Huffman (MS-XCA 2.2.4). The twin is compression/huffman.py. */
#include "kernel.h"

#define SYMBOLS 512
#define TABLE_BYTES (SYMBOLS / 2)
#define LONGEST_CODE 15
#define BLOCK 65536
#define END_SYMBOL 256

/* The bits of a block, 16 at a time, the first in the highest of 32; `extra` counts those beyond the next 16. */
typedef struct {
    const uint8_t *stream;
    uint64_t bytes;
    uint64_t at;
    uint32_t word;
    int extra;
    uint64_t broken_at;
} BITS;

/* By the next 15 bits: symbol << 4 | length of its code. */
typedef uint16_t TABLE[1 << LONGEST_CODE];

static HS_BROKEN build_table(const uint8_t *packed, uint16_t *table)
{
    uint32_t filled = 0;
    unsigned length;
    unsigned symbol;

    /* Codes go by length, then by symbol, and fill the table from the front. */
    for (length = 1; length <= LONGEST_CODE; length++) {
        uint32_t room = 1u << (LONGEST_CODE - length);

        for (symbol = 0; symbol < SYMBOLS; symbol++) {
            uint32_t i;

            if (((packed[symbol / 2] >> (symbol % 2 * 4)) & 15) != length) {
                continue;
            }
            if (filled + room > 1u << LONGEST_CODE) {
                return HsIncompleteCode;
            }
            for (i = 0; i < room; i++) {
                table[filled++] = (uint16_t)(symbol << 4 | length);
            }
        }
    }
    return filled == 1u << LONGEST_CODE ? HsWhole : HsIncompleteCode;
}

/* Consume bits. Those behind the end are 0 and must not be needed. */
static HS_BROKEN take(BITS *bits, unsigned count, uint32_t *value)
{
    *value = count == 0 ? 0 : bits->word >> (32 - count);
    bits->word <<= count;
    bits->extra -= (int)count;
    if (bits->extra < 0) {
        if (bits->bytes - bits->at >= 2) {
            bits->word |= (uint32_t)hs_u16(bits->stream + bits->at) << -bits->extra;
            bits->at += 2;
            bits->extra += 16;
        } else if (bits->extra < -16) {
            bits->broken_at = bits->at;
            return HsEndsInBlock;
        }
    }
    return HsWhole;
}

/* A number of `bytes` bytes that lies between the bits. */
static HS_BROKEN number(BITS *bits, unsigned bytes, uint64_t *value)
{
    unsigned i;

    /* Less than nothing extra: a word of bits is missing that should be here, and what is left of the stream is its. */
    if (bits->extra < 0 || bits->bytes - bits->at < bytes) {
        bits->broken_at = bits->at;
        return HsEndsInLength;
    }
    *value = 0;
    for (i = 0; i < bytes; i++) {
        *value |= (uint64_t)bits->stream[bits->at + i] << (8 * i);
    }
    bits->at += bytes;
    return HsWhole;
}

static HS_BROKEN long_length(BITS *bits, uint64_t begun, uint64_t *length)
{
    HS_BROKEN error = number(bits, 1, length);

    if (error != HsWhole) {
        return error;
    }
    if (*length < 255) {
        *length += 15;
        return HsWhole;
    }
    error = number(bits, 2, length);
    if (error == HsWhole && *length == 0) {
        error = number(bits, 4, length);
    }
    if (error == HsWhole && *length < 15) {
        bits->broken_at = begun;
        return HsImpossibleLength;
    }
    return error;
}

/* A block: 64 KiB, and what the last match has beyond; or all that is to come. */
static HS_BROKEN inflate_block(BITS *bits, const uint16_t *table, uint8_t *out, uint64_t *made, uint64_t size)
{
    uint64_t end = size - *made > BLOCK ? *made + BLOCK : size;

    while (*made < end) {
        uint64_t begun = bits->at;
        unsigned entry = table[bits->word >> 17];
        unsigned symbol = entry >> 4;
        unsigned bit_count;
        uint32_t value;
        uint64_t length;
        uint64_t offset;
        HS_BROKEN error = take(bits, entry & 15, &value);

        if (error != HsWhole) {
            return error;
        }
        if (symbol < 256) {
            out[(*made)++] = (uint8_t)symbol;
            continue;
        }
        length = symbol & 15;
        bit_count = (symbol - 256) >> 4;
        if (length == 15) {
            error = long_length(bits, begun, &length);
        }
        if (error == HsWhole) {
            error = take(bits, bit_count, &value);
        }
        if (error != HsWhole) {
            return error;
        }
        offset = ((uint64_t)1 << bit_count) + value;
        length += 3;
        bits->broken_at = begun;
        if (offset > *made) {
            return HsReachesBack;
        }
        if (length > size - *made) {
            return HsPassesEnd;
        }
        hs_copy_match(out + *made, offset, length);
        *made += length;
    }
    return HsWhole;
}

/* `table`: room for one. */
static HS_BROKEN inflate(BITS *bits, uint16_t *table, uint8_t *out, uint64_t size, uint64_t *made)
{
    uint64_t at = 0;
    int ended = 1;

    while (*made < size || (bits->bytes != 0 && at == 0)) {
        uint64_t full = *made + BLOCK;
        HS_BROKEN error;

        bits->broken_at = at;
        if (at > bits->bytes || bits->bytes - at < TABLE_BYTES) {
            return HsEndsInTable;
        }
        error = build_table(bits->stream + at, table);
        if (error != HsWhole) {
            return error;
        }
        at += TABLE_BYTES;
        bits->broken_at = at;
        if (bits->bytes - at < 4) {
            return HsEndsAtBlock;
        }
        bits->word = (uint32_t)hs_u16(bits->stream + at) << 16 | hs_u16(bits->stream + at + 2);
        bits->at = at + 4;
        bits->extra = 16;
        error = inflate_block(bits, table, out, made, size);
        if (error != HsWhole) {
            return error;
        }
        at = bits->at;
        ended = at == bits->bytes && *made >= full;
        if (!ended) { /* behind a block that is full there need be no end symbol */
            unsigned entry = table[bits->word >> 17];

            ended = entry >> 4 == END_SYMBOL && at + ((int)(entry & 15) > bits->extra ? 2 : 0) == bits->bytes;
        }
    }
    bits->broken_at = at;
    return ended ? HsWhole : HsGoesOn;
}

HS_EXPORT void hs_inflate_huffman(const uint8_t *stream, uint64_t bytes, uint8_t *out, uint64_t size, HS_INFLATED *result)
{
    TABLE table;
    BITS bits = { stream, bytes, 0, 0, 0, 0 };
    uint64_t made = 0;

    result->error = inflate(&bits, table, out, size, &made);
    result->made = made;
    result->broken_at = bits.broken_at;
}

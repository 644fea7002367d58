/* LZNT1 (MS-XCA 2.5). The twin is compression/lznt1.py. */
#include "kernel.h"

#define CHUNK 4096
#define SIGNATURE 3

/* How many of a match's 16 bits are its offset: as many as reach the chunk's beginning, at least 4. */
static unsigned offset_bits(uint64_t position)
{
    unsigned bits = 4;

    while (position > (uint64_t)1 << bits) {
        bits++;
    }
    return bits;
}

/* The content of the compressed chunk at stream[at..end), appended to out[*made..size). */
static HS_BROKEN inflate_chunk(const uint8_t *stream, uint64_t *at, uint64_t end, uint8_t *out, uint64_t *made, uint64_t size)
{
    uint64_t begin = *made;

    if (size - begin > CHUNK) {
        size = begin + CHUNK;
    }
    while (*at < end) {
        unsigned flags = stream[(*at)++];
        int turn;

        for (turn = 0; turn < 8 && *at < end; turn++, flags >>= 1) {
            uint64_t offset;
            uint64_t length;
            unsigned length_bits;
            unsigned word;

            if ((flags & 1) == 0) {
                if (*made >= size) {
                    return HsPassesEnd;
                }
                out[(*made)++] = stream[(*at)++];
                continue;
            }
            if (end - *at < 2) {
                return HsEndsInChunk;
            }
            word = hs_u16(stream + *at);
            length_bits = 16 - offset_bits(*made - begin);
            offset = (word >> length_bits) + 1;
            length = (word & ((1u << length_bits) - 1)) + 3;
            if (offset > *made - begin) {
                return HsReachesBack;
            }
            if (length > size - *made) {
                return HsPassesEnd;
            }
            hs_copy_match(out + *made, offset, length);
            *made += length;
            *at += 2;
        }
    }
    return HsWhole;
}

static HS_BROKEN inflate(const uint8_t *stream, uint64_t bytes, uint8_t *out, uint64_t size, uint64_t *made, uint64_t *broken_at)
{
    uint64_t at = 0;

    while (*made < size) {
        unsigned header;
        uint64_t end;
        uint64_t there;

        *broken_at = at;
        if (at > bytes || bytes - at < 2) {
            return HsEndsEarly;
        }
        header = hs_u16(stream + at);
        if (header == 0) {
            return HsSaysEnd;
        }
        if ((header >> 12 & 7) != SIGNATURE) {
            return HsNoChunk;
        }
        end = at + (header & 0xFFF) + 3;
        there = end < bytes ? end : bytes;
        if ((header & 0x8000) != 0) {
            uint64_t inside = at + 2;
            HS_BROKEN error = inflate_chunk(stream, &inside, there, out, made, size);

            if (error != HsWhole) {
                *broken_at = inside;
                return error;
            }
        } else {
            uint64_t stored = there - (at + 2);

            if (stored > size - *made) {
                return HsStoredTooLong;
            }
            memcpy(out + *made, stream + at + 2, stored);
            *made += stored;
        }
        if (end > bytes && *made < size) {
            *broken_at = bytes;
            return HsEndsInChunk;
        }
        at = end;
    }
    *broken_at = at;
    for (; at < bytes; at++) {
        if (stream[at] != 0) {
            return HsGoesOn;
        }
    }
    return HsWhole;
}

HS_EXPORT void hs_inflate_lznt1(const uint8_t *stream, uint64_t bytes, uint8_t *out, uint64_t size, HS_INFLATED *result)
{
    uint64_t made = 0;
    uint64_t broken_at = 0;

    result->error = inflate(stream, bytes, out, size, &made, &broken_at);
    result->made = made;
    result->broken_at = broken_at;
}

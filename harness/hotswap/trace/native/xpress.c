/* XPRESS as ETW uses it: plain LZ77 (MS-XCA 2.4.4). The twin is compression/lz77.py. */
#include "kernel.h"

typedef struct {
    const uint8_t *stream;
    uint64_t bytes;
    uint64_t at;
    int64_t half_byte_at; /* -1: none is left over */
} READER;

/* A length of 7 or more (less 3). */
static HS_BROKEN long_length(READER *r, uint64_t *length)
{
    uint32_t half;

    if (r->half_byte_at < 0) {
        if (r->at >= r->bytes) {
            return HsEndsInLength;
        }
        half = r->stream[r->at] & 15;
        r->half_byte_at = (int64_t)r->at++;
    } else {
        half = r->stream[r->half_byte_at] >> 4;
        r->half_byte_at = -1;
    }
    *length = half + 7;
    if (half < 15) {
        return HsWhole;
    }
    if (r->at >= r->bytes) {
        return HsEndsInLength;
    }
    *length = r->stream[r->at++];
    if (*length < 255) {
        *length += 15 + 7;
        return HsWhole;
    }
    if (r->bytes - r->at < 2) {
        return HsEndsInLength;
    }
    *length = hs_u16(r->stream + r->at);
    r->at += 2;
    if (*length == 0) {
        if (r->bytes - r->at < 4) {
            return HsEndsInLength;
        }
        *length = hs_u32(r->stream + r->at);
        r->at += 4;
    }
    return *length < 15 + 7 ? HsImpossibleLength : HsWhole;
}

HS_EXPORT void hs_inflate_xpress(const uint8_t *stream, uint64_t bytes, uint8_t *out, uint64_t size, HS_INFLATED *result)
{
    READER r = { stream, bytes, 0, -1 };
    uint64_t made = 0;
    uint64_t broken_at = 0;
    uint32_t flags = 0;
    int left = 0;
    HS_BROKEN error = HsWhole;

    while (made < size) {
        uint64_t begun;
        uint64_t offset;
        uint64_t length;
        uint16_t match;

        if (left == 0) {
            if (bytes - r.at < 4) {
                error = HsEndsAtFlags;
                broken_at = r.at;
                break;
            }
            flags = hs_u32(stream + r.at);
            r.at += 4;
            left = 32;
        }
        left--;
        if ((flags >> left & 1) == 0) {
            if (r.at >= bytes) {
                error = HsEndsAtLiteral;
                broken_at = r.at;
                break;
            }
            out[made++] = stream[r.at++];
            continue;
        }
        begun = broken_at = r.at;
        if (bytes - begun < 2) {
            error = HsEndsEarly;
            break;
        }
        match = hs_u16(stream + begun);
        r.at += 2;
        offset = (uint64_t)(match >> 3) + 1;
        length = match & 7;
        if (length == 7 && (error = long_length(&r, &length)) != HsWhole) {
            break;
        }
        length += 3;
        if (offset > made) {
            error = HsReachesBack;
            break;
        }
        if (length > size - made) {
            error = HsPassesEnd;
            break;
        }
        hs_copy_match(out + made, offset, length);
        made += length;
    }
    /* The end is a match flag with nothing behind it; it has flags of its own if all others are used up. */
    if (error == HsWhole && r.at != bytes && !(left == 0 && bytes - r.at == 4)) {
        error = HsGoesOn;
        broken_at = r.at;
    }
    result->made = made;
    result->error = error;
    result->broken_at = broken_at;
}

/* Texts of payloads to UTF-8, as Python decodes them with errors="replace". */
#include "text.h"

/* Windows-1252 from 0x80 to 0x9F; what it does not define is U+FFFD. From 0xA0 on it is Latin-1. */
static const uint16_t CP1252[32] = {
    0x20AC, 0xFFFD, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0xFFFD, 0x017D, 0xFFFD,
    0xFFFD, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0xFFFD, 0x017E, 0x0178,
};

#define REPLACEMENT 0xFFFD

/* `to` may be NULL: then the bytes are only counted. */
static uint64_t put(uint8_t *to, uint32_t point)
{
    uint8_t bytes[4];
    unsigned count;

    if (point < 0x80) {
        bytes[0] = (uint8_t)point;
        count = 1;
    } else if (point < 0x800) {
        bytes[0] = (uint8_t)(0xC0 | point >> 6);
        bytes[1] = (uint8_t)(0x80 | (point & 63));
        count = 2;
    } else if (point < 0x10000) {
        bytes[0] = (uint8_t)(0xE0 | point >> 12);
        bytes[1] = (uint8_t)(0x80 | (point >> 6 & 63));
        bytes[2] = (uint8_t)(0x80 | (point & 63));
        count = 3;
    } else {
        bytes[0] = (uint8_t)(0xF0 | point >> 18);
        bytes[1] = (uint8_t)(0x80 | (point >> 12 & 63));
        bytes[2] = (uint8_t)(0x80 | (point >> 6 & 63));
        bytes[3] = (uint8_t)(0x80 | (point & 63));
        count = 4;
    }
    if (to != NULL) {
        memcpy(to, bytes, count);
    }
    return count;
}

static uint8_t *behind(uint8_t *to, uint64_t made)
{
    return to == NULL ? NULL : to + made;
}

/* One code point beyond ASCII, or what is none; returns how many bytes of the text it takes. */
static uint64_t wide_point(const uint8_t *text, uint64_t bytes, uint32_t *point)
{
    uint32_t unit;
    uint32_t next;

    *point = REPLACEMENT;
    if (bytes < 2) {
        return bytes;
    }
    unit = hs_u16(text);
    if ((unit & 0xF800) != 0xD800) {
        *point = unit;
        return 2;
    }
    if ((unit & 0x0400) != 0) {
        return 2; /* a low surrogate alone */
    }
    if (bytes < 4) {
        return bytes; /* the end in the middle of a pair takes all that is left */
    }
    next = hs_u16(text + 2);
    if ((next & 0xFC00) != 0xDC00) {
        return 2;
    }
    *point = 0x10000 + ((unit & 0x3FF) << 10 | (next & 0x3FF));
    return 4;
}

static uint64_t from_wide(const uint8_t *text, uint64_t bytes, uint8_t *to)
{
    uint64_t made = 0;
    uint64_t at = 0;

    while (at < bytes) {
        uint32_t point;

        if (bytes - at >= 8) {
            uint64_t units = hs_u64(text + at);

            if ((units & 0xFF80FF80FF80FF80u) == 0) {
                if (to != NULL) {
                    uint32_t four;

                    units |= units >> 8;
                    four = (uint32_t)(units & 0xFFFF) | (uint32_t)(units >> 16 & 0xFFFF0000u);
                    memcpy(to + made, &four, 4);
                }
                at += 8;
                made += 4;
                continue;
            }
        }
        at += wide_point(text + at, bytes - at, &point);
        made += put(behind(to, made), point);
    }
    return made;
}

/* One code point of UTF-8; of what is none, the longest part that could begin one. */
static uint64_t narrow_point(const uint8_t *text, uint64_t bytes, uint32_t *point)
{
    unsigned first = text[0];
    unsigned low = 0x80;
    unsigned high = 0xBF;
    unsigned more;
    unsigned i;

    *point = REPLACEMENT;
    if (first < 0x80) {
        *point = first;
        return 1;
    }
    if (first < 0xC2 || first > 0xF4) {
        return 1;
    }
    more = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    if (first == 0xE0) {
        low = 0xA0;
    } else if (first == 0xED) {
        high = 0x9F;
    } else if (first == 0xF0) {
        low = 0x90;
    } else if (first == 0xF4) {
        high = 0x8F;
    }
    for (i = 1; i <= more; i++) {
        if (i >= bytes || text[i] < low || text[i] > high) {
            return i;
        }
        low = 0x80;
        high = 0xBF;
    }
    *point = first & (0x3F >> more);
    for (i = 1; i <= more; i++) {
        *point = *point << 6 | (text[i] & 63);
    }
    return more + 1;
}

static uint64_t from_narrow(const uint8_t *text, uint64_t bytes, int utf8, uint8_t *to)
{
    uint64_t made = 0;
    uint64_t at = 0;

    while (at < bytes) {
        uint32_t point;

        if (bytes - at >= 8 && (hs_u64(text + at) & 0x8080808080808080u) == 0) {
            if (to != NULL) {
                memcpy(to + made, text + at, 8);
            }
            at += 8;
            made += 8;
            continue;
        }
        if (utf8) {
            at += narrow_point(text + at, bytes - at, &point);
        } else {
            point = text[at++];
            point = point >= 0x80 && point < 0xA0 ? CP1252[point - 0x80] : point;
        }
        made += put(behind(to, made), point);
    }
    return made;
}

uint64_t hs_text(HS_TEXT kind, const uint8_t *text, uint64_t bytes, uint8_t *to)
{
    switch (kind) {
    case HsWide:
        return from_wide(text, bytes, to);
    case HsAnsi:
        return from_narrow(text, bytes, 0, to);
    case HsUtf8:
        return from_narrow(text, bytes, 1, to);
    default:
        if (to != NULL) {
            memcpy(to, text, bytes);
        }
        return bytes;
    }
}

uint64_t hs_until_nul(const uint8_t *text, uint64_t bytes, unsigned width)
{
    uint64_t at = 0;

    if (width == 1) {
        const uint8_t *nul = bytes == 0 ? NULL : memchr(text, 0, bytes);

        return nul == NULL ? bytes : (uint64_t)(nul - text);
    }
    for (; bytes - at >= 8; at += 8) {
        uint64_t units = hs_u64(text + at);

        /* A unit of 0, or one after it, borrows. */
        if (((units - 0x0001000100010001u) & ~units & 0x8000800080008000u) != 0) {
            break;
        }
    }
    for (; bytes - at >= 2; at += 2) {
        if (hs_u16(text + at) == 0) {
            return at;
        }
    }
    return bytes;
}

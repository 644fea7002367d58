/* The frames of one buffer (etl.md, section 2.2). The twin is FrameWalk in framing.py, which has the words for what is wrong. */
#include "kernel.h"

typedef enum HS_STOP {
    HsStopEnd = 0,       /* the end, or the end mark */
    HsStopNoHeader = 1,  /* marker flags that no event has; `size` is these */
    HsStopTooSmall = 2,  /* less than its header */
    HsStopPassesEnd = 3,
} HS_STOP;

typedef struct HS_WALKED {
    uint64_t count;
    uint64_t at;   /* where it stopped */
    uint32_t size; /* of the event there */
    uint8_t type;
    uint8_t stop;  /* HS_STOP */
    uint16_t reserved;
} HS_WALKED;

#define TYPE_MESSAGE 0x0F

/* By type: at which bit of the first 8 bytes its size begins, and its smallest size. Both tables are framing.py's. */
HS_EXPORT void hs_walk(const uint8_t *data, uint64_t at, uint64_t end, const uint8_t *shifts, const uint8_t *minima, int64_t *offset,
                       int64_t *size, uint8_t *type, HS_WALKED *walked)
{
    uint64_t count = 0;

    walked->stop = HsStopEnd;
    while (at + 8 <= end) {
        uint32_t low = hs_u32(data + at);
        uint64_t head = (uint64_t)hs_u32(data + at + 4) << 32 | low;
        uint8_t marker = (uint8_t)(low >> 24);
        uint8_t kind = (uint8_t)(low >> 16);
        uint32_t bytes;

        if (low == 0xFFFFFFFF) {
            break;
        }
        if (marker == 0xC0) {
            bytes = (uint16_t)(head >> shifts[kind]);
        } else if ((marker & 0x90) == 0x90) {
            kind = TYPE_MESSAGE;
            bytes = (uint16_t)head;
        } else {
            walked->stop = HsStopNoHeader;
            walked->size = marker;
            break;
        }
        walked->type = kind;
        walked->size = bytes;
        if (bytes < minima[kind]) {
            walked->stop = HsStopTooSmall;
            break;
        }
        if (at + bytes > end) {
            walked->stop = HsStopPassesEnd;
            break;
        }
        offset[count] = (int64_t)at;
        size[count] = bytes;
        type[count] = kind;
        count++;
        at += (bytes + 7) & ~7u;
    }
    walked->count = count;
    walked->at = at;
}

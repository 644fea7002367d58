#include "frame.h"

#include "crc32.h"

typedef char FrameHeaderSizeCheck[sizeof(HSAGENT_FRAME_HEADER) == HSAGENT_FRAME_HEADER_SIZE ? 1 : -1];

static uint32_t FrameHeaderCrc(const HSAGENT_FRAME_HEADER *Header)
{
    return Crc32((const uint8_t *)Header + HSAGENT_FRAME_CRC_START,
                 HSAGENT_FRAME_HEADER_SIZE - HSAGENT_FRAME_CRC_START);
}

FRAME_RESULT FrameScan(const uint8_t *Data, size_t Size, size_t *Skip, size_t *Consumed, HSAGENT_FRAME_HEADER *Header)
{
    static const uint8_t Magic[4] = {HSAGENT_FRAME_MAGIC & 0xFF, (HSAGENT_FRAME_MAGIC >> 8) & 0xFF,
                                     (HSAGENT_FRAME_MAGIC >> 16) & 0xFF, (HSAGENT_FRAME_MAGIC >> 24) & 0xFF};
    size_t At = 0;
    *Consumed = 0;
    for (;; At++) {
        size_t Left;
        const uint8_t *Found = Size > At ? memchr(Data + At, Magic[0], Size - At) : NULL;
        if (Found == NULL) {
            *Skip = Size;
            return FrameIncomplete;
        }
        At = (size_t)(Found - Data);
        Left = Size - At;
        if (memcmp(Found, Magic, Left < 4 ? Left : 4) != 0) {
            continue;
        }
        if (Left < sizeof(*Header)) {
            *Skip = At;
            return FrameIncomplete;
        }
        memcpy(Header, Found, sizeof(*Header));
        if (Header->HeaderCrc != FrameHeaderCrc(Header)) {
            continue;
        }
        *Skip = At;
        *Consumed = At + sizeof(*Header);
        if (Header->Length > HSAGENT_FRAME_LIMIT) {
            return FrameTooLarge;
        }
        if (Left - sizeof(*Header) < Header->Length) {
            *Consumed = 0;
            return FrameIncomplete;
        }
        if (Crc32(Found + sizeof(*Header), Header->Length) != Header->PayloadCrc) {
            return FrameBadPayload;
        }
        *Consumed += Header->Length;
        return FrameReady;
    }
}

void FrameSeal(HSAGENT_FRAME_HEADER *Header, uint32_t Length)
{
    Header->Magic = HSAGENT_FRAME_MAGIC;
    Header->Length = Length;
    Header->PayloadCrc = Crc32(Header + 1, Length);
    Header->Reserved = 0;
    Header->HeaderCrc = FrameHeaderCrc(Header);
}

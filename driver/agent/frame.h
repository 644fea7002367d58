/* Finding frames in a stream of bytes, and sealing them. Pure: no I/O. */
#pragma once

#include "portable.h"
#include "protocol.h"

typedef enum _FRAME_RESULT {
    FrameIncomplete = 0, /* more bytes are needed */
    FrameReady = 1,
    FrameBadPayload = 2, /* header is sound, CRC of the payload is not */
    FrameTooLarge = 3    /* header is sound, Length is over the limit */
} FRAME_RESULT;

/*
 * Look at the bytes received. Skip = bytes to drop before the frame (garbage). Unless incomplete, Header is filled.
 * Consumed = bytes to drop to go on behind the frame; after a bad one that is its header only.
 */
_Must_inspect_result_ FRAME_RESULT FrameScan(_In_reads_bytes_(Size) const uint8_t *Data, size_t Size,
                                             _Out_ size_t *Skip, _Out_ size_t *Consumed,
                                             _Out_ HSAGENT_FRAME_HEADER *Header);

/* Fill in magic, length and both CRCs of the frame that starts at Header and is followed by its payload. */
void FrameSeal(_Inout_ HSAGENT_FRAME_HEADER *Header, uint32_t Length);

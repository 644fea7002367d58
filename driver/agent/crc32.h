#pragma once

#include "portable.h"

/* CRC-32 (reflected 0xEDB88320) of the data; the same as zlib's crc32. */
uint32_t Crc32(_In_reads_bytes_(Size) const void *Data, size_t Size);

#pragma once

#include "portable.h"

#define SHA256_SIZE 32

typedef struct _SHA256 {
    uint32_t State[8];
    uint64_t Bytes;
    uint8_t Block[64];
} SHA256;

void Sha256Start(_Out_ SHA256 *Hash);
void Sha256Add(_Inout_ SHA256 *Hash, _In_reads_bytes_(Size) const void *Data, size_t Size);
void Sha256Finish(_Inout_ SHA256 *Hash, _Out_writes_bytes_(SHA256_SIZE) uint8_t *Digest);

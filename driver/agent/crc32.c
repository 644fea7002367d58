#include "crc32.h"

/* Slicing by four: bytes of payload per second decide how fast files travel. Filled once by the first caller; two
 * threads that fill it at once write the same values. */
static uint32_t CrcTable[4][256];
static volatile int CrcReady;

static void CrcFill(void)
{
    for (uint32_t Byte = 0; Byte < 256; Byte++) {
        uint32_t Value = Byte;
        for (int Bit = 0; Bit < 8; Bit++) {
            Value = (Value >> 1) ^ (0xEDB88320u & (0u - (Value & 1u)));
        }
        CrcTable[0][Byte] = Value;
    }
    for (uint32_t Byte = 0; Byte < 256; Byte++) {
        for (int Slice = 1; Slice < 4; Slice++) {
            uint32_t Before = CrcTable[Slice - 1][Byte];
            CrcTable[Slice][Byte] = (Before >> 8) ^ CrcTable[0][Before & 0xFF];
        }
    }
    CrcReady = 1;
}

uint32_t Crc32(const void *Data, size_t Size)
{
    const uint8_t *At = Data;
    uint32_t Crc = 0xFFFFFFFFu;
    if (!CrcReady) {
        CrcFill();
    }
    for (; Size >= 4; Size -= 4, At += 4) {
        Crc ^= (uint32_t)At[0] | (uint32_t)At[1] << 8 | (uint32_t)At[2] << 16 | (uint32_t)At[3] << 24;
        Crc = CrcTable[3][Crc & 0xFF] ^ CrcTable[2][(Crc >> 8) & 0xFF] ^ CrcTable[1][(Crc >> 16) & 0xFF] ^
              CrcTable[0][Crc >> 24];
    }
    for (; Size != 0; Size--, At++) {
        Crc = (Crc >> 8) ^ CrcTable[0][(Crc ^ *At) & 0xFF];
    }
    return ~Crc;
}

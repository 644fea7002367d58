/* SHA-256 (FIPS 180-4). Our own, since bcrypt.dll takes longer to load than most files take to hash. */
#include "sha256.h"

static const uint32_t Sha256Constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

#define ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))

static void Sha256Block(SHA256 *Hash, const uint8_t *Block)
{
    uint32_t Words[64];
    for (int i = 0; i < 16; i++) {
        Words[i] = (uint32_t)Block[4 * i] << 24 | (uint32_t)Block[4 * i + 1] << 16 | (uint32_t)Block[4 * i + 2] << 8 |
                   (uint32_t)Block[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t S0 = ROTATE(Words[i - 15], 7) ^ ROTATE(Words[i - 15], 18) ^ (Words[i - 15] >> 3);
        uint32_t S1 = ROTATE(Words[i - 2], 17) ^ ROTATE(Words[i - 2], 19) ^ (Words[i - 2] >> 10);
        Words[i] = Words[i - 16] + S0 + Words[i - 7] + S1;
    }
    uint32_t A = Hash->State[0], B = Hash->State[1], C = Hash->State[2], D = Hash->State[3];
    uint32_t E = Hash->State[4], F = Hash->State[5], G = Hash->State[6], H = Hash->State[7];
    for (int i = 0; i < 64; i++) {
        uint32_t S1 = ROTATE(E, 6) ^ ROTATE(E, 11) ^ ROTATE(E, 25);
        uint32_t First = H + S1 + ((E & F) ^ (~E & G)) + Sha256Constants[i] + Words[i];
        uint32_t S0 = ROTATE(A, 2) ^ ROTATE(A, 13) ^ ROTATE(A, 22);
        uint32_t Second = S0 + ((A & B) ^ (A & C) ^ (B & C));
        H = G;
        G = F;
        F = E;
        E = D + First;
        D = C;
        C = B;
        B = A;
        A = First + Second;
    }
    Hash->State[0] += A;
    Hash->State[1] += B;
    Hash->State[2] += C;
    Hash->State[3] += D;
    Hash->State[4] += E;
    Hash->State[5] += F;
    Hash->State[6] += G;
    Hash->State[7] += H;
}

void Sha256Start(SHA256 *Hash)
{
    static const uint32_t Initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(Hash->State, Initial, sizeof(Initial));
    Hash->Bytes = 0;
}

void Sha256Add(SHA256 *Hash, const void *Data, size_t Size)
{
    const uint8_t *At = Data;
    size_t Held = (size_t)(Hash->Bytes % 64);
    Hash->Bytes += Size;
    if (Held != 0) {
        size_t Fill = 64 - Held < Size ? 64 - Held : Size;
        memcpy(Hash->Block + Held, At, Fill);
        At += Fill;
        Size -= Fill;
        if (Held + Fill < 64) {
            return;
        }
        Sha256Block(Hash, Hash->Block);
    }
    for (; Size >= 64; Size -= 64, At += 64) {
        Sha256Block(Hash, At);
    }
    memcpy(Hash->Block, At, Size);
}

void Sha256Finish(SHA256 *Hash, uint8_t *Digest)
{
    uint64_t Bits = Hash->Bytes * 8;
    uint8_t Padding[72] = {0x80};
    size_t Held = (size_t)(Hash->Bytes % 64);
    size_t Size = (Held < 56 ? 56 : 120) - Held;
    for (int i = 0; i < 8; i++) {
        Padding[Size + (size_t)i] = (uint8_t)(Bits >> (56 - 8 * i));
    }
    Sha256Add(Hash, Padding, Size + 8);
    for (int i = 0; i < SHA256_SIZE; i++) {
        Digest[i] = (uint8_t)(Hash->State[i / 4] >> (24 - 8 * (i % 4)));
    }
}

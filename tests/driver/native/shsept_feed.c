/*
 * Reads the endpoint tables of images with proxy/shsept.c. Standard input: images, each as ROOM and SIZE (4 bytes, little
 * endian) and SIZE bytes as a loader maps them. Image and endpoints each end where a page ends, and the next page cannot be
 * accessed, as the page before the first: the program dies of one byte outside. Standard output: a line for each: status, count, then an endpoint each
 * " NAME:RVA:REG,REG,REG,REG:STACK:RETURN", then " FIRST=SECOND" for each two of the same signature, by number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shsept.h"

#define PAGE ((SIZE_T)4096)

static SIZE_T Whole(SIZE_T Bytes)
{
    return (Bytes + PAGE - 1) / PAGE * PAGE;
}

static UCHAR *Guarded(SIZE_T Bytes)
{
    UCHAR *block = mmap(NULL, Whole(Bytes) + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED || mprotect(block + PAGE, Whole(Bytes), PROT_READ | PROT_WRITE) != 0) {
        exit(3);
    }
    return block + PAGE + Whole(Bytes) - Bytes;
}

static void Free(UCHAR *Block, SIZE_T Bytes)
{
    munmap(Block + Bytes - Whole(Bytes) - PAGE, Whole(Bytes) + 2 * PAGE);
}

static void PrintSame(const DP_ENDPOINT *Endpoints, ULONG Count)
{
    ULONG i;
    ULONG j;

    for (i = 0; i < Count; i++) {
        for (j = i + 1; j < Count; j++) {
            if (DpSameSignature(&Endpoints[i], &Endpoints[j])) {
                printf(" %u=%u", i, j);
            }
        }
    }
}

int main(void)
{
    ULONG words[2];

    while (fread(words, sizeof(words), 1, stdin) == 1) {
        UCHAR *image = Guarded(words[1]);
        DP_ENDPOINT *endpoints = (DP_ENDPOINT *)Guarded(words[0] * sizeof(*endpoints));
        ULONG count;
        NTSTATUS status;
        ULONG i;

        if (words[1] != 0 && fread(image, words[1], 1, stdin) != 1) {
            return 2;
        }
        alarm(30); /* endless, it would hang the test */
        status = DpReadEndpoints(image, words[1], endpoints, words[0], &count);
        alarm(0);
        printf("%08x %u", (unsigned)status, count);
        for (i = 0; status == STATUS_SUCCESS && i < count; i++) {
            const DP_ENDPOINT *endpoint = &endpoints[i];

            printf(" %.*s:%x:%x,%x,%x,%x:%u:%x", (int)endpoint->NameBytes, (const char *)endpoint->Name, endpoint->Rva,
                   endpoint->Registers[0], endpoint->Registers[1], endpoint->Registers[2], endpoint->Registers[3],
                   endpoint->StackBytes, endpoint->ReturnRegister);
        }
        PrintSame(endpoints, status == STATUS_SUCCESS ? count : 0);
        printf("\n");
        fflush(stdout);
        Free((UCHAR *)endpoints, words[0] * sizeof(*endpoints));
        Free(image, words[1]);
    }
    return 0;
}

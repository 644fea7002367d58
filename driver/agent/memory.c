#include "memory.h"

void *MemoryAllocate(size_t Size)
{
    return HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, Size);
}

void MemoryFree(void *Block)
{
    if (Block != NULL) {
        HeapFree(GetProcessHeap(), 0, Block);
    }
}

/* Two words in front of each block keep it aligned to 16 bytes. */
typedef struct _ARENA_BLOCK {
    struct _ARENA_BLOCK *Next;
    void *Reserved;
} ARENA_BLOCK;

void *ArenaAllocate(ARENA *Arena, size_t Size)
{
    ARENA_BLOCK *Block = MemoryAllocate(sizeof(*Block) + Size);
    if (Block == NULL) {
        return NULL;
    }
    Block->Next = Arena->Blocks;
    Arena->Blocks = Block;
    return Block + 1;
}

void ArenaFree(ARENA *Arena)
{
    while (Arena->Blocks != NULL) {
        ARENA_BLOCK *Block = Arena->Blocks;
        Arena->Blocks = Block->Next;
        MemoryFree(Block);
    }
}

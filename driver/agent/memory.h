#pragma once

#include "portable.h"

/* Zeroed memory of the process heap; NULL when there is none. */
_Must_inspect_result_ void *MemoryAllocate(size_t Size);
void MemoryFree(_In_opt_ void *Block);

/* Memory that lives as long as one request. */
typedef struct _ARENA {
    void *Blocks;
} ARENA;

_Must_inspect_result_ void *ArenaAllocate(_Inout_ ARENA *Arena, size_t Size);
void ArenaFree(_Inout_ ARENA *Arena);

/*
 * Drives the agent's .etl writer natively: etl_feed FILE, commands on standard input.
 *   F u32 size, chunk, u64 now    L u64 now (flush)    C u64 now, u64 end time (close)
 * Ends at end of input, which without C is an agent that was killed. Prints, for each command, the writer's return
 * code, and at the end the statistics.
 */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "etl_writer.h"

/* Memory that ends at an inaccessible page: a byte read or written behind it ends the program. */
static void *Guarded(size_t Size)
{
    size_t Pages = (Size + 4095) / 4096 * 4096;
    uint8_t *Block = mmap(NULL, Pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (Block == MAP_FAILED || mprotect(Block + Pages, 4096, PROT_NONE) != 0) {
        exit(2);
    }
    return Block + Pages - Size;
}

static void Release(void *Block)
{
    (void)Block;
}

static uint32_t WriteAt(void *Context, uint64_t Offset, const void *Data, uint32_t Size)
{
    const char *Limit = getenv("ETL_FEED_DISK");
    if (Limit != NULL && Offset + Size > strtoull(Limit, NULL, 10)) {
        return 112; /* ERROR_DISK_FULL */
    }
    return fseek(Context, (long)Offset, SEEK_SET) == 0 && fwrite(Data, Size, 1, Context) == 1 ? 0 : 29;
}

static void Take(void *Data, size_t Size)
{
    if (fread(Data, Size, 1, stdin) != 1) {
        exit(2);
    }
}

static uint64_t Take64(void)
{
    uint64_t Value;
    Take(&Value, sizeof(Value));
    return Value;
}

int main(int Count, char **Arguments)
{
    static const uint16_t Name[] = {'T', 'e', 's', 't', 0};
    static ETL_WRITER Writer;
    FILE *File = Count == 2 ? fopen(Arguments[1], "wb+") : NULL;
    ETL_SINK Sink = {.Context = File, .WriteAt = WriteAt, .Allocate = Guarded, .Free = Release};
    ETL_SESSION Session = {.Name = Name,
                           .FileName = Name,
                           .StartTick = 1000,
                           .StartTime = 133000000000000000,
                           .TickFrequency = 10000000,
                           .Processors = 4,
                           .OsBuild = 19041,
                           .CpuMegahertz = 2000};
    const ETL_STATISTICS *Statistics = &Writer.Statistics;
    int Command;
    if (File == NULL) {
        return 2;
    }
    printf("%u\n", EtlOpen(&Writer, &Sink, &Session));
    while ((Command = getchar()) != EOF) {
        uint32_t Error = 0;
        if (Command == 'F') {
            uint32_t Size;
            uint8_t *Chunk;
            Take(&Size, sizeof(Size));
            Chunk = Guarded(Size);
            if (Size != 0) {
                Take(Chunk, Size);
            }
            EtlFirstTick(Chunk, Size);
            Error = EtlFeed(&Writer, Chunk, Size, Take64());
        } else if (Command == 'L') {
            Error = EtlFlush(&Writer, Take64());
        } else if (Command == 'C') {
            uint64_t Now = Take64();
            Error = EtlClose(&Writer, Now, Take64());
        }
        printf("%u\n", Error);
    }
    printf("events %llu dropped %llu rejected %llu out_of_order %llu buffers %llu bytes %llu remaining %u\n",
           (unsigned long long)Statistics->Events, (unsigned long long)Statistics->EventsDropped,
           (unsigned long long)Statistics->Rejected, (unsigned long long)Statistics->OutOfOrder,
           (unsigned long long)Statistics->Buffers, (unsigned long long)Statistics->FileBytes, Statistics->Remaining);
    return fclose(File);
}

/*
 * Heads to columns in time order (etl.md, section 2.7). The buffers of one processor are a stream, in which time does not run
 * backwards; streams are merged. The twin is order_in_numpy of scan.py, which also takes what is not in such order.
 */
#include "heads.h"

typedef struct HS_SEGMENT {
    uint64_t begin; /* in the heads */
    uint64_t end;
} HS_SEGMENT;

/* Where the merge is in a stream. Streams go by number, which is the processor's place among all. */
typedef struct HS_CURSOR {
    int64_t tick;
    uint64_t at;
    uint64_t end;     /* of the segment */
    uint64_t segment; /* the next one */
    uint64_t segments;
    uint64_t stream;
} HS_CURSOR;

#define UNSORTED -1

static int before(const HS_CURSOR *a, const HS_CURSOR *b)
{
    return a->tick < b->tick || (a->tick == b->tick && a->stream < b->stream);
}

/* To the first event at or after `cursor->at`, in this segment or a later one; 0: there is none until `last`. */
static int settle(HS_CURSOR *cursor, const HS_HEAD *heads, const HS_SEGMENT *segments, int64_t last)
{
    while (cursor->at == cursor->end) {
        if (cursor->segment == cursor->segments) {
            return 0;
        }
        cursor->at = segments[cursor->segment].begin;
        cursor->end = segments[cursor->segment].end;
        cursor->segment++;
    }
    cursor->tick = heads[cursor->at].tick;
    return cursor->tick <= last;
}

static void sift_down(HS_CURSOR *heap, uint64_t count, uint64_t at)
{
    HS_CURSOR moved = heap[at];

    for (;;) {
        uint64_t child = 2 * at + 1;

        if (child >= count) {
            break;
        }
        if (child + 1 < count && before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!before(&heap[child], &moved)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/*
 * The events with first <= tick <= last, in the order of tick and stream; those of one stream stay in theirs. Stream n has the
 * segments streams[n] to streams[n + 1]; `heap` has room for all streams. Returns how many, or UNSORTED.
 */
HS_EXPORT int64_t hs_order(const HS_HEAD *heads, const HS_SEGMENT *segments, const uint64_t *streams, uint64_t stream_count,
                           int64_t first, int64_t last, HS_CURSOR *heap, uint32_t *order)
{
    uint64_t live = 0;
    uint64_t count = 0;
    uint64_t i;

    for (i = 0; i < stream_count; i++) {
        HS_CURSOR *cursor = &heap[live];
        int there;

        cursor->at = cursor->end = 0;
        cursor->segment = streams[i];
        cursor->segments = streams[i + 1];
        cursor->stream = i;
        there = settle(cursor, heads, segments, last);
        while (there && cursor->tick < first) {
            int64_t tick = cursor->tick;

            cursor->at++;
            there = settle(cursor, heads, segments, last);
            if (there && cursor->tick < tick) {
                return UNSORTED;
            }
        }
        live += there != 0;
    }
    for (i = live / 2; i-- > 0;) {
        sift_down(heap, live, i);
    }
    while (live != 0) {
        HS_CURSOR *next = &heap[0];
        const HS_CURSOR *second = live > 1 ? &heap[1] : NULL;
        int there = 1;

        if (live > 2 && before(&heap[2], &heap[1])) {
            second = &heap[2];
        }
        while (there && (second == NULL || before(next, second))) {
            int64_t tick = next->tick;

            order[count++] = (uint32_t)next->at++;
            there = settle(next, heads, segments, last);
            if (next->tick < tick) {
                return UNSORTED;
            }
        }
        if (!there) {
            heap[0] = heap[--live];
        }
        sift_down(heap, live, 0);
    }
    return (int64_t)count;
}

/* The columns of the table; arrays of one length. HS_COLUMNS of native/__init__.py is the same. */
typedef struct HS_COLUMNS {
    int32_t *kind;
    int64_t *tick;
    int64_t *ns;
    int64_t *filetime;
    int64_t *cpu;
    int64_t *pid;
    int64_t *tid;
    uint8_t *level;
    uint8_t *opcode;
    uint64_t *keyword;
    int64_t *payload_offset;
    int64_t *payload_length;
    int64_t *offset;
    int64_t *size;
} HS_COLUMNS;

typedef struct HS_CLOCK {
    int64_t frequency;
    int64_t first_tick;
    int64_t start_time;
} HS_CLOCK;

/* elapsed * unit / frequency, rounded down; wraps. `exact` is unit / frequency where that is a whole number, else 0. */
static uint64_t scale(int64_t elapsed, int64_t frequency, uint64_t unit, uint64_t exact)
{
    int64_t seconds;
    int64_t rest;

    if (exact != 0) {
        return (uint64_t)elapsed * exact;
    }
    seconds = elapsed / frequency;
    rest = elapsed % frequency;
    if (rest < 0) {
        seconds--;
        rest += frequency;
    }
    return (uint64_t)seconds * unit + (uint64_t)rest * unit / (uint64_t)frequency;
}

/* `cpus` by buffer. The rows are written from `at` on. */
HS_EXPORT void hs_columns(const HS_HEAD *heads, const uint32_t *order, uint64_t count, const int64_t *cpus, const HS_CLOCK *clock,
                          const HS_COLUMNS *columns, uint64_t at)
{
    HS_COLUMNS to = *columns;
    uint64_t nanoseconds = 1000000000;
    uint64_t filetimes = 10000000;
    uint64_t exact_ns = nanoseconds % (uint64_t)clock->frequency == 0 ? nanoseconds / (uint64_t)clock->frequency : 0;
    uint64_t exact_filetime = filetimes % (uint64_t)clock->frequency == 0 ? filetimes / (uint64_t)clock->frequency : 0;
    uint64_t i;

    for (i = 0; i < count; i++, at++) {
        const HS_HEAD *head = &heads[order[i]];
        int64_t elapsed = (int64_t)((uint64_t)head->tick - (uint64_t)clock->first_tick);

        to.kind[at] = head->kind;
        to.tick[at] = head->tick;
        to.ns[at] = (int64_t)scale(elapsed, clock->frequency, nanoseconds, exact_ns);
        to.filetime[at] = (int64_t)(scale(elapsed, clock->frequency, filetimes, exact_filetime) + (uint64_t)clock->start_time);
        to.cpu[at] = cpus[head->buffer];
        to.pid[at] = head->pid == NO_ID ? -1 : (int64_t)head->pid;
        to.tid[at] = head->tid == NO_ID ? -1 : (int64_t)head->tid;
        to.level[at] = head->level;
        to.opcode[at] = head->opcode;
        to.keyword[at] = head->keyword;
        to.payload_offset[at] = head->offset + head->payload;
        to.payload_length[at] = head->size - head->payload;
        to.offset[at] = head->offset;
        to.size[at] = head->size;
    }
}

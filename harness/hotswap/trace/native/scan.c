/*
 * The events of buffers: their headers, and the kind of each (etl.md, sections 2.2 to 2.4). The twins are scan_in_numpy of
 * scan.py, for the headers those of headers.py. One pass over the bytes does all of it.
 */
#include "heads.h"
#include "kinds.h"

#define EXTENDED_INFO 1
#define ITEM_SCHEMA 11
#define ITEM_TRAITS 12

typedef enum HS_STOP {
    HsStopEnd = 0,      /* the end, or the end mark */
    HsStopNoHeader = 1, /* marker flags that no event has; `stop_size` is these */
    HsStopTooSmall = 2, /* less than its header */
    HsStopPassesEnd = 3,
} HS_STOP;

typedef enum HS_FAMILY { HsUnknown, HsEvent, HsClassic, HsKernel, HsMessage } HS_FAMILY;

#define TYPE_MESSAGE 0x0F

typedef struct HS_TYPE {
    uint8_t family;
    uint8_t size;  /* of the header */
    uint8_t shift; /* of the event's size in the first 8 bytes */
    uint8_t short_time;
} HS_TYPE;

static const HS_TYPE TYPES[32] = {
    [0x01] = { HsKernel, 32, 32, 0 },  [0x02] = { HsKernel, 32, 32, 0 },         [0x03] = { HsKernel, 24, 32, 0 },
    [0x04] = { HsKernel, 24, 32, 0 },  [0x0A] = { HsClassic, 48, 0, 0 },         [0x0B] = { HsClassic, 72, 0, 0 },
    [0x10] = { HsKernel, 16, 32, 1 },  [0x11] = { HsKernel, 16, 32, 1 },         [0x12] = { HsEvent, 80, 0, 0 },
    [0x13] = { HsEvent, 80, 0, 0 },    [0x14] = { HsClassic, 48, 0, 0 },         [0x15] = { HsClassic, 72, 0, 0 },
    [TYPE_MESSAGE] = { HsMessage, 8, 0, 0 },
};
static const HS_TYPE UNKNOWN = { HsUnknown, 8, 0, 0 };

/* What a buffer holds. FACTS_DTYPE in scan.py is the same. Ticks are those that events are ordered by. */
typedef struct HS_FACTS {
    uint64_t count;
    int64_t first;
    int64_t last;
    int64_t least;
    int64_t most;
    uint64_t sum; /* of the ticks that events have themselves */
    uint64_t inversions;
    uint64_t bad;
    int64_t bad_at; /* offset of the first of them */
    int64_t stop_at;
    uint32_t stop_size;
    uint8_t stop; /* HS_STOP */
    uint8_t stop_type;
    uint8_t bad_type;
    uint8_t reserved;
} HS_FACTS;

typedef struct HS_SPAN {
    uint64_t begin;
    uint64_t end;
} HS_SPAN;

/* Where a scan is, so that it can go on after the caller has made room. Zeroes at first. */
typedef struct HS_SCAN {
    uint64_t buffer;
    uint64_t at;   /* 0: at the beginning of the buffer */
    uint64_t used; /* of `heads` */
    uint64_t lead; /* events at the beginning of the buffer before the first one with a time */
} HS_SCAN;

/* Which events get a head: HsSamples are those that describe others, and the first ones of every kind. */
typedef enum HS_KEEP { HsNone, HsAll, HsSamples } HS_KEEP;

#define SAMPLES 8

typedef enum HS_SCANNED {
    HsScanned = 0,
    HsNeedsKinds = 1,
    HsNeedsHeads = 2,
} HS_SCANNED;

typedef struct HS_EVENT {
    HS_HEAD head;
    HS_KEY key;
    const uint8_t *schema;
    const uint8_t *traits;
} HS_EVENT;

static void read_common(HS_EVENT *event, const uint8_t *at)
{
    event->head.tid = hs_u32(at + 8);
    event->head.pid = hs_u32(at + 12);
    event->head.tick = (int64_t)hs_u64(at + 16);
}

/* Follow the extended items. What follows a broken one is taken for the payload. */
static void read_items(HS_EVENT *event, const uint8_t *at, unsigned size)
{
    unsigned cursor = 80;
    unsigned more = hs_u16(at + 4) & EXTENDED_INFO;

    while (more) {
        unsigned total;
        unsigned length;
        unsigned kind;

        if (cursor + 8 > size) {
            event->head.flags |= HsBad;
            break;
        }
        total = hs_u16(at + cursor);
        kind = hs_u16(at + cursor + 2);
        more = at[cursor + 4] & 1;
        length = hs_u16(at + cursor + 6);
        if (total < 8 + length || cursor + total > size) {
            event->head.flags |= HsBad;
            break;
        }
        if (kind == ITEM_SCHEMA) {
            event->schema = at + cursor + 8;
            event->key.shape = (event->key.shape & ~((uint64_t)0xFFFF << 16)) | (uint64_t)length << 16;
        } else if (kind == ITEM_TRAITS) {
            event->traits = at + cursor + 8;
            event->key.shape = (event->key.shape & ~((uint64_t)0xFFFF << 32)) | (uint64_t)length << 32;
        }
        cursor += total;
    }
    event->head.payload = (uint16_t)cursor;
}

/* Move over the values of an option; those of a message without room for them are not there. */
static int take_option(HS_EVENT *event, unsigned chosen, unsigned bytes, unsigned size, unsigned *cursor)
{
    if (chosen == 0 || (event->head.flags & HsBad) != 0) {
        return 0;
    }
    if (*cursor + bytes > size) {
        event->head.flags |= HsBad;
        return 0;
    }
    *cursor += bytes;
    return 1;
}

static void read_message(HS_EVENT *event, const uint8_t *at, unsigned size)
{
    unsigned options = hs_u16(at + 6);
    unsigned cursor = 8;

    event->key.descriptor = hs_u32(at + 4);
    event->head.flags |= HsUntimed;
    take_option(event, options & 0x01, 4, size, &cursor);
    if ((options & 0x02) != 0 ? take_option(event, 1, 16, size, &cursor) : take_option(event, options & 0x04, 4, size, &cursor)) {
        unsigned bytes = (options & 0x02) != 0 ? 16 : 4;

        memcpy(event->key.provider, at + cursor - bytes, bytes);
        event->key.shape |= (uint64_t)bytes << 48;
    }
    if (take_option(event, options & 0x18, 8, size, &cursor)) {
        event->head.tick = (int64_t)hs_u64(at + cursor - 8);
        event->head.flags &= (uint8_t)~HsUntimed;
    }
    if (take_option(event, options & 0x20, 8, size, &cursor)) {
        event->head.tid = hs_u32(at + cursor - 8);
        event->head.pid = hs_u32(at + cursor - 4);
    }
    event->head.payload = (uint16_t)cursor;
}

/* All of the event's `size` bytes, which are its header's at least, can be read. */
static void read_event(HS_EVENT *event, const uint8_t *at, const HS_TYPE *type, unsigned kind, unsigned size)
{
    HS_HEAD *head = &event->head;

    memset(event, 0, sizeof(*event));
    head->pid = head->tid = NO_ID;
    head->size = (uint16_t)size;
    head->payload = type->size;
    head->type = (uint8_t)kind;
    event->key.shape = kind;
    event->schema = event->traits = at;
    switch (type->family) {
    case HsEvent:
        read_common(event, at);
        head->level = at[0x2C];
        head->opcode = at[0x2D];
        head->keyword = hs_u64(at + 0x30);
        memcpy(event->key.provider, at + 0x18, 16);
        event->key.descriptor = hs_u64(at + 0x28);
        read_items(event, at, size);
        break;
    case HsClassic:
        read_common(event, at);
        head->opcode = at[4];
        head->level = at[5];
        memcpy(event->key.provider, at + 0x18, 16);
        event->key.descriptor = hs_u32(at + 4);
        break;
    case HsKernel: {
        unsigned version = hs_u16(at);
        /* Performance counters and a PEBS index stand before the payload. */
        unsigned payload = type->size + 8 * ((version >> 8 & 7) + (version >> 15));

        if (type->short_time) {
            head->tick = (int64_t)hs_u64(at + 8);
        } else {
            read_common(event, at);
        }
        head->opcode = at[6];
        head->payload = (uint16_t)(payload < size ? payload : size);
        event->key.descriptor = (uint64_t)hs_u16(at + 6) << 16 | (version & 0xFF);
        break;
    }
    case HsMessage:
        read_message(event, at, size);
        break;
    default:
        head->flags = HsUntimed;
        break;
    }
}

static void stop(HS_FACTS *facts, HS_STOP why, uint64_t at, unsigned type, uint32_t size)
{
    facts->stop = (uint8_t)why;
    facts->stop_at = (int64_t)at;
    facts->stop_type = (uint8_t)type;
    facts->stop_size = size;
}

/* The event at data[at], before `end`; 0 where there is none, and then why is in the facts. */
static unsigned frame(const uint8_t *data, uint64_t at, uint64_t end, HS_FACTS *facts, const HS_TYPE **type, unsigned *kind)
{
    uint64_t head = hs_u64(data + at);
    unsigned marker = (uint8_t)(head >> 24);
    unsigned size;

    *kind = (uint8_t)(head >> 16);
    if ((uint32_t)head == 0xFFFFFFFF) {
        stop(facts, HsStopEnd, at, 0, 0);
        return 0;
    }
    if (marker != 0xC0) {
        if ((marker & 0x90) != 0x90) {
            stop(facts, HsStopNoHeader, at, 0, marker);
            return 0;
        }
        *kind = TYPE_MESSAGE;
    }
    *type = *kind < 32 && TYPES[*kind].size != 0 ? &TYPES[*kind] : &UNKNOWN;
    size = (uint16_t)(head >> (*type)->shift);
    if (size < (*type)->size) {
        stop(facts, HsStopTooSmall, at, *kind, size);
        return 0;
    }
    if (size > end - at) {
        stop(facts, HsStopPassesEnd, at, *kind, size);
        return 0;
    }
    return size;
}

static void count_event(HS_FACTS *facts, const HS_HEAD *head)
{
    if (head->flags & HsBad) {
        if (facts->bad++ == 0) {
            facts->bad_at = head->offset;
            facts->bad_type = head->type;
        }
    }
    if ((head->flags & HsUntimed) == 0) {
        facts->sum += (uint64_t)head->tick;
    }
    if (facts->count == 0) {
        facts->first = facts->least = facts->most = head->tick;
    } else {
        facts->inversions += head->tick < facts->last;
        facts->least = head->tick < facts->least ? head->tick : facts->least;
        facts->most = head->tick > facts->most ? head->tick : facts->most;
    }
    facts->last = head->tick;
    facts->count++;
}

/* Events without a time at the beginning of a buffer have that of the first one with a time; if there is none, `fallback`. */
static void settle_lead(HS_SCAN *scan, HS_FACTS *facts, HS_HEAD *heads, int64_t tick)
{
    uint64_t i;

    for (i = scan->used; i > 0 && heads[i - 1].buffer == scan->buffer; i--) {
        heads[i - 1].tick = tick;
    }
    facts->first = facts->last = facts->least = facts->most = tick;
    scan->lead = 0;
}

/* Scan buffers, whose events lie in `spans`. There is room for `room` heads. The kinds count events only when `counting`. */
HS_EXPORT int32_t hs_scan(const uint8_t *data, const HS_SPAN *spans, uint64_t buffers, int64_t fallback, int32_t counting,
                          int32_t keep, HS_KINDS *kinds, HS_SCAN *scan, HS_FACTS *facts, HS_HEAD *heads, uint64_t room)
{
    for (; scan->buffer < buffers; scan->buffer++, scan->at = 0) {
        HS_FACTS *fact = &facts[scan->buffer];
        uint64_t end = spans[scan->buffer].end;

        if (scan->at == 0) {
            memset(fact, 0, sizeof(*fact));
            scan->at = spans[scan->buffer].begin;
            scan->lead = 0;
        }
        for (;;) {
            const HS_TYPE *type;
            HS_KIND *known;
            HS_EVENT event;
            unsigned kind;
            unsigned size;

            if (scan->at + 8 > end) {
                stop(fact, HsStopEnd, scan->at, 0, 0);
                break;
            }
            size = frame(data, scan->at, end, fact, &type, &kind);
            if (size == 0) {
                break;
            }
            if (keep != HsNone && scan->used == room) {
                return HsNeedsHeads;
            }
            read_event(&event, data + scan->at, type, kind, size);
            event.head.offset = (int64_t)scan->at;
            event.head.buffer = (uint32_t)scan->buffer;
            event.head.kind = hs_kind_of(kinds, &event.key, event.schema, event.traits, event.head.offset);
            if (event.head.kind < 0) {
                return HsNeedsKinds;
            }
            known = &kinds->kinds[event.head.kind];
            if (event.head.flags & HsUntimed) {
                if (scan->lead == fact->count) {
                    scan->lead++;
                    event.head.tick = fallback;
                } else {
                    event.head.tick = fact->last;
                }
            } else if (scan->lead != 0) {
                settle_lead(scan, fact, heads, event.head.tick);
            }
            count_event(fact, &event.head);
            if (keep == HsAll || (keep == HsSamples && (known->teaches || known->count < SAMPLES))) {
                heads[scan->used++] = event.head;
            }
            known->count += (uint64_t)counting;
            known->empty += (uint64_t)(counting && event.head.payload == event.head.size);
            scan->at += (size + 7) & ~7u;
        }
    }
    return HsScanned;
}

/*
 * libFuzzer's way into the native kernel. The first byte of an input chooses the function, the next ones its arguments, the
 * rest is its data. Every buffer is exactly as large as the caller says, so that the address sanitizer sees one byte too many;
 * what the functions promise of their results is checked here. A test compares this file with the functions that there are.
 */
#include "decode.c"
#include "order.c"
#include "scan.c"

#include <stdlib.h>

#define KINDS_AT_FIRST 2
#define KEYS_AT_FIRST 128
#define HEADS_AT_FIRST 3
#define BUFFERS 5
#define INFLATED_MOST (1u << 17)

typedef void INFLATE(const uint8_t *stream, uint64_t bytes, uint8_t *out, uint64_t size, HS_INFLATED *result);

INFLATE hs_inflate_lznt1, hs_inflate_xpress, hs_inflate_huffman;
void hs_rehash_kinds(HS_KINDS *kinds);
const char *hs_kernel_sources(void);

static void check(int holds)
{
    if (!holds) {
        abort();
    }
}

static void *grown(void *old, size_t old_bytes, size_t bytes, int fill)
{
    uint8_t *made = malloc(bytes != 0 ? bytes : 1);

    check(made != NULL);
    memset(made, fill, bytes);
    if (old != NULL && old_bytes != 0) {
        memcpy(made, old, old_bytes);
    }
    free(old);
    return made;
}

/* Arguments: 3 bytes of the inflated size. */
static void fuzz_inflate(INFLATE *inflate, const uint8_t *data, size_t bytes)
{
    HS_INFLATED result = { 0 };
    uint64_t size;
    uint8_t *out;

    if (bytes < 3) {
        return;
    }
    size = ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16) & (INFLATED_MOST - 1);
    out = malloc(size != 0 ? size : 1);
    check(out != NULL);
    inflate(data + 3, bytes - 3, out, size, &result);
    check(result.made <= size);
    check(result.error != HsWhole || result.made == size);
    check(result.error == HsWhole || result.broken_at <= bytes - 3);
    free(out);
}

static void grow_kinds(HS_KINDS *kinds, uint64_t room, uint64_t keys_room)
{
    kinds->kinds = grown(kinds->kinds, kinds->count * sizeof(HS_KIND), room * sizeof(HS_KIND), 0);
    kinds->keys = grown(kinds->keys, kinds->keys_used, keys_room, 0);
    free(kinds->slots);
    kinds->room = room;
    kinds->keys_room = keys_room;
    kinds->slot_count = 4 * room;
    kinds->slots = grown(NULL, 0, kinds->slot_count * sizeof(*kinds->slots), 0xFF);
    hs_rehash_kinds(kinds);
}

static void check_head(const HS_HEAD *head, const HS_SPAN *spans, const HS_KINDS *kinds)
{
    check(head->buffer < BUFFERS);
    check((uint64_t)head->offset >= spans[head->buffer].begin);
    check((uint64_t)head->offset + head->size <= spans[head->buffer].end);
    check(head->payload <= head->size);
    check(head->kind >= 0 && (uint64_t)head->kind < kinds->count);
}

/* Each buffer is a stream, or all are one. */
static void fuzz_order(const HS_HEAD *heads, uint64_t count, int together, int64_t first, int64_t last, int64_t frequency)
{
    HS_SEGMENT segments[BUFFERS] = { { 0, 0 } };
    uint64_t streams[BUFFERS + 1] = { 0 };
    HS_CURSOR heap[BUFFERS];
    uint64_t number = 0;
    uint64_t at = 0;
    uint32_t *order = grown(NULL, 0, count * sizeof(*order), 0);
    uint64_t buffer;
    int64_t chosen;

    for (buffer = 0; buffer < BUFFERS; buffer++) {
        segments[buffer].begin = at;
        while (at < count && heads[at].buffer == buffer) {
            at++;
        }
        segments[buffer].end = at;
        if (!together) {
            streams[++number] = buffer + 1;
        }
    }
    if (together) {
        streams[++number] = BUFFERS;
    }
    check(at == count);
    chosen = hs_order(heads, segments, streams, number, first, last, heap, order);
    check(chosen == UNSORTED || (chosen >= 0 && (uint64_t)chosen <= count));
    if (chosen > 0) {
        const int64_t cpus[BUFFERS] = { 0, 1, 2, 3, 4 };
        const HS_CLOCK clock = { frequency, first, last };
        size_t bytes = (size_t)chosen * 8;
        void *memory[14];
        HS_COLUMNS columns;
        unsigned i;

        for (i = 0; i < 14; i++) {
            memory[i] = grown(NULL, 0, bytes, 0);
        }
        memcpy(&columns, memory, sizeof(columns));
        hs_columns(heads, order, (uint64_t)chosen, cpus, &clock, &columns, 0);
        for (i = 1; i < (unsigned)chosen; i++) {
            check(columns.tick[i] >= columns.tick[i - 1]);
        }
        for (i = 0; i < 14; i++) {
            free(memory[i]);
        }
    }
    free(order);
}

_Static_assert(sizeof(HS_COLUMNS) == 14 * sizeof(void *), "HS_COLUMNS has as many columns as fuzz_order makes");

/* Arguments: a byte of choices, 2 for each buffer's end, 2 of the window, 2 of the frequency. */
static void fuzz_scan(const uint8_t *data, size_t bytes)
{
    const size_t arguments = 1 + 2 * BUFFERS + 4;
    HS_KINDS kinds = { .seed = 7 };
    HS_SPAN spans[BUFFERS];
    HS_FACTS facts[BUFFERS] = { { 0 } };
    HS_SCAN scan = { 0 };
    HS_HEAD *heads = NULL;
    uint64_t room = HEADS_AT_FIRST;
    uint64_t begin = 0;
    unsigned choices;
    HS_KEEP keep;
    unsigned i;

    if (bytes < arguments) {
        return;
    }
    choices = data[0];
    keep = (HS_KEEP)(choices % 3);
    for (i = 0; i < BUFFERS; i++) {
        uint64_t end = begin + 8 * (uint64_t)hs_u16(data + 1 + 2 * i);

        spans[i].begin = begin;
        spans[i].end = end < bytes - arguments && i + 1 < BUFFERS ? end : bytes - arguments;
        begin = (spans[i].end + 7) & ~(uint64_t)7;
        if (begin > bytes - arguments) {
            begin = spans[i].end;
        }
    }
    memset(kinds.cache, 0xFF, sizeof(kinds.cache));
    grow_kinds(&kinds, KINDS_AT_FIRST, KEYS_AT_FIRST);
    heads = grown(NULL, 0, room * sizeof(*heads), 0);
    for (;;) {
        int32_t done = hs_scan(data + arguments, spans, BUFFERS, 7, (int32_t)(choices >> 2 & 1), (int32_t)keep, &kinds, &scan, facts, heads, room);

        if (done == HsNeedsKinds) {
            grow_kinds(&kinds, 2 * kinds.room, 2 * kinds.keys_room + (1u << 18));
        } else if (done == HsNeedsHeads) {
            heads = grown(heads, scan.used * sizeof(*heads), 2 * room * sizeof(*heads), 0);
            room *= 2;
        } else {
            check(done == HsScanned);
            break;
        }
    }
    check(scan.used <= room);
    for (i = 0; i < scan.used; i++) {
        check_head(&heads[i], spans, &kinds);
    }
    if (keep == HsAll) {
        const uint8_t *tail = data + 1 + 2 * BUFFERS;

        fuzz_order(heads, scan.used, (int)(choices >> 3 & 1), (int64_t)hs_u16(tail) - 32768,
                   (choices & 16) != 0 ? INT64_MAX : (int64_t)hs_u16(tail) + hs_u16(tail + 2), hs_u16(tail + 2) + 1);
    }
    free(heads);
    free(kinds.kinds);
    free(kinds.keys);
    free(kinds.slots);
}

#define NODES 12
#define COLUMNS (2 * NODES)
#define ROWS 4

/* A plan as plan.py makes them, of whatever the input says. */
typedef struct PLAN {
    HS_NODE nodes[NODES];
    uint64_t sizes[COLUMNS]; /* of a value; 0: texts, data or a list */
    uint8_t lists[COLUMNS];
    uint32_t node_count;
    uint32_t column_count;
    int32_t registers;
    int32_t visible[NODES]; /* registers of fields before, of this struct and of those around it */
    unsigned visible_count;
    const uint8_t *said;
    uint32_t left;
} PLAN;

static unsigned next_choice(PLAN *plan, unsigned among)
{
    if (plan->left == 0) {
        return 0;
    }
    plan->left--;
    return *plan->said++ % among;
}

static int32_t new_column(PLAN *plan, uint64_t size, int is_list)
{
    plan->sizes[plan->column_count] = size;
    plan->lists[plan->column_count] = (uint8_t)is_list;
    return (int32_t)plan->column_count++;
}

static void make_fields(PLAN *plan, unsigned depth);

static void make_field(PLAN *plan, unsigned depth)
{
    static const uint8_t SIZES[] = { 1, 2, 4, 8, 16, 3 };
    static const uint8_t PLAIN[] = { HsOne, HsOne, HsOne, HsConstant, HsPrefixed, HsRest, HsCounted };
    uint32_t at = plan->node_count++;
    HS_NODE *node = &plan->nodes[at];
    unsigned op = next_choice(plan, 8);

    memset(node, 0, sizeof(*node));
    node->list = node->column = node->to = node->count_from = node->length_from = -1;
    node->op = op == 0 && depth < 3 ? HsStruct : op == 1 ? HsNever : op < 5 ? HsFixed : HsData;
    node->many = PLAIN[next_choice(plan, sizeof(PLAIN))];
    if (node->many == HsCounted && plan->visible_count == 0) {
        node->many = HsOne;
    }
    node->count = next_choice(plan, 5);
    if (node->many == HsCounted) {
        node->count_from = plan->visible[next_choice(plan, plan->visible_count)];
    }
    if (node->many != HsOne) {
        node->list = new_column(plan, 0, 1);
    }
    if (node->op == HsStruct) {
        unsigned around = plan->visible_count;

        make_fields(plan, depth + 1);
        plan->visible_count = around;
    } else if (node->op == HsFixed) {
        node->size = SIZES[next_choice(plan, sizeof(SIZES))];
        node->swap = node->size == 2 && next_choice(plan, 2);
        node->is_signed = (uint8_t)next_choice(plan, 2);
        node->column = new_column(plan, node->size, 0);
        if (node->many == HsOne && node->size <= 8 && node->size != 3 && next_choice(plan, 2)) {
            node->to = plan->visible[plan->visible_count++] = plan->registers++;
        }
    } else {
        node->how = (uint8_t)next_choice(plan, HsWbemSid + 1);
        node->text = (uint8_t)next_choice(plan, HsUtf8 + 1);
        node->width = node->text == HsWide ? 2 : 1;
        node->ends_at_nul = (uint8_t)next_choice(plan, 2);
        node->size = node->how == HsWbemSid ? 16 : next_choice(plan, 5);
        if (node->how == HsLengthFrom && plan->visible_count == 0) {
            node->how = HsAllLeft;
        }
        if (node->how == HsLengthFrom) {
            node->length_from = plan->visible[next_choice(plan, plan->visible_count)];
        }
        node->column = new_column(plan, 0, 0);
    }
    node->next = plan->node_count;
}

/* Neighbours of fixed size are a run. */
static void make_fields(PLAN *plan, unsigned depth)
{
    unsigned count = next_choice(plan, 5);
    HS_NODE *run = NULL;

    for (; count != 0 && plan->node_count < NODES; count--) {
        HS_NODE *node = &plan->nodes[plan->node_count];

        make_field(plan, depth);
        if (node->op == HsFixed && node->many == HsOne && node->to < 0) {
            run = run == NULL ? node : run;
            run->run += node->size;
        } else {
            run = NULL;
        }
    }
}

/* Arguments: how many bytes make the plan, then these; the rest is cut into the payloads of some rows. */
static void fuzz_decode(const uint8_t *data, size_t bytes)
{
    PLAN plan = { .node_count = 0 };
    HS_COLUMN columns[COLUMNS] = { { NULL, NULL, 0, 0 } };
    HS_COLUMN measured[COLUMNS];
    HS_COLUMN saved[COLUMNS];
    int64_t registers[NODES + 1] = { 0 };
    int64_t offset[ROWS];
    int64_t length[ROWS];
    uint8_t whole[ROWS];
    HS_PAYLOADS rows = { NULL, offset, length, ROWS };
    uint64_t found = 0;
    uint32_t i;

    if (bytes == 0 || bytes - 1 < data[0]) {
        return;
    }
    plan.said = data + 1;
    plan.left = data[0];
    rows.data = data + 1 + data[0];
    bytes -= 1 + (size_t)data[0];
    make_fields(&plan, 0);
    check(plan.node_count <= NODES && plan.column_count <= COLUMNS);
    for (i = 0; i < ROWS; i++) {
        offset[i] = (int64_t)(bytes / ROWS * i);
        length[i] = (int64_t)(i + 1 < ROWS ? bytes / ROWS : bytes - (size_t)offset[i]);
    }
    found = hs_measure(&rows, plan.nodes, plan.node_count, columns, plan.column_count, saved, registers, whole);
    check(found <= ROWS);
    memcpy(measured, columns, sizeof(columns));
    for (i = 0; i < plan.column_count; i++) {
        uint64_t size = plan.sizes[i];

        columns[i].values = grown(NULL, 0, size != 0 ? columns[i].count * size : plan.lists[i] ? 0 : columns[i].bytes, 0);
        columns[i].offsets = grown(NULL, 0, (columns[i].count + 1) * sizeof(int32_t), 0);
        columns[i].count = columns[i].bytes = 0;
    }
    hs_fill(&rows, plan.nodes, plan.node_count, columns, registers, whole);
    for (i = 0; i < plan.column_count; i++) {
        check(columns[i].count == measured[i].count && columns[i].bytes == measured[i].bytes);
        check(plan.sizes[i] != 0 || (uint64_t)columns[i].offsets[columns[i].count] == columns[i].bytes);
        free(columns[i].values);
        free(columns[i].offsets);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0) {
        return 0;
    }
    check(hs_kernel_sources() != NULL);
    switch (data[0] % 5) {
    case 0:
        fuzz_inflate(hs_inflate_lznt1, data + 1, bytes - 1);
        break;
    case 1:
        fuzz_inflate(hs_inflate_xpress, data + 1, bytes - 1);
        break;
    case 2:
        fuzz_inflate(hs_inflate_huffman, data + 1, bytes - 1);
        break;
    case 3:
        fuzz_scan(data + 1, bytes - 1);
        break;
    default:
        fuzz_decode(data + 1, bytes - 1);
        break;
    }
    return 0;
}

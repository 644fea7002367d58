/*
 * Payloads of one layout to columns (etl.md, sections 4 and 6). The layout is a plan: nodes in the order of the payload. It is
 * followed twice for each row: to see whether the row is whole and how much room it needs, then to fill the columns. The twin is
 * payload.py, the plan is made by plan.py, and both must agree with decode.py row by row.
 */
#include "text.h"

#define MOST_DEPTH 40
#define MOST_AUTHORITIES 15

typedef enum HS_OP {
    HsFixed = 0,  /* one value of `size` bytes */
    HsData = 1,   /* a text or bytes, whose size HS_SIZE says */
    HsStruct = 2, /* the nodes up to `next` */
    HsNever = 3,  /* a field whose size nothing says: no row has it */
} HS_OP;

/* How many elements there are. */
typedef enum HS_MANY {
    HsOne = 0,
    HsConstant = 1, /* `count` */
    HsPrefixed = 2, /* a 16-bit count comes first */
    HsCounted = 3,  /* a register holds it */
    HsRest = 4,     /* as many as fit */
} HS_MANY;

/* How many bytes data have. */
typedef enum HS_SIZE {
    HsToNul = 0,
    HsPrefix16 = 1,
    HsPrefix16Big = 2,
    HsPrefix32 = 3,
    HsLength = 4,     /* `size` units */
    HsLengthFrom = 5, /* units; a register holds it */
    HsAllLeft = 6,
    HsSid = 7,
    HsWbemSid = 8, /* `size` is that of two pointers */
} HS_SIZE;

/* A field. NODE_DTYPE in plan.py is the same. */
typedef struct HS_NODE {
    uint8_t op;
    uint8_t many;
    uint8_t how;  /* HS_SIZE */
    uint8_t text; /* HS_TEXT */
    uint8_t width; /* of a unit */
    uint8_t ends_at_nul;
    uint8_t swap; /* the value is big-endian */
    uint8_t is_signed;
    uint32_t size;
    uint32_t count;
    int32_t count_from;  /* register */
    int32_t length_from; /* register */
    int32_t to;          /* register that gets the value, -1: none */
    uint32_t next;       /* node behind this one and its members */
    int32_t list;        /* column of the list, -1: no array */
    int32_t column;      /* column of the values; -1 for a struct */
    uint32_t run;        /* bytes of this and the following nodes that are plain values, of which one check will do */
    uint32_t reserved;
} HS_NODE;

/* A column. COLUMN_DTYPE in plan.py is the same. Of a list only offsets, of plain values only values. */
typedef struct HS_COLUMN {
    uint8_t *values;
    int32_t *offsets;
    uint64_t count; /* values, or lists */
    uint64_t bytes; /* of texts and data */
} HS_COLUMN;

typedef struct HS_PAYLOADS {
    const uint8_t *data;
    const int64_t *offset;
    const int64_t *length;
    uint64_t rows;
} HS_PAYLOADS;

/* Where one is in a payload. With `fill`, the columns are filled; else only counted. */
typedef struct HS_DECODE {
    const HS_NODE *nodes;
    HS_COLUMN *columns;
    int64_t *registers; /* values that say how many others there are */
    const uint8_t *at;
    const uint8_t *end;
    int fill;
} HS_DECODE;

static uint64_t left(const HS_DECODE *decode)
{
    return (uint64_t)(decode->end - decode->at);
}

static int64_t number(const uint8_t *at, const HS_NODE *node)
{
    switch (node->size) {
    case 1:
        return node->is_signed ? (int8_t)*at : *at;
    case 2: {
        uint16_t value = hs_u16(at);

        value = node->swap ? (uint16_t)(value >> 8 | value << 8) : value;
        return node->is_signed ? (int16_t)value : value;
    }
    case 4:
        return node->is_signed ? (int32_t)hs_u32(at) : (int64_t)hs_u32(at);
    default:
        /* Unsigned, it is more than any payload has. */
        return !node->is_signed && hs_u64(at) > INT64_MAX ? INT64_MAX : (int64_t)hs_u64(at);
    }
}

/* Copy values to the end of their column. */
static void copy_values(HS_DECODE *decode, const HS_NODE *node, uint64_t count)
{
    HS_COLUMN *column = &decode->columns[node->column];

    if (decode->fill) {
        uint8_t *to = column->values + column->count * node->size;

        switch (count == 1 ? node->size : 0) {
        case 1:
            *to = *decode->at;
            break;
        case 2:
            memcpy(to, decode->at, 2);
            break;
        case 4:
            memcpy(to, decode->at, 4);
            break;
        case 8:
            memcpy(to, decode->at, 8);
            break;
        default:
            memcpy(to, decode->at, count * node->size);
            break;
        }
        if (node->swap) {
            uint64_t i;

            for (i = 0; i < count; i++, to += 2) {
                uint8_t high = to[0];

                to[0] = to[1];
                to[1] = high;
            }
        }
    }
    column->count += count;
    decode->at += count * node->size;
}

static int take_values(HS_DECODE *decode, const HS_NODE *node, uint64_t count)
{
    if (count > left(decode) / node->size) {
        return 0;
    }
    if (node->to >= 0) {
        decode->registers[node->to] = number(decode->at, node);
    }
    copy_values(decode, node, count);
    return 1;
}

static void put_data(HS_DECODE *decode, const HS_NODE *node, const uint8_t *data, uint64_t bytes)
{
    HS_COLUMN *column = &decode->columns[node->column];
    uint64_t made = hs_text((HS_TEXT)node->text, data, bytes, decode->fill ? column->values + column->bytes : NULL);

    column->bytes += made;
    column->count++;
    if (decode->fill) {
        column->offsets[column->count] = (int32_t)column->bytes;
    }
}

/* Take a count of bytes, as large as it is. */
static int take_prefix(HS_DECODE *decode, unsigned bytes, int big, uint64_t *count)
{
    if (left(decode) < bytes) {
        return 0;
    }
    if (bytes == 4) {
        *count = hs_u32(decode->at);
    } else {
        *count = big ? (uint64_t)decode->at[0] << 8 | decode->at[1] : hs_u16(decode->at);
    }
    decode->at += bytes;
    return 1;
}

static int take_sid(HS_DECODE *decode, const HS_NODE *node)
{
    const uint8_t *sid = decode->at;
    uint64_t bytes;

    if (left(decode) < 8) {
        return 0;
    }
    bytes = 8 + 4 * (uint64_t)sid[1];
    if (left(decode) < bytes) {
        return 0;
    }
    decode->at += bytes;
    put_data(decode, node, sid, bytes);
    return 1;
}

/* A SID behind two pointers; a 32-bit 0 alone stands for none, and some writers clear the pointers before one that is there. */
static int take_wbem_sid(HS_DECODE *decode, const HS_NODE *node)
{
    const uint8_t *sid = left(decode) < node->size + 8 ? NULL : decode->at + node->size;

    if (left(decode) < 4) {
        return 0;
    }
    if (hs_u32(decode->at) == 0 &&
        (sid == NULL || sid[0] != 1 || sid[1] == 0 || sid[1] > MOST_AUTHORITIES || hs_u32(sid + 2) != 0)) {
        decode->at += 4;
        put_data(decode, node, decode->at, 0);
        return 1;
    }
    if (sid == NULL) {
        return 0;
    }
    decode->at = sid;
    return take_sid(decode, node);
}

static int take_data(HS_DECODE *decode, const HS_NODE *node)
{
    const uint8_t *data;
    uint64_t bytes = 0;
    uint64_t kept;

    switch (node->how) {
    case HsToNul:
        bytes = hs_until_nul(decode->at, left(decode), node->width);
        if (bytes + node->width > left(decode)) {
            return 0;
        }
        put_data(decode, node, decode->at, bytes);
        decode->at += bytes + node->width;
        return 1;
    case HsPrefix16:
    case HsPrefix16Big:
        if (!take_prefix(decode, 2, node->how == HsPrefix16Big, &bytes)) {
            return 0;
        }
        break;
    case HsPrefix32:
        if (!take_prefix(decode, 4, 0, &bytes)) {
            return 0;
        }
        break;
    case HsLength:
        bytes = (uint64_t)node->size * node->width;
        break;
    case HsLengthFrom: {
        int64_t units = decode->registers[node->length_from];

        if (units < 0 || (uint64_t)units > left(decode)) {
            return 0;
        }
        bytes = (uint64_t)units * node->width;
        break;
    }
    case HsAllLeft:
        bytes = left(decode);
        break;
    case HsSid:
        return take_sid(decode, node);
    default:
        return take_wbem_sid(decode, node);
    }
    if (bytes > left(decode)) {
        return 0;
    }
    data = decode->at;
    decode->at += bytes;
    kept = node->ends_at_nul ? hs_until_nul(data, bytes, node->width) : bytes;
    put_data(decode, node, data, kept);
    return 1;
}

static int take_nodes(HS_DECODE *decode, uint32_t from, uint32_t behind, unsigned depth);

static int take_one(HS_DECODE *decode, uint32_t at, unsigned depth)
{
    const HS_NODE *node = &decode->nodes[at];

    switch (node->op) {
    case HsFixed:
        return take_values(decode, node, 1);
    case HsData:
        return take_data(decode, node);
    case HsStruct:
        return depth < MOST_DEPTH && take_nodes(decode, at + 1, node->next, depth + 1);
    default:
        return 0;
    }
}

static int take_array(HS_DECODE *decode, uint32_t at, unsigned depth)
{
    const HS_NODE *node = &decode->nodes[at];
    HS_COLUMN *list = &decode->columns[node->list];
    uint64_t count = 0;
    uint64_t done = 0;

    switch (node->many) {
    case HsConstant:
        count = node->count;
        break;
    case HsPrefixed:
        if (!take_prefix(decode, 2, 0, &count)) {
            return 0;
        }
        break;
    case HsCounted:
        if (decode->registers[node->count_from] < 0) {
            return 0;
        }
        count = (uint64_t)decode->registers[node->count_from];
        break;
    default:
        count = node->op == HsFixed ? left(decode) / node->size : left(decode);
        break;
    }
    if (node->op == HsFixed) {
        if (count > left(decode) / node->size) {
            return 0;
        }
        copy_values(decode, node, count);
        done = count;
    }
    while (done < count && (node->many != HsRest || left(decode) != 0)) {
        const uint8_t *before = decode->at;

        if (!take_one(decode, at, depth)) {
            return 0;
        }
        done++;
        if (decode->at == before) {
            break; /* nothing is read, so it would go on like that */
        }
    }
    list->count++;
    list->bytes += done;
    if (decode->fill) {
        list->offsets[list->count] = (int32_t)list->bytes;
    }
    return 1;
}

static int take_nodes(HS_DECODE *decode, uint32_t from, uint32_t behind, unsigned depth)
{
    uint32_t at = from;

    while (at < behind) {
        const HS_NODE *node = &decode->nodes[at];

        if (node->run != 0) {
            /* Neighbours of fixed size: one check for all. */
            uint32_t rest = node->run;

            if (rest > left(decode)) {
                return 0;
            }
            for (; rest != 0; at++, node++) {
                rest -= node->size;
                copy_values(decode, node, 1);
            }
            continue;
        }
        if (!(node->many == HsOne ? take_one(decode, at, depth) : take_array(decode, at, depth))) {
            return 0;
        }
        at = node->next;
    }
    return 1;
}

/*
 * Which rows are whole (`whole`: one byte each), and how much room their columns need. `columns` has zeroes at first; `saved` has
 * room for as many. Returns how many are whole.
 */
HS_EXPORT uint64_t hs_measure(const HS_PAYLOADS *rows, const HS_NODE *nodes, uint32_t node_count, HS_COLUMN *columns,
                              uint32_t column_count, HS_COLUMN *saved, int64_t *registers, uint8_t *whole)
{
    HS_DECODE decode = { nodes, columns, registers, NULL, NULL, 0 };
    uint64_t found = 0;
    uint64_t row;

    for (row = 0; row < rows->rows; row++) {
        memcpy(saved, columns, column_count * sizeof(*columns));
        if (row + HS_AHEAD < rows->rows) {
            hs_prefetch(rows->data + rows->offset[row + HS_AHEAD]);
        }
        decode.at = rows->data + rows->offset[row];
        decode.end = decode.at + rows->length[row];
        whole[row] = (uint8_t)take_nodes(&decode, 0, node_count, 0);
        if (whole[row]) {
            found++;
        } else {
            memcpy(columns, saved, column_count * sizeof(*columns));
        }
    }
    return found;
}

/* Fill the columns with the rows that are whole; counts are zeroes at first, and there is room for all. */
HS_EXPORT void hs_fill(const HS_PAYLOADS *rows, const HS_NODE *nodes, uint32_t node_count, HS_COLUMN *columns, int64_t *registers,
                       const uint8_t *whole)
{
    HS_DECODE decode = { nodes, columns, registers, NULL, NULL, 1 };
    uint64_t row;

    for (row = 0; row < rows->rows; row++) {
        if (row + HS_AHEAD < rows->rows) {
            hs_prefetch(rows->data + rows->offset[row + HS_AHEAD]);
        }
        if (whole[row]) {
            decode.at = rows->data + rows->offset[row];
            decode.end = decode.at + rows->length[row];
            take_nodes(&decode, 0, node_count, 0);
        }
    }
}

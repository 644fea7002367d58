/* Kinds of events: what tells one kind from another is its key, and equal keys get one number. */
#pragma once

#include "kernel.h"

/*
 * The key of a kind: these words, then the schema item and the traits item. EventKey in kind_keys.py has the same layout.
 * Byte 0 of `shape` is the header type, its upper three 16-bit words are the lengths of schema, traits, and the GUID of a message.
 */
typedef struct HS_KEY {
    uint64_t shape;
    uint64_t provider[2];
    uint64_t descriptor;
} HS_KEY;

typedef struct HS_KIND {
    uint64_t hash;
    uint64_t key_at; /* in HS_KINDS.keys */
    uint64_t count;
    uint64_t empty;   /* events without a payload */
    int64_t first;    /* offset of the first event of this kind */
    uint64_t teaches; /* its events describe others */
} HS_KIND;

#define HS_KIND_CACHE 512

/* All memory is the caller's, who makes it larger when it says so. Numbers go by first appearance. */
typedef struct HS_KINDS {
    int32_t *slots; /* -1: free; as many as a power of two */
    uint64_t slot_count;
    HS_KIND *kinds;
    uint64_t room;
    uint64_t count;
    uint8_t *keys;
    uint64_t keys_room;
    uint64_t keys_used;
    uint64_t seed;
    int32_t cache[HS_KIND_CACHE];
} HS_KINDS;

/* The number of a kind; -1: there is no room for a new one. */
int32_t hs_kind_of(HS_KINDS *kinds, const HS_KEY *key, const uint8_t *schema, const uint8_t *traits, int64_t offset);

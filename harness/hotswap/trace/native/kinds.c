/* Numbering kinds of events. The twin is grouping.py. */
#include "kinds.h"

#define FACTOR 0x9E3779B97F4A7C15u

static unsigned schema_size(const HS_KEY *key)
{
    return (uint16_t)(key->shape >> 16);
}

static unsigned traits_size(const HS_KEY *key)
{
    return (uint16_t)(key->shape >> 32);
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * FACTOR;
    return hash ^ hash >> 32;
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *at, unsigned left)
{
    uint64_t other = hash ^ FACTOR;

    /* Two chains at once: each step of one waits for the multiplication before it. */
    for (; left >= 16; left -= 16, at += 16) {
        hash = mix(hash, hs_u64(at));
        other = mix(other, hs_u64(at + 8));
    }
    if (left >= 8) {
        hash = mix(hash, hs_u64(at));
        left -= 8;
        at += 8;
    }
    if (left != 0) {
        uint64_t word = 0;

        memcpy(&word, at, left);
        other = mix(other, word);
    }
    return mix(hash, other);
}

static uint64_t hash_key(const HS_KINDS *kinds, const HS_KEY *key, const uint8_t *schema, const uint8_t *traits)
{
    uint64_t hash = mix(mix(kinds->seed, key->shape), key->provider[0]);

    hash = mix(mix(hash, key->provider[1]), key->descriptor);
    return hash_bytes(hash_bytes(hash, schema, schema_size(key)), traits, traits_size(key));
}

static int same(const HS_KINDS *kinds, int32_t kind, const HS_KEY *key, const uint8_t *schema, const uint8_t *traits)
{
    const uint8_t *known = kinds->keys + kinds->kinds[kind].key_at;
    unsigned size = schema_size(key);

    return memcmp(known, key, sizeof(*key)) == 0 && memcmp(known + sizeof(*key), schema, size) == 0 &&
           memcmp(known + sizeof(*key) + size, traits, traits_size(key)) == 0;
}

/* The class of TRACE_EVENT_INFO and value map records, and the manifests that an EventSource writes (teaches of kind_keys.py). */
static int teaches(const HS_KEY *key)
{
    static const uint8_t metadata[16] = { 0xC1, 0xF6, 0xCC, 0xBB, 0xD1, 0x6C, 0xC4, 0x48, 0x80, 0xFF, 0x83, 0x94, 0x82, 0xE3, 0x76, 0x71 };
    unsigned type = (uint8_t)key->shape;

    if (type == 0x0A || type == 0x14) {
        return memcmp(key->provider, metadata, sizeof(metadata)) == 0;
    }
    if (type == 0x12 || type == 0x13) {
        return (uint16_t)key->descriptor == 0xFFFE && (uint8_t)(key->descriptor >> 40) == 0xFE;
    }
    return 0;
}

static int32_t add(HS_KINDS *kinds, uint64_t hash, const HS_KEY *key, const uint8_t *schema, const uint8_t *traits, int64_t offset)
{
    unsigned size = schema_size(key);
    uint64_t bytes = sizeof(*key) + size + traits_size(key);
    HS_KIND *kind = kinds->kinds + kinds->count;
    uint8_t *known = kinds->keys + kinds->keys_used;

    if (kinds->count >= kinds->room || kinds->count >= kinds->slot_count / 2 || bytes > kinds->keys_room - kinds->keys_used) {
        return -1;
    }
    memcpy(known, key, sizeof(*key));
    memcpy(known + sizeof(*key), schema, size);
    memcpy(known + sizeof(*key) + size, traits, traits_size(key));
    kind->hash = hash;
    kind->key_at = kinds->keys_used;
    kind->count = kind->empty = 0;
    kind->first = offset;
    kind->teaches = (uint64_t)teaches(key);
    kinds->keys_used += (bytes + 7) & ~(uint64_t)7;
    if (kinds->keys_used > kinds->keys_room) {
        kinds->keys_used = kinds->keys_room;
    }
    return (int32_t)kinds->count++;
}

int32_t hs_kind_of(HS_KINDS *kinds, const HS_KEY *key, const uint8_t *schema, const uint8_t *traits, int64_t offset)
{
    unsigned size = schema_size(key);
    uint64_t guess = key->shape ^ key->provider[0] ^ key->descriptor;
    int32_t *cached;
    int32_t kind;
    uint64_t hash;
    uint64_t slot;

    /* Events of one TraceLogging provider differ in the schema only: its name is in front, its last field at the end. */
    if (size >= 16) {
        guess = (guess ^ hs_u64(schema + 3)) * FACTOR ^ hs_u64(schema + size - 8);
    }
    cached = &kinds->cache[guess * FACTOR >> 55];
    if (*cached >= 0 && same(kinds, *cached, key, schema, traits)) {
        return *cached;
    }
    hash = hash_key(kinds, key, schema, traits);
    for (slot = hash & (kinds->slot_count - 1); (kind = kinds->slots[slot]) >= 0; slot = (slot + 1) & (kinds->slot_count - 1)) {
        if (kinds->kinds[kind].hash == hash && same(kinds, kind, key, schema, traits)) {
            *cached = kind;
            return kind;
        }
    }
    kind = add(kinds, hash, key, schema, traits, offset);
    if (kind >= 0) {
        kinds->slots[slot] = kind;
        *cached = kind;
    }
    return kind;
}

/* After the caller has made the tables larger: put all kinds into the slots anew, which are all free. */
HS_EXPORT void hs_rehash_kinds(HS_KINDS *kinds)
{
    uint64_t kind;

    for (kind = 0; kind < kinds->count; kind++) {
        uint64_t slot = kinds->kinds[kind].hash & (kinds->slot_count - 1);

        while (kinds->slots[slot] >= 0) {
            slot = (slot + 1) & (kinds->slot_count - 1);
        }
        kinds->slots[slot] = (int32_t)kind;
    }
}

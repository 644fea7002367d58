/*
 * What endpoint drivers have taken and not given back: a hash table of fixed size, so that keeping count takes nothing
 * itself and works at DISPATCH_LEVEL. An image whose take finds no room is marked, because its figures are then too low.
 */
#include "verifier.h"

#define TABLE_ENTRIES 4096
#define TABLE_BUCKETS 1024

static KSPIN_LOCK TableLock; /* zero is its initial state */
static VERIFIER_ENTRY TableEntries[TABLE_ENTRIES];
static VERIFIER_ENTRY *TableBuckets[TABLE_BUCKETS];
static VERIFIER_ENTRY *TableFree; /* given back; those from TableFresh on have never been used */
static ULONG TableFresh;

/* Pool is aligned to 16 bytes, handles to 4. */
static VERIFIER_ENTRY **TableBucket(PVOID Key)
{
    ULONG_PTR key = (ULONG_PTR)Key;

    return &TableBuckets[((key >> 4) ^ (key >> 2) ^ (key >> 14)) % TABLE_BUCKETS];
}

static VERIFIER_ENTRY *TableNew(void)
{
    VERIFIER_ENTRY *entry = TableFree;

    if (entry != NULL) {
        TableFree = entry->Next;
        return entry;
    }
    return TableFresh < TABLE_ENTRIES ? &TableEntries[TableFresh++] : NULL;
}

static VOID TableLink(VERIFIER_ENTRY *Entry)
{
    VERIFIER_ENTRY **bucket = TableBucket(Entry->Key);

    Entry->Next = *bucket;
    *bucket = Entry;
}

/* The link to an entry of these kinds; the image's own if there is one. The link holds NULL when there is none. */
static VERIFIER_ENTRY **TableFind(const VERIFIER_IMAGE *Image, ULONG Kinds, PVOID Key)
{
    static VERIFIER_ENTRY *none;
    VERIFIER_ENTRY **found = &none;
    VERIFIER_ENTRY **link;

    for (link = TableBucket(Key); *link != NULL; link = &(*link)->Next) {
        if ((*link)->Key != Key || ((*link)->Kind & Kinds) == 0) {
            continue;
        }
        if ((*link)->Image == Image) {
            return link;
        }
        found = link;
    }
    return found;
}

/*
 * An object can be referenced many times, and by several images. A block or handle that is taken while it is on record was
 * given back by a way that was not seen (ownership passed to another driver, say): the new taker has it.
 */
static VERIFIER_ENTRY *TableReuse(VERIFIER_IMAGE *Image, ULONG Kind, PVOID Key)
{
    VERIFIER_ENTRY *entry = *TableFind(Image, (Kind & VERIFIER_HANDLES) != 0 ? VERIFIER_HANDLES : Kind, Key);

    if (entry == NULL || (Kind == VERIFIER_REFERENCE && entry->Image != Image)) {
        return NULL;
    }
    return entry;
}

_Use_decl_annotations_ BOOLEAN VerifierTake(VERIFIER_IMAGE *Image, ULONG Kind, PVOID Key, SIZE_T Bytes)
{
    VERIFIER_ENTRY *entry;
    KIRQL irql;

    if (Key == NULL) {
        return TRUE;
    }
    KeAcquireSpinLock(&TableLock, &irql);
    entry = TableReuse(Image, Kind, Key);
    if (entry == NULL) {
        entry = TableNew();
        if (entry != NULL) {
            entry->Key = Key;
            entry->Count = 0;
            TableLink(entry);
        }
    }
    if (entry != NULL) {
        entry->Image = Image;
        entry->Kind = Kind;
        entry->Bytes = Bytes;
        entry->Count = Kind == VERIFIER_REFERENCE ? entry->Count + 1 : 1;
    }
    KeReleaseSpinLock(&TableLock, irql);
    if (entry == NULL) {
        VerifierIncomplete(Image, STATUS_QUOTA_EXCEEDED);
        return FALSE;
    }
    return TRUE;
}

_Use_decl_annotations_ VOID VerifierGive(const VERIFIER_IMAGE *Image, ULONG Kinds, PVOID Key)
{
    VERIFIER_ENTRY **link;
    VERIFIER_ENTRY *entry;
    KIRQL irql;

    KeAcquireSpinLock(&TableLock, &irql);
    link = TableFind(Image, Kinds, Key);
    entry = *link;
    if (entry != NULL && --entry->Count == 0) {
        *link = entry->Next;
        entry->Next = TableFree;
        TableFree = entry;
    }
    KeReleaseSpinLock(&TableLock, irql);
}

_Use_decl_annotations_ VERIFIER_ENTRY *VerifierTakeOut(const VERIFIER_IMAGE *Image, ULONG Kinds)
{
    VERIFIER_ENTRY *out = NULL;
    KIRQL irql;
    ULONG i;

    KeAcquireSpinLock(&TableLock, &irql);
    for (i = 0; i < TABLE_BUCKETS; i++) {
        VERIFIER_ENTRY **link = &TableBuckets[i];

        while (*link != NULL) {
            VERIFIER_ENTRY *entry = *link;

            if (entry->Image == Image && (entry->Kind & Kinds) != 0) {
                *link = entry->Next;
                entry->Next = out;
                out = entry;
            } else {
                link = &entry->Next;
            }
        }
    }
    KeReleaseSpinLock(&TableLock, irql);
    return out;
}

_Use_decl_annotations_ VOID VerifierPutBack(VERIFIER_ENTRY *Entry)
{
    KIRQL irql;

    KeAcquireSpinLock(&TableLock, &irql);
    TableLink(Entry);
    KeReleaseSpinLock(&TableLock, irql);
}

_Use_decl_annotations_ VOID VerifierPutAway(VERIFIER_ENTRY *Entry)
{
    KIRQL irql;

    KeAcquireSpinLock(&TableLock, &irql);
    Entry->Next = TableFree;
    TableFree = Entry;
    KeReleaseSpinLock(&TableLock, irql);
}

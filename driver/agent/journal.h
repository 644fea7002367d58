/* Answers already given, so that a request that comes again is answered and not run again. */
#pragma once

#include "portable.h"
#include "protocol.h"

#define JOURNAL_ENTRIES 1024
#define JOURNAL_BYTES (16 * 1024 * 1024) /* of answers kept; the oldest go first */
#define JOURNAL_CLIENTS 16

typedef struct _JOURNAL_ENTRY {
    UINT64 Nonce;
    UINT64 Id;
    UINT32 State; /* HSAGENT_JOURNAL_STATE; Unknown = free */
    UINT32 Size;
    UINT8 *Frame;
} JOURNAL_ENTRY;

/* Of a client whose older entries had to go: everything up to this id has run. */
typedef struct _JOURNAL_CLIENT {
    UINT64 Nonce;
    UINT64 ForgottenId;
} JOURNAL_CLIENT;

typedef struct _JOURNAL {
    CRITICAL_SECTION Lock;
    UINT32 Next; /* slot for the next entry: entries are in order of arrival */
    UINT32 NextClient;
    SIZE_T Bytes;
    JOURNAL_CLIENT Clients[JOURNAL_CLIENTS];
    JOURNAL_ENTRY Entries[JOURNAL_ENTRIES];
} JOURNAL;

void JournalOpen(_Out_ JOURNAL *Journal);

HSAGENT_JOURNAL_STATE JournalQuery(_Inout_ JOURNAL *Journal, UINT64 Nonce, UINT64 Id);

/*
 * Note that a request came. Unknown: it is new and now noted as running. Done: Frame is a copy of the answer, to be
 * freed with MemoryFree. Busy is set when it is new and there is no room for it.
 */
HSAGENT_JOURNAL_STATE JournalBegin(_Inout_ JOURNAL *Journal, UINT64 Nonce, UINT64 Id, _Out_ UINT8 **Frame,
                                   _Out_ UINT32 *Size, _Out_ BOOL *Busy);

/* Keep the answer; the journal owns Frame from here on. */
void JournalEnd(_Inout_ JOURNAL *Journal, UINT64 Nonce, UINT64 Id, _In_ UINT8 *Frame, UINT32 Size);

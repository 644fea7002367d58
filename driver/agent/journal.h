/* Answers already given, so that a request that comes again is answered and not run again. */
#pragma once

#include "portable.h"
#include "protocol.h"
#include "stream.h"

#define JOURNAL_ENTRIES 1024
#define JOURNAL_BYTES (16 * 1024 * 1024) /* of answers kept; the oldest go first */
#define JOURNAL_CLIENTS 16

typedef struct _JOURNAL_ENTRY {
    UINT64 Nonce;
    UINT64 Id;
    UINT32 State; /* HSAGENT_JOURNAL_STATE; Unknown = free */
    UINT32 Size;
    UINT8 *Frame;
    STREAM *Asker; /* while it runs: the stream on which it was asked for last, with a reference */
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
 * Note that a request came on Asker. Unknown: it is new and now noted as running. Running: its answer goes to Asker now.
 * Done: Frame is a copy of the answer, to be freed with MemoryFree. Busy is set when it is new and there is no room.
 */
HSAGENT_JOURNAL_STATE JournalBegin(_Inout_ JOURNAL *Journal, UINT64 Nonce, UINT64 Id, _Inout_ STREAM *Asker,
                                   _Out_ UINT8 **Frame, _Out_ UINT32 *Size, _Out_ BOOL *Busy);

/*
 * Keep the answer, which was written to Told; the journal owns Frame from here on. Where it was asked for on another
 * stream meanwhile nothing is kept yet: that stream is returned, with a reference, and the answer must go there, too.
 */
_Must_inspect_result_ STREAM *JournalEnd(_Inout_ JOURNAL *Journal, UINT64 Nonce, UINT64 Id, _In_ const STREAM *Told,
                                         _In_ UINT8 *Frame, UINT32 Size);

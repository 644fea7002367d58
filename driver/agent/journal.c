#include "journal.h"

#include "memory.h"

void JournalOpen(JOURNAL *Journal)
{
    InitializeCriticalSection(&Journal->Lock);
}

static JOURNAL_ENTRY *JournalFind(JOURNAL *Journal, UINT64 Nonce, UINT64 Id)
{
    for (UINT32 i = 0; i < JOURNAL_ENTRIES; i++) {
        JOURNAL_ENTRY *Entry = &Journal->Entries[(Journal->Next + JOURNAL_ENTRIES - 1 - i) % JOURNAL_ENTRIES];
        if (Entry->State != HsAgentJournalUnknown && Entry->Id == Id && Entry->Nonce == Nonce) {
            return Entry;
        }
    }
    return NULL;
}

static JOURNAL_CLIENT *JournalFindClient(JOURNAL *Journal, UINT64 Nonce)
{
    for (UINT32 i = 0; i < JOURNAL_CLIENTS; i++) {
        if (Journal->Clients[i].ForgottenId != 0 && Journal->Clients[i].Nonce == Nonce) {
            return &Journal->Clients[i];
        }
    }
    return NULL;
}

static void JournalDropFrame(JOURNAL *Journal, JOURNAL_ENTRY *Entry)
{
    Journal->Bytes -= Entry->Size;
    MemoryFree(Entry->Frame);
    Entry->Frame = NULL;
    Entry->Size = 0;
    Entry->State = HsAgentJournalGone;
}

static void JournalForget(JOURNAL *Journal, JOURNAL_ENTRY *Entry)
{
    JOURNAL_CLIENT *Client = JournalFindClient(Journal, Entry->Nonce);
    if (Client == NULL) {
        Client = &Journal->Clients[Journal->NextClient];
        Journal->NextClient = (Journal->NextClient + 1) % JOURNAL_CLIENTS;
        Client->Nonce = Entry->Nonce;
        Client->ForgottenId = 0;
    }
    if (Client->ForgottenId < Entry->Id) {
        Client->ForgottenId = Entry->Id;
    }
    JournalDropFrame(Journal, Entry);
    Entry->State = HsAgentJournalUnknown;
}

static HSAGENT_JOURNAL_STATE JournalState(JOURNAL *Journal, UINT64 Nonce, UINT64 Id, JOURNAL_ENTRY **Entry)
{
    JOURNAL_CLIENT *Client;
    *Entry = JournalFind(Journal, Nonce, Id);
    if (*Entry != NULL) {
        return (HSAGENT_JOURNAL_STATE)(*Entry)->State;
    }
    Client = JournalFindClient(Journal, Nonce);
    return Client != NULL && Id <= Client->ForgottenId ? HsAgentJournalGone : HsAgentJournalUnknown;
}

HSAGENT_JOURNAL_STATE JournalQuery(JOURNAL *Journal, UINT64 Nonce, UINT64 Id)
{
    JOURNAL_ENTRY *Entry;
    HSAGENT_JOURNAL_STATE State;
    EnterCriticalSection(&Journal->Lock);
    State = JournalState(Journal, Nonce, Id, &Entry);
    LeaveCriticalSection(&Journal->Lock);
    return State;
}

static void JournalSetAsker(JOURNAL_ENTRY *Entry, STREAM *Asker)
{
    StreamRelease(Entry->Asker);
    Entry->Asker = Asker;
    if (Asker != NULL) {
        StreamKeep(Asker);
    }
}

HSAGENT_JOURNAL_STATE JournalBegin(JOURNAL *Journal, UINT64 Nonce, UINT64 Id, STREAM *Asker, UINT8 **Frame,
                                   UINT32 *Size, BOOL *Busy)
{
    JOURNAL_ENTRY *Entry;
    HSAGENT_JOURNAL_STATE State;
    *Frame = NULL;
    *Size = 0;
    *Busy = FALSE;
    EnterCriticalSection(&Journal->Lock);
    State = JournalState(Journal, Nonce, Id, &Entry);
    if (State == HsAgentJournalDone) {
        *Frame = MemoryAllocate(Entry->Size);
        if (*Frame != NULL) {
            memcpy(*Frame, Entry->Frame, Entry->Size);
            *Size = Entry->Size;
        } else {
            State = HsAgentJournalGone;
        }
    } else if (State == HsAgentJournalRunning) {
        JournalSetAsker(Entry, Asker);
    } else if (State == HsAgentJournalUnknown) {
        UINT32 Tries = 0;
        while (Journal->Entries[Journal->Next].State == HsAgentJournalRunning && Tries < JOURNAL_ENTRIES) {
            Journal->Next = (Journal->Next + 1) % JOURNAL_ENTRIES;
            Tries++;
        }
        Entry = &Journal->Entries[Journal->Next];
        if (Entry->State == HsAgentJournalRunning) {
            *Busy = TRUE;
        } else {
            if (Entry->State != HsAgentJournalUnknown) {
                JournalForget(Journal, Entry);
            }
            Entry->Nonce = Nonce;
            Entry->Id = Id;
            Entry->State = HsAgentJournalRunning;
            JournalSetAsker(Entry, Asker);
            Journal->Next = (Journal->Next + 1) % JOURNAL_ENTRIES;
        }
    }
    LeaveCriticalSection(&Journal->Lock);
    return State;
}

STREAM *JournalEnd(JOURNAL *Journal, UINT64 Nonce, UINT64 Id, const STREAM *Told, UINT8 *Frame, UINT32 Size)
{
    JOURNAL_ENTRY *Entry;
    STREAM *Other = NULL;
    EnterCriticalSection(&Journal->Lock);
    Entry = JournalFind(Journal, Nonce, Id);
    if (Entry != NULL && Entry->State == HsAgentJournalRunning && Entry->Asker != Told) {
        Other = Entry->Asker;
        StreamKeep(Other);
        Frame = NULL;
    } else if (Entry != NULL && Entry->State == HsAgentJournalRunning) {
        JournalSetAsker(Entry, NULL);
        Entry->Frame = Frame;
        Entry->Size = Size;
        Entry->State = HsAgentJournalDone;
        Frame = NULL;
        Journal->Bytes += Size;
        for (UINT32 i = 0; i < JOURNAL_ENTRIES && Journal->Bytes > JOURNAL_BYTES; i++) {
            JOURNAL_ENTRY *Oldest = &Journal->Entries[(Journal->Next + i) % JOURNAL_ENTRIES];
            if (Oldest->State == HsAgentJournalDone && Oldest != Entry) {
                JournalDropFrame(Journal, Oldest);
            }
        }
    }
    LeaveCriticalSection(&Journal->Lock);
    MemoryFree(Frame);
    return Other;
}

/*
 * The agent's protocol: the only place where opcodes, the frame layout, error domains and versions are stated.
 * The build writes the values of this file to agent.json; the client reads that.
 *
 * A frame is one HSAGENT_FRAME_HEADER and Length bytes of payload, over any byte stream. Everything is little-endian.
 * A receiver looks for Magic and believes a header only when HeaderCrc fits; what lies between frames is skipped.
 * A payload whose CRC does not fit, or a header with too large a Length, gets an error reply, and the search goes on
 * right after that header, so that a frame behind a cut one is found. CRC-32 is that of zlib and Ethernet.
 *
 * Payloads are sequences without padding: u8, u32, u64; text = u32 length and UTF-8; bytes = u32 length and data.
 * Ticks are those of QueryPerformanceCounter; times are FILETIME (100 ns since 1601, UTC).
 *
 * Requests carry the client's random Nonce and an Id that grows. The agent keeps a journal of answers: a repeated
 * (Nonce, Id) gets the same answer again (HSAGENT_FLAG_REPLAYED) and does not run twice; while the first is still
 * running its answer goes to the stream of the repetition instead; when the answer is not kept any more the error is
 * HsAgentProtocolAnswerGone. Replies may come in another order than requests.
 *
 * An agent on a port serves whoever speaks there, and keeps journal, handles and trace when its client is gone: a client
 * that comes again with its nonce finds them, and one that goes for good says so (HsAgentOpRelease). On a port the rest of
 * a frame that does not come within a second, or before the other end hangs up, never comes: HsAgentProtocolBadPayload.
 */
#pragma once

#define HSAGENT_PROTOCOL_VERSION 2
#define HSAGENT_VERSION_MAJOR 0
#define HSAGENT_VERSION_MINOR 1
#define HSAGENT_VERSION_PATCH 0

#define HSAGENT_FRAME_MAGIC 0x31415348      /* "HSA1" */
#define HSAGENT_FRAME_HEADER_SIZE 40
#define HSAGENT_FRAME_CRC_START 8           /* HeaderCrc covers the header from here on */
#define HSAGENT_FRAME_LIMIT 4194304         /* bytes of payload at most */
#define HSAGENT_FILE_CHUNK 1048576          /* bytes of a file per request, as the client should cut it */

#define HSAGENT_FLAG_ASYNC 0x0001           /* request: run in a thread of its own */
#define HSAGENT_FLAG_REPLY 0x8000
#define HSAGENT_FLAG_ERROR 0x4000           /* reply: the payload is an error, see HSAGENT_ERROR_DOMAIN */
#define HSAGENT_FLAG_REPLAYED 0x2000        /* reply: out of the journal */

#define HSAGENT_BATCH_STOP_ON_ERROR 0x1

#define HSAGENT_SCRIPT_DONE 0x1      /* it ended, and the rest is known */
#define HSAGENT_SCRIPT_OVERRUN 0x2   /* the output buffer was written to behind the bytes that were said to be there */
#define HSAGENT_SCRIPT_TIMED_OUT 0x4 /* it did not end within the time limit, and was cancelled */
#define HSAGENT_SCRIPT_HUNG 0x8      /* nor did it end then: the script stopped here */
#define HSAGENT_SCRIPT_SLOTS 64
#define HSAGENT_SCRIPT_HANDLES 16

/* Plain C types, so that the file can be read with no other header: short 16, int 32, long long 64 bits. */
typedef struct _HSAGENT_FRAME_HEADER {
    unsigned int Magic;
    unsigned int HeaderCrc;
    unsigned int Length;
    unsigned int PayloadCrc;
    unsigned long long Nonce;
    unsigned long long Id;
    unsigned short Op;
    unsigned short Flags;
    unsigned int Reserved;
} HSAGENT_FRAME_HEADER;

/* clang-format off */
typedef enum _HSAGENT_OP {
    /* name                     request                                  reply */
    HsAgentOpHello = 1,         /* -                                     u32 protocol, major, minor, patch; bytes boot id (16), session id (16); u32 os major, minor, build; text wine version (empty: Windows); u32 pid, processors; u64 tick frequency, ticks; text computer name */
    HsAgentOpPing = 2,          /* -                                     u64 ticks */
    HsAgentOpClock = 3,         /* -                                     u64 ticks before, system time, ticks after, tick frequency */
    HsAgentOpJournal = 4,       /* u64 nonce, id                         u32 HSAGENT_JOURNAL_STATE */
    HsAgentOpQuit = 5,          /* -                                     - */
    HsAgentOpRelease = 6,       /* -                                     - (the client's trace is finished, its handles are closed) */
    HsAgentOpIdentify = 7,      /* text computer name                    - (of a guest that goes on as another one, a fork: boot and session id are new, too) */

    /* A file comes in chunks, under a temporary name; commit checks size and hash and renames it. */
    HsAgentOpFileWrite = 16,    /* text path, u64 transfer, offset, bytes data    u64 size so far; offset 0 starts anew and makes missing folders */
    HsAgentOpFileCommit = 17,   /* text path, u64 transfer, size, bytes sha-256   - */
    HsAgentOpFileDiscard = 18,  /* text path, u64 transfer                        - */
    HsAgentOpFileRead = 19,     /* text path, u64 offset, u32 limit      u64 size of the file, bytes data */
    HsAgentOpFileHash = 20,     /* text path, u64 limit                  u64 bytes hashed, bytes sha-256 */
    HsAgentOpFileStat = 21,     /* text path                             u32 attributes, u64 size, last write time */
    HsAgentOpFileRemove = 22,   /* text path (file or empty folder)      - */
    HsAgentOpFileCopy = 23,     /* text source, path, u64 transfer       - (in place of all FileWrite; commit follows) */

    HsAgentOpServiceCreate = 32, /* text name, path                      - (a kernel driver, demand start) */
    HsAgentOpServiceStart = 33, /* text name                             - */
    HsAgentOpServiceStop = 34,  /* text name                             u32 state */
    HsAgentOpServiceDelete = 35, /* text name                            - */
    HsAgentOpServiceQuery = 36, /* text name                             u32 type, state, accepted, win32 exit, specific exit, pid, start type; text binary path */

    HsAgentOpOpen = 48,         /* text link, u32 access, share          u64 handle */
    HsAgentOpClose = 49,        /* u64 handle                            - (what is in flight is cancelled) */
    /* Issued in the order of arrival; the reply comes when it completes. Past the time limit it is cancelled. */
    HsAgentOpIoctl = 50,        /* u64 handle, u32 code, out size, time limit ms (0: none), bytes in    u64 begin, end ticks, bytes out */
    HsAgentOpIoctlCancel = 51,  /* u64 id of the request                 u32 1 = asked to cancel, 0 = not in flight (any more) */
    HsAgentOpIoctlBatch = 52,   /* u64 handle, u32 flags, time limit ms of each, count, [u32 code, out size, bytes in]    u32 count done, [u32 win32 error, ntstatus, u64 begin, end ticks, bytes out] */
    /* Runs in order. A slot holds one request at a time: beginning another waits for it. At the end all are waited for. */
    HsAgentOpScript = 53,       /* text link, u32 time limit ms of each wait, output bytes kept of each, count, [u32 HSAGENT_SCRIPT_ACTION, slot, handle, code (access: open), out size, bytes in]    u32 count done, [u32 HSAGENT_SCRIPT_..., ntstatus, bytes, bytes kept output] */

    HsAgentOpTraceStart = 64,   /* text link, u32 drain code, text etl path, session name, u32 interval ms, chunk bytes, flush ms    trace state */
    HsAgentOpTraceStatus = 65,  /* -                                     trace state */
    HsAgentOpTraceStop = 66,    /* -                                     trace state */
    /* trace state: u32 running; u64 events, dropped, rejected, out of order, buffers, file bytes, drains, written by the driver, tick frequency; u32 remaining, error domain, error code; text error api, etl path */

    HsAgentOpProcesses = 80,    /* -                                     u32 count, [u32 pid, parent, threads, text name] */
    HsAgentOpModules = 81,      /* u32 pid, 0 = the kernel's             u32 count, [u32 pid, text name, path, u64 base, u32 size] */
    HsAgentOpRun = 82,          /* text command line, folder (empty: the agent's), u32 time limit ms, output limit    u32 timed out, exit code; u64 begin, end ticks; u32 output cut; bytes stdout, stderr */
    HsAgentOpObjects = 83       /* text path of an object directory      u32 count, [text name, type, target (empty: no link)] */
} HSAGENT_OP;
/* clang-format on */

typedef enum _HSAGENT_SCRIPT_ACTION {
    HsAgentScriptCall = 0,   /* an IOCTL, waited for */
    HsAgentScriptBegin = 1,  /* an IOCTL, left in flight in its slot */
    HsAgentScriptWait = 2,   /* for a slot */
    HsAgentScriptCancel = 3, /* what is in a slot; its end comes by itself */
    HsAgentScriptOpen = 4,   /* a handle, with the access in place of the code; one that was there is closed */
    HsAgentScriptClose = 5,  /* a handle, whatever is in flight on it */
    HsAgentScriptRead = 6,   /* as Begin, by NtReadFile and NtWriteFile */
    HsAgentScriptWrite = 7
} HSAGENT_SCRIPT_ACTION;

/* Payload of an error reply: u32 domain, code, NTSTATUS (0: not known); text name of the API that failed, detail. */
typedef enum _HSAGENT_ERROR_DOMAIN {
    HsAgentDomainWin32 = 1,
    HsAgentDomainNtStatus = 2,
    HsAgentDomainProtocol = 3 /* HSAGENT_PROTOCOL_ERROR */
} HSAGENT_ERROR_DOMAIN;

typedef enum _HSAGENT_PROTOCOL_ERROR {
    HsAgentProtocolBadPayload = 1,  /* CRC of the payload: send again */
    HsAgentProtocolTooLarge = 2,    /* over HSAGENT_FRAME_LIMIT, of a request or of the reply asked for */
    HsAgentProtocolUnknownOp = 3,
    HsAgentProtocolMalformed = 4,   /* the payload is not what the opcode takes */
    HsAgentProtocolAnswerGone = 5,  /* it ran, but the journal has no answer any more */
    HsAgentProtocolBusy = 6         /* the journal is full of running requests */
} HSAGENT_PROTOCOL_ERROR;

typedef enum _HSAGENT_JOURNAL_STATE {
    HsAgentJournalUnknown = 0, /* never came */
    HsAgentJournalRunning = 1,
    HsAgentJournalDone = 2,    /* sending it again brings the answer */
    HsAgentJournalGone = 3     /* it ran; the answer is not kept any more */
} HSAGENT_JOURNAL_STATE;

/* One request from its arrival to its answer. */
#pragma once

#include "agent.h"
#include "message.h"

typedef struct _REQUEST {
    AGENT *Agent;
    STREAM *Stream; /* on which it came, with a reference */
    UINT64 Nonce;
    UINT64 Id;
    UINT16 Op;
    UINT16 Flags;
    BOOL Journaled; /* a refusal is not: the request may come again, unhurt */
    ARENA Arena;
    MESSAGE_READER In;
    MESSAGE_WRITER Out;
    UINT32 ErrorDomain;
    UINT32 ErrorCode;
    UINT32 ErrorNtStatus;
    const char *ErrorApi; /* a literal */
    const char *ErrorDetail;
} REQUEST;

typedef enum _REQUEST_RESULT {
    RequestDone = 0,
    RequestFailed = 1,
    RequestDeferred = 2 /* somebody else calls RequestComplete */
} REQUEST_RESULT;

typedef REQUEST_RESULT REQUEST_HANDLER(_Inout_ REQUEST *Request);

/* Take a frame from the stream: answer it out of the journal, run it, or start a thread that does. */
void RequestReceive(_Inout_ AGENT *Agent, _Inout_ STREAM *Stream, _In_ const HSAGENT_FRAME_HEADER *Header,
                    _In_ const UINT8 *Payload);

/* Answer a frame that could not be taken. */
void RequestRefuse(_Inout_ AGENT *Agent, _Inout_ STREAM *Stream, _In_ const HSAGENT_FRAME_HEADER *Header,
                   HSAGENT_PROTOCOL_ERROR Error);

/* Send the answer, hand it to the journal, free the request. */
void RequestComplete(_Inout_ REQUEST *Request, REQUEST_RESULT Result);

/* Run a function in a thread with a small stack. FALSE when there is no thread to be had. */
_Must_inspect_result_ BOOL RequestSpawn(_In_ LPTHREAD_START_ROUTINE Routine, _In_ void *Context);

REQUEST_RESULT RequestFail(_Inout_ REQUEST *Request, _In_ const char *Api, UINT32 Win32Error);
REQUEST_RESULT RequestFailDetail(_Inout_ REQUEST *Request, _In_ const char *Api, UINT32 Win32Error,
                                 _In_ const char *Detail);
REQUEST_RESULT RequestFailNt(_Inout_ REQUEST *Request, _In_ const char *Api, UINT32 NtStatus);
REQUEST_RESULT RequestFailProtocol(_Inout_ REQUEST *Request, HSAGENT_PROTOCOL_ERROR Error, _In_ const char *Detail);

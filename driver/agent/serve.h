/* Streams into requests: one client for the life of the agent, or many that come and go. */
#pragma once

#include "agent.h"

/* Where clients in the guest itself reach an agent that stays; and what tells that there is one. */
#define SERVE_PIPE L"\\\\.\\pipe\\hotswap-agent"
#define SERVE_MUTEX L"Global\\HotSwapAgent"

/* Make what the agent consists of. NULL when there is no memory. */
_Must_inspect_result_ AGENT *ServeOpen(void);
/* Finish the trace and let go of the devices. */
void ServeClose(_Inout_ AGENT *Agent);

/* Answer requests until the stream ends or somebody says quit. */
void ServeStream(_Inout_ AGENT *Agent, _Inout_ STREAM *Stream);

/*
 * Serve ports (names, each ended with NUL, an empty one at the end) and the local pipe, until Ended is set, somebody says
 * quit or, when LingerMs is not 0, no client of the pipe was there for so long. An error when the pipe cannot be made:
 * ERROR_ALREADY_EXISTS, another agent serves it.
 */
DWORD ServeResident(_In_ PCWSTR Ports, _In_ HANDLE Ended, DWORD LingerMs);

/* Serial and virtio-serial ports as streams: they are there whether somebody listens or not. */
#pragma once

#include "stream.h"

#define PORT_CHUNK 32768   /* vioser takes no more in one write */
#define PORT_WRITE_MS 5000 /* the other end that takes nothing for so long is not there */

/*
 * Wait until a port can be opened, and open it. Name as CreateFileW takes it, "\\.\" may be left out of COM ports; it
 * must stay. NULL when Stop is set, or there is no memory.
 */
_Must_inspect_result_ STREAM *PortOpen(_In_ PCWSTR Name, _In_ HANDLE Stop);

/* A read of the port brought nothing: wait a moment, open it again if it is gone. FALSE when Stop is set. */
_Must_inspect_result_ BOOL PortPause(_Inout_ STREAM *Stream, DWORD Error);

/* A write of the port was not taken: whether to try again, after a moment. */
_Must_inspect_result_ BOOL PortRetryWrite(_In_ const STREAM *Stream, UINT64 GiveUp);

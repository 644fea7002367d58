/*
 * What the pure parts of the agent (frames, CRC, SHA-256, the .etl writer) need of their surroundings. Those parts
 * call no Windows function, so that they are tested natively as well.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
typedef uint16_t USHORT;
typedef uint32_t ULONG;
typedef uint64_t ULONG64;
#define _In_
#define _Inout_
#define _Out_
#define _In_opt_
#define _Out_opt_
#define _In_reads_bytes_(n)
#define _In_reads_(n)
#define _Out_writes_bytes_(n)
#define _Must_inspect_result_
#endif

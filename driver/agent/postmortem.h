/* The agent as the guest's post-mortem debugger: registered as AeDebug's Debugger, it is started for a process that faulted. */
#pragma once

#include "portable.h"

/* "PID EVENT" (decimal) as Windows fills them in. Leaves crash-PID.dmp beside the program and ends the process. 0 or an error. */
_Must_inspect_result_ DWORD PostMortemRun(PCWSTR Arguments);

/* Leaves live-PID.dmp of the first process into which this module is loaded; the process goes on. ERROR_NOT_FOUND: there is none. */
_Must_inspect_result_ DWORD PostMortemDump(PCWSTR Module);

/* A client's standard streams, joined to the agent that stays in this guest: what SSH and WinRM start. */
#pragma once

#include "portable.h"

/*
 * Join them until either end is gone; starts an agent (hsagent --resident) when none is there. ERROR_SUCCESS when
 * standard input ended, else what went wrong; Api names the function that failed.
 */
_Must_inspect_result_ DWORD AttachRun(_Out_ const char **Api);

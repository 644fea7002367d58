/* The agent as a Windows service, so that it is there from the boot on. */
#pragma once

#include "portable.h"

#define AGENT_SERVICE_NAME L"hsagent"
/* Of the QEMU machine, as its virtio-serial driver names it. */
#define AGENT_SERVICE_PORT L"\\\\.\\Global\\org.hotswap.agent.0"

/* Run as the service that the service manager has started. An error when it did not. */
_Must_inspect_result_ DWORD AgentServiceRun(void);

/*
 * Register this program as a service that starts with the computer, with these ports (each ended with NUL, an empty one
 * at the end), and start it; one that is there already gets the new program and ports. Api: the function that failed.
 */
_Must_inspect_result_ DWORD AgentServiceInstall(_In_ PCWSTR Ports, _Out_ const char **Api);

/* Stop it and unregister it. */
_Must_inspect_result_ DWORD AgentServiceUninstall(_Out_ const char **Api);

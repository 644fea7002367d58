/* The handlers of all opcodes; protocol.h says what each takes and gives. */
#pragma once

#include "request.h"

/* A handler begins so, once it has read its arguments. */
#define OPERATION_ARGUMENTS_READ(Request)                                                                              \
    do {                                                                                                               \
        if (!ReadComplete(&(Request)->In)) {                                                                           \
            return RequestFailProtocol((Request), HsAgentProtocolMalformed, "");                                       \
        }                                                                                                              \
    } while (0)

/* hello.c */
REQUEST_HANDLER HelloRun;
REQUEST_HANDLER HelloJournal;
REQUEST_HANDLER HelloQuit;
REQUEST_HANDLER HelloRelease;
REQUEST_HANDLER HelloIdentify;

/* clock.c */
REQUEST_HANDLER ClockPing;
REQUEST_HANDLER ClockSample;

/* files.c */
REQUEST_HANDLER FileWrite;
REQUEST_HANDLER FileCommit;
REQUEST_HANDLER FileDiscard;
REQUEST_HANDLER FileRead;
REQUEST_HANDLER FileHash;
REQUEST_HANDLER FileStat;
REQUEST_HANDLER FileRemove;
REQUEST_HANDLER FileCopy;

/* services.c */
REQUEST_HANDLER ServiceCreate;
REQUEST_HANDLER ServiceStart;
REQUEST_HANDLER ServiceStop;
REQUEST_HANDLER ServiceDelete;
REQUEST_HANDLER ServiceQuery;

/* devices.c */
REQUEST_HANDLER DeviceOpen;
REQUEST_HANDLER DeviceClose;
REQUEST_HANDLER DeviceIoctl;
REQUEST_HANDLER DeviceIoctlCancel;
REQUEST_HANDLER DeviceIoctlBatch;

/* script.c */
REQUEST_HANDLER DeviceScript;

/* trace.c */
REQUEST_HANDLER TraceStart;
REQUEST_HANDLER TraceStatus;
REQUEST_HANDLER TraceStop;

/* modules.c */
REQUEST_HANDLER ProcessList;
REQUEST_HANDLER ModuleList;

/* objects.c */
REQUEST_HANDLER ObjectList;

/* program.c */
REQUEST_HANDLER ProgramRun;

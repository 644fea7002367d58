/*
 * The trace events of the conformance driver; as hotswap_events.h, whose words it uses.
 *
 * Actor, the first field of most: 1.. is worker slot + 1, 0x100 + lane is a lane, 0 any other thread.
 */
#pragma once

#define CONFORMANCE_PROVIDER_NAME "HotSwap.Conformance"
/* The TraceLogging hash of the name above; tests recompute it. */
#define CONFORMANCE_PROVIDER_GUID                                                                                      \
    { 0xb156d62c, 0x4775, 0x5239, { 0x48, 0x89, 0xc8, 0xe6, 0xd8, 0x21, 0x64, 0x42 } }

#define CONFORMANCE_KEYWORD_LIFECYCLE 0x1
#define CONFORMANCE_KEYWORD_CALL 0x2
#define CONFORMANCE_KEYWORD_PROXY 0x4

/* clang-format off */
#define CONFORMANCE_FIELDS_Driver(F) F(UINT32, ContractVersion) F(UINT64, TickFrequency)
#define CONFORMANCE_FIELDS_RequestBegin(F) F(UINT32, Actor) F(UINT32, Request) F(UINT64, Sequence)
#define CONFORMANCE_FIELDS_RequestEnd(F) F(UINT32, Actor) F(UINT32, Request) F(UINT64, Sequence) F(NTSTATUS, Status)
#define CONFORMANCE_FIELDS_Event(F) F(UINT32, Event) F(UINT32, PreviousState)
#define CONFORMANCE_FIELDS_Gate(F) F(UINT32, Actor) F(UINT32, Gate)
/* Kind: CONFORMANCE_FUNCTION_KIND. Context and WaitStatus are those of a worker routine, else 0. */
#define CONFORMANCE_FIELDS_CallEnter(F) \
    F(UINT32, Actor) F(UINT32, Kind) F(UINT32, Version) F(UINT32, Endpoint) F(HEX64, Context) F(NTSTATUS, WaitStatus) \
    F(UINT32, Irql)
#define CONFORMANCE_FIELDS_CallExit(F) \
    F(UINT32, Actor) F(UINT32, Kind) F(UINT32, Version) F(UINT32, Endpoint) F(HEX64, Context) F(NTSTATUS, WaitStatus) \
    F(HEX64, Result)
#define CONFORMANCE_FIELDS_Phase(F) F(UINT32, Actor) F(UINT32, Phase) F(HEX64, Context) F(UINT32, Irql) F(NTSTATUS, Status)
/* Function is the address of the endpoint, 0 when the step is of none; EndpointId likewise. */
#define CONFORMANCE_FIELDS_Proxy(F) \
    F(UINT32, Actor) F(UINT32, Extension) F(UINT32, EndpointId) F(NTSTATUS, Status) F(UINT32, HeldCalls) F(HEX64, Function)

#define CONFORMANCE_PROXY_EVENT(EVENT, Name, Level) \
    EVENT(Name, Level, 0, CONFORMANCE_KEYWORD_PROXY, CONFORMANCE_FIELDS_Proxy)

#define CONFORMANCE_EVENTS(EVENT) \
    EVENT(DriverStart,  4, 1, CONFORMANCE_KEYWORD_LIFECYCLE, CONFORMANCE_FIELDS_Driver) \
    EVENT(DriverStop,   4, 2, CONFORMANCE_KEYWORD_LIFECYCLE, CONFORMANCE_FIELDS_Driver) \
    EVENT(RequestBegin, 5, 1, CONFORMANCE_KEYWORD_LIFECYCLE, CONFORMANCE_FIELDS_RequestBegin) \
    EVENT(RequestEnd,   5, 2, CONFORMANCE_KEYWORD_LIFECYCLE, CONFORMANCE_FIELDS_RequestEnd) \
    EVENT(EventSet,     5, 0, CONFORMANCE_KEYWORD_CALL,      CONFORMANCE_FIELDS_Event) \
    EVENT(EventClear,   5, 0, CONFORMANCE_KEYWORD_CALL,      CONFORMANCE_FIELDS_Event) \
    EVENT(GateWait,     5, 0, CONFORMANCE_KEYWORD_CALL,      CONFORMANCE_FIELDS_Gate) \
    EVENT(GatePass,     5, 0, CONFORMANCE_KEYWORD_CALL,      CONFORMANCE_FIELDS_Gate) \
    EVENT(CallEnter,    5, 1, CONFORMANCE_KEYWORD_CALL,      CONFORMANCE_FIELDS_CallEnter) \
    EVENT(CallExit,     5, 2, CONFORMANCE_KEYWORD_CALL,      CONFORMANCE_FIELDS_CallExit) \
    EVENT(PhaseEnter,   4, 1, CONFORMANCE_KEYWORD_PROXY,     CONFORMANCE_FIELDS_Phase) \
    EVENT(PhaseExit,    4, 2, CONFORMANCE_KEYWORD_PROXY,     CONFORMANCE_FIELDS_Phase) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyPreProcess, 4) /* callback returned */ \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyStalled, 4) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyFirstHeld, 4) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyDrained, 4) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyProxyStalled, 4) /* callback returned */ \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxySwitched, 4) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyReleased, 4) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyPostProcess, 4) /* callback returned */ \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyRolledBack, 3) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyThreadStart, 4) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyThreadEnd, 4) \
    /* From here on only with the option Verbose. */ \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyWoken, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyCallEntering, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyCallInside, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyCallReturned, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyCallLeft, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyCallHeld, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyCallResumed, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyPointerSwitched, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyStallSet, 5) \
    CONFORMANCE_PROXY_EVENT(EVENT, ProxyReleaseDone, 5)
/* clang-format on */

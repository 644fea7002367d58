#include "clock.h"

#include "operations.h"

UINT64 ClockTicks(void)
{
    LARGE_INTEGER Ticks;
    QueryPerformanceCounter(&Ticks);
    return (UINT64)Ticks.QuadPart;
}

UINT64 ClockFrequency(void)
{
    LARGE_INTEGER Frequency;
    QueryPerformanceFrequency(&Frequency);
    return (UINT64)Frequency.QuadPart;
}

UINT64 ClockSystemTime(void)
{
    FILETIME Time;
    GetSystemTimePreciseAsFileTime(&Time);
    return (UINT64)Time.dwHighDateTime << 32 | Time.dwLowDateTime;
}

REQUEST_RESULT ClockPing(REQUEST *Request)
{
    OPERATION_ARGUMENTS_READ(Request);
    WriteU64(&Request->Out, ClockTicks());
    return RequestDone;
}

REQUEST_RESULT ClockSample(REQUEST *Request)
{
    UINT64 Before, Time, After;
    OPERATION_ARGUMENTS_READ(Request);
    Before = ClockTicks();
    Time = ClockSystemTime();
    After = ClockTicks();
    WriteU64(&Request->Out, Before);
    WriteU64(&Request->Out, Time);
    WriteU64(&Request->Out, After);
    WriteU64(&Request->Out, Request->Agent->TickFrequency);
    return RequestDone;
}

/* The pool of wrappers: which stub belongs to which endpoint, and what a call does on the way in and out. */
#include "proxy.h"

/* wrapper.asm: the stubs, and what they call. */
extern UCHAR DpWrapperPool[DP_WRAPPER_COUNT * DP_WRAPPER_STRIDE];
VOID DpWrapperGone(VOID);
VOID DpWrapperEnter(_Inout_ DP_CALL *Call);
VOID DpWrapperLeave(_In_ const DP_CALL *Call);
EXCEPTION_DISPOSITION NTAPI DpWrapperUnwind(_In_ PEXCEPTION_RECORD Record, _In_ PVOID Frame, _Inout_ PCONTEXT Context,
                                            _In_ PVOID Dispatcher);

DP_WRAPPER DpWrappers[DP_WRAPPER_COUNT];
static volatile LONG DpWrapperNext; /* where the search for a free one begins: an address comes back as late as can be */

_Use_decl_annotations_ PVOID DpWrapperAddress(const DP_WRAPPER *Wrapper)
{
    return &DpWrapperPool[(SIZE_T)(Wrapper - DpWrappers) * DP_WRAPPER_STRIDE];
}

/* NULL unless the address is exactly that of a stub in use. */
_Use_decl_annotations_ DP_WRAPPER *DpWrapperFromAddress(PVOID Address)
{
    ULONG_PTR offset = (ULONG_PTR)Address - (ULONG_PTR)DpWrapperPool;
    DP_WRAPPER *wrapper;

    if (offset >= sizeof(DpWrapperPool) || offset % DP_WRAPPER_STRIDE != 0) {
        return NULL;
    }
    wrapper = &DpWrappers[offset / DP_WRAPPER_STRIDE];
    return DpReadPointer(&wrapper->Rundown) != NULL ? wrapper : NULL;
}

/* Steps of a call, only when asked for. */
static VOID DpTellCall(DP_RUNDOWN *Rundown, HS_PROXY_STEP Step, const DP_WRAPPER *Wrapper)
{
    if ((DpRead64(&Rundown->State) & DP_VERBOSE) != 0) {
        DpTell(Rundown, Step, STATUS_SUCCESS, NULL, Wrapper);
    }
}

/* Called by wrapper.asm at the caller's IRQL, with Wrapper filled in. */
_Use_decl_annotations_ VOID DpWrapperEnter(DP_CALL *Call)
{
    DP_WRAPPER *wrapper = Call->Wrapper;
    DP_RUNDOWN *rundown;

    while ((rundown = DpReadPointer(&wrapper->Rundown)) != NULL) {
        Call->Rundown = rundown;
        DpTellCall(rundown, HsProxyStepCallEntering, wrapper);
        DpRundownEnter(rundown, Call);
        if (DpReadPointer(&wrapper->Rundown) == rundown) { /* or it has gone meanwhile, and with it what Function says */
            Call->Target = DpReadPointer(&wrapper->Function);
            Call->StackBytes = wrapper->StackBytes;
            DpTellCall(rundown, HsProxyStepCallInside, wrapper);
            return;
        }
        DpRundownLeave(rundown, Call);
    }
    Call->Kind = DpCallGone;
    Call->Target = (PVOID)(ULONG_PTR)DpWrapperGone;
    Call->StackBytes = 0;
}

_Use_decl_annotations_ VOID DpWrapperLeave(const DP_CALL *Call)
{
    if (Call->Kind != DpCallGone) {
        DpTellCall(Call->Rundown, HsProxyStepCallReturned, Call->Wrapper);
        DpRundownLeave(Call->Rundown, Call);
        DpTellCall(Call->Rundown, HsProxyStepCallLeft, Call->Wrapper);
    }
}

#define DP_FRAME_CALL 0x20  /* of the DP_CALL, from what the unwinder calls the frame: rsp after DpWrapperCall's prologue */
#define DP_UNWINDING 0x06u /* EXCEPTION_UNWINDING, EXCEPTION_EXIT_UNWIND: the search for a handler calls here as well, before it */

/* An exception leaves the endpoint for a handler of the caller: the call ends as one that returns (R28). */
_Use_decl_annotations_ EXCEPTION_DISPOSITION NTAPI DpWrapperUnwind(PEXCEPTION_RECORD Record, PVOID Frame, PCONTEXT Context,
                                                                   PVOID Dispatcher)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Dispatcher);
    if ((Record->ExceptionFlags & DP_UNWINDING) != 0) {
        DpWrapperLeave((const DP_CALL *)((const UCHAR *)Frame + DP_FRAME_CALL));
    }
    return ExceptionContinueSearch;
}

#if defined(__MINGW32__)
/* UNWIND_INFO and RUNTIME_FUNCTION of DpWrapperCall, which llvm-ml cannot give a handler. The pool of stubs follows it. */
__asm__(".section .xdata,\"dr\"\n"
        ".p2align 2\n"
        "DpWrapperCallUnwind:\n"
        ".byte 0x11\n"          /* version 1, UNW_FLAG_UHANDLER */
        ".byte 16, 4, 0xA5\n"   /* bytes of the prologue, codes, rbp is the frame and 0xA0 above it */
        ".byte 16, 0x03\n"      /* UWOP_SET_FPREG */
        ".byte 8, 0x01\n"       /* UWOP_ALLOC_LARGE: 0xA0 */
        ".short 0xA0 / 8\n"
        ".byte 1, 0x50\n"       /* UWOP_PUSH_NONVOL rbp */
        ".rva DpWrapperUnwind\n"
        ".section .pdata,\"dr\"\n"
        ".rva DpWrapperCall\n"
        ".rva DpWrapperPool\n"
        ".rva DpWrapperCallUnwind\n"
        ".text\n");
#endif

_Use_decl_annotations_ DP_WRAPPER *DpWrapperAllocate(PVOID Function, ULONG Id, ULONG ParameterCount, ULONG StackBytes)
{
    ULONG begin = (ULONG)DpRead32(&DpWrapperNext);
    ULONG i;

    for (i = 0; i < DP_WRAPPER_COUNT; i++) {
        ULONG index = (begin + i) % DP_WRAPPER_COUNT;
        DP_WRAPPER *wrapper = &DpWrappers[index];

        if (DpRead32(&wrapper->Used) != 0 || InterlockedCompareExchange(&wrapper->Used, 1, 0) != 0) {
            continue;
        }
        DpWrite32(&DpWrapperNext, (LONG)((index + 1) % DP_WRAPPER_COUNT));
        wrapper->Extension = NULL;
        wrapper->Next = NULL;
        wrapper->NextById = NULL;
        wrapper->Id = Id;
        wrapper->ParameterCount = ParameterCount;
        wrapper->StackBytes = StackBytes;
        DpWritePointer(&wrapper->Function, Function);
        return wrapper;
    }
    return NULL;
}

_Use_decl_annotations_ VOID DpWrapperPublish(DP_WRAPPER *Wrapper, PDRIVER_PROXY_EXTENSION Extension)
{
    DP_WRAPPER *volatile *bucket = &Extension->ById[Wrapper->Id & (DP_ID_BUCKETS - 1)];

    Wrapper->Extension = Extension;
    Wrapper->NextById = DpReadPointer(bucket);
    DpWritePointer(&Wrapper->Rundown, Extension->Rundown);
    DpWritePointer(bucket, Wrapper);
    if (Extension->Last == NULL) {
        DpWritePointer(&Extension->First, Wrapper);
    } else {
        DpWritePointer(&Extension->Last->Next, Wrapper);
    }
    Extension->Last = Wrapper;
}

_Use_decl_annotations_ VOID DpWrapperFree(DP_WRAPPER *Wrapper)
{
    DpWritePointer(&Wrapper->Function, NULL);
    DpWrite32(&Wrapper->Used, 0);
}

_Use_decl_annotations_ VOID DpWrappersClose(PDRIVER_PROXY_EXTENSION Extension)
{
    DP_WRAPPER *wrapper;

    for (wrapper = Extension->First; wrapper != NULL; wrapper = wrapper->Next) {
        DpWritePointer(&wrapper->Rundown, NULL);
    }
}

_Use_decl_annotations_ VOID DpWrappersFree(PDRIVER_PROXY_EXTENSION Extension)
{
    DP_WRAPPER *wrapper = Extension->First;

    while (wrapper != NULL) {
        DP_WRAPPER *next = wrapper->Next;

        DpWrapperFree(wrapper);
        wrapper = next;
    }
}

ULONG DpWrapperCount(void)
{
    ULONG i;
    ULONG count = 0;

    for (i = 0; i < DP_WRAPPER_COUNT; i++) {
        count += DpReadPointer(&DpWrappers[i].Rundown) != NULL;
    }
    return count;
}

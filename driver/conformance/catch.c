/* Calls whose exception is caught by who made them, and the fault that an endpoint makes on request. */
#include "conformance.h"

#define FAULT_ADDRESS 0x10 /* of user mode, where no page is: drivers meet such addresses, and may catch the fault */

VOID CatchFault(void)
{
    (VOID)*(const volatile ULONG *)(ULONG_PTR)FAULT_ADDRESS;
}

#if defined(_MSC_VER)

_Use_decl_annotations_ ULONG64 CatchCall(CF_CATCH_BODY *Body, PVOID Context, NTSTATUS *Caught)
{
    __try {
        return Body(Context);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        *Caught = GetExceptionCode();
    }
    return 0;
}

#else

/* What __except would be, which clang does not know for this target. Caught lies at 28h of the frame. */
#define CATCH_CAUGHT 0x28
#define CATCH_UNWINDING 0x06u

extern UCHAR CatchLanding[];
NTSYSAPI VOID NTAPI RtlUnwind(PVOID TargetFrame, PVOID TargetIp, PEXCEPTION_RECORD ExceptionRecord, PVOID ReturnValue);
EXCEPTION_DISPOSITION NTAPI CatchHandler(PEXCEPTION_RECORD Record, PVOID Frame, PCONTEXT Context, PVOID Dispatcher);

EXCEPTION_DISPOSITION NTAPI CatchHandler(PEXCEPTION_RECORD Record, PVOID Frame, PCONTEXT Context, PVOID Dispatcher)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Dispatcher);
    if ((Record->ExceptionFlags & CATCH_UNWINDING) == 0) {
        **(NTSTATUS **)((UCHAR *)Frame + CATCH_CAUGHT) = Record->ExceptionCode;
        RtlUnwind(Frame, CatchLanding, Record, NULL);
    }
    return ExceptionContinueSearch;
}

__asm__(".text\n"
        ".globl CatchCall\n"
        ".def CatchCall; .scl 2; .type 32; .endef\n"
        ".seh_proc CatchCall\n"
        "CatchCall:\n"
        "    pushq %rbp\n"
        "    .seh_pushreg %rbp\n"
        "    subq $0x30, %rsp\n"
        "    .seh_stackalloc 0x30\n"
        "    leaq 0x30(%rsp), %rbp\n"
        "    .seh_setframe %rbp, 0x30\n"
        "    .seh_endprologue\n"
        "    movq %r8, -0x8(%rbp)\n"
        "    movq %rcx, %rax\n"
        "    movq %rdx, %rcx\n"
        "    callq *%rax\n"
        "    nop\n" /* a return address in the epilogue has no handler */
        "CatchLanding:\n"
        "    leaq (%rbp), %rsp\n"
        "    popq %rbp\n"
        "    retq\n"
        ".seh_handler CatchHandler, @except\n"
        ".seh_endproc\n");

#endif

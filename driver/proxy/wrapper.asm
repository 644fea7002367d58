; Wrappers: a fixed pool of stubs, each of 16 bytes at a stable address, that load the address of their DP_WRAPPER and go on
; in DpWrapperCall. That has unwind data, passes register and stack arguments on unchanged, and returns what the endpoint
; returned; it never touches a return address (shadow stacks) and no code is made at run time (HVCI).
;
; Assembled by ml64, and by llvm-ml where there is no ml64.

EXTERN DpWrapperEnter:PROC
EXTERN DpWrapperLeave:PROC
EXTERN DpWrapperUnwind:PROC
EXTERN DpWrappers:BYTE

DP_HASH EQU 9E3779B97F4A7C15h ; as in rundown.c

; DP_WRAPPER
WRAPPER_RUNDOWN     EQU 00h
WRAPPER_FUNCTION    EQU 08h
WRAPPER_STACK_BYTES EQU 10h
WRAPPER_SIZE        EQU 40h
; DP_RUNDOWN, DP_SLOT
RUNDOWN_SLOTS       EQU 40h
SLOT_DISPLACED      EQU 0Ch
SLOT_SHIFT          EQU 6
; DP_CALL, from rbp
CALL_BLOCK          EQU 80h
CALL_TARGET         EQU 80h
CALL_STACK_BYTES    EQU 78h
CALL_KIND           EQU 74h
CALL_RUNDOWN        EQU 70h
CALL_SLOT           EQU 68h
CALL_WRAPPER        EQU 60h

_TEXT SEGMENT

; The thread: in a kernel its KTHREAD, which gs leads to, and which idle threads have one each of; where drivers are run by a
; program (Wine), the thread id in its TEB. Its callers expect no other register but rax to change.
THREAD_KEY MACRO
    LOCAL InProgram, Done
    mov     eax, cs
    test    al, 3
    jnz     InProgram
    mov     rax, qword ptr gs:[188h]
    jmp     Done
InProgram:
    mov     rax, qword ptr gs:[48h]
Done:
ENDM

DpThreadKey PROC
    THREAD_KEY
    ret
DpThreadKey ENDP

; Where the wrapper of an extension that has gone leads to.
DpWrapperGone PROC
    xor     eax, eax
    xorps   xmm0, xmm0
    ret
DpWrapperGone ENDP

; Frame, from rbp:
;   +30h  stack arguments          +10h..+28h  home of rcx rdx r8 r9
;   -10h..-40h  xmm0..xmm3         -48h  rax
;   -80h..-51h  DP_CALL            -0A0h  home for the callees
;
; The fast path is DpRundownEnter and DpRundownLeave for the outermost call of a thread whose home slot is free, while nothing
; is stalled or traced (State is 0); the order of its reads and writes is theirs. All else goes through C.
;
; CALL_KIND says at each call out of here what is to be given back should it raise: DpWrapperUnwind reads it.
IFDEF HS_LLVM_ML ; knows no handler of a FRAME: wrapper.c has the unwind data, byte for byte of this prologue
DpWrapperCall PROC
    push    rbp
    sub     rsp, 0A0h
    lea     rbp, [rsp+0A0h]
ELSE
DpWrapperCall PROC FRAME:DpWrapperUnwind
    push    rbp
    .pushreg rbp
    sub     rsp, 0A0h
    .allocstack 0A0h
    lea     rbp, [rsp+0A0h]
    .setframe rbp, 0A0h
    .endprolog
ENDIF

    mov     [rbp-CALL_WRAPPER], r10
    mov     r11, qword ptr [r10+WRAPPER_RUNDOWN]
    test    r11, r11
    jz      SlowEnter
    cmp     qword ptr [r11], 0
    jne     SlowEnter
    mov     [rbp-CALL_RUNDOWN], r11

    THREAD_KEY
    mov     r10, DP_HASH
    imul    r10, rax
    shr     r10, 56
    shl     r10, SLOT_SHIFT
    lea     r10, [r11+r10+RUNDOWN_SLOTS]
    mov     r11, rax
    xor     eax, eax
    cmp     dword ptr [r10+SLOT_DISPLACED], eax
    jne     SlowEnter
    lock cmpxchg qword ptr [r10], r11
    jne     SlowEnter
    mov     rax, [rbp-CALL_RUNDOWN]
    cmp     qword ptr [rax], 0
    jne     GiveSlot
    or      r11, 1          ; DP_INSIDE
    mov     qword ptr [r10], r11
    mov     [rbp-CALL_SLOT], r10
    mov     rax, [rbp-CALL_WRAPPER]
    mov     r11, qword ptr [rax+WRAPPER_RUNDOWN]
    cmp     r11, [rbp-CALL_RUNDOWN] ; once inside: or its extension has gone meanwhile
    jne     GiveSlot

    mov     dword ptr [rbp-CALL_KIND], 0 ; DpCallOutermost
    mov     r10, qword ptr [rax+WRAPPER_FUNCTION]
    mov     eax, dword ptr [rax+WRAPPER_STACK_BYTES]
    test    eax, eax
    jnz     FastCopy
FastCall:
    call    r10

    mov     r10, [rbp-CALL_SLOT]
    mov     r11, [rbp-CALL_RUNDOWN]
    cmp     qword ptr [r11], 0
    jne     SlowLeave
    mov     qword ptr [r10], 0
    lea     rsp, [rbp]
    pop     rbp
    ret

FastCopy:
    mov     r11d, eax
    add     eax, 8          ; the stack stays aligned; what the caller did not pass is not read
    and     eax, -16
    sub     rsp, rax
FastCopyNext:
    sub     r11d, 8
    mov     rax, qword ptr [rbp+r11+30h]
    mov     qword ptr [rsp+r11+20h], rax
    test    r11d, r11d
    jnz     FastCopyNext
    jmp     FastCall

GiveSlot:
    mov     qword ptr [r10], 0
SlowEnter:
    mov     [rbp+10h], rcx
    mov     [rbp+18h], rdx
    mov     [rbp+20h], r8
    mov     [rbp+28h], r9
    movaps  xmmword ptr [rbp-10h], xmm0
    movaps  xmmword ptr [rbp-20h], xmm1
    movaps  xmmword ptr [rbp-30h], xmm2
    movaps  xmmword ptr [rbp-40h], xmm3

    mov     dword ptr [rbp-CALL_KIND], 4 ; DpCallGone: nothing is counted yet
    lea     rcx, [rbp-CALL_BLOCK]
    call    DpWrapperEnter

    mov     r11d, dword ptr [rbp-CALL_STACK_BYTES]
    test    r11d, r11d
    jz      SlowCall
    lea     eax, [r11+8]
    and     eax, -16
    sub     rsp, rax
SlowCopyNext:
    sub     r11d, 8
    mov     rax, qword ptr [rbp+r11+30h]
    mov     qword ptr [rsp+r11+20h], rax
    test    r11d, r11d
    jnz     SlowCopyNext

SlowCall:
    mov     rcx, [rbp+10h]
    mov     rdx, [rbp+18h]
    mov     r8, [rbp+20h]
    mov     r9, [rbp+28h]
    movaps  xmm0, xmmword ptr [rbp-10h]
    movaps  xmm1, xmmword ptr [rbp-20h]
    movaps  xmm2, xmmword ptr [rbp-30h]
    movaps  xmm3, xmmword ptr [rbp-40h]
    call    qword ptr [rbp-CALL_TARGET]

SlowLeave:
    mov     [rbp-48h], rax
    movaps  xmmword ptr [rbp-10h], xmm0
    lea     rcx, [rbp-CALL_BLOCK]
    call    DpWrapperLeave
    mov     rax, [rbp-48h]
    movaps  xmm0, xmmword ptr [rbp-10h]
    lea     rsp, [rbp]
    pop     rbp
    ret
DpWrapperCall ENDP

WRAPPER_INDEX = 0
WRAPPER_STUB MACRO
IFDEF HS_LLVM_ML ; takes a bare symbol for an absolute address, and ml64 does not know rip
    lea     r10, [rip + DpWrappers + WRAPPER_INDEX * WRAPPER_SIZE]
ELSE
    lea     r10, DpWrappers[WRAPPER_INDEX * WRAPPER_SIZE]
ENDIF
    jmp     DpWrapperCall
    ALIGN 16
    WRAPPER_INDEX = WRAPPER_INDEX + 1
ENDM

ALIGN 16
DpWrapperPool PROC PUBLIC
REPT 1024 ; DP_WRAPPER_COUNT
    WRAPPER_STUB
ENDM
DpWrapperPool ENDP

_TEXT ENDS
END

; Wrappers: a fixed pool of stubs, each of 16 bytes at a stable address, that load their number and go on in
; DpWrapperCall. That has unwind data, passes register and stack arguments on unchanged, and returns what the endpoint
; returned; it never touches a return address (shadow stacks) and no code is made at run time (HVCI).
;
; Assembled by ml64, and by llvm-ml where there is no ml64.

EXTERN DpWrapperEnter:PROC
EXTERN DpWrapperLeave:PROC

_TEXT SEGMENT

; Frame, from rbp:
;   +30h  stack arguments          +10h..+28h  home of rcx rdx r8 r9
;   -10h..-40h  xmm0..xmm3         -48h  rax
;   -70h  DP_CALL: +0 Target, +8 StackBytes
;   -90h  home for the callees
DpWrapperCall PROC FRAME
    push    rbp
    .pushreg rbp
    sub     rsp, 90h
    .allocstack 90h
    lea     rbp, [rsp+90h]
    .setframe rbp, 90h
    .endprolog

    mov     [rbp+10h], rcx
    mov     [rbp+18h], rdx
    mov     [rbp+20h], r8
    mov     [rbp+28h], r9
    movaps  xmmword ptr [rbp-10h], xmm0
    movaps  xmmword ptr [rbp-20h], xmm1
    movaps  xmmword ptr [rbp-30h], xmm2
    movaps  xmmword ptr [rbp-40h], xmm3

    lea     rcx, [rbp-70h]
    mov     edx, eax
    call    DpWrapperEnter

    mov     ecx, dword ptr [rbp-68h]
    test    ecx, ecx
    jz      CallTarget
    lea     eax, [rcx+8]    ; the stack stays aligned; what the caller did not pass is not read
    and     eax, -16
    sub     rsp, rax
CopyArgument:
    sub     ecx, 8
    mov     rax, qword ptr [rbp+rcx+30h]
    mov     qword ptr [rsp+rcx+20h], rax
    test    ecx, ecx
    jnz     CopyArgument

CallTarget:
    mov     rax, qword ptr [rbp-70h]
    mov     rcx, [rbp+10h]
    mov     rdx, [rbp+18h]
    mov     r8, [rbp+20h]
    mov     r9, [rbp+28h]
    movaps  xmm0, xmmword ptr [rbp-10h]
    movaps  xmm1, xmmword ptr [rbp-20h]
    movaps  xmm2, xmmword ptr [rbp-30h]
    movaps  xmm3, xmmword ptr [rbp-40h]
    call    rax

    mov     [rbp-48h], rax
    movaps  xmmword ptr [rbp-10h], xmm0
    lea     rcx, [rbp-70h]
    call    DpWrapperLeave
    mov     rax, [rbp-48h]
    movaps  xmm0, xmmword ptr [rbp-10h]

    lea     rsp, [rbp]
    pop     rbp
    ret
DpWrapperCall ENDP

WRAPPER_INDEX = 0
WRAPPER_STUB MACRO
    mov     eax, WRAPPER_INDEX
    jmp     DpWrapperCall
    ALIGN 16
    WRAPPER_INDEX = WRAPPER_INDEX + 1
ENDM

ALIGN 16
DpWrapperPool PROC PUBLIC
REPT 256 ; DP_WRAPPER_COUNT
    WRAPPER_STUB
ENDM
DpWrapperPool ENDP

_TEXT ENDS
END

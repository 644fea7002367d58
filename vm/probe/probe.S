/*
 * The smallest 64-bit guest: from QEMU's PVH entry into long mode, a loop, and out by the debug exit device. An accelerator
 * that cannot run it (measured: KVM in a machine that is itself virtual may hang here) runs no Windows either.
 */
    .section .note.pvh, "a", @note
    .align 4
    .long 4, 4, 18
    .asciz "Xen"
    .long entry
    .section .text, "ax"
    .code32
    .globl entry
entry:
    cli
    movl $stack, %esp
    movl $tables, %edi
    movl $(tables + 0x1003), (%edi)
    movl $0, 4(%edi)
    movl $(tables + 0x2003), 0x1000(%edi)
    movl $0x83, 0x2000(%edi)
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl %edi, %cr3
    movl $0xC0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    lgdt gdtr
    ljmp $8, $long
    .code64
long:
    movw $16, %ax
    movw %ax, %ss
    movw %ax, %ds
    movl $50000000, %ecx
1:  decq %rcx
    jnz 1b
    movl $0x2a, %eax /* QEMU ends with 2 * 0x2a + 1 */
    outb %al, $0xf4
2:  hlt
    jmp 2b
    .align 8
gdt: .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdtr: .word 23
    .long gdt
    .bss
    .align 4096
tables: .skip 0x3000
    .skip 4096
stack:

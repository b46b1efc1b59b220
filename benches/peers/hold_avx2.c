/* Shows a process a machine with AVX2 and FMA, but without AVX-512, AMX and AVX-VNNI.
 *
 * Preloaded, it has the kernel fault on `cpuid` (Linux 4.12 and later, where /proc/cpuinfo lists cpuid_fault) and answers the
 * fault with what the processor says, less those bits. No library can tell, whatever it detects with; the answer takes
 * microseconds, once for each detection, and costs nothing afterwards.
 *
 *     cc -O2 -shared -fPIC hold_avx2.c -o libhold_avx2.so
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012

#define BIT(n) (UINT32_C(1) << (n))

struct registers {
    uint32_t eax, ebx, ecx, edx;
};

typedef int (*sigaction_function)(int, const struct sigaction *, struct sigaction *);

/* The C library's own; this file takes its name. */
static sigaction_function set_action;

static struct registers cpuid(uint32_t leaf, uint32_t subleaf) {
    struct registers r;
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

/* Bits of the manual's table of CPUID, leaves 7 and 13. */
static void hide(uint32_t leaf, uint32_t subleaf, struct registers *r) {
    if (leaf == 7 && subleaf == 0) {
        /* AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL */
        r->ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
        /* AVX-512 VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ */
        r->ecx &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
        /* AVX-512 4VNNIW, 4FMAPS, VP2INTERSECT, FP16; AMX BF16, TILE, INT8 */
        r->edx &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
    } else if (leaf == 7 && subleaf == 1) {
        /* AVX-VNNI, AVX-512 BF16, AMX FP16, AVX-IFMA */
        r->eax &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));
        /* AVX-VNNI INT8, AVX-NE-CONVERT, AMX COMPLEX, AVX-VNNI INT16, AVX10 */
        r->edx &= ~(BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19));
    } else if (leaf == 13 && subleaf == 0) {
        /* State to save: x87, SSE and AVX only. */
        r->eax &= 7;
    } else if (leaf == 0x1d || leaf == 0x1e || leaf == 0x24) {
        /* Tiles and AVX10. */
        *r = (struct registers){0, 0, 0, 0};
    }
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *saved = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)saved[REG_RIP];
    if (at[0] != 0x0f || at[1] != 0xa2) {
        /* A true fault: it comes again at once, and ends the process. */
        set_action(signal_number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
        return;
    }
    uint32_t leaf = (uint32_t)saved[REG_RAX], subleaf = (uint32_t)saved[REG_RCX];
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1UL);
    struct registers r = cpuid(leaf, subleaf);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0UL);
    hide(leaf, subleaf, &r);
    saved[REG_RAX] = r.eax;
    saved[REG_RBX] = r.ebx;
    saved[REG_RCX] = r.ecx;
    saved[REG_RDX] = r.edx;
    saved[REG_RIP] += 2;
}

/* Compilers and crash reporters set handlers of their own; for this signal they are told that it worked. */
int sigaction(int signal_number, const struct sigaction *action, struct sigaction *old) {
    if (signal_number == SIGSEGV) {
        if (old) {
            memset(old, 0, sizeof *old);
        }
        return 0;
    }
    if (!set_action) {
        set_action = (sigaction_function)dlsym(RTLD_NEXT, "sigaction");
    }
    return set_action(signal_number, action, old);
}

__sighandler_t signal(int signal_number, __sighandler_t handler) {
    /* With the meaning that glibc gives it. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old = {.sa_handler = SIG_DFL};
    return sigaction(signal_number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

__attribute__((constructor)) static void begin(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    set_action = (sigaction_function)dlsym(RTLD_NEXT, "sigaction");
    set_action(SIGSEGV, &action, NULL);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0UL) != 0) {
        static const char sorry[] = "hold_avx2: this machine cannot fault on cpuid\n";
        if (write(STDERR_FILENO, sorry, sizeof sorry - 1) < 0) {
            /* Nobody listens; the exit status says it, too. */
        }
        _exit(78);
    }
}

/*
 * Completes what user-mode Linux 6.1 knows of ptrace(2). Loaded with LD_PRELOAD, it stands in front of two
 * functions of the C library.
 *
 * It keeps 2,696 bytes for the floating-point state of a guest process, and restores them with
 * PTRACE_SETREGSET. The host takes nothing less than its whole XSAVE area (EFAULT), which on processors with
 * AMX is some 11,000 bytes, and the guest panics. Here, what is too short is completed with what the
 * process has there: user-mode Linux neither uses nor changes that part. For the layout see the Intel 64
 * and IA-32 SDM, volume 1, section 13.4.
 *
 * It takes a SIGCONT of one of its processes, with which the host ends a SIGSTOP of all, for a fault of the
 * guest's. Here, neither is reported, and the process goes on.
 *
 * The guest's kernel has one processor and asks for one process at a time: what is kept here needs no lock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

static long (*next_ptrace)(enum __ptrace_request, ...);
static pid_t (*next_waitpid)(pid_t, int *, int);

/* The host's XSAVE area. Not on the stack, which is small inside the guest's kernel. */
static char area[64 << 10];
static size_t size; /* 0: not known yet */

/* Who was last told to go on, and how. */
static pid_t resumed;
static enum __ptrace_request how;

__attribute__((constructor)) static void find_next(void)
{
	next_ptrace = dlsym(RTLD_NEXT, "ptrace");
	next_waitpid = dlsym(RTLD_NEXT, "waitpid");
}

static long read_area(pid_t pid)
{
	struct iovec all = {area, sizeof area};
	long result = next_ptrace(PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all);

	if (result == 0)
		size = all.iov_len;
	return result;
}

static long set_xstate(pid_t pid, struct iovec *part)
{
	struct iovec all = {area, 0};

	if (size == 0 && read_area(pid) < 0)
		return -1;
	if (part->iov_len >= size)
		return next_ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, part);
	if (read_area(pid) < 0)
		return -1;
	memcpy(area, part->iov_base, part->iov_len);
	all.iov_len = size;
	return next_ptrace(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &all);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	pid_t pid;
	void *addr, *data;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);

	switch (request) {
	case PTRACE_SETREGSET:
		if (addr == (void *)NT_X86_XSTATE)
			return set_xstate(pid, data);
		break;
	case PTRACE_CONT:
	case PTRACE_SINGLESTEP:
	case PTRACE_SYSCALL:
	case PTRACE_SYSEMU:
	case PTRACE_SYSEMU_SINGLESTEP:
		resumed = pid;
		how = request;
		break;
	default:
		break;
	}
	return next_ptrace(request, pid, addr, data);
}

/* Whether the host's job control has stopped a process that was told to go on. */
static int interrupted(pid_t pid, int status)
{
	return pid == resumed && WIFSTOPPED(status) && (WSTOPSIG(status) == SIGSTOP || WSTOPSIG(status) == SIGCONT);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
	pid_t result;

	do
		result = next_waitpid(pid, status, options);
	while (result > 0 && status != NULL && interrupted(result, *status) && next_ptrace(how, result, 0, 0) == 0);
	return result;
}

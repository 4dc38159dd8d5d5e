/*
 * A tracer with a buffer of only 832 bytes for the floating-point state of its child, which is too short
 * on every processor with AVX-512. Exit status 0: what it restored is in force and the rest is untouched;
 * 77: this processor has nothing beyond 832 bytes; else the line on standard error says what is wrong.
 */
#include <cpuid.h>
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NARROW = 832, XMM0 = 160, XSTATE_BV = 512, OPMASK = 5 };

static unsigned char whole[64 << 10], narrow[NARROW];
static pid_t child;

static size_t transfer(int request, void *buf, size_t len, const char *what)
{
	struct iovec v = {buf, len};

	if (ptrace(request, child, NT_X86_XSTATE, &v) < 0) {
		perror(what);
		kill(child, SIGKILL);
		exit(1);
	}
	return v.iov_len;
}

int main(void)
{
	unsigned int size, offset, c, d;
	size_t area;

	if (!__get_cpuid_count(13, OPMASK, &size, &offset, &c, &d) || size == 0 || offset < NARROW)
		return 77;
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(0);
	}
	waitpid(child, NULL, 0);

	area = transfer(PTRACE_GETREGSET, whole, sizeof whole, "reading all");
	whole[XSTATE_BV] |= 1 << OPMASK;
	whole[offset] = 0x5a;
	transfer(PTRACE_SETREGSET, whole, area, "writing all");

	transfer(PTRACE_GETREGSET, narrow, NARROW, "reading a part");
	narrow[XSTATE_BV] |= 1 << 1; /* SSE */
	narrow[XMM0] = 0xa5;
	transfer(PTRACE_SETREGSET, narrow, NARROW, "writing a part");

	memset(whole, 0, sizeof whole);
	transfer(PTRACE_GETREGSET, whole, sizeof whole, "reading all again");
	kill(child, SIGKILL);
	if (whole[XMM0] != 0xa5 || whole[offset] != 0x5a) {
		fprintf(stderr, "want a5 and 5a, have %02x and %02x\n", whole[XMM0], whole[offset]);
		return 1;
	}
	return 0;
}

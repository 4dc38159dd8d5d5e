/*
 * A tracer whose child gets SIGSTOP and SIGCONT, and then SIGUSR1. Exit status 0: it hears of what it
 * stopped itself, and then only of the last; else the line on standard error says of what.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	int first, second;
	pid_t child = fork();

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		raise(SIGSTOP);
		raise(SIGCONT);
		raise(SIGUSR1);
		_exit(0);
	}
	waitpid(child, &first, 0);
	ptrace(PTRACE_CONT, child, 0, 0);
	waitpid(child, &second, 0);
	kill(child, SIGKILL);
	if (!WIFSTOPPED(first) || WSTOPSIG(first) != SIGSTOP || !WIFSTOPPED(second) || WSTOPSIG(second) != SIGUSR1) {
		fprintf(stderr, "stopped with %d and %d\n", WSTOPSIG(first), WSTOPSIG(second));
		return 1;
	}
	return 0;
}

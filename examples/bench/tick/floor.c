/*
 * The least that reading the resident memory of processes can cost: one pread of a held
 * /proc/PID/statm for each, in a loop, and the two numbers parsed. Prints nanoseconds per process.
 *
 * cc -O2 -o floor floor.c && ./floor [processes] [rounds]
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long number(const char **p)
{
	long n = 0;
	while (**p == ' ')
		(*p)++;
	while (**p >= '0' && **p <= '9')
		n = n * 10 + *(*p)++ - '0';
	return n;
}

int main(int argc, char **argv)
{
	int processes = argc > 1 ? atoi(argv[1]) : 500;
	int rounds = argc > 2 ? atoi(argv[2]) : 1000;
	pid_t *pids = calloc(processes, sizeof *pids);
	int *fds = calloc(processes, sizeof *fds);
	volatile long resident = 0, shared = 0;
	struct timespec from, to;
	char name[64], buf[4096];
	int status = 0;

	for (int i = 0; i < processes; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			execlp("sleep", "sleep", "105.25", (char *)NULL);
			_exit(127);
		}
	}
	sleep(1); /* until all of them sleep */
	for (int i = 0; i < processes; i++) {
		snprintf(name, sizeof name, "/proc/%d/statm", (int)pids[i]);
		fds[i] = open(name, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0) {
			perror(name);
			status = 1;
			goto end;
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int r = 0; r < rounds; r++) {
		for (int i = 0; i < processes; i++) {
			ssize_t n = pread(fds[i], buf, sizeof buf - 1, 0);
			const char *p = buf;
			if (n <= 0) {
				perror("pread");
				status = 1;
				goto end;
			}
			buf[n] = 0;
			number(&p);
			resident += number(&p);
			shared += number(&p);
		}
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("%.0f\n", ((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec)) / rounds / processes);
end:
	for (int i = 0; i < processes; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	return status;
}

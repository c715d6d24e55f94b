// A herd of idle processes in groups: herd N GROUPS. Each child takes the name spw-GROUP, touches
// 256 KiB and sleeps; all end with the parent.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
	if (argc != 3) {
		fprintf(stderr, "usage: herd N GROUPS\n");
		return 2;
	}
	int n = atoi(argv[1]), groups = atoi(argv[2]);
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			perror("fork");
			kill(0, SIGKILL);
			return 1;
		}
		if (pid > 0)
			continue;
		char name[16];
		snprintf(name, sizeof name, "spw-%02d", i % groups);
		prctl(PR_SET_NAME, name);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		char *p = malloc(256 << 10);
		memset(p, 1, 256 << 10);
		for (;;)
			pause();
	}
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

// The longest time that mapping and unmapping takes in a process of SIZE MiB, for SECONDS: what a
// reader of /proc/PID/smaps makes it wait, because both need the lock of the address space.
// Prints microseconds: median, 99.9th percentile, maximum.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int cmp(const void *a, const void *b) {
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv) {
	if (argc != 3) {
		fprintf(stderr, "usage: stall MIB SECONDS\n");
		return 2;
	}
	size_t size = (size_t)atol(argv[1]) << 20;
	double seconds = atof(argv[2]);
	prctl(PR_SET_NAME, "spw-stall");
	char *big = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (big == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	madvise(big, size, MADV_NOHUGEPAGE); // small pages: the most that a walk of them can cost
	memset(big, 1, size);
	size_t most = 20000000, n = 0;
	float *took = malloc(most * sizeof *took);
	memset(took, 0, most * sizeof *took);
	double end = now() + seconds;
	while (n < most) {
		double a = now();
		if (a > end)
			break;
		char *p = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p[0] = 1;
		munmap(p, 65536);
		took[n++] = (now() - a) * 1e6;
		struct timespec pause = {0, 20000};
		nanosleep(&pause, 0);
	}
	qsort(took, n, sizeof *took, cmp);
	printf("%.1f %.1f %.1f\n", took[n / 2], took[n - 1 - n / 1000], took[n - 1]);
	return 0;
}

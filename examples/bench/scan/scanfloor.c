//go:build ignore

/* The least that a scan can cost: getdents64 into one buffer, one statx per file, sums, and
 * nothing else: no names chosen, no limits, no races, no mounts, no bound on descriptors.
 *
 *   scanfloor DIR
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct dirent64 {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static uint64_t files, folders, empty, size, blocks;
static int64_t oldest = INT64_MAX;

static void walk(int fd)
{
	char *buf = malloc(64 << 10);
	long n;

	folders++;
	while ((n = syscall(SYS_getdents64, fd, buf, 64 << 10)) > 0) {
		for (long at = 0; at < n;) {
			struct dirent64 *d = (void *)(buf + at);
			struct statx st;

			at += d->reclen;
			if (d->type == 4 && strcmp(d->name, ".") && strcmp(d->name, "..")) {
				int sub = openat(fd, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
				if (sub >= 0) {
					walk(sub);
					close(sub);
				}
			}
			if (d->type != 8)
				continue;
			if (syscall(SYS_statx, fd, d->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
				    STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_INO | STATX_SIZE |
					    STATX_BLOCKS | STATX_ATIME | STATX_MTIME | STATX_CTIME,
				    &st))
				continue;
			files++;
			empty += st.stx_size == 0;
			size += st.stx_size;
			blocks += st.stx_blocks;
			int64_t t = st.stx_mtime.tv_sec * 1000000000 + st.stx_mtime.tv_nsec;
			int64_t c = st.stx_ctime.tv_sec * 1000000000 + st.stx_ctime.tv_nsec;
			if (c > t)
				t = c;
			if (t < oldest)
				oldest = t;
		}
	}
	free(buf);
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0) {
		fprintf(stderr, "give one folder that can be read\n");
		return 2;
	}
	walk(fd);
	printf("files %lu folders %lu empty %lu size %lu allocated %lu oldest %ld\n", files, folders, empty, size, blocks * 512, oldest);
	return 0;
}

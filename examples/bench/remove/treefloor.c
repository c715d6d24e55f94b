//go:build ignore

/* The least that the removal of a tree can cost when all of it is looked at before the first file goes: one listing
 * with a look at each file, and one with the removal of each. No folder is looked at, no name is kept, no error is
 * handled, and one thread does all.
 *
 *   treefloor plain DIR   the look is statx: times, owner, links, kind
 *   treefloor lease DIR   the look is also a lease: open, statx, fcntl, close
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

static int leases;

static void look(int dir, const char *name)
{
	struct statx st;
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;

	if (!leases) {
		syscall(SYS_statx, dir, name, flags, STATX_BASIC_STATS, &st);
		return;
	}
	int fd = syscall(SYS_openat, dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
	syscall(SYS_statx, fd, "", flags | AT_EMPTY_PATH, STATX_BASIC_STATS, &st);
	syscall(SYS_fcntl, fd, F_SETLEASE, F_WRLCK);
	syscall(SYS_close, fd);
}

static void walk(int fd, int removes)
{
	char *buf = malloc(16 << 10);
	long n;

	while ((n = syscall(SYS_getdents64, fd, buf, 16 << 10)) > 0) {
		for (long at = 0; at < n;) {
			struct dirent64 *d = (void *)(buf + at);

			at += d->reclen;
			if (!strcmp(d->name, ".") || !strcmp(d->name, ".."))
				continue;
			if (d->type == 4) {
				int sub = openat(fd, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
				if (sub >= 0) {
					walk(sub, removes);
					close(sub);
				}
			}
			if (removes)
				syscall(SYS_unlinkat, fd, d->name, d->type == 4 ? AT_REMOVEDIR : 0);
			else if (d->type == 8)
				look(fd, d->name);
		}
	}
	free(buf);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "treefloor plain|lease DIR\n");
		return 2;
	}
	leases = !strcmp(argv[1], "lease");
	for (int removes = 0; removes < 2; removes++) {
		int fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0) {
			perror(argv[2]);
			return 1;
		}
		walk(fd, removes);
		close(fd);
	}
	return rmdir(argv[2]) ? 1 : 0;
}

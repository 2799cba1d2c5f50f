/*
 * full_disk.c
 *	  Loaded before the C library into a server of the tests: while the file
 *	  that STACKLENS_FULL_DISK names exists, the volume of pg_wal is full.
 *
 * As on a real one, what is there can be overwritten: only new segments can't
 * be made.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int
is_full(int fd)
{
	const char *flag = getenv("STACKLENS_FULL_DISK");
	char link[64],
		path[4096];
	ssize_t n;

	if (!flag || access(flag, F_OK) != 0)
		return 0;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return 0;
	path[n] = '\0';
	return strstr(path, "/pg_wal/xlogtemp.") != NULL;
}

#define FAIL_IF_FULL(fd)    \
	do                      \
	{                       \
		if (is_full(fd))    \
		{                   \
			errno = ENOSPC; \
			return -1;      \
		}                   \
	} while (0)

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t);

	FAIL_IF_FULL(fd);
	if (!real)
		*(void **) &real = dlsym(RTLD_NEXT, "pwritev");
	return real(fd, iov, n, offset);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
	return pwritev(fd, iov, n, offset);
}

ssize_t
pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	FAIL_IF_FULL(fd);
	if (!real)
		*(void **) &real = dlsym(RTLD_NEXT, "pwrite");
	return real(fd, bytes, n, offset);
}

ssize_t
pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
	return pwrite(fd, bytes, n, offset);
}

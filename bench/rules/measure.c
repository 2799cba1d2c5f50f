/*
 * measure.c
 *	  Runs a command and writes what it took, by wait4, to a file:
 *
 *		measure FILE COMMAND ARGUMENT...
 *
 * One line: CPU seconds (user and system, all threads), elapsed seconds, peak
 * resident memory in KB, and the status of wait.  (time(1) and Perl's times
 * count in steps of 10 ms.)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double
seconds(struct timeval t)
{
	return (double) t.tv_sec + (double) t.tv_usec / 1e6;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	struct rusage usage;
	FILE *out;
	double start = now();
	int status;
	pid_t pid;

	if (argc < 3)
	{
		fputs("usage: measure FILE COMMAND ARGUMENT...\n", stderr);
		return 2;
	}
	pid = fork();
	if (pid == 0)
	{
		execvp(argv[2], argv + 2);
		fprintf(stderr, "could not run \"%s\": %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
	{
		perror("measure");
		return 2;
	}
	out = fopen(argv[1], "w");
	if (!out ||
		fprintf(out, "%.6f %.6f %ld %d\n", seconds(usage.ru_utime) + seconds(usage.ru_stime),
				now() - start, usage.ru_maxrss, status) < 0 ||
		fclose(out) != 0)
	{
		perror(argv[1]);
		return 2;
	}
	return 0;
}

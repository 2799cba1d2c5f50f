/*
 * secret.c
 *	  Secrets by reference.
 *
 * A table holds "env:NAME" or "file:NAME", never the secret: so a dump, a view
 * and a log can't show it.  The worker that needs it resolves it when it does.
 * Which variables there are is the superuser's to say (stacklens.secret_env),
 * and files lie in one folder (stacklens.secrets_directory).
 */
#include "stacklens.h"

#include "utils/builtins.h"
#include "utils/varlena.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A secret is no longer than this: keys are some kB. */
#define SECRET_MAX 65536

char *sl_secret_env;
char *sl_secret_hosts;
char *sl_secrets_directory;

/* Is a name in a list, in which * stands for any end, or beginning, of one? */
static bool
is_listed(const char *names, const char *name)
{
	char *list = pstrdup(names ? names : "");
	size_t length = strlen(name);

	for (char *entry = strtok(list, ", "); entry; entry = strtok(NULL, ", "))
	{
		size_t n = strlen(entry);

		if (strcmp(entry, name) == 0 || (entry[n - 1] == '*' && strncmp(entry, name, n - 1) == 0) ||
			(entry[0] == '*' && length >= n - 1 && strcmp(entry + 1, name + length - (n - 1)) == 0))
			return true;
	}
	return false;
}

bool
sl_secret_may_go_to(const char *addresses, sl_error *err)
{
	char *list = pstrdup(addresses);
	char *rest;

	for (char *address = strtok_r(list, ", ", &rest); address; address = strtok_r(NULL, ", ", &rest))
	{
		char *scheme = strstr(address, "://"),
			 *host = scheme ? scheme + 3 : address,
			 *port;

		/* "[::1]:9092", "host:9092", "host" */
		port = host[0] == '[' ? strchr(host, ']') : strrchr(host, ':');
		if (host[0] == '[')
			host++;
		if (port)
			*port = '\0';
		if (is_listed(sl_secret_hosts, host))
			continue;
		sl_fail(err, "42501", "secrets may not be sent to host \"%s\"", host);
		sl_error_hint(err, "A superuser adds it to stacklens.secret_hosts.");
		return false;
	}
	return true;
}

static bool
is_component(const char *name)
{
	return name[0] && !strchr(name, '/') && name[0] != '.';
}

bool
sl_secret_check(const char *reference, sl_error *err)
{
	if (strncmp(reference, "env:", 4) == 0)
	{
		if (is_listed(sl_secret_env, reference + 4))
			return true;
		sl_fail(err, SL_INVALID_PARAMETER, "environment variable \"%s\" is not one that secrets may come from", reference + 4);
		sl_error_hint(err, "stacklens.secret_env lists them: %s.", sl_secret_env ? sl_secret_env : "");
		return false;
	}
	if (strncmp(reference, "file:", 5) == 0)
	{
		if (is_component(reference + 5))
			return true;
		sl_fail(err, SL_INVALID_PARAMETER, "a secret's file is named without a path");
		sl_error_hint(err, "\"file:NAME\" is a file in stacklens.secrets_directory.");
		return false;
	}
	/* it may be the secret itself: it isn't repeated */
	sl_fail(err, SL_INVALID_PARAMETER, "a secret is written as a reference, not as itself");
	sl_error_hint(err, "Write env:NAME (stacklens.secret_env lists the names), or file:NAME (a file in stacklens.secrets_directory).");
	return false;
}

static char *
read_file(const char *name, sl_error *err)
{
	char path[MAXPGPATH];
	struct stat st;
	char *secret = palloc0(SECRET_MAX + 1);
	ssize_t n;
	int fd;

	if (!sl_secrets_directory || !sl_secrets_directory[0])
	{
		sl_fail(err, "55000", "secret \"file:%s\" has no folder", name);
		sl_error_hint(err, "Set stacklens.secrets_directory.");
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/%s", sl_secrets_directory, name);
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
	{
		sl_fail(err, "58P01", "secret \"file:%s\" is no file that the server can read", name);
		sl_error_hint(err, "It is a plain file in stacklens.secrets_directory, and no link.");
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	n = read(fd, secret, SECRET_MAX);
	close(fd);
	/* an editor's last newline is no part of it */
	while (n > 0 && (secret[n - 1] == '\n' || secret[n - 1] == '\r'))
		n--;
	secret[Max(n, 0)] = '\0';
	return secret;
}

char *
sl_secret_resolve(const char *reference, sl_error *err)
{
	const char *value;

	if (!sl_secret_check(reference, err))
		return NULL;
	if (reference[0] == 'f')
		return read_file(reference + 5, err);
	value = getenv(reference + 4);
	if (!value)
	{
		sl_fail(err, "58P01", "environment variable \"%s\" is not set in the server", reference + 4);
		sl_error_hint(err, "Set it for the postmaster, and restart.");
		return NULL;
	}
	return pstrdup(value);
}

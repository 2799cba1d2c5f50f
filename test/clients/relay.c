/*
 * relay.c
 *	  A network that tests can cut: hands bytes on between clients and servers
 *	  of this machine.
 *
 *		relay PORT TARGET_PORT [PORT TARGET_PORT]...
 *
 * Says "ready" once it listens.  Stopped by SIGSTOP it is a network on which
 * nothing gets through, and killed it is one that resets all connections.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_SOCKETS 1024
#define BUFFER 65536

/* One end of a connection: what was read of it waits for the other end. */
typedef struct end
{
	int fd;
	int other;	/* its index */
	int target; /* of a listener: the port to connect to; else 0 */
	size_t n;	/* bytes that wait */
	char *bytes;
} end;

static end ends[MAX_SOCKETS];
static int n_ends;

static void
fail(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static struct sockaddr_in
address_of(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t) port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int
add(int fd, int target)
{
	for (int i = 0; i < MAX_SOCKETS; i++)
		if (i == n_ends || ends[i].fd < 0)
		{
			if (i == n_ends)
				n_ends++;
			ends[i] = (end){.fd = fd, .other = -1, .target = target, .bytes = target ? NULL : malloc(BUFFER)};
			return i;
		}
	close(fd);
	return -1;
}

/* Both ends at once: what waited is lost, as with a reset. */
static void
drop(int i)
{
	for (int k = 0; k < 2 && i >= 0; k++)
	{
		int other = ends[i].other;

		if (ends[i].fd >= 0)
		{
			close(ends[i].fd);
			free(ends[i].bytes);
			ends[i] = (end){.fd = -1, .other = -1};
		}
		i = other;
	}
}

static void
take(int listener)
{
	struct sockaddr_in address = address_of(ends[listener].target);
	int client = accept4(ends[listener].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC),
		server,
		one = 1,
		a,
		b;

	if (client < 0)
		return;
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0 || connect(server, (struct sockaddr *) &address, sizeof(address)) != 0)
	{
		close(client);
		if (server >= 0)
			close(server);
		return;
	}
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	a = add(client, 0);
	b = add(server, 0);
	if (a < 0 || b < 0)
	{
		if (a >= 0)
			drop(a);
		if (b >= 0)
			drop(b);
		return;
	}
	ends[a].other = b;
	ends[b].other = a;
}

/* Reads of an end what its buffer has room for. */
static void
get(int i)
{
	ssize_t n = recv(ends[i].fd, ends[i].bytes + ends[i].n, BUFFER - ends[i].n, MSG_DONTWAIT);

	if (n > 0)
		ends[i].n += (size_t) n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		drop(i);
}

/* Sends to an end what waits for it. */
static void
put(int i)
{
	end *from = &ends[ends[i].other];
	ssize_t n = send(ends[i].fd, from->bytes, from->n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		drop(i);
	else if (n > 0)
	{
		memmove(from->bytes, from->bytes + n, from->n - (size_t) n);
		from->n -= (size_t) n;
	}
}

int
main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i + 1 < argc; i += 2)
	{
		struct sockaddr_in address = address_of(atoi(argv[i]));
		int one = 1,
			fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(fd, 128) != 0)
			fail(argv[i]);
		add(fd, atoi(argv[i + 1]));
	}
	puts("ready");
	fflush(stdout);
	for (;;)
	{
		struct pollfd polled[MAX_SOCKETS];
		int n = n_ends;

		for (int i = 0; i < n; i++)
		{
			end *e = &ends[i];

			polled[i] = (struct pollfd){.fd = e->fd, .events = e->target || e->n < BUFFER ? POLLIN : 0};
			if (e->fd >= 0 && e->other >= 0 && ends[e->other].n > 0)
				polled[i].events |= POLLOUT;
		}
		if (poll(polled, (nfds_t) n, -1) < 0 && errno != EINTR)
			fail("poll");
		/* an end may be gone, and its place taken anew, since it was polled: then these don't block, and find nothing */
		for (int i = 0; i < n; i++)
		{
			if (ends[i].fd != polled[i].fd || polled[i].revents == 0)
				continue;
			if (ends[i].target)
				take(i);
			else if (polled[i].revents & POLLOUT)
				put(i);
			else if (ends[i].n < BUFFER)
				get(i);
			else
				drop(i);
		}
	}
}

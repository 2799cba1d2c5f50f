/*
 * null_elasticsearch.c
 *	  An Elasticsearch that keeps nothing: it counts what bulks bring, and says
 *	  that all is well. Real HTTP, a thread a connection.
 *
 *		null_elasticsearch PORT
 *
 * GET /documents tells how many came.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_long documents;
static char template[65536];

static bool
send_all(int fd, const char *p, size_t n)
{
	while (n > 0)
	{
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t) sent;
	}
	return true;
}

static bool
answer(int fd, int status, const char *body, size_t n)
{
	char head[200];
	int length = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
						  status, status == 200 ? "OK" : "Not Found", n);

	return send_all(fd, head, (size_t) length) && send_all(fd, body, n);
}

static bool
answer_bulk(int fd, const char *body, size_t n, bool filtered)
{
	const char *item = filtered ? "{\"create\":{\"status\":201}}"
								: "{\"create\":{\"_index\":\"x\",\"_id\":\"0123456789012345678901\",\"_version\":1,\"result\":\"created\",\"_seq_no\":1,\"_primary_term\":1,\"status\":201}}";
	long lines = 0;
	char *text,
		*to;
	bool ok;

	for (const char *p = body; (p = memchr(p, '\n', n - (size_t) (p - body))) != NULL; p++)
		lines++;
	atomic_fetch_add(&documents, lines / 2);
	text = malloc((strlen(item) + 1) * (size_t) (lines / 2) + 64);
	to = text + sprintf(text, "{\"took\":1,\"errors\":false,\"items\":[");
	for (long i = 0; i < lines / 2; i++)
		to += sprintf(to, "%s%s", i ? "," : "", item);
	to += sprintf(to, "]}");
	ok = answer(fd, 200, text, (size_t) (to - text));
	free(text);
	return ok;
}

static void *
serve(void *arg)
{
	int fd = (int) (intptr_t) arg;
	size_t room = 1 << 20,
		   n = 0;
	char *buffer = malloc(room + 1);

	for (;;)
	{
		char *end,
			*length;
		size_t head,
			body = 0;
		ssize_t got;
		bool ok;

		buffer[n] = '\0';
		while ((end = strstr(buffer, "\r\n\r\n")) == NULL)
		{
			if ((got = recv(fd, buffer + n, room - n, 0)) <= 0)
				goto done;
			n += (size_t) got;
			buffer[n] = '\0';
		}
		head = (size_t) (end - buffer) + 4;
		*end = '\0';
		if ((length = strcasestr(buffer, "\r\ncontent-length:")) != NULL)
			body = strtoul(length + 17, NULL, 10);
		if (strcasestr(buffer, "\r\nexpect: 100") != NULL)
			send_all(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		if (head + body > room)
			buffer = realloc(buffer, (room = head + body) + 1);
		while (n < head + body)
		{
			if ((got = recv(fd, buffer + n, room - n, 0)) <= 0)
				goto done;
			n += (size_t) got;
		}
		if (strstr(buffer, "_bulk") != NULL)
			ok = answer_bulk(fd, buffer + head, body, strstr(buffer, "filter_path") != NULL);
		else if (strncmp(buffer, "GET /documents", 14) == 0)
		{
			char text[64];
			int length = snprintf(text, sizeof(text), "%ld", atomic_load(&documents));

			ok = answer(fd, 200, text, (size_t) length);
		}
		else if (strncmp(buffer, "GET /_nodes", 11) == 0)
		{
			static const char nodes[] = "{\"nodes\":{\"x\":{\"version\":\"8.19.0\",\"build_flavor\":\"default\"}}}";

			ok = answer(fd, 200, nodes, sizeof(nodes) - 1);
		}
		else if (strncmp(buffer, "PUT /_index_template", 20) == 0)
		{
			snprintf(template, sizeof(template), "{\"index_templates\":[{\"name\":\"x\",\"index_template\":%.*s}]}", (int) body, buffer + head);
			ok = answer(fd, 200, "{}", 2);
		}
		else if (strncmp(buffer, "GET /_index_template", 20) == 0)
			ok = answer(fd, template[0] ? 200 : 404, template, strlen(template));
		else
			ok = answer(fd, 200, "{}", 2);
		if (!ok)
			break;
		memmove(buffer, buffer + head + body, n - head - body);
		n -= head + body;
	}
done:
	free(buffer);
	close(fd);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0),
		on = 1;

	address.sin_port = htons((uint16_t) (argc > 1 ? atoi(argv[1]) : 9200));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(fd, 64) != 0)
	{
		perror("null_elasticsearch");
		return 1;
	}
	for (;;)
	{
		int client = accept(fd, NULL, NULL);
		pthread_t thread;

		if (client < 0)
			continue;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (pthread_create(&thread, NULL, serve, (void *) (intptr_t) client) == 0)
			pthread_detach(thread);
		else
			close(client);
	}
}

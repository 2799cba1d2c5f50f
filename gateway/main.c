/*
 * main.c
 *	  stacklens-gateway: options, and the loop.
 */
#include "gateway.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

options opt = {
	.database = "dbname=stacklens",
	.listen = "127.0.0.1",
	.port = 3001,
	.ui = UI_DIRECTORY,
	.max_body = (size_t) 16 * 1024 * 1024};

struct lws_context *context;
long max_descriptors = 1024;

static volatile sig_atomic_t stop;

void
note(const char *format, ...)
{
	va_list args;
	char when[32];
	time_t now = time(NULL);
	struct tm utc;

	gmtime_r(&now, &utc);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &utc);
	fprintf(stderr, "%s UTC gateway: ", when);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	fflush(stderr);
}

static void
emit(int level, const char *line)
{
	(void) level;
	note("%.*s", (int) strcspn(line, "\n"), line);
}

static void
on_signal(int number)
{
	(void) number;
	stop = 1;
	lws_cancel_service(context);
}

static void
usage(FILE *out)
{
	fprintf(out,
			"stacklens-gateway " SL_VERSION ": StackLens's HTTP and WebSocket side\n"
			"\n"
			"usage: stacklens-gateway [options]\n"
			"  --database CONNINFO   PostgreSQL (default \"%s\"; libpq's PG* variables count)\n"
			"  --listen ADDRESS      where to listen (default %s; nothing but loopback without --trust-network)\n"
			"  --port N              HTTP, WebSocket and the admin page (default %d)\n"
			"  --otlp-port N         OTLP over HTTP there too (usually 4318; default: none)\n"
			"  --ui DIR              the admin page's files (default %s)\n"
			"  --max-body BYTES      largest request body, also once decompressed (default %zu)\n"
			"  --trust-network       listen on other addresses too, where something else guards the port:\n"
			"                        a container whose port is published on 127.0.0.1\n"
			"  --allow-host NAME     serve requests for this host name, too (up to 8 times); localhost and\n"
			"                        127.0.0.1 are always served, others are refused: 421\n"
			"  --version, --help\n"
			"\n"
			"There are no tokens yet: whoever can connect may read, ingest, acknowledge and resolve.\n",
			opt.database, opt.listen, opt.port, opt.ui, opt.max_body);
}

static long
number(const char *option, const char *text, long low, long high)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < low || value > high)
	{
		fprintf(stderr, "stacklens-gateway: --%s takes a number from %ld to %ld, not \"%s\"\n", option, low, high, text);
		exit(2);
	}
	return value;
}

static void
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{"database", required_argument, NULL, 'd'},
		{"listen", required_argument, NULL, 'l'},
		{"port", required_argument, NULL, 'p'},
		{"otlp-port", required_argument, NULL, 'o'},
		{"ui", required_argument, NULL, 'u'},
		{"max-body", required_argument, NULL, 'b'},
		{"trust-network", no_argument, NULL, 't'},
		{"allow-host", required_argument, NULL, 'a'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (c)
		{
			case 'd':
				opt.database = optarg;
				break;
			case 'l':
				opt.listen = optarg;
				break;
			case 'p':
				opt.port = (int) number("port", optarg, 1, 65535);
				break;
			case 'o':
				opt.otlp_port = (int) number("otlp-port", optarg, 1, 65535);
				break;
			case 'u':
				opt.ui = optarg;
				break;
			case 'b':
				opt.max_body = (size_t) number("max-body", optarg, 1024, 1L << 30);
				break;
			case 't':
				opt.trust_network = true;
				break;
			case 'a':
				if (opt.n_hosts == ALLOWED_HOSTS)
				{
					fprintf(stderr, "stacklens-gateway: --allow-host can be given %d times\n", ALLOWED_HOSTS);
					exit(2);
				}
				opt.hosts[opt.n_hosts++] = optarg;
				break;
			case 'v':
				puts("stacklens-gateway " SL_VERSION);
				exit(0);
			case 'h':
				usage(stdout);
				exit(0);
			default:
				fputs("Try stacklens-gateway --help.\n", stderr);
				exit(2);
		}
	if (optind < argc)
	{
		fprintf(stderr, "stacklens-gateway: unexpected argument \"%s\"; try --help\n", argv[optind]);
		exit(2);
	}
	if (!opt.trust_network && strncmp(opt.listen, "127.", 4) != 0 && strcmp(opt.listen, "localhost") != 0)
	{
		fprintf(stderr, "stacklens-gateway: \"%s\" is not loopback, and there are no tokens: anyone could read and change alerts\n"
						"hint: listen on 127.0.0.1, or say --trust-network where something else guards the port\n",
				opt.listen);
		exit(2);
	}
}

static struct lws_vhost *
listen_on(const struct lws_protocols *protocols, int port, const char *name)
{
	struct lws_context_creation_info info = {0};
	struct lws_vhost *vhost;

	info.port = port;
	info.iface = strcmp(opt.listen, "0.0.0.0") == 0 ? NULL : opt.listen;
	info.protocols = protocols;
	info.vhost_name = name;
	info.options = LWS_SERVER_OPTION_DISABLE_IPV6 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
	info.keepalive_timeout = 60;
	vhost = lws_create_vhost(context, &info);
	if (!vhost)
	{
		note("could not listen on %s port %d; is it taken?", opt.listen, port);
		exit(1);
	}
	return vhost;
}

int
main(int argc, char **argv)
{
	struct lws_protocols protocols[] = {
		{"http", http_callback, http_session_size(), 4096, 0, NULL, 0},
		{"db", db_callback, 0, 0, 0, NULL, 0},
		{NULL, NULL, 0, 0, 0, NULL, 0}};
	struct lws_context_creation_info info = {0};
	struct rlimit files;

	read_options(argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
		setrlimit(RLIMIT_NOFILE, &files);
		max_descriptors = (long) files.rlim_cur;
	}
	signal(SIGPIPE, SIG_IGN);
	lws_set_log_level(LLL_ERR | LLL_WARN, emit);
	if (!http_load_ui())
		return 1;
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	/* a request line and headers; the page's longest is far below */
	info.max_http_header_data = 16384;
	info.server_string = "stacklens";
	info.fd_limit_per_thread = 0;
	/* above db.c's patience: a request is answered, not cut */
	info.timeout_secs = 30;
	context = lws_create_context(&info);
	if (!context)
		return 1;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	db_start(listen_on(protocols, opt.port, "main"));
	if (opt.otlp_port && opt.otlp_port != opt.port)
		listen_on(protocols, opt.otlp_port, "otlp");
	feed_start();
	note("listening on http://%s:%d/", opt.listen, opt.port);
	while (!stop && lws_service(context, 0) >= 0)
		;
	note("stopping");
	db_stop();
	lws_context_destroy(context);
	return 0;
}

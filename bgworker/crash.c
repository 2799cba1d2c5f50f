/*
 * crash.c
 *	  See crash.h.
 */
#include "bgworker/crash.h"

#include "common/file_perm.h"
#include "common/hashfn.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Crashes are remembered for so long, and make the next worker careful for so long: seconds. */
#define REMEMBERED 3600
#define CAREFUL 600

#define PLACE_MAX 300
#define STACK_SIZE 65536
#define KNOWN_MAX 64

typedef struct crash
{
	char place[PLACE_MAX];
	int times;
} crash;

static crash known[KNOWN_MAX];
static int n_known;

/* What the handler writes: "SECONDS PLACE\n"; made beforehand. */
static char line[PLACE_MAX + 32];
static volatile sig_atomic_t line_length;
static int file = -1;

static void
on_crash(int number, siginfo_t *info, void *context)
{
	/* the postmaster ends others so, when one has crashed */
	bool ours = info->si_code > 0 || info->si_pid == getpid();

	/* the signal comes again once we return, and then does what it does */
	signal(number, SIG_DFL);
	if (ours && file >= 0 && line_length > 0 && write(file, line, line_length) < 0)
		line_length = 0;
	raise(number);
}

/* A panic for want of disk or its like is not the record's doing: nothing is noted. */
static emit_log_hook_type next_log_hook;

static void
on_log(ErrorData *edata)
{
	int class = ERRCODE_TO_CATEGORY(edata->sqlerrcode);

	if (edata->elevel >= PANIC && (class == ERRCODE_INSUFFICIENT_RESOURCES || class == ERRCODE_SYSTEM_ERROR))
		line_length = 0;
	if (next_log_hook)
		next_log_hook(edata);
}

static void
set_handlers(void)
{
	static char stack[STACK_SIZE];
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGABRT};
	stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_sigaction = on_crash, .sa_flags = SA_ONSTACK | SA_SIGINFO};

	/* a stack that has overflowed can't serve its own fault */
	if (sigaltstack(&other, NULL) != 0)
		elog(LOG, "could not set a signal stack: %m");
	sigemptyset(&action.sa_mask);
	for (int i = 0; i < lengthof(signals); i++)
		sigaction(signals[i], &action, NULL);
	next_log_hook = emit_log_hook;
	emit_log_hook = on_log;
}

static void
remember(const char *place)
{
	for (int i = 0; i < n_known; i++)
		if (strcmp(known[i].place, place) == 0)
		{
			known[i].times++;
			return;
		}
	if (n_known < KNOWN_MAX)
	{
		strlcpy(known[n_known].place, place, PLACE_MAX);
		known[n_known++].times = 1;
	}
}

static void
note_place(const char *place)
{
	line_length = 0;
	snprintf(line, sizeof(line), "%lld %s\n", (long long) time(NULL), place);
	line_length = (sig_atomic_t) strlen(line);
}

bool
sl_crash_init(const char *source)
{
	char path[MAXPGPATH];
	char text[PLACE_MAX + 64];
	time_t now = time(NULL);
	bool careful = false,
		 stale = true;
	FILE *old;

	/* beside what else is of this server's run only: base backups leave it out */
	snprintf(path, sizeof(path), "%s/stacklens_crashes.%08x", PG_STAT_TMP_DIR, hash_bytes((const unsigned char *) source, (int) strlen(source)));
	old = AllocateFile(path, "r");
	while (old && fgets(text, sizeof(text), old))
	{
		char *place = strchr(text, ' ');
		long long at = atoll(text);

		if (!place || now - at > REMEMBERED)
			continue;
		stale = false;
		careful = careful || now - at < CAREFUL;
		place[strcspn(place, "\n")] = '\0';
		if (place[1])
			remember(place + 1);
	}
	if (old)
		FreeFile(old);
	file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, pg_file_create_mode);
	if (file < 0)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not open file \"%s\": %m", path)));
	/* never unlinked: other evaluators of the source have it open */
	else if (stale && ftruncate(file, 0) != 0)
		ereport(LOG, (errcode_for_file_access(), errmsg("could not truncate file \"%s\": %m", path)));
	set_handlers();
	sl_crash_leave();
	if (careful)
		ereport(LOG,
				(errmsg("a worker of source \"%s\" crashed: its records are judged one by one for a while", source),
				 errdetail("A record that crashes a worker twice is set aside in stacklens.dead_letters.")));
	return careful;
}

bool
sl_crash_enter(const char *place, sl_error *why)
{
	note_place(place);
	for (int i = 0; i < n_known; i++)
		if (known[i].times >= 2 && strcmp(known[i].place, place) == 0)
		{
			sl_fail(why, "57P02", "workers crashed when they judged this, twice");
			sl_error_detail(why, "The server's log has the signal and, where cores are kept, one of them tells more.");
			return true;
		}
	return false;
}

void
sl_crash_leave(void)
{
	note_place("");
}

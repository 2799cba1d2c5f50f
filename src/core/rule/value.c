/*
 * value.c
 *	  Sigma's values: strings with their escapes and wildcards, addresses,
 *	  parts of times.
 *
 * "\*" and "\?" are literal, "\\" is one backslash, a backslash before
 * anything else is itself.  A pattern whose wildcards stand at its ends only
 * becomes contains, startswith or endswith; what remains is a glob.
 */
#include "reader.h"
#include "../utf8.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

sl_str
sl_glob_read(sl_arena *arena, sl_str written)
{
	char *glob = sl_alloc(arena, written.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < written.n; i++)
	{
		char c = written.p[i];
		char next = i + 1 < written.n ? written.p[i + 1] : '\0';

		if (c == '\\' && (next == '*' || next == '?' || next == '\\'))
		{
			glob[n++] = next;
			i++;
		}
		else
			glob[n++] = c == '*' ? SL_ANY_RUN : c == '?' ? SL_ANY_ONE
														 : c;
	}
	return (sl_str){glob, n};
}

static bool
is_wildcard(char c)
{
	return c == SL_ANY_RUN || c == SL_ANY_ONE;
}

bool
sl_glob_has_wildcards(sl_str glob)
{
	for (size_t i = 0; i < glob.n; i++)
		if (is_wildcard(glob.p[i]))
			return true;
	return false;
}

sl_str
sl_glob_widen(sl_arena *arena, sl_str glob, bool before, bool after)
{
	char *p = sl_alloc(arena, glob.n + 3);
	size_t n = 0;

	if (before && (glob.n == 0 || glob.p[0] != SL_ANY_RUN))
		p[n++] = SL_ANY_RUN;
	if (glob.n)
		memcpy(p + n, glob.p, glob.n);
	n += glob.n;
	if (after && (n == 0 || p[n - 1] != SL_ANY_RUN))
		p[n++] = SL_ANY_RUN;
	return (sl_str){p, n};
}

/* Folds between the wildcards: their bytes are no UTF-8. */
sl_str
sl_fold_glob(sl_arena *arena, sl_str glob)
{
	sl_buf folded;
	size_t from = 0;

	sl_buf_init(&folded, arena, glob.n + 16);
	for (size_t i = 0; i <= glob.n; i++)
		if (i == glob.n || is_wildcard(glob.p[i]))
		{
			sl_str part = sl_fold(arena, (sl_str){glob.p + from, i - from});

			sl_buf_add(&folded, part.p, part.n);
			if (i < glob.n)
				sl_buf_putc(&folded, glob.p[i]);
			from = i + 1;
		}
	return (sl_str){folded.p, folded.n};
}

void
sl_glob_classify(sl_arena *arena, sl_str glob, bool cased, sl_predicate *out)
{
	bool first = glob.n > 0 && glob.p[0] == SL_ANY_RUN;
	bool last = glob.n > first && glob.p[glob.n - 1] == SL_ANY_RUN;
	sl_str text = {glob.p + first, glob.n - first - last};

	out->cased = cased;
	if (sl_glob_has_wildcards(text))
	{
		out->op = SL_OP_GLOB;
		text = glob;
	}
	else
		out->op = first && (last || text.n == 0) ? SL_OP_CONTAINS /* a lone * is any value */
				  : first						 ? SL_OP_ENDSWITH
				  : last						 ? SL_OP_STARTSWITH
												 : SL_OP_EQUALS;
	out->text = cased ? text : sl_fold_glob(arena, text);
}

/*
 * Greedy with one place to go back to: when what follows the last "*" fails,
 * that "*" takes one character more.  No earlier one ever has to.
 */
bool
sl_glob(sl_str glob, sl_str s)
{
	size_t g = 0,
		   i = 0,
		   star = SIZE_MAX,
		   resume = 0;

	while (i < s.n)
	{
		if (g < glob.n && glob.p[g] == SL_ANY_RUN)
		{
			star = g++;
			resume = i;
		}
		else if (g < glob.n && glob.p[g] == SL_ANY_ONE)
		{
			g++;
			i += (size_t) sl_utf8_len((unsigned char) s.p[i]);
		}
		else if (g < glob.n && glob.p[g] == s.p[i])
		{
			g++;
			i++;
		}
		else if (star != SIZE_MAX)
		{
			resume += (size_t) sl_utf8_len((unsigned char) s.p[resume]);
			i = resume;
			g = star + 1;
		}
		else
			return false;
	}
	while (g < glob.n && glob.p[g] == SL_ANY_RUN)
		g++;
	return g == glob.n;
}

bool
sl_address_read(sl_str s, sl_address *address)
{
	char text[INET6_ADDRSTRLEN + 1];

	if (s.n < 2 || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (memchr(text, ':', s.n))
		return inet_pton(AF_INET6, text, address->bytes) == 1;
	memset(address->bytes, 0, 10);
	memset(address->bytes + 10, 0xFF, 2);
	return inet_pton(AF_INET, text, address->bytes + 12) == 1;
}

bool
sl_network_read(sl_str s, sl_address *network, int *bits)
{
	const char *slash = memchr(s.p, '/', s.n);
	size_t at = slash ? (size_t) (slash - s.p) : s.n;
	int offset;

	if (!sl_address_read((sl_str){s.p, at}, network))
		return false;
	offset = memchr(s.p, ':', at) ? 0 : 96;
	*bits = 128;
	if (slash)
	{
		int n = 0;

		if (at + 1 == s.n || s.n - at > 4)
			return false;
		for (size_t i = at + 1; i < s.n; i++)
		{
			if (s.p[i] < '0' || s.p[i] > '9')
				return false;
			n = n * 10 + s.p[i] - '0';
		}
		*bits = n + offset;
		if (*bits > 128)
			return false;
	}
	for (int i = 0; i < 16; i++)
	{
		int keep = *bits - i * 8;

		if (keep < 8)
			network->bytes[i] &= (uint8_t) (keep <= 0 ? 0 : 0xFF << (8 - keep));
	}
	return true;
}

const char *const sl_time_part_name[] = {"minute", "hour", "day", "week", "month", "year"};

int
sl_time_part_of(int64_t ns, sl_time_part part)
{
	time_t seconds = (time_t) (ns / 1000000000 - (ns % 1000000000 < 0));
	struct tm tm;
	char week[8];

	gmtime_r(&seconds, &tm);
	switch (part)
	{
		case SL_MINUTE:
			return tm.tm_min;
		case SL_HOUR:
			return tm.tm_hour;
		case SL_DAY:
			return tm.tm_mday;
		case SL_WEEK:
			strftime(week, sizeof(week), "%V", &tm);
			return (week[0] - '0') * 10 + week[1] - '0';
		case SL_MONTH:
			return tm.tm_mon + 1;
		case SL_YEAR:
			return tm.tm_year + 1900;
	}
	return -1;
}

/*
 * value.c
 *	  Sigma's strings: escapes, wildcards, and matching them.
 *
 * "\*" and "\?" are literal, "\\" is one backslash, a backslash before
 * anything else is itself.  A pattern whose wildcards stand at its ends only
 * becomes contains, startswith or endswith; what remains is a glob.
 */
#include "rule.h"
#include "../utf8.h"

void
sl_pattern_read(sl_arena *arena, sl_str written, bool add_before, bool add_after,
				bool cased, sl_predicate *out)
{
	char *glob = sl_alloc(arena, written.n + 3);
	size_t n = 0,
		   first,
		   last,
		   inner = 0;
	sl_str text;

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
	if (add_before && (n == 0 || glob[0] != SL_ANY_RUN))
	{
		memmove(glob + 1, glob, n++);
		glob[0] = SL_ANY_RUN;
	}
	if (add_after && (n == 0 || glob[n - 1] != SL_ANY_RUN))
		glob[n++] = SL_ANY_RUN;

	first = n > 0 && glob[0] == SL_ANY_RUN;
	last = n > first && glob[n - 1] == SL_ANY_RUN;
	for (size_t i = first; i < n - last; i++)
		inner += glob[i] == SL_ANY_RUN || glob[i] == SL_ANY_ONE;
	if (inner)
	{
		first = last = 0;
		out->op = SL_OP_GLOB;
	}
	else
		out->op = first && last ? SL_OP_CONTAINS : first ? SL_OP_ENDSWITH
											   : last	 ? SL_OP_STARTSWITH
														 : SL_OP_EQUALS;
	/* a lone * is any value: contains of nothing */
	if (first && n == 1)
		out->op = SL_OP_CONTAINS;
	text = (sl_str){glob + first, n - first - last};
	out->cased = cased;
	if (cased || !inner)
	{
		out->text = cased ? text : sl_fold(arena, text);
		return;
	}

	/* fold between the wildcards: their bytes are no UTF-8 */
	{
		sl_buf folded;
		size_t from = 0;

		sl_buf_init(&folded, arena, n + 16);
		for (size_t i = 0; i <= n; i++)
			if (i == n || glob[i] == SL_ANY_RUN || glob[i] == SL_ANY_ONE)
			{
				sl_str part = sl_fold(arena, (sl_str){glob + from, i - from});

				sl_buf_add(&folded, part.p, part.n);
				if (i < n)
					sl_buf_putc(&folded, glob[i]);
				from = i + 1;
			}
		out->text = (sl_str){folded.p, folded.n};
	}
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

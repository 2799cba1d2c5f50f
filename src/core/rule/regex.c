/*
 * regex.c
 *	  Regular expressions: PCRE2 says what they mean, and a budget of work how
 *	  long it may look for them.
 *
 * PCRE2's machine code is faster, and isn't used: its version 10.42 doesn't
 * count what goes back between alternatives, so that "^(\w|a)(\w|a)…" takes
 * hours, and misses "(?1)s|(a*+)" in "kkk".
 *
 * PCRE2's own limit counts the steps from each place of a text anew, and not
 * what one step reads: "\d+ error" takes 10 s to miss in 100,000 digits and
 * makes no step that would count.  So a search is tried twice.  First as it
 * is, where the text is short and a limit on steps says enough.  What comes
 * to that limit, and every longer text, is searched by a second form of the
 * expression, in which PCRE2 calls us before each item: the callouts and the
 * bytes that lie between them are the work, and depend on nothing else.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PCRE2_CODE_UNIT_WIDTH 8
#include "rule.h"

#include <pcre2.h>
#include <stdlib.h>
#include <time.h>

/*
 * A text as short as this, and as many steps from each of its places, need no
 * account: fewer where it is longer, since each may read all of it.
 */
#define SHORT_TEXT 2048
#define SHORT_STEPS 500
#define SHORT_WORK 131072000

/* What a search may cost: a callout is about 16 of what a byte costs. */
#define CALLOUT_WORK 16
#define WORK 64000000
#define WORK_PER_BYTE 100

/*
 * One item may read much and not move, so that the work doesn't show (a class
 * that must come 50,000 times).  The clock is asked once in so many callouts.
 */
#define CALLOUTS_PER_LOOK 256
#define CPU_SECONDS 2

#define HEAP_KB 4096

/* Of expressions too large to be compiled with callouts. */
#define BLIND_STEPS 1000000

struct sl_regex
{
	sl_str expression;
	unsigned flags;
	pcre2_code *plain;
	pcre2_code *counted; /* made when first needed */
	bool uncountable;	 /* too large for it */
};

struct sl_regex_scratch
{
	pcre2_match_data *found;
	pcre2_match_context *plain;
	pcre2_match_context *counted;
	uint64_t left; /* of the work that the search may do */
	size_t at;	   /* in the text, at the last callout */
	uint32_t callouts;
	struct timespec until; /* of this thread's CPU time */
};

static pcre2_code *
compile(const sl_regex *regex, uint32_t options, int *number, size_t *offset)
{
	PCRE2_SIZE at = 0;
	pcre2_code *code;

	options |= PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C;
	if (regex->flags & SL_REGEX_IGNORE_CASE)
		options |= PCRE2_CASELESS;
	if (regex->flags & SL_REGEX_MULTILINE)
		options |= PCRE2_MULTILINE;
	if (regex->flags & SL_REGEX_DOTALL)
		options |= PCRE2_DOTALL;
	code = pcre2_compile((PCRE2_SPTR) regex->expression.p, regex->expression.n, options, number, &at, NULL);
	*offset = at;
	return code;
}

sl_regex *
sl_regex_new(sl_str expression, unsigned flags, sl_error *err, size_t *offset)
{
	sl_regex *regex = calloc(1, sizeof(*regex));
	int number = PCRE2_ERROR_NOMEMORY;

	*offset = 0;
	if (regex)
	{
		regex->expression = expression;
		regex->flags = flags;
		regex->plain = compile(regex, 0, &number, offset);
	}
	if (!regex || !regex->plain)
	{
		PCRE2_UCHAR why[200];

		pcre2_get_error_message(number, why, sizeof(why));
		sl_fail(err, SL_SYNTAX, "regular expression does not compile: %s", (const char *) why);
		sl_error_detail(err, "At offset %zu of \"%.*s\".", *offset, SL_STR_FMT(expression));
		sl_regex_free(regex);
		return NULL;
	}
	return regex;
}

void
sl_regex_free(sl_regex *regex)
{
	if (!regex)
		return;
	pcre2_code_free(regex->plain);
	pcre2_code_free(regex->counted);
	free(regex);
}

static bool
later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static int
count_work(pcre2_callout_block *block, void *arg)
{
	sl_regex_scratch *s = arg;
	size_t at = block->current_position;
	uint64_t work = CALLOUT_WORK + (at > s->at ? at - s->at : s->at - at);

	s->at = at;
	if (work > s->left)
		return PCRE2_ERROR_CALLOUT;
	s->left -= work;
	if (++s->callouts % CALLOUTS_PER_LOOK == 0)
	{
		struct timespec now;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
		if (later(now, s->until))
			return PCRE2_ERROR_CALLOUT;
	}
	return 0;
}

sl_regex_scratch *
sl_regex_scratch_new(void)
{
	sl_regex_scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->found = pcre2_match_data_create(1, NULL);
	s->plain = pcre2_match_context_create(NULL);
	s->counted = pcre2_match_context_create(NULL);
	if (!s->found || !s->plain || !s->counted)
	{
		sl_regex_scratch_free(s);
		return NULL;
	}
	pcre2_set_heap_limit(s->plain, HEAP_KB);
	pcre2_set_heap_limit(s->counted, HEAP_KB);
	pcre2_set_match_limit(s->counted, UINT32_MAX);
	pcre2_set_callout(s->counted, count_work, s);
	return s;
}

void
sl_regex_scratch_free(sl_regex_scratch *s)
{
	if (!s)
		return;
	pcre2_match_data_free(s->found);
	pcre2_match_context_free(s->plain);
	pcre2_match_context_free(s->counted);
	free(s);
}

static int
search_plain(sl_regex *regex, sl_regex_scratch *s, sl_str text, uint32_t steps)
{
	pcre2_set_match_limit(s->plain, steps);
	return pcre2_match(regex->plain, (PCRE2_SPTR) text.p, text.n, 0, PCRE2_NO_UTF_CHECK, s->found, s->plain);
}

static int
search_counted(sl_regex *regex, sl_regex_scratch *s, sl_str text)
{
	if (!regex->counted && !regex->uncountable)
	{
		int number;
		size_t offset;

		regex->counted = compile(regex, PCRE2_AUTO_CALLOUT, &number, &offset);
		regex->uncountable = regex->counted == NULL;
	}
	if (!regex->counted)
		return search_plain(regex, s, text, (uint32_t) (BLIND_STEPS / (text.n + 1)) + 100);
	s->left = WORK + WORK_PER_BYTE * (uint64_t) text.n;
	s->at = 0;
	s->callouts = 0;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &s->until);
	s->until.tv_sec += CPU_SECONDS;
	return pcre2_match(regex->counted, (PCRE2_SPTR) text.p, text.n, 0, PCRE2_NO_UTF_CHECK, s->found, s->counted);
}

sl_regex_result
sl_regex_search(sl_regex *regex, sl_regex_scratch *s, sl_str text)
{
	int result = PCRE2_ERROR_MATCHLIMIT;

	if (text.n <= SHORT_TEXT)
	{
		size_t steps = SHORT_WORK / (text.n * text.n + 1);

		result = search_plain(regex, s, text, (uint32_t) (steps < SHORT_STEPS ? steps : SHORT_STEPS));
	}
	if (result == PCRE2_ERROR_MATCHLIMIT)
		result = search_counted(regex, s, text);
	return result >= 0 ? SL_REGEX_FOUND : result == PCRE2_ERROR_NOMATCH ? SL_REGEX_ABSENT
																		: SL_REGEX_GIVEN_UP;
}

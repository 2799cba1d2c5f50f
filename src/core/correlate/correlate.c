/*
 * correlate.c
 *	  See correlate.h.
 */
#include "correlate.h"

#include <math.h>
#include <stdlib.h>

void
sl_group_init(sl_group *g, const sl_correlation *correlation, sl_arena *arena,
			  void (*fire)(void *arg, int64_t at, double actual), void *arg)
{
	memset(g, 0, sizeof(*g));
	g->arena = arena;
	g->correlation = correlation;
	g->since = SL_NEVER;
	g->latest = g->fired = g->reset = INT64_MIN;
	g->emptied = INT64_MIN;
	g->fire = fire;
	g->arg = arg;
}

/* Times may lie anywhere: sums stay within 64 bits. */
static int64_t
plus(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? (b < 0 ? INT64_MIN : INT64_MAX) : sum;
}

static int64_t
minus(int64_t a, int64_t b)
{
	return plus(a, -b);
}

/* Ties have an order of their own, so that arrival doesn't matter. */
bool
sl_event_before(const sl_event *a, const sl_event *b)
{
	if (a->at != b->at)
		return a->at < b->at;
	if (a->nth != b->nth)
		return a->nth < b->nth;
	if (a->value != b->value)
		return a->value < b->value;
	return a->number < b->number;
}

static void
touch(sl_group *g, uint32_t chunk)
{
	for (size_t i = 0; i < g->n_chunks; i++)
		if (g->chunks[i].number == chunk)
			g->chunks[i].dirty = true;
}

/* The first event later than a time. */
static size_t
after(const sl_group *g, int64_t at)
{
	size_t lo = 0,
		   hi = g->n;

	while (lo < hi)
	{
		size_t mid = (lo + hi) / 2;

		if (g->events[mid].at > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static size_t
insert(sl_group *g, const sl_event *given)
{
	size_t at = g->n;
	sl_event kept = *given;
	const sl_event *e = &kept;

	sl_event_forget(g->correlation, &kept);

	SL_ROOM(g->arena, g->events, g->n, g->cap, 16);
	while (at > 0 && sl_event_before(e, &g->events[at - 1]))
		at--;
	memmove(g->events + at + 1, g->events + at, (g->n - at) * sizeof(sl_event));
	g->events[at] = *e;
	/* it joins the part that the event after it is in */
	g->events[at].chunk = at < g->n ? g->events[at + 1].chunk : g->tail;
	g->events[at].fired = false;
	g->n++;
	touch(g, g->events[at].chunk);
	return at;
}

/* Forgets the oldest n events. */
static void
drop(sl_group *g, size_t n)
{
	g->events += n;
	g->n -= n;
	g->cap -= n;
}

static bool
only_grows(const sl_correlation *c)
{
	for (size_t i = 0; i < c->n_bounds; i++)
		if (c->bounds[i].op != SL_BOUND_GT && c->bounds[i].op != SL_BOUND_GTE)
			return false;
	return true;
}

static bool
is_window(const sl_correlation *c)
{
	return c->type <= SL_VALUE_MEDIAN || c->type == SL_RATIO || c->type == SL_SPIKE;
}

/* Does the empty window have to be judged? */
static bool
judges_empty(const sl_correlation *c)
{
	return c->type == SL_SPIKE ? c->direction != SL_UP
							   : (c->type == SL_EVENT_COUNT || c->type == SL_VALUE_COUNT || c->type == SL_VALUE_SUM) && !only_grows(c);
}

/* How far back events matter to a window's end. */
static int64_t
reach(const sl_correlation *c)
{
	return c->type == SL_SPIKE ? plus(c->timespan, c->timespan) : c->timespan;
}

/* Forgets what no window can reach any more, and what is too much. */
static void
trim(sl_group *g, int64_t watermark)
{
	const sl_correlation *c = g->correlation;
	int64_t settled = minus(watermark, c->lateness); /* nothing older than this will come */
	size_t n;

	if (is_window(c))
	{
		drop(g, after(g, minus(settled, reach(c))));
		/* of what can't be judged again, a count needs as many as it counts to */
		if (c->type == SL_EVENT_COUNT && only_grows(c) && c->bounds[0].number < SL_GROUP_MAX_EVENTS)
		{
			size_t needed = (size_t) ceil(c->bounds[0].number) + 1;

			if (c->n_bounds == 2 && c->bounds[1].number > c->bounds[0].number)
				needed = (size_t) fmin(ceil(c->bounds[1].number), SL_GROUP_MAX_EVENTS) + 1;
			n = after(g, minus(settled, 1));
			if (n > needed)
				drop(g, n - needed);
		}
	}
	else if (c->type == SL_ABSENCE)
	{
		/* those that stand after the watermark are still to come, as it were */
		n = after(g, minus(settled, c->timespan));
		if (g->n > (size_t) c->min)
			drop(g, n < g->n - (size_t) c->min ? n : g->n - (size_t) c->min);
	}
	else if (c->type == SL_NEW_VALUE)
		drop(g, after(g, minus(settled, c->history)));
	if (g->n > SL_GROUP_MAX_EVENTS)
	{
		g->overflow += g->n - SL_GROUP_MAX_EVENTS;
		drop(g, g->n - SL_GROUP_MAX_EVENTS);
	}
}

static bool
bounds_hold(const sl_correlation *c, double x)
{
	for (size_t i = 0; i < c->n_bounds; i++)
	{
		double y = c->bounds[i].number;
		bool holds = false;

		switch (c->bounds[i].op)
		{
			case SL_BOUND_GT:
				holds = x > y;
				break;
			case SL_BOUND_GTE:
				holds = x >= y;
				break;
			case SL_BOUND_LT:
				holds = x < y;
				break;
			case SL_BOUND_LTE:
				holds = x <= y;
				break;
			case SL_BOUND_EQ:
				holds = x == y;
				break;
			case SL_BOUND_NEQ:
				holds = x != y;
				break;
		}
		if (!holds)
			return false;
	}
	return true;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = ((const sl_event *) a)->value,
			 y = ((const sl_event *) b)->value;

	return x < y ? -1 : x > y;
}

static double
count_values(sl_group *g, size_t from, size_t to)
{
	size_t n = to - from;
	sl_event *sorted = malloc((n + 1) * sizeof(sl_event));
	size_t distinct = 0;

	if (!sorted)
		g->arena->out_of_memory(g->arena, n * sizeof(sl_event));
	memcpy(sorted, g->events + from, n * sizeof(sl_event));
	qsort(sorted, n, sizeof(sl_event), by_value);
	for (size_t i = 0; i < n; i++)
		distinct += i == 0 || sorted[i].value != sorted[i - 1].value;
	free(sorted);
	return (double) distinct;
}

static int
by_number(const void *a, const void *b)
{
	double x = *(const double *) a,
		   y = *(const double *) b;

	return x < y ? -1 : x > y;
}

/* With linear interpolation between neighbours. */
static double
percentile_of(sl_group *g, size_t from, size_t to, double percentile)
{
	size_t n = to - from,
		   low;
	double *sorted = malloc((n + 1) * sizeof(double));
	double rank,
		result;

	if (!sorted)
		g->arena->out_of_memory(g->arena, n * sizeof(double));
	for (size_t i = 0; i < n; i++)
		sorted[i] = g->events[from + i].number;
	qsort(sorted, n, sizeof(double), by_number);
	rank = percentile / 100 * (double) (n - 1);
	low = (size_t) rank;
	result = sorted[low];
	if (low + 1 < n)
		result += (sorted[low + 1] - sorted[low]) * (rank - (double) low);
	free(sorted);
	return result;
}

/* How many different rules matched. */
static double
count_rules(const sl_group *g, size_t from, size_t to)
{
	uint64_t seen = 0;

	for (size_t i = from; i < to; i++)
		seen |= UINT64_C(1) << g->events[i].nth;
	return (double) __builtin_popcountll(seen);
}

/* Did the rules match one after the other, up to the last event? */
static bool
in_order(const sl_group *g, size_t from, size_t to)
{
	size_t wanted = g->correlation->n_rules;

	if (g->events[to - 1].nth != wanted - 1)
		return false;
	for (size_t i = to; i-- > from && wanted > 0;)
		if (g->events[i].nth == wanted - 1)
			wanted--;
	return wanted == 0;
}

static bool
spikes(sl_group *g, size_t from, size_t to, int64_t end, double *actual)
{
	const sl_correlation *c = g->correlation;
	size_t middle = after(g, minus(end, c->timespan));
	double current = (double) (to - middle),
		   reference = (double) (middle - from);

	*actual = current;
	if (end < plus(g->since, reach(c)) || reference < c->min_reference)
		return false;
	/* one firing tells of one spike */
	if (!c->slide && g->fired != INT64_MIN && end < plus(g->fired, c->timespan))
		return false;
	return (c->direction != SL_DOWN && current > 0 && current >= reference * c->height) ||
		   (c->direction != SL_UP && reference > 0 && current * c->height <= reference);
}

/* Is the condition true of events[from, to), the window that ends at end? */
static bool
holds(sl_group *g, size_t from, size_t to, int64_t end, double *actual)
{
	const sl_correlation *c = g->correlation;
	double sum = 0;

	switch (c->type)
	{
		case SL_EVENT_COUNT:
			*actual = (double) (to - from);
			break;
		case SL_VALUE_COUNT:
			*actual = count_values(g, from, to);
			break;
		case SL_TEMPORAL:
			*actual = count_rules(g, from, to);
			if (c->n_bounds == 0)
				return *actual == (double) c->n_rules;
			break;
		case SL_TEMPORAL_ORDERED:
			*actual = (double) c->n_rules;
			return to > from && in_order(g, from, to);
		case SL_VALUE_SUM:
		case SL_VALUE_AVG:
			for (size_t i = from; i < to; i++)
				sum += g->events[i].number;
			if (c->type == SL_VALUE_AVG && to == from)
				return false;
			*actual = c->type == SL_VALUE_SUM ? sum : sum / (double) (to - from);
			break;
		case SL_VALUE_PERCENTILE:
		case SL_VALUE_MEDIAN:
			if (to == from)
				return false;
			*actual = percentile_of(g, from, to, c->type == SL_VALUE_MEDIAN ? 50 : c->percentile);
			break;
		case SL_RATIO:
			for (size_t i = from; i < to; i++)
				sum += g->events[i].nth == 1;
			if (sum == 0)
				return false;
			*actual = ((double) (to - from) - sum) / sum;
			break;
		case SL_SPIKE:
			return spikes(g, from, to, end, actual);
		default:
			return false;
	}
	return bounds_hold(c, *actual);
}

/*
 * Judges the windows that end with events[i] and later, as far as an event at
 * the time given is within them.
 */
static void
judge_from(sl_group *g, size_t i, int64_t at)
{
	const sl_correlation *c = g->correlation;
	/* where a record's events stand at one time, the window takes all of that time */
	bool whole_time = c->type == SL_RATIO;

	for (; i < g->n && g->events[i].at < plus(at, reach(c)); i++)
	{
		int64_t end = g->events[i].at;
		size_t from,
			to;
		double actual;

		if (g->events[i].fired || (whole_time && i + 1 < g->n && g->events[i + 1].at == end))
			continue;
		from = after(g, minus(end, reach(c)));
		to = i + 1;
		if (!holds(g, from, to, end, &actual))
			continue;
		g->fire(g->arg, end, actual);
		if (c->type == SL_SPIKE || c->slide)
		{
			g->events[i].fired = true;
			touch(g, g->events[i].chunk);
			g->fired = end;
			continue;
		}
		/* starts over: what is left stands after the firing */
		for (size_t k = 0; k < to; k++)
			touch(g, g->events[k].chunk);
		drop(g, to);
		g->reset = end;
		i = (size_t) -1;
		at = INT64_MAX; /* all of what is left is judged anew */
	}
}

/* The event that has been there for a value, or n. */
static size_t
find_value(const sl_group *g, uint64_t value)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->events[i].value == value)
			return i;
	return g->n;
}

static void
remove_event(sl_group *g, size_t i)
{
	touch(g, g->events[i].chunk);
	g->n--;
	memmove(g->events + i, g->events + i + 1, (g->n - i) * sizeof(sl_event));
}

static void
add_new_value(sl_group *g, const sl_event *e)
{
	const sl_correlation *c = g->correlation;
	size_t known = find_value(g, e->value);

	if (known < g->n && g->events[known].at >= e->at)
		return;
	if ((known == g->n || g->events[known].at < minus(e->at, c->history)) && e->at >= plus(g->since, c->timespan))
		g->fire(g->arg, e->at, 0);
	if (known < g->n)
		remove_event(g, known);
	insert(g, e);
}

static void
add_value_change(sl_group *g, const sl_event *e)
{
	const sl_correlation *c = g->correlation;

	if (g->n > 0)
	{
		const sl_event *last = &g->events[g->n - 1];

		if (e->at < last->at)
			return;
		if (last->value != e->value && (c->timespan == 0 || e->at - last->at <= c->timespan))
			g->fire(g->arg, e->at, 0);
		drop(g, g->n);
	}
	insert(g, e);
}

/*
 * What has expired begins anew, whether or not its row was deleted: when that
 * happens must make no difference.
 */
static void
forget_expired(sl_group *g, int64_t watermark)
{
	if (g->since == SL_NEVER || watermark < sl_group_expires(g))
		return;
	drop(g, g->n);
	g->since = SL_NEVER;
	g->latest = g->fired = g->reset = g->emptied = INT64_MIN;
}

void
sl_group_add(sl_group *g, const sl_event *events, size_t n, int64_t watermark)
{
	const sl_correlation *c = g->correlation;
	int64_t at = events[0].at;
	size_t first = SIZE_MAX;

	sl_group_advance(g, watermark);
	forget_expired(g, watermark);
	if (at < minus(watermark, c->lateness) || at < g->reset)
	{
		g->late += at >= g->reset;
		return;
	}
	if (g->since == SL_NEVER || at < g->since)
		g->since = at;
	if (at > g->latest)
		g->latest = at;
	if (c->type == SL_NEW_VALUE)
		add_new_value(g, &events[0]);
	else if (c->type == SL_VALUE_CHANGE)
		add_value_change(g, &events[0]);
	else
	{
		for (size_t i = 0; i < n; i++)
		{
			size_t place = insert(g, &events[i]);

			if (place < first)
				first = place;
		}
		if (c->type != SL_ABSENCE)
			judge_from(g, first, at);
	}
	trim(g, watermark);
}

/* The first time, not before one, at which fewer than min events are in the window. */
static int64_t
next_absence(const sl_group *g, int64_t at)
{
	const sl_correlation *c = g->correlation;
	size_t min = (size_t) c->min;

	for (;;)
	{
		size_t to = after(g, at);

		if (to - after(g, minus(at, c->timespan)) < min)
			return at;
		/* when the oldest of those that are needed leaves it */
		at = plus(g->events[to - min].at, c->timespan);
	}
}

/* The first time after those that were judged at which the window has just emptied. */
static int64_t
next_empty(const sl_group *g)
{
	const sl_correlation *c = g->correlation;

	for (size_t i = 0; i < g->n; i++)
	{
		int64_t end = plus(g->events[i].at, c->timespan);

		if (end > g->emptied && (i + 1 == g->n || g->events[i + 1].at > end))
			return end;
	}
	/* a firing has used them up, and left the window empty */
	return g->n == 0 && plus(g->latest, c->timespan) > g->emptied ? plus(g->latest, c->timespan) : SL_NEVER;
}

int64_t
sl_group_due(const sl_group *g)
{
	const sl_correlation *c = g->correlation;
	int64_t from;

	if (g->since == SL_NEVER)
		return SL_NEVER;
	if (c->type == SL_ABSENCE)
	{
		from = plus(g->since, c->timespan);
		if (g->fired != INT64_MIN && plus(g->fired, c->timespan) > from)
			from = plus(g->fired, c->timespan);
		from = next_absence(g, from);
		return from < sl_group_expires(g) ? from : SL_NEVER;
	}
	return judges_empty(c) ? next_empty(g) : SL_NEVER;
}

void
sl_group_advance(sl_group *g, int64_t watermark)
{
	const sl_correlation *c = g->correlation;
	int64_t due = sl_group_due(g);
	double actual;

	for (; due != SL_NEVER && due <= watermark; due = sl_group_due(g))
	{
		size_t from = after(g, minus(due, reach(c))),
			   to = after(g, due);

		if (c->type == SL_ABSENCE)
		{
			g->fired = due;
			g->fire(g->arg, due, (double) (to - from));
			continue;
		}
		g->emptied = due;
		if (holds(g, from, to, due, &actual))
		{
			g->fired = due;
			g->fire(g->arg, due, actual);
		}
	}
}

int64_t
sl_group_expires(const sl_group *g)
{
	const sl_correlation *c = g->correlation;

	if (g->since == SL_NEVER || (c->type == SL_VALUE_CHANGE && c->timespan == 0))
		return SL_NEVER;
	/* what was learned, and that the group was seen, outlive the events */
	if (c->type == SL_NEW_VALUE || c->type == SL_ABSENCE)
		return plus(plus(g->latest, c->history > c->timespan ? c->history : c->timespan), c->lateness);
	return plus(plus(g->latest, plus(reach(c), c->timespan)), c->lateness);
}

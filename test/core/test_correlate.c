/*
 * test_correlate.c
 *	  Correlations: each type by hand, and against a naive reference over
 *	  random events, orders of arrival and cuts into batches.
 *
 *	SL_SEED=42 build/test_correlate		other random ones
 */
#include "tap.h"
#include "../../src/core/correlate/correlate.h"
#include "../../src/core/rule/rule.h"

#include <math.h>

#define S_NS INT64_C(1000000000)

static sl_error err;

typedef struct firings
{
	int64_t at[100000];
	double actual[100000];
	size_t n;
} firings;

static firings fired;

static void
on_fire(void *arg, int64_t at, double actual)
{
	firings *f = arg;

	if (f->n < 100000)
	{
		f->at[f->n] = at;
		f->actual[f->n] = actual;
	}
	f->n++;
}

/* A correlation from the inside of its YAML map; two detections a and b exist. */
static sl_correlation *
correlation(const char *keys, const char *ours)
{
	sl_str text = sl_strf(tap_arena(), "title: c\ncorrelation: {rules: [a, b], group-by: [g], %s}\nstacklens: {%s}\n", keys, ours);
	sl_documents documents = {0};
	sl_rule *rule;

	if (!sl_read_documents(text.p, text.n, tap_arena(), &documents, &err) ||
		!(rule = sl_rule_read(documents.v[0], NULL, tap_arena(), &err)))
	{
		printf("Bail out! %s: %s\n", err.message, text.p);
		exit(1);
	}
	return rule->correlation;
}

static sl_event
event(int64_t seconds, int nth, uint64_t value, double number)
{
	return (sl_event){.at = seconds * S_NS, .nth = (uint8_t) nth, .value = value, .number = number};
}

/* Feeds "t:nth:value t:nth:value …" in order and shows the firings. */
static void
fires(const char *keys, const char *ours, const char *events, int64_t until, const char *want, const char *what)
{
	sl_group g;
	sl_buf shown;
	int64_t watermark = INT64_MIN;
	int n;

	fired.n = 0;
	sl_group_init(&g, correlation(keys, ours), tap_arena(), on_fire, &fired);
	for (const char *p = events; *p; p += n)
	{
		long long t,
			nth,
			value;
		sl_event e;

		if (sscanf(p, " %lld:%lld:%lld%n", &t, &nth, &value, &n) != 3)
			break;
		e = event(t, (int) nth, (uint64_t) value, (double) value);
		if (e.at > watermark)
			watermark = e.at;
		sl_group_add(&g, &e, 1, watermark);
	}
	if (until)
		sl_group_advance(&g, until * S_NS);
	sl_buf_init(&shown, tap_arena(), 64);
	for (size_t i = 0; i < fired.n; i++)
		sl_buf_printf(&shown, "%s%lld", i ? " " : "", (long long) (fired.at[i] / S_NS));
	is(B(&shown), want, "%s", what);
}

/* Events that come before the watermark has: a slow partition holds it. */
static void
test_slow_watermark(void)
{
	static const struct
	{
		const char *keys;
		const char *want;
	} cases[] = {
		{"type: absence, timespan: 10s", "11 21 31 41 51 61 71 81 91"},
		{"type: event_count, timespan: 10s, condition: {lt: 1}", "11 110"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		sl_group g;
		sl_buf shown;
		sl_event first = event(1, 0, 0, 0),
				 second = event(100, 0, 0, 0);

		fired.n = 0;
		sl_group_init(&g, correlation(cases[i].keys, ""), tap_arena(), on_fire, &fired);
		sl_group_add(&g, &first, 1, 1 * S_NS);
		sl_group_add(&g, &second, 1, 5 * S_NS);
		sl_group_advance(&g, (i == 0 ? 99 : 110) * S_NS);
		sl_buf_init(&shown, tap_arena(), 64);
		for (size_t k = 0; k < fired.n; k++)
			sl_buf_printf(&shown, "%s%lld", k ? " " : "", (long long) (fired.at[k] / S_NS));
		is(B(&shown), cases[i].want, "%s, while another partition holds the watermark", cases[i].keys);
	}
}

static void
test_by_hand(void)
{
	fires("type: event_count, timespan: 10s, condition: {gte: 3}", "", "1:0:0 2:0:0 3:0:0 4:0:0 5:0:0 6:0:0", 0, "3 6",
		  "event_count starts over after firing");
	fires("type: event_count, timespan: 10s, condition: {gte: 3}", "", "1:0:0 1:0:0 1:0:0 1:0:0 1:0:0 1:0:0", 0, "1 1",
		  "also among events of one time");
	fires("type: event_count, timespan: 10s, condition: {gte: 3}", "after: slide", "1:0:0 2:0:0 3:0:0 4:0:0", 0, "3 4", "or slides on");
	fires("type: event_count, timespan: 10s, condition: {gte: 3}", "", "1:0:0 2:0:0 11:0:0 12:0:0", 0, "",
		  "a window is less than a timespan long");
	fires("type: event_count, timespan: 10s, condition: {gte: 3}", "", "1:0:0 2:0:0 10:0:0", 0, "10", "and not aligned");
	fires("type: event_count, timespan: 10s, condition: {gte: 3}", "lateness: 5s", "8:0:0 9:0:0 5:0:0", 0, "9",
		  "a late event counts in the windows that it falls into");
	fires("type: event_count, timespan: 10s, condition: {gte: 3}", "lateness: 5s", "8:0:0 9:0:0 3:0:0", 0, "",
		  "but not when it is later than allowed");
	fires("type: event_count, timespan: 10s, condition: {gt: 1, lte: 2}", "after: slide", "1:0:0 2:0:0 3:0:0 4:0:0", 0, "2", "two bounds are a range");
	fires("type: event_count, timespan: 10s, condition: {lt: 1}", "", "1:0:0", 11, "11", "lt is judged when the window empties");
	fires("type: event_count, timespan: 10s, condition: {lt: 1}", "lateness: 60s", "1:0:0 12:0:0 0:0:0 0:0:0 13:0:0", 0, "11", "and once, whatever comes late");
	fires("type: event_count, timespan: 10s, condition: {eq: 2}", "after: slide", "1:0:0 2:0:0 3:0:0", 0, "2", "eq");
	fires("type: event_count, timespan: 10s, condition: {neq: 2}", "after: slide", "1:0:0 2:0:0 3:0:0", 0, "1 3", "neq");
	fires("type: value_count, timespan: 10s, condition: {field: f, gte: 2}", "", "1:0:7 2:0:7 3:0:8", 0, "3", "value_count counts different values");
	fires("type: temporal, timespan: 10s", "", "1:0:0 2:0:0 3:1:0", 0, "3", "temporal: all rules, in any order");
	fires("type: temporal, timespan: 10s", "", "1:1:0 12:0:0", 0, "", "within the timespan");
	fires("type: temporal, timespan: 10s, condition: {gte: 1}", "", "1:1:0", 0, "1", "or as many as asked for");
	fires("type: temporal_ordered, timespan: 10s", "", "1:1:0 2:0:0", 0, "", "temporal_ordered: not the other way round");
	fires("type: temporal_ordered, timespan: 10s", "", "1:1:0 2:0:0 3:1:0", 0, "3", "temporal_ordered: one after the other");
	fires("type: temporal_ordered, timespan: 10s", "lateness: 5s", "5:1:0 3:0:0", 0, "5", "temporal_ordered goes by time, not by arrival");
	fires("type: value_sum, timespan: 10s, condition: {field: f, gt: 10}", "", "1:0:5 2:0:5 3:0:1", 0, "3", "value_sum");
	fires("type: value_avg, timespan: 10s, condition: {field: f, gt: 5}", "after: slide", "1:0:4 2:0:6 3:0:8", 0, "3", "value_avg");
	fires("type: value_median, timespan: 10s, condition: {field: f, gte: 5}", "after: slide", "1:0:1 2:0:100 3:0:5", 0, "2 3", "value_median");
	fires("type: value_percentile, timespan: 10s, condition: {field: f, percentile: 90, gt: 9}", "after: slide", "1:0:1 2:0:10 3:0:10", 0, "2 3",
		  "value_percentile, interpolated");
	fires("type: absence, timespan: 10s", "", "1:0:0 5:0:0", 40, "15 25 35", "absence repeats each timespan");
	fires("type: absence, timespan: 10s", "", "", 40, "", "a group that was never seen is not absent");
	fires("type: absence, timespan: 10s, condition: {min: 2}", "", "1:0:0 2:0:0 8:0:0", 13, "12", "fewer than min");
	fires("type: absence, timespan: 10s", "", "1:0:0 12:0:0", 0, "11", "absence is seen when the next event shows the time");
	fires("type: spike, timespan: 10s, condition: {height: 2}", "", "1:0:0 5:0:0 12:0:0 13:0:0 22:0:0 23:0:0 24:0:0 25:0:0", 0, "25",
		  "spike: twice the window before, after two full ones");
	fires("type: spike, timespan: 10s, condition: {height: 2}", "", "1:0:0 22:0:0 23:0:0", 0, "", "an empty reference fires nothing");
	fires("type: spike, timespan: 10s, condition: {height: 2, min_reference: 0}", "", "1:0:0 22:0:0", 0, "22", "unless min_reference is 0");
	fires("type: spike, timespan: 10s, condition: {height: 2, direction: down}", "", "1:0:0 12:0:0 13:0:0 14:0:0 25:0:0", 0, "24", "a spike down");
	fires("type: spike, timespan: 10s, condition: {height: 2, direction: down}", "", "1:0:0 22:0:0", 33, "32", "down to nothing");
	fires("type: new_value, timespan: 10s, condition: {field: f}", "", "1:0:7 2:0:8 12:0:7 13:0:9", 0, "13", "new_value learns for a timespan");
	fires("type: absence, timespan: 10s, condition: {history: 25s}", "lateness: 0s", "1:0:0", 100, "11 21", "absence forgets a group that isn't seen for its history");
	fires("type: absence, timespan: 10s, condition: {history: 25s}", "lateness: 0s", "1:0:0 50:0:0", 100, "11 21 60 70", "and starts anew with it");
	fires("type: spike, timespan: 10s, condition: {height: 2, direction: up}", "lateness: 0s", "1:0:0 100:0:0 111:0:0 112:0:0", 0, "",
		  "what was forgotten needs two full timespans again");
	fires("type: new_value, timespan: 1s, condition: {field: f, history: 20s}", "", "1:0:7 10:0:7 31:0:7 32:0:7", 0, "31", "and forgets after its history");
	fires("type: value_change, condition: {field: f}", "", "1:0:7 2:0:7 3:0:8 4:0:7", 0, "3 4", "value_change");
	fires("type: ratio, timespan: 10s, condition: {gte: 0.5}", "after: slide", "1:0:0 2:1:0 3:1:0 4:1:0", 0, "2 3", "ratio; without a denominator it doesn't fire");
}

/* ---- the naive reference: all events are kept, and judged as the words say ---- */

typedef struct naive
{
	const sl_correlation *c;
	sl_event v[4000];
	size_t n;
	int64_t reset;
	firings *f;
} naive;

static bool
naive_bounds(const sl_correlation *c, double x)
{
	for (size_t i = 0; i < c->n_bounds; i++)
	{
		double y = c->bounds[i].number;
		const bool results[] = {x > y, x >= y, x < y, x <= y, x == y, x != y};

		if (!results[c->bounds[i].op])
			return false;
	}
	return true;
}

/* Is the window that ends with event i one that fires? */
static bool
naive_window(const naive *n, size_t i)
{
	const sl_correlation *c = n->c;
	double count = 0,
		   distinct = 0,
		   sum = 0;
	unsigned rules = 0;
	int64_t end = n->v[i].at;
	bool ordered = false;

	for (size_t k = 0; k <= i; k++)
	{
		bool first = true;

		if (n->v[k].at <= end - c->timespan)
			continue;
		count++;
		sum += n->v[k].number;
		rules |= 1u << n->v[k].nth;
		for (size_t j = 0; j < k; j++)
			first &= n->v[j].at <= end - c->timespan || n->v[j].value != n->v[k].value;
		distinct += first;
		ordered |= n->v[k].nth == 0 && n->v[i].nth == 1;
	}
	switch (c->type)
	{
		case SL_EVENT_COUNT:
			return naive_bounds(c, count);
		case SL_VALUE_COUNT:
			return naive_bounds(c, distinct);
		case SL_TEMPORAL:
			return rules == 3;
		case SL_TEMPORAL_ORDERED:
			return ordered;
		case SL_VALUE_SUM:
			return naive_bounds(c, sum);
		default:
			return naive_bounds(c, sum / count);
	}
}

static void
naive_add(naive *n, const sl_event *e, int64_t watermark)
{
	size_t at = n->n;
	bool anew = false;

	if (e->at < watermark - n->c->lateness || e->at < n->reset)
		return;
	while (at > 0 && sl_event_before(e, &n->v[at - 1]))
	{
		n->v[at] = n->v[at - 1];
		at--;
	}
	n->v[at] = *e;
	n->n++;
	for (size_t i = at; i < n->n; i++)
	{
		if (n->v[i].at >= e->at + n->c->timespan && !anew)
			break;
		if (n->v[i].fired || !naive_window(n, i))
			continue;
		on_fire(n->f, n->v[i].at, 0);
		n->v[i].fired = true;
		if (!n->c->slide)
		{
			n->reset = n->v[i].at;
			anew = true;
			memmove(n->v, n->v + i + 1, (n->n - i - 1) * sizeof(sl_event));
			n->n -= i + 1;
			i = (size_t) -1;
		}
	}
}

static uint64_t seed;

static int
below(int n)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return (int) (seed % (uint64_t) n);
}

/* Events as they come, with the state stored and read again at random places. */
static void
with_cuts(const sl_correlation *c, const sl_event *events, size_t n, int cut, firings *f)
{
	sl_group g;
	int64_t watermark = INT64_MIN;
	sl_str stored[4096] = {{0}};

	f->n = 0;
	sl_group_init(&g, c, tap_arena(), on_fire, f);
	for (size_t i = 0; i < n; i++)
	{
		if (events[i].at > watermark)
			watermark = events[i].at;
		sl_group_add(&g, &events[i], 1, watermark);
		if (cut && below(cut) == 0)
		{
			sl_str header = sl_group_save(&g);
			bool good;

			for (size_t k = 0; k < g.n_chunks; k++)
				if (g.chunks[k].dirty)
					stored[g.chunks[k].number] = sl_str_copy(tap_arena(), g.chunks[k].bytes.p, g.chunks[k].bytes.n);
			sl_group_init(&g, c, tap_arena(), on_fire, f);
			good = sl_group_load(&g, header);
			for (uint32_t k = 0; k < 4096 && sl_group_has_chunks(header); k++)
				if (stored[k].n)
					good &= sl_group_load_chunk(&g, k, stored[k]);
			sl_group_loaded(&g);
			if (!good)
				printf("Bail out! a state that was stored doesn't load\n"), exit(1);
		}
	}
}

static int
by_time(const void *a, const void *b)
{
	return *(const int64_t *) a < *(const int64_t *) b ? -1 : *(const int64_t *) a > *(const int64_t *) b;
}

static bool
same(const firings *a, const firings *b, bool in_order)
{
	static int64_t x[100000],
		y[100000];

	if (a->n != b->n)
		return false;
	memcpy(x, a->at, a->n * sizeof(int64_t));
	memcpy(y, b->at, b->n * sizeof(int64_t));
	if (!in_order)
	{
		qsort(x, a->n, sizeof(int64_t), by_time);
		qsort(y, b->n, sizeof(int64_t), by_time);
	}
	return memcmp(x, y, a->n * sizeof(int64_t)) == 0;
}

/* Delays events by up to so many seconds: another order of arrival. */
static void
delay(sl_event *to, const sl_event *from, size_t n, int most)
{
	int64_t *arrival = sl_alloc(tap_arena(), n * sizeof(int64_t));

	for (size_t i = 0; i < n; i++)
	{
		int64_t when = from[i].at / S_NS + below(most);
		size_t at = i;

		while (at > 0 && arrival[at - 1] > when)
		{
			arrival[at] = arrival[at - 1];
			to[at] = to[at - 1];
			at--;
		}
		arrival[at] = when;
		to[at] = from[i];
	}
}

static void
test_random(void)
{
	static const char *const kinds[] = {
		"type: event_count, timespan: 10s, condition: {gte: %d}",
		"type: event_count, timespan: 10s, condition: {gt: %d}",
		"type: value_count, timespan: 10s, condition: {field: f, gte: %d}",
		"type: temporal, timespan: 1%ds",
		"type: temporal_ordered, timespan: 1%ds",
		"type: event_count, timespan: 10s, condition: {eq: %d}",
		"type: event_count, timespan: 10s, condition: {gt: 1, lte: %d}",
		"type: value_sum, timespan: 10s, condition: {field: f, gte: 1%d}",
		"type: value_avg, timespan: 10s, condition: {field: f, gte: %d}",
	};
	const char *env = getenv("SL_SEED");
	uint64_t first = env ? strtoull(env, NULL, 10) : 20260101;
	size_t runs = 0,
		   wrong = 0,
		   moved = 0,
		   total = 0;
	static firings plain,
		cut,
		reference,
		other;
	static naive n;

	seed = first * UINT64_C(0x9E3779B97F4A7C15) + 1;
	printf("# SL_SEED=%llu\n", (unsigned long long) first);
	for (int round = 0; round < 1500; round++)
	{
		int kind = below(9);
		bool slide = below(2),
			 grows = kind <= 4;
		size_t count = 50 + (size_t) below(400);
		sl_event in_order[500],
			events[500];
		int64_t t = 1000;
		int64_t watermark = INT64_MIN;
		sl_correlation *c;

		c = correlation(sl_strf(tap_arena(), kinds[kind], 2 + below(4)).p,
						sl_strf(tap_arena(), "lateness: %ds, after: %s", 20, slide ? "slide" : "reset").p);
		for (size_t i = 0; i < count; i++)
		{
			uint64_t value = (uint64_t) below(5);

			t += below(3) ? below(3) : below(15);
			/* judged as sl_event_before has it, so the number goes with the value */
			in_order[i] = event(t, below(2), value, (double) value);
			sl_event_forget(c, &in_order[i]);
		}
		/* within the lateness, so that nothing is too late */
		delay(events, in_order, count, below(2) ? 18 : 1);

		with_cuts(c, events, count, 0, &plain);
		with_cuts(c, events, count, 1 + below(20), &cut);
		memset(&n, 0, sizeof(n));
		n.c = c;
		n.reset = INT64_MIN;
		n.f = &reference;
		reference.n = 0;
		for (size_t i = 0; i < count; i++)
		{
			if (events[i].at > watermark)
				watermark = events[i].at;
			naive_add(&n, &events[i], watermark);
		}
		runs++;
		total += plain.n;
		if ((!same(&plain, &cut, true) || !same(&plain, &reference, true)) && wrong++ < 5)
			printf("# %s%s: %zu firings, %zu with cuts, %zu of the reference\n", kinds[kind], slide ? " slide" : "", plain.n, cut.n, reference.n);
		if (slide && grows)
		{
			delay(events, in_order, count, 18);
			with_cuts(c, events, count, 10, &other);
			if (!same(&plain, &other, false) && moved++ < 5)
				printf("# %s: %zu firings, %zu in another order\n", kinds[kind], plain.n, other.n);
		}
		sl_arena_reset(tap_arena());
	}
	is_int(wrong, 0, "%zu runs of events: batches change nothing, and the naive reference agrees", runs);
	is_int(moved, 0, "the order of arrival changes nothing for counts that grow, sliding, within the lateness");
	ok(total > runs * 3, "%zu firings", total);
}

static void
test_limits(void)
{
	sl_correlation *c = correlation("type: value_sum, timespan: 1d, condition: {field: f, gt: 1000000}", "");
	sl_group g;
	sl_str header;

	fired.n = 0;
	sl_group_init(&g, c, tap_arena(), on_fire, &fired);
	for (int i = 0; i < SL_GROUP_MAX_EVENTS + 500; i++)
	{
		sl_event e = event(1000 + i, 0, 0, 1);

		sl_group_add(&g, &e, 1, e.at);
	}
	ok(g.n == SL_GROUP_MAX_EVENTS && g.overflow == 500, "a group keeps the newest events, and says how many it lost");
	header = sl_group_save(&g);
	ok(header.n < 4096, "what is written for the next event is small: %zu bytes", header.n);
	{
		size_t dirty = 0;
		sl_event e = event(12000, 0, 0, 1);

		for (size_t i = 0; i < g.n_chunks; i++)
			g.chunks[i].dirty = false;
		sl_group_add(&g, &e, 1, e.at);
		sl_group_save(&g);
		for (size_t i = 0; i < g.n_chunks; i++)
			dirty += g.chunks[i].dirty;
		ok(dirty <= 1, "older events are not written again");
	}
	ok(!sl_group_load(&g, SL_STR("x")), "bytes that are no state are refused");
}

int
main(void)
{
	test_by_hand();
	test_slow_watermark();
	test_random();
	test_limits();
	sl_arena_free(tap_arena());
	return tap_done();
}

/*
 * state.c
 *	  A group's state as bytes.
 *
 * Numbers stand in the machine's own order, so a dump keeps the states of
 * machines of its kind.
 */
#include "correlate.h"

#include <stdlib.h>

#define VERSION 1

/* Events of a sealed chunk: about 2 kB. */
#define CHUNK 128

/* A state that is larger than this is none. */
#define MAX_EVENTS (SL_GROUP_MAX_EVENTS * 4)

typedef struct header
{
	uint8_t version;
	uint8_t type;
	uint8_t chunks; /* are there any? */
	uint8_t spare;
	uint32_t tail;
	int64_t emptied;
	int64_t since;
	int64_t latest;
	int64_t fired;
	int64_t reset;
	uint64_t late;
	uint64_t overflow;
} header;

static bool
keeps_value(const sl_correlation *c)
{
	return c->type == SL_VALUE_COUNT || c->type == SL_NEW_VALUE || c->type == SL_VALUE_CHANGE;
}

static bool
keeps_number(const sl_correlation *c)
{
	return c->type >= SL_VALUE_SUM && c->type <= SL_VALUE_MEDIAN;
}

void
sl_event_forget(const sl_correlation *c, sl_event *e)
{
	if (!keeps_value(c))
		e->value = 0;
	if (!keeps_number(c))
		e->number = 0;
}

static size_t
event_size(const sl_correlation *c)
{
	return 9 + (keeps_value(c) || keeps_number(c) ? 8 : 0);
}

static void
put_event(const sl_correlation *c, sl_buf *out, const sl_event *e)
{
	sl_buf_add(out, (const char *) &e->at, 8);
	sl_buf_putc(out, (char) (e->nth | (e->fired ? 0x80 : 0)));
	if (keeps_value(c))
		sl_buf_add(out, (const char *) &e->value, 8);
	else if (keeps_number(c))
		sl_buf_add(out, (const char *) &e->number, 8);
}

static bool
take_events(sl_group *g, const char *p, size_t n, uint32_t chunk)
{
	const sl_correlation *c = g->correlation;
	size_t size = event_size(c),
		   count = n / size;

	if (n % size != 0 || g->n + count > MAX_EVENTS)
		return false;
	if (g->n + count > g->cap)
	{
		g->cap = (g->n + count) * 2 + 16;
		g->events = sl_array_copy(g->arena, g->events, g->n * sizeof(sl_event), g->cap * sizeof(sl_event));
	}
	for (; count > 0; count--, p += size)
	{
		sl_event *e = &g->events[g->n++];

		memset(e, 0, sizeof(*e));
		e->order = (uint32_t) g->n;
		memcpy(&e->at, p, 8);
		e->nth = (uint8_t) p[8] & 0x7F;
		e->fired = ((uint8_t) p[8] & 0x80) != 0;
		if (keeps_value(c))
			memcpy(&e->value, p + 9, 8);
		else if (keeps_number(c))
			memcpy(&e->number, p + 9, 8);
		e->chunk = chunk;
	}
	return true;
}

static sl_chunk *
find_chunk(sl_group *g, uint32_t number)
{
	for (size_t i = 0; i < g->n_chunks; i++)
		if (g->chunks[i].number == number)
			return &g->chunks[i];
	SL_ROOM(g->arena, g->chunks, g->n_chunks, g->cap_chunks, 8);
	g->chunks[g->n_chunks] = (sl_chunk){.number = number};
	return &g->chunks[g->n_chunks++];
}

static size_t
count_in(const sl_group *g, uint32_t chunk)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		n += g->events[i].chunk == chunk;
	return n;
}

/* Moves the oldest events of a full tail to a chunk of their own. */
static void
seal(sl_group *g)
{
	size_t in_tail = count_in(g, g->tail);

	while (in_tail > CHUNK + CHUNK / 2)
	{
		uint32_t sealed = g->tail++;
		size_t moved = 0;

		find_chunk(g, sealed)->dirty = true;
		for (size_t i = 0; i < g->n; i++)
			if (g->events[i].chunk == sealed && moved++ >= CHUNK)
				g->events[i].chunk = g->tail;
		in_tail -= CHUNK;
	}
}

sl_str
sl_group_save(sl_group *g)
{
	header h = {.version = VERSION, .type = (uint8_t) g->correlation->type, .emptied = g->emptied, .since = g->since, .latest = g->latest, .fired = g->fired, .reset = g->reset, .late = g->late, .overflow = g->overflow};
	sl_buf *bufs;
	sl_buf out;

	seal(g);
	h.tail = g->tail;
	sl_buf_init(&out, g->arena, sizeof(h) + CHUNK * 17);
	bufs = sl_alloc(g->arena, (g->n_chunks + 1) * sizeof(sl_buf));
	for (size_t i = 0; i < g->n_chunks; i++)
		sl_buf_init(&bufs[i], g->arena, g->chunks[i].dirty ? CHUNK * 18 : 16);
	sl_buf_add(&out, (const char *) &h, sizeof(h));
	for (size_t i = 0; i < g->n; i++)
	{
		const sl_event *e = &g->events[i];

		if (e->chunk == g->tail)
			put_event(g->correlation, &out, e);
		else
			for (size_t k = 0; k < g->n_chunks; k++)
				if (g->chunks[k].number == e->chunk)
				{
					h.chunks = 1;
					put_event(g->correlation, &bufs[k], e);
				}
	}
	for (size_t k = 0; k < g->n_chunks; k++)
	{
		g->chunks[k].bytes = (sl_str){bufs[k].p, bufs[k].n};
		g->chunks[k].dirty |= bufs[k].n == 0;
	}
	memcpy(out.p, &h, sizeof(h));
	return (sl_str){out.p, out.n};
}

bool
sl_group_has_chunks(sl_str bytes)
{
	header h;

	if (bytes.n < sizeof(h))
		return false;
	memcpy(&h, bytes.p, sizeof(h));
	return h.chunks != 0;
}

bool
sl_group_load(sl_group *g, sl_str bytes)
{
	header h;

	if (bytes.n < sizeof(h))
		return false;
	memcpy(&h, bytes.p, sizeof(h));
	if (h.version != VERSION || h.type != g->correlation->type)
		return false;
	g->emptied = h.emptied;
	g->tail = h.tail;
	g->since = h.since;
	g->latest = h.latest;
	g->fired = h.fired;
	g->reset = h.reset;
	g->late = h.late;
	g->overflow = h.overflow;
	return take_events(g, bytes.p + sizeof(h), bytes.n - sizeof(h), g->tail);
}

bool
sl_group_load_chunk(sl_group *g, uint32_t number, sl_str bytes)
{
	find_chunk(g, number);
	return take_events(g, bytes.p, bytes.n, number);
}

static int
in_order(const void *a, const void *b)
{
	const sl_event *x = a,
				   *y = b;

	if (sl_event_before(x, y) || sl_event_before(y, x))
		return sl_event_before(x, y) ? -1 : 1;
	/* ties stand as they stood: their firings belong to their places */
	if (x->chunk != y->chunk)
		return x->chunk < y->chunk ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

void
sl_group_loaded(sl_group *g)
{
	if (g->n_chunks > 0)
		qsort(g->events, g->n, sizeof(sl_event), in_order);
}

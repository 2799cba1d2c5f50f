/*
 * bulk.c
 *	  Reads answers to bulks, and judges each item.
 *
 * A status says less than it seems to: 400 is also what a cluster answers
 * that has no room for another shard, 403 also one that blocks writes while
 * its disks are full.  What can pass is tried again, what can't is the
 * document's fault.
 */
#include "bulk.h"

#include "../node.h"

#include <stdio.h>

static const sl_node *
member(const sl_node *map, const char *name)
{
	return map && map->kind == SL_MAP ? sl_node_get(map, name) : NULL;
}

static sl_str
text_of(const sl_node *node)
{
	return node && node->kind == SL_SCALAR && node->value.type == SL_STRING ? node->value.u.s : SL_STR("");
}

static bool
contains(sl_str text, const char *part)
{
	size_t n = strlen(part);

	for (size_t i = 0; i + n <= text.n; i++)
		if (memcmp(text.p + i, part, n) == 0)
			return true;
	return false;
}

static sl_verdict
judge(int status, sl_str type, sl_str reason)
{
	if ((status >= 200 && status < 300) || status == 409)
		return SL_INDEXED;
	if (status == 429 || status >= 500 || status < 400)
		return SL_RETRY;
	if (status == 403 && contains(type, "cluster_block"))
		return SL_RETRY;
	if (status == 401 || status == 403)
		return SL_FORBIDDEN;
	if (status == 400 && contains(reason, "maximum") && contains(reason, "shards open"))
		return SL_RETRY;
	return SL_REFUSED;
}

/* An error's reason, and those of its causes. */
static sl_str
reasons(const sl_node *error, sl_arena *arena)
{
	sl_buf text;
	sl_str last = SL_STR("");

	sl_buf_init(&text, arena, 256);
	for (int depth = 0; error && depth < 5 && text.n < 2000; depth++, error = member(error, "caused_by"))
	{
		sl_str reason = text_of(member(error, "reason"));

		if (reason.n == 0 || sl_str_eq(reason, last))
			continue;
		if (text.n > 0)
			sl_buf_puts(&text, ": ");
		sl_buf_add(&text, reason.p, reason.n);
		last = reason;
	}
	return (sl_str){text.p, text.n};
}

static bool
read_item(const sl_node *item, sl_arena *arena, sl_bulk_item *to)
{
	const sl_node *result = item->kind == SL_MAP && item->n == 1 ? item->entries[0].value : NULL;
	const sl_node *status = member(result, "status"),
				  *error = member(result, "error");

	if (!status || status->value.type != SL_INT)
		return false;
	to->status = (int) status->value.u.i;
	to->type = text_of(member(error, "type"));
	to->reason = error ? reasons(error, arena) : SL_STR("");
	to->verdict = judge(to->status, to->type, to->reason);
	return true;
}

bool
sl_bulk_read(const char *answer, size_t length, sl_arena *arena, sl_bulk_item *items, size_t n, sl_error *err)
{
	sl_documents documents = {0};
	const sl_node *list;

	if (!sl_read_json(answer, length, arena, &documents, err))
		return false;
	list = member(documents.v[0], "items");
	if (!list || list->kind != SL_LIST)
		return sl_fail(err, SL_INVALID_TEXT, "the answer has no list of items");
	if (list->n != n)
		return sl_fail(err, SL_INVALID_TEXT, "the answer speaks of %zu documents, %zu were sent", list->n, n);
	for (size_t i = 0; i < n; i++)
		if (!read_item(list->entries[i].value, arena, &items[i]))
			return sl_fail(err, SL_INVALID_TEXT, "item %zu of the answer has no status", i);
	return true;
}

void
sl_bulk_error(const char *answer, size_t length, sl_arena *arena, char *text, size_t size)
{
	sl_documents documents = {0};
	sl_error ignored;
	const sl_node *error;
	sl_str type,
		reason;

	text[0] = '\0';
	if (length == 0 || !sl_read_json(answer, length, arena, &documents, &ignored))
		return;
	error = member(documents.v[0], "error");
	type = error && error->kind == SL_SCALAR ? text_of(error) : text_of(member(error, "type"));
	reason = error ? reasons(error, arena) : SL_STR("");
	if (type.n > 0 || reason.n > 0)
		snprintf(text, size, "%.*s%s%.*s", SL_STR_FMT(type), type.n > 0 && reason.n > 0 ? ": " : "", SL_STR_FMT(reason));
}

sl_str
sl_bulk_common_refusal(const sl_bulk_item *items, size_t n)
{
	sl_str candidate = SL_STR("");
	size_t votes = 0,
		   refused = 0;

	/* what more than half are is what is left when unequal ones are struck out in pairs */
	for (size_t i = 0; i < n; i++)
	{
		bool counts = items[i].verdict == SL_REFUSED;

		if (votes == 0 && counts)
			candidate = items[i].type;
		votes = counts && sl_str_eq(items[i].type, candidate) ? votes + 1 : votes > 0 ? votes - 1
																					  : 0;
	}
	for (size_t i = 0; i < n; i++)
		refused += items[i].verdict == SL_REFUSED && sl_str_eq(items[i].type, candidate);
	return refused >= SL_BULK_MANY && refused * 2 > n ? candidate : SL_STR("");
}

/*
 * node.c
 *	  Trees of documents, and showing them as JSON.
 */
#include "node.h"
#include "utf8.h"

sl_node *
sl_node_new(sl_arena *arena, sl_node_kind kind, int line, int col)
{
	sl_node *node = sl_alloc0(arena, sizeof(*node));

	node->kind = kind;
	node->line = line;
	node->col = col;
	return node;
}

void
sl_node_add(sl_arena *arena, sl_node *node, sl_str key, int line, int col, sl_node *value)
{
	SL_ROOM(arena, node->entries, node->n, node->cap, 4);
	node->entries[node->n++] = (sl_entry){.key = key, .line = line, .col = col, .value = value};
}

/* Keys of one map; beyond any rule's need, and what the check below can pay. */
#define MAX_KEYS 4096

/* FNV-1a: so that the check seldom has to compare texts. */
static uint32_t
key_hash(sl_str key)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < key.n; i++)
		hash = (hash ^ (unsigned char) key.p[i]) * 16777619u;
	return hash;
}

bool
sl_node_add_key(sl_arena *arena, sl_node *map, sl_str key, int line, int col,
				sl_node *value, sl_error *err)
{
	uint32_t hash = key_hash(key);

	for (size_t i = 0; i < map->n; i++)
		if (map->entries[i].hash == hash && sl_str_eq(map->entries[i].key, key))
			return sl_fail_at(err, line, col, SL_SYNTAX, "key \"%.*s\" stands twice", SL_STR_FMT(key));
	if (map->n >= MAX_KEYS)
		return sl_fail_at(err, line, col, SL_LIMIT_EXCEEDED, "a map has more than %d keys", MAX_KEYS);
	sl_node_add(arena, map, key, line, col, value);
	map->entries[map->n - 1].hash = hash;
	return true;
}

sl_entry *
sl_node_entry(const sl_node *map, const char *key)
{
	if (map && map->kind == SL_MAP)
		for (size_t i = 0; i < map->n; i++)
			if (sl_str_is(map->entries[i].key, key))
				return &map->entries[i];
	return NULL;
}

sl_node *
sl_node_get(const sl_node *map, const char *key)
{
	sl_entry *entry = sl_node_entry(map, key);

	return entry ? entry->value : NULL;
}

const char *
sl_node_describe(const sl_node *node)
{
	if (node->kind == SL_MAP)
		return "a map";
	if (node->kind == SL_LIST)
		return "a list";
	switch (node->value.type)
	{
		case SL_NULL:
			return "null";
		case SL_STRING:
			return "text";
		case SL_INT:
		case SL_DOUBLE:
			return "a number";
		case SL_BOOL:
			return "a boolean";
	}
	return "a value";
}

void
sl_node_json(sl_buf *out, const sl_node *node)
{
	if (node->kind == SL_SCALAR)
	{
		if (node->value.type == SL_STRING)
			sl_buf_json_string(out, node->value.u.s);
		else if (node->value.type == SL_NULL)
			sl_buf_puts(out, "null");
		else
		{
			sl_str text = sl_value_text(out->arena, &node->value);

			sl_buf_add(out, text.p, text.n);
		}
		return;
	}
	sl_buf_putc(out, node->kind == SL_MAP ? '{' : '[');
	for (size_t i = 0; i < node->n; i++)
	{
		if (i > 0)
			sl_buf_putc(out, ',');
		if (node->kind == SL_MAP)
		{
			sl_buf_json_string(out, node->entries[i].key);
			sl_buf_putc(out, ':');
		}
		sl_node_json(out, node->entries[i].value);
	}
	sl_buf_putc(out, node->kind == SL_MAP ? '}' : ']');
}

void
sl_documents_add(sl_arena *arena, sl_documents *documents, sl_node *node)
{
	SL_ROOM(arena, documents->v, documents->n, documents->cap, 8);
	documents->v[documents->n++] = node;
}

int
sl_text_col(int col, int text_col, sl_str text, size_t offset)
{
	if (text_col == 0)
		return col;
	for (size_t i = 0; i < offset && i < text.n; i++)
		text_col += ((unsigned char) text.p[i] & 0xC0) != 0x80;
	return text_col;
}

bool
sl_fail_at(sl_error *err, int line, int col, const char *sqlstate, const char *format, ...)
{
	va_list args;
	char text[sizeof(err->message)];

	va_start(args, format);
	sl_format_text(text, sizeof(text), format, args);
	va_end(args);
	sl_fail(err, sqlstate, "%s", text);
	err->line = line;
	err->col = col;
	return false;
}

bool
sl_read_documents(const char *text, size_t n, sl_arena *arena,
				  sl_documents *documents, sl_error *err)
{
	size_t i = 0;

	memset(err, 0, sizeof(*err));
	if (n > SL_DOCUMENT_MAX)
	{
		sl_fail(err, SL_LIMIT_EXCEEDED, "rule document of %zu bytes is too large", n);
		sl_error_detail(err, "The limit is %zu bytes.", SL_DOCUMENT_MAX);
		sl_error_hint(err, "Import it in several parts.");
		return false;
	}
	if (!sl_utf8_valid(text, n))
		return sl_fail(err, SL_INVALID_TEXT, "rule document is not valid UTF-8");
	if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		text += 3, n -= 3;
	while (i < n && (text[i] == ' ' || text[i] == '\t' || text[i] == '\n' || text[i] == '\r'))
		i++;
	if (i < n && (text[i] == '{' || text[i] == '['))
		return sl_read_json(text, n, arena, documents, err);
	return sl_read_yaml(text, n, arena, documents, err);
}

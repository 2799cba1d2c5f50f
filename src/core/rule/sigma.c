/*
 * sigma.c
 *	  A document to a rule: Sigma 2.1's keys, its detections, and the keys
 *	  under "stacklens:"; and the short form, which is spelled out first.
 *
 * Whatever is not understood is refused by name, never passed over: a rule
 * that means less than it says is worse than none.
 */
#include "correlation.h"
#include "reader.h"
#include "../utf8.h"

#include <ctype.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

const char *const sl_severity_name[] = {"informational", "low", "medium", "high", "critical"};

const char *const sl_rule_kind_name[] = {"detection", "correlation", "filter"};

bool
sl_severity_from_name(sl_str name, sl_severity *severity)
{
	for (int i = 0; i < 5; i++)
		if (sl_str_is(name, sl_severity_name[i]))
		{
			*severity = (sl_severity) i;
			return true;
		}
	return false;
}

sl_expr *
sl_expr_new(sl_arena *arena, sl_expr_kind kind)
{
	sl_expr *expr = sl_alloc0(arena, sizeof(*expr));

	expr->kind = kind;
	expr->weight = 1;
	return expr;
}

void
sl_expr_add(sl_arena *arena, sl_expr *parent, sl_expr *child)
{
	SL_ROOM(arena, parent->children, parent->n, parent->cap, 4);
	parent->children[parent->n++] = child;
	parent->weight += child->weight;
}

bool
sl_fail_entry(sl_reader *r, const sl_entry *entry, const char *sqlstate, const char *message)
{
	return sl_fail_at(r->err, entry->line, entry->col, sqlstate, message, SL_STR_FMT(entry->key));
}

/*
 * A scalar whose text is meant, whatever YAML takes it for: 1.10 stays 1.10,
 * also in the definition that is stored.
 */
sl_str
sl_text_of(sl_node *node)
{
	node->value.type = SL_STRING;
	node->value.u.s = node->text;
	return node->text;
}

/* Text under a key; where it is missing *out stays as it is. */
bool
sl_read_text(sl_reader *r, const sl_node *map, const char *key, size_t limit, sl_str *out)
{
	sl_node *node = sl_node_get(map, key);

	if (!node || (node->kind == SL_SCALAR && node->value.type == SL_NULL))
		return true;
	if (node->kind != SL_SCALAR || node->text.n == 0)
	{
		sl_fail_at(r->err, node->line, node->col, SL_SYNTAX, "\"%s\" is %s where text is expected", key,
				   node->kind == SL_SCALAR ? "empty" : sl_node_describe(node));
		return false;
	}
	if (node->text.n > limit)
		return sl_fail_at(r->err, node->line, node->col, SL_LIMIT_EXCEEDED,
						  "\"%s\" is longer than %zu bytes", key, limit);
	*out = sl_text_of(node);
	return true;
}

static bool
read_uuid(sl_reader *r, const sl_node *map, sl_str *out)
{
	const sl_node *node = sl_node_get(map, "id");
	char *id;
	size_t n = 0;

	if (!node)
		return true;
	id = sl_alloc(r->arena, 37);
	for (size_t i = 0; i < node->text.n && n < 36; i++)
		id[n++] = (char) tolower((unsigned char) node->text.p[i]);
	for (size_t i = 0; i < n; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? id[i] != '-' : !isxdigit((unsigned char) id[i]))
			n = 0;
	if (n != 36 || node->text.n != 36)
	{
		sl_fail_at(r->err, node->line, node->col, SL_INVALID_TEXT,
				   "\"id\" is not a UUID: \"%.*s\"", SL_STR_FMT(node->text));
		return false;
	}
	*out = (sl_str){id, 36};
	return true;
}

bool
sl_refuse_unknown(sl_reader *r, const sl_node *map, const char *where, const char *const *known)
{
	for (size_t i = 0; i < map->n; i++)
	{
		const sl_entry *entry = &map->entries[i];
		const char *const *name = known;

		while (*name && !sl_str_is(entry->key, *name))
			name++;
		if (!*name)
		{
			sl_buf names;

			sl_buf_init(&names, r->arena, 256);
			for (name = known; *name; name++)
				sl_buf_printf(&names, "%s%s", name == known ? "" : ", ", *name);
			sl_fail_at(r->err, entry->line, entry->col, SL_SYNTAX, "unknown field \"%.*s\"%s",
					   SL_STR_FMT(entry->key), where);
			sl_error_hint(r->err, "Known are: %s.", names.p);
			return false;
		}
	}
	return true;
}

/* A whole number with a unit: s, m, h, d. */
static bool
timespan_of(sl_str s, int64_t *ns)
{
	static const char units[] = "smhd";
	static const int64_t seconds[] = {1, 60, 3600, 86400};
	const char *unit = s.n > 1 ? memchr(units, s.p[s.n - 1], 4) : NULL;
	int64_t n = 0;

	if (!unit || s.n > 10)
		return false;
	for (size_t i = 0; i + 1 < s.n; i++)
	{
		if (!isdigit((unsigned char) s.p[i]))
			return false;
		n = n * 10 + s.p[i] - '0';
	}
	n *= seconds[unit - units];
	/* ten years: event times are ns in 64 bits */
	if (n > INT64_C(315360000))
		return false;
	*ns = n * INT64_C(1000000000);
	return true;
}

bool
sl_read_timespan(sl_reader *r, const sl_node *map, const char *key, int64_t *ns)
{
	sl_str text = {0};
	const sl_node *node = sl_node_get(map, key);
	bool zero = strcmp(key, "lateness") == 0;

	if (!sl_read_text(r, map, key, 32, &text))
		return false;
	if (!text.p)
		return true;
	if (zero && sl_str_is(text, "0"))
	{
		*ns = 0;
		return true;
	}
	if (!timespan_of(text, ns) || (*ns == 0 && !zero))
	{
		sl_fail_at(r->err, node->line, node->col, SL_INVALID_PARAMETER, "\"%s\" is no timespan: \"%.*s\"", key, SL_STR_FMT(text));
		sl_error_hint(r->err, "Write a number above zero and s, m, h or d, for example 90s, 5m, 1h, 7d; ten years at most.");
		return false;
	}
	return true;
}

bool
sl_read_texts(sl_reader *r, const sl_entry *entry, size_t max, sl_str **out, size_t *n)
{
	sl_node *value = entry->value;
	bool list = value->kind == SL_LIST;

	*n = list ? value->n : 1;
	if (*n == 0)
		return sl_fail_entry(r, entry, SL_SYNTAX, "\"%.*s\" is empty");
	if (*n > max)
	{
		sl_fail_entry(r, entry, SL_LIMIT_EXCEEDED, "\"%.*s\" holds too many names");
		sl_error_detail(r->err, "%zu are allowed.", max);
		return false;
	}
	*out = sl_alloc(r->arena, *n * sizeof(sl_str));
	for (size_t i = 0; i < *n; i++)
	{
		sl_node *item = list ? value->entries[i].value : value;

		if (item->kind != SL_SCALAR || item->value.type == SL_NULL || item->text.n == 0)
			return sl_fail_at(r->err, item->line, item->col, SL_SYNTAX, "a name under \"%.*s\" is %s, not text",
							  SL_STR_FMT(entry->key), item->kind == SL_SCALAR ? "empty" : sl_node_describe(item));
		(*out)[i] = sl_text_of(item);
		for (size_t k = 0; k < i; k++)
			if (sl_str_eq((*out)[k], (*out)[i]))
				return sl_fail_at(r->err, item->line, item->col, SL_SYNTAX, "\"%.*s\" stands twice", SL_STR_FMT((*out)[i]));
	}
	return true;
}

static bool
read_labels(sl_reader *r, const sl_node *labels, sl_rule *rule)
{
	sl_buf json;

	if (!labels)
		return true;
	if (labels->kind != SL_MAP)
		return sl_fail_at(r->err, labels->line, labels->col, SL_SYNTAX, "\"labels\" is %s, not a map", sl_node_describe(labels));
	for (size_t i = 0; i < labels->n; i++)
		if (labels->entries[i].value->kind != SL_SCALAR)
			return sl_fail_entry(r, &labels->entries[i], SL_SYNTAX, "label \"%.*s\" is not plain text");
	sl_buf_init(&json, r->arena, 64);
	sl_node_json(&json, labels);
	rule->labels = (sl_str){json.p, json.n};
	return true;
}

static bool
read_stacklens(sl_reader *r, const sl_node *map, sl_rule *rule)
{
	static const char *const known[] = {"issue_code", "message", "suppress", "labels", "lateness", "after", "resolve_after", NULL};
	static const char *const known_suppress[] = {"by", NULL};
	const sl_node *suppress;
	const sl_entry *by;

	if (map->kind != SL_MAP)
		return sl_fail_at(r->err, map->line, map->col, SL_SYNTAX, "\"stacklens\" is %s, not a map", sl_node_describe(map));
	if (sl_node_entry(map, "channels"))
		return sl_fail_entry(r, sl_node_entry(map, "channels"), SL_NOT_SUPPORTED, "\"%.*s\" is not supported by this version");
	if (!sl_refuse_unknown(r, map, " under \"stacklens\"", known) ||
		!sl_read_text(r, map, "issue_code", 64, &rule->issue_code) ||
		!sl_read_text(r, map, "message", 1000, &rule->message) ||
		!sl_read_timespan(r, map, "resolve_after", &rule->resolve_after) ||
		!sl_correlation_read_ours(r, map, rule))
		return false;
	if (!read_labels(r, sl_node_get(map, "labels"), rule))
		return false;
	suppress = sl_node_get(map, "suppress");
	if (!suppress)
		return true;
	if (suppress->kind != SL_MAP)
		return sl_fail_at(r->err, suppress->line, suppress->col, SL_SYNTAX,
						  "\"suppress\" is %s, not a map", sl_node_describe(suppress));
	if (sl_node_entry(suppress, "for"))
		return sl_fail_entry(r, sl_node_entry(suppress, "for"), SL_NOT_SUPPORTED,
							 "\"%.*s\" under \"suppress\" is not supported by this version");
	if (!sl_refuse_unknown(r, suppress, " under \"suppress\"", known_suppress))
		return false;
	by = sl_node_entry(suppress, "by");
	if (!by)
		return sl_fail_at(r->err, suppress->line, suppress->col, SL_SYNTAX, "\"suppress\" has no \"by\"");
	/* no name at all: one alert of the rule */
	if (by->value->kind == SL_LIST && by->value->n == 0)
	{
		rule->n_group_by = 0;
		return true;
	}
	return sl_read_texts(r, by, 16, &rule->group_by, &rule->n_group_by);
}

static sl_str
or_any(sl_str s)
{
	return s.p ? s : SL_STR("*");
}

static bool
read_logsource(sl_reader *r, const sl_node *node, sl_rule *rule)
{
	static const char *const known[] = {"category", "product", "service", "definition", NULL};
	sl_str category = {0},
		   product = {0},
		   service = {0};

	if (!node)
		return true;
	if (node->kind != SL_MAP)
		return sl_fail_at(r->err, node->line, node->col, SL_SYNTAX, "\"logsource\" is %s, not a map", sl_node_describe(node));
	if (!sl_refuse_unknown(r, node, " under \"logsource\"", known) ||
		!sl_read_text(r, node, "category", 200, &category) ||
		!sl_read_text(r, node, "product", 200, &product) ||
		!sl_read_text(r, node, "service", 200, &service))
		return false;
	rule->logsource = sl_strf(r->arena, "%.*s/%.*s/%.*s", SL_STR_FMT(or_any(category)), SL_STR_FMT(or_any(product)),
							  SL_STR_FMT(or_any(service)));
	if (rule->kind == SL_DETECTION)
		sl_logsource_apply(r, category, product, service, rule);
	return true;
}

static sl_node *
text_node(sl_arena *arena, const sl_node *where, sl_str text)
{
	sl_node *node = sl_node_new(arena, SL_SCALAR, where->line, where->col);

	node->value.type = SL_STRING;
	node->value.u.s = node->text = text;
	return node;
}

/* {"name", "match", …} to the Sigma rule that it is short for. */
static sl_node *
spell_out(sl_reader *r, sl_node *short_form)
{
	static const char *const known[] = {"name", "id", "match", "severity", "issue_code", "message",
										"description", "labels", "suppress", "resolve_after", NULL};
	sl_arena *arena = r->arena;
	const sl_entry *match = sl_node_entry(short_form, "match");
	sl_node *rule = sl_node_new(arena, SL_MAP, short_form->line, short_form->col);
	sl_node *detection = sl_node_new(arena, SL_MAP, match->line, match->col);
	sl_node *ours = sl_node_new(arena, SL_MAP, short_form->line, short_form->col);

	if (!sl_refuse_unknown(r, short_form, "", known))
		return NULL;
	for (size_t i = 0; i < short_form->n; i++)
	{
		const sl_entry *entry = &short_form->entries[i];
		sl_node *into = rule;
		sl_str key = entry->key;

		if (sl_str_is(key, "match"))
			continue;
		if (sl_str_is(key, "severity"))
			key = SL_STR("level");
		else if (sl_str_is(key, "issue_code") || sl_str_is(key, "message") ||
				 sl_str_is(key, "labels") || sl_str_is(key, "suppress") || sl_str_is(key, "resolve_after"))
			into = ours;
		sl_node_add(arena, into, key, entry->line, entry->col, entry->value);
		if (sl_str_is(key, "name"))
			sl_node_add(arena, rule, SL_STR("title"), entry->line, entry->col, entry->value);
	}
	sl_node_add(arena, detection, SL_STR("selection"), match->line, match->col, match->value);
	sl_node_add(arena, detection, SL_STR("condition"), match->line, match->col,
				text_node(arena, match->value, SL_STR("selection")));
	sl_node_add(arena, rule, SL_STR("detection"), match->line, match->col, detection);
	if (ours->n)
		sl_node_add(arena, rule, SL_STR("stacklens"), ours->line, ours->col, ours);
	return rule;
}

/* The key that makes a document a rule of its kind. */
static const sl_entry *
kind_entry(sl_reader *r, const sl_node *document, sl_rule *rule)
{
	static const char *const keys[] = {"detection", "correlation", "filter"};
	const sl_entry *found = NULL;

	for (int i = 0; i < 3; i++)
	{
		const sl_entry *entry = sl_node_entry(document, keys[i]);

		if (!entry)
			continue;
		if (found)
		{
			sl_fail_at(r->err, entry->line, entry->col, SL_SYNTAX, "a rule has \"%.*s\" or \"%s\", not both",
					   SL_STR_FMT(found->key), keys[i]);
			sl_error_hint(r->err, "Write two documents, with a line \"---\" between them.");
			return NULL;
		}
		found = entry;
		rule->kind = (sl_rule_kind) i;
	}
	if (!found)
	{
		sl_fail_at(r->err, document->line, document->col, SL_SYNTAX, "rule \"%.*s\" has no detection", SL_STR_FMT(rule->name));
		sl_error_hint(r->err, "It holds \"detection\", \"correlation\" or \"filter\".");
	}
	return found;
}

static bool
read_filter(sl_reader *r, const sl_entry *filter, sl_rule *rule)
{
	static const char *const other[] = {"rules", NULL};
	const sl_entry *rules = filter->value->kind == SL_MAP ? sl_node_entry(filter->value, "rules") : NULL;

	if (filter->value->kind == SL_MAP && !rules)
	{
		sl_fail_entry(r, filter, SL_SYNTAX, "\"%.*s\" names no rules");
		sl_error_hint(r->err, "Add \"rules:\" with a list of names or ids.");
		return false;
	}
	if (rules && !sl_read_texts(r, rules, SL_FILTER_MAX_RULES, &rule->targets, &rule->n_targets))
		return false;
	rule->condition = sl_detection_read(r, filter, other);
	return rule->condition != NULL;
}

static bool
read_names(sl_reader *r, sl_node *document, sl_rule *rule)
{
	if (!sl_read_text(r, document, "title", 256, &rule->title) ||
		!sl_read_text(r, document, "name", 256, &rule->name) ||
		!read_uuid(r, document, &rule->id))
		return false;
	if (!rule->name.p)
		rule->name = rule->title;
	if (!rule->name.p)
		return sl_fail_at(r->err, document->line, document->col, SL_SYNTAX, "rule has neither a title nor a name");
	if (!rule->title.p)
		rule->title = rule->name;
	return true;
}

static bool
read_level(sl_reader *r, const sl_node *document, sl_rule *rule)
{
	sl_str level = SL_STR("medium");
	const sl_node *node = sl_node_get(document, "level");

	if (!sl_read_text(r, document, "level", 32, &level))
		return false;
	if (sl_severity_from_name(level, &rule->severity))
		return true;
	sl_fail_at(r->err, node->line, node->col, SL_INVALID_PARAMETER, "unknown severity \"%.*s\"", SL_STR_FMT(level));
	sl_error_hint(r->err, "It is one of informational, low, medium, high, critical.");
	return false;
}

/* States outlive changes of what a correlation is called, not of what it counts. */
static void
set_key(sl_reader *r, sl_rule *rule, const sl_node *definition)
{
	sl_correlation *c = rule->correlation;
	XXH128_canonical_t key;
	sl_buf text;

	sl_buf_init(&text, r->arena, 256);
	sl_node_json(&text, definition);
	sl_buf_printf(&text, "%lld %d %.*s", (long long) c->lateness, c->slide, SL_STR_FMT(rule->id.p ? rule->id : rule->name));
	XXH128_canonicalFromHash(&key, XXH3_128bits(text.p, text.n));
	memcpy(c->key, key.digest, sizeof(c->key));
}

sl_rule *
sl_rule_read(sl_node *document, const sl_definitions *definitions, sl_arena *arena, sl_error *err)
{
	static const char *const known[] = {"title", "id", "name", "related", "taxonomy", "status",
										"description", "license", "references", "author", "date", "modified", "logsource",
										"detection", "correlation", "filter", "fields", "falsepositives", "level", "tags", "scope",
										"generate", "stacklens", "regression_tests_path", "simulation", NULL};
	static const char *const none[] = {NULL};
	static const sl_str by_service[] = {{"service", 7}};
	sl_reader r = {.arena = arena, .err = err, .definitions = definitions};
	sl_rule *rule = sl_alloc0(arena, sizeof(*rule));
	const sl_entry *entry,
		*ours,
		*generate;

	memset(err, 0, sizeof(*err));
	if (document->kind != SL_MAP)
	{
		sl_fail_at(err, document->line, document->col, SL_SYNTAX, "a rule is a map, not %s", sl_node_describe(document));
		return NULL;
	}
	if (sl_node_entry(document, "match") && !sl_node_entry(document, "detection"))
	{
		document = spell_out(&r, document);
		if (!document)
			return NULL;
	}
	rule->definition = document;
	rule->labels = SL_STR("{}");
	if (!sl_refuse_unknown(&r, document, " of a rule", known) || !read_names(&r, document, rule) ||
		!(entry = kind_entry(&r, document, rule)) || !read_level(&r, document, rule))
		return NULL;
	if (rule->kind == SL_DETECTION)
	{
		rule->group_by = (sl_str *) by_service;
		rule->n_group_by = 1;
		rule->condition = sl_detection_read(&r, entry, none);
		if (!rule->condition)
			return NULL;
	}
	else if (rule->kind == SL_CORRELATION)
	{
		if (!sl_correlation_read(&r, entry, rule))
			return NULL;
		rule->group_by = rule->correlation->group_by;
		rule->n_group_by = rule->correlation->n_group_by;
	}
	else if (!read_filter(&r, entry, rule))
		return NULL;
	if (!read_logsource(&r, sl_node_get(document, "logsource"), rule))
		return NULL;
	generate = sl_node_entry(document, "generate");
	if (generate)
	{
		if (!rule->correlation || generate->value->kind != SL_SCALAR || generate->value->value.type != SL_BOOL)
		{
			sl_fail_entry(&r, generate, SL_SYNTAX, "\"%.*s\" is true or false, and for correlations only");
			return NULL;
		}
		rule->correlation->generate = generate->value->value.u.b;
	}
	ours = sl_node_entry(document, "stacklens");
	if (ours && rule->kind == SL_FILTER)
	{
		sl_fail_entry(&r, ours, SL_SYNTAX, "\"%.*s\" is not for filters: they raise no alert");
		return NULL;
	}
	if (ours && !read_stacklens(&r, ours->value, rule))
		return NULL;
	if (rule->correlation && rule->group_by != rule->correlation->group_by)
	{
		sl_fail_entry(&r, sl_node_entry(ours->value, "suppress"), SL_SYNTAX,
					  "\"%.*s\" is for detections: a correlation's alerts go by its \"group-by\"");
		return NULL;
	}
	if (rule->correlation)
		set_key(&r, rule, entry->value);
	if (!rule->issue_code.p)
	{
		rule->issue_code = rule->name;
		rule->issue_code.n = sl_utf8_cut(rule->name.p, rule->name.n, 64);
	}
	return rule;
}

void
sl_rule_documents(sl_node *document, sl_arena *arena, sl_documents *rules)
{
	sl_node *list = document->kind == SL_LIST ? document : sl_node_get(document, "rules");

	if (!list || list->kind != SL_LIST || (list != document && sl_node_get(document, "detection")))
	{
		sl_documents_add(arena, rules, document);
		return;
	}
	for (size_t i = 0; i < list->n; i++)
		sl_documents_add(arena, rules, list->entries[i].value);
}

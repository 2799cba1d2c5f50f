/*
 * naive.c
 *	  Sigma detections evaluated as the specification reads.
 *
 * Every value of a rule is compared with every value of a record, from the
 * rule's own text each time; nothing is compiled, indexed or shared, save
 * regular expressions.  Nothing here comes from src/core/rule or
 * src/core/match: what they get wrong must not be wrong here too.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "naive.h"
#include "../../src/core/utf8.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

/* What one call needs; given back by the next. */
static sl_arena memory;

static void
give_up(const char *why, sl_str what)
{
	printf("Bail out! naive evaluator: %s: %.*s\n", why, SL_STR_FMT(what));
	exit(1);
}

static void
no_memory(sl_arena *arena, size_t wanted)
{
	(void) arena;
	(void) wanted;
	give_up("out of memory", (sl_str){"", 0});
}

/*
 * Characters: a text as code points.
 */
typedef struct chars
{
	uint32_t *c;
	size_t n;
} chars;

/* What wildcards are among the characters of a pattern. */
#define ANY_RUN 0x110000u
#define ANY_ONE 0x110001u

static chars
chars_of(sl_str s)
{
	chars out = {sl_alloc(&memory, (s.n + 1) * sizeof(uint32_t)), 0};

	for (size_t i = 0; i < s.n;)
	{
		int len;

		out.c[out.n++] = sl_utf8_get(s.p + i, s.n - i, &len);
		i += (size_t) len;
	}
	return out;
}

static uint32_t
fold_char(uint32_t c)
{
	char utf8[4];
	sl_str folded;
	int len;

	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + 32 : c;
	if (c >= ANY_RUN)
		return c;
	len = sl_utf8_put(utf8, c);
	folded = sl_fold(&memory, (sl_str){utf8, (size_t) len});
	return sl_utf8_get(folded.p, folded.n, &len);
}

static void
fold(chars *s)
{
	for (size_t i = 0; i < s->n; i++)
		s->c[i] = fold_char(s->c[i]);
}

/* Does a pattern match the whole of s? */
static bool
wild(const uint32_t *p, size_t np, const uint32_t *s, size_t ns)
{
	bool *can;

	for (; np > 0 && p[0] != ANY_RUN; p++, np--, s++, ns--)
		if (ns == 0 || (p[0] != s[0] && p[0] != ANY_ONE))
			return false;
	if (np == 0)
		return ns == 0;

	/* which beginnings of s what has been read of the pattern can match */
	can = sl_alloc0(&memory, ns + 1);
	can[0] = true;
	for (; np > 0; p++, np--)
	{
		bool any = false;

		if (p[0] == ANY_RUN)
		{
			for (size_t i = 1; i <= ns; i++)
				can[i] |= can[i - 1];
			continue;
		}
		for (size_t i = ns; i > 0; i--)
			any |= can[i] = can[i - 1] && (p[0] == s[i - 1] || p[0] == ANY_ONE);
		if (!any)
			return false;
		can[0] = false;
	}
	return can[ns];
}

/* A Sigma string: what a backslash takes the meaning from, and wildcards. */
static chars
sigma_string(sl_str written)
{
	chars in = chars_of(written);
	chars out = {sl_alloc(&memory, (in.n + 1) * sizeof(uint32_t)), 0};

	for (size_t i = 0; i < in.n; i++)
	{
		uint32_t c = in.c[i];

		if (c == '\\' && i + 1 < in.n && (in.c[i + 1] == '\\' || in.c[i + 1] == '*' || in.c[i + 1] == '?'))
			c = in.c[++i];
		else if (c == '*')
			c = ANY_RUN;
		else if (c == '?')
			c = ANY_ONE;
		out.c[out.n++] = c;
	}
	return out;
}

/*
 * Fields of a record.
 */
typedef struct item
{
	sl_str name;
	sl_value value;
	int64_t time;  /* of the record's own times, else 0 */
	bool apart;	   /* a time or number of the record itself: no keyword is looked for in it */
	chars text[2]; /* its characters, as they are and folded; c == NULL: not yet made */
} item;

static item *items;
static int n_items;

static void
add_item(sl_str name, sl_value value, int64_t time, bool apart)
{
	items[n_items++] = (item){.name = name, .value = value, .time = time, .apart = apart};
}

static const chars *
text_of(item *it, bool folded)
{
	chars *text = &it->text[folded];

	if (!text->c)
	{
		*text = chars_of(sl_value_text(&memory, &it->value));
		if (folded)
			fold(text);
	}
	return text;
}

static void
add_time(const char *name, int64_t ns)
{
	char *text;

	if (!ns)
		return;
	text = sl_alloc(&memory, 64);
	sl_format_timestamp(text, ns);
	add_item((sl_str){name, strlen(name)}, (sl_value){.type = SL_STRING, .u.s = {text, strlen(text)}}, ns, true);
}

static void
list_items(const sl_record *r)
{
	size_t most = SL_KNOWN_TEXTS + 3 + r->attributes.n + (r->resource ? r->resource->fields.n : 0);

	items = sl_alloc(&memory, most * sizeof(item));
	n_items = 0;
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (r->text[i].p)
			add_item((sl_str){sl_known_name[i], strlen(sl_known_name[i])},
					 (sl_value){.type = SL_STRING, .u.s = r->text[i]}, 0, false);
	if (r->severity)
		add_item(SL_STR("severity_number"), (sl_value){.type = SL_INT, .u.i = r->severity}, 0, true);
	add_time("timestamp", r->timestamp);
	add_time("observed_timestamp", r->observed);
	for (uint32_t i = 0; i < r->attributes.n; i++)
		add_item(sl_field_name(r->attributes.v[i].name), r->attributes.v[i].value, 0, false);
	if (r->resource)
		for (uint32_t i = 0; i < r->resource->fields.n; i++)
		{
			sl_str name = r->resource->fields.v[i].name;
			char *full = sl_alloc(&memory, name.n + 9);

			memcpy(full, "resource.", 9);
			memcpy(full + 9, name.p, name.n);
			add_item((sl_str){full, name.n + 9}, r->resource->fields.v[i].value, 0, false);
		}
}

static bool
is_decimal(sl_str s, double *number)
{
	char digits[64];
	char *end;

	if (s.n == 0 || s.n >= sizeof(digits) || !strchr("0123456789+-.", s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!strchr("0123456789+-.eE", s.p[i]))
			return false;
	memcpy(digits, s.p, s.n);
	digits[s.n] = '\0';
	*number = strtod(digits, &end);
	return *end == '\0';
}

static bool
number_of(const sl_value *v, double *number)
{
	if (v->type == SL_INT)
		*number = (double) v->u.i;
	else if (v->type == SL_DOUBLE)
		*number = v->u.d;
	else
		return v->type == SL_STRING && is_decimal(v->u.s, number);
	return *number == *number;
}

static bool
time_of(const item *it, int64_t *ns)
{
	const sl_value *v = &it->value;
	const char *digits;
	double number;

	if (it->time)
	{
		*ns = it->time;
		return true;
	}
	if (v->type == SL_INT)
		return sl_epoch_timestamp_int(v->u.i, ns);
	if (v->type == SL_DOUBLE)
		return sl_epoch_timestamp(v->u.d, ns);
	if (v->type != SL_STRING)
		return false;
	if (sl_parse_timestamp(v->u.s, ns))
		return true;
	/* an epoch number that came as text: a double hasn't the digits of a long one */
	digits = sl_str_copy(&memory, v->u.s.p, v->u.s.n).p;
	if (v->u.s.n > 0 && v->u.s.n < 19 && strspn(digits, "0123456789") == v->u.s.n)
		return sl_epoch_timestamp_int(atoll(digits), ns);
	return is_decimal(v->u.s, &number) && sl_epoch_timestamp(number, ns);
}

/*
 * Modifiers.
 */
enum
{
	CONTAINS,
	STARTSWITH,
	ENDSWITH,
	ALL,
	CASED,
	EXISTS,
	RE,
	RE_I,
	RE_M,
	RE_S,
	BASE64,
	BASE64OFFSET,
	WIDE,
	UTF16LE,
	UTF16BE,
	UTF16,
	WINDASH,
	CIDR,
	FIELDREF,
	LT,
	LTE,
	GT,
	GTE,
	NEQ,
	MINUTE,
	HOUR,
	DAY,
	WEEK,
	MONTH,
	YEAR,
	MODIFIERS
};

naive_modifier naive_modifiers[MODIFIERS] = {
	[CONTAINS] = {.name = "contains"},
	[STARTSWITH] = {.name = "startswith"},
	[ENDSWITH] = {.name = "endswith"},
	[ALL] = {.name = "all"},
	[CASED] = {.name = "cased"},
	[EXISTS] = {.name = "exists"},
	[RE] = {.name = "re"},
	[RE_I] = {.name = "i"},
	[RE_M] = {.name = "m"},
	[RE_S] = {.name = "s"},
	[BASE64] = {.name = "base64"},
	[BASE64OFFSET] = {.name = "base64offset"},
	[WIDE] = {.name = "wide"},
	[UTF16LE] = {.name = "utf16le"},
	[UTF16BE] = {.name = "utf16be"},
	[UTF16] = {.name = "utf16"},
	[WINDASH] = {.name = "windash"},
	[CIDR] = {.name = "cidr"},
	[FIELDREF] = {.name = "fieldref"},
	[LT] = {.name = "lt"},
	[LTE] = {.name = "lte"},
	[GT] = {.name = "gt"},
	[GTE] = {.name = "gte"},
	[NEQ] = {.name = "neq"},
	[MINUTE] = {.name = "minute"},
	[HOUR] = {.name = "hour"},
	[DAY] = {.name = "day"},
	[WEEK] = {.name = "week"},
	[MONTH] = {.name = "month"},
	[YEAR] = {.name = "year"},
};

const int naive_n_modifiers = MODIFIERS;

/* A key of a selection: "field|modifier|modifier". */
typedef struct test
{
	sl_str field; /* as records spell it; empty: the whole record */
	int modifiers[MODIFIERS];
	int n;
	uint64_t set; /* the same, a bit for each */
} test;

static bool
has(const test *t, int modifier)
{
	return t->set >> modifier & 1;
}

static void
read_key(sl_str key, test *t)
{
	size_t at = 0;

	while (at < key.n && key.p[at] != '|')
		at++;
	t->field = sl_field_name((sl_str){key.p, at});
	t->n = 0;
	t->set = 0;
	while (at < key.n)
	{
		sl_str name = {key.p + at + 1, 0};
		int m = 0;

		for (at++; at < key.n && key.p[at] != '|'; at++)
			name.n++;
		while (m < MODIFIERS && !sl_str_is(name, naive_modifiers[m].name))
			m++;
		if (m == MODIFIERS || has(t, m))
			give_up("modifiers", key);
		t->modifiers[t->n++] = m;
		t->set |= (uint64_t) 1 << m;
	}
}

static bool
is_of(const test *t, const item *it)
{
	return t->field.n ? sl_str_eq(t->field, it->name) : !it->apart;
}

/*
 * Encodings.
 */
sl_str
naive_base64(sl_arena *arena, sl_str bytes)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = sl_alloc(arena, bytes.n * 2 + 8);
	size_t n = 0;
	unsigned bits = 0;
	int held = 0;

	/* six bits are written as soon as there are six */
	for (size_t i = 0; i < bytes.n; i++)
	{
		bits = bits << 8 | (unsigned char) bytes.p[i];
		for (held += 8; held >= 6; held -= 6)
			out[n++] = digits[bits >> (held - 6) & 63];
		bits &= 63;
	}
	if (held)
		out[n++] = digits[bits << (6 - held) & 63];
	while (n % 4)
		out[n++] = '=';
	return (sl_str){out, n};
}

sl_str
naive_utf16(sl_arena *arena, sl_str text, const char *modifier)
{
	char *out = sl_alloc(arena, text.n * 2 + 4);
	bool big = strcmp(modifier, "utf16be") == 0;
	size_t n = 0;

	if (strcmp(modifier, "utf16") == 0)
	{
		out[n++] = '\xFF';
		out[n++] = '\xFE';
	}
	for (size_t i = 0; i < text.n;)
	{
		int len;
		uint32_t c = sl_utf8_get(text.p + i, text.n - i, &len);
		uint32_t units[2] = {0xD800 | (c - 0x10000) >> 10, 0xDC00 | (c & 0x3FF)};

		for (int k = c < 0x10000; k < 2; k++)
		{
			uint32_t unit = c < 0x10000 ? c : units[k];

			out[n++] = (char) (big ? unit >> 8 : unit);
			out[n++] = (char) (big ? unit : unit >> 8);
		}
		i += (size_t) len;
	}
	return (sl_str){out, n};
}

/* What a value has become on its way through the modifiers: any of these. */
typedef struct texts
{
	chars *v;
	size_t n;
} texts;

/* The bytes that an encoding takes; what UTF-16 made are bytes already. */
static sl_str
bytes_of(chars s, bool bytes)
{
	char *out = sl_alloc(&memory, s.n * 4 + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
	{
		if (s.c[i] >= ANY_RUN)
			give_up("a wildcard is encoded", (sl_str){"", 0});
		if (bytes)
			out[n++] = (char) s.c[i];
		else
			n += (size_t) sl_utf8_put(out + n, s.c[i]);
	}
	return (sl_str){out, n};
}

/* Bytes as characters of their own, be they ASCII or not yet text. */
static chars
chars_of_bytes(sl_str s)
{
	chars out = {sl_alloc(&memory, (s.n + 1) * sizeof(uint32_t)), s.n};

	for (size_t i = 0; i < s.n; i++)
		out.c[i] = (unsigned char) s.p[i];
	return out;
}

static chars
with_runs(chars s, bool before, bool after)
{
	chars out = {sl_alloc(&memory, (s.n + 2) * sizeof(uint32_t)), 0};

	if (before)
		out.c[out.n++] = ANY_RUN;
	for (size_t i = 0; i < s.n; i++)
		out.c[out.n++] = s.c[i];
	if (after)
		out.c[out.n++] = ANY_RUN;
	return out;
}

/* Letters, digits and "_"; of other characters what isn't punctuation. */
static bool
word_char(uint32_t c)
{
	if (c < 0x80)
		return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
	return c < ANY_RUN && c >= 0xAA && !(c >= 0x2000 && c <= 0x206F);
}

/* At most how many texts a modifier makes of one. */
static size_t
most_of(int modifier, chars s)
{
	size_t most = 1;

	for (size_t i = 0; i < s.n; i++)
		if (modifier == WINDASH && (s.c[i] == '-' || s.c[i] == '/'))
			most *= 5;
	return modifier == BASE64OFFSET ? 3 : most;
}

/* All ways to write the dashes from a place on. */
static void
add_dashes(chars s, size_t from, texts *out)
{
	static const uint32_t dashes[] = {'-', '/', 0x2013, 0x2014, 0x2015};

	for (; from < s.n; from++)
		if ((s.c[from] == '-' || s.c[from] == '/') && (from == 0 || !word_char(s.c[from - 1])) &&
			from + 1 < s.n && word_char(s.c[from + 1]))
			break;
	if (from == s.n)
	{
		out->v[out->n++] = s;
		return;
	}
	for (int i = 0; i < 5; i++)
	{
		chars one = {sl_alloc(&memory, s.n * sizeof(uint32_t)), s.n};

		memcpy(one.c, s.c, s.n * sizeof(uint32_t));
		one.c[from] = dashes[i];
		add_dashes(one, from + 1, out);
	}
}

static void
add_encoded(chars s, bool bytes, int modifier, texts *out)
{
	sl_str plain = bytes_of(s, bytes);

	if (modifier == BASE64)
		out->v[out->n++] = chars_of_bytes(naive_base64(&memory, plain));
	else if (modifier == BASE64OFFSET)
		for (size_t i = 0; i < 3; i++)
		{
			static const size_t front[] = {0, 2, 3},
								end[] = {0, 3, 2};
			char *shifted = sl_alloc(&memory, plain.n + i + 1);
			sl_str encoded;

			memset(shifted, ' ', i);
			memcpy(shifted + i, plain.p, plain.n);
			encoded = naive_base64(&memory, (sl_str){shifted, plain.n + i});
			if (encoded.n <= front[i] + end[(plain.n + i) % 3])
				give_up("too short for base64offset", plain);
			encoded.p += front[i];
			encoded.n -= front[i] + end[(plain.n + i) % 3];
			out->v[out->n++] = chars_of_bytes(encoded);
		}
	else
		out->v[out->n++] = chars_of_bytes(naive_utf16(&memory, plain, naive_modifiers[modifier].name));
}

/* The patterns of which a text has to match one. */
static texts
patterns_of(const test *t, sl_str written)
{
	texts now = {sl_alloc(&memory, sizeof(chars)), 1};
	bool bytes = false;

	now.v[0] = sigma_string(written);
	for (int k = 0; k < t->n; k++)
	{
		int m = t->modifiers[k];
		texts next = {NULL, 0};
		size_t most = 0;

		if (m > ENDSWITH && m != WINDASH && !(m >= BASE64 && m <= UTF16))
			continue;
		for (size_t i = 0; i < now.n; i++)
			most += most_of(m, now.v[i]);
		next.v = sl_alloc(&memory, most * sizeof(chars));
		for (size_t i = 0; i < now.n; i++)
			if (m == WINDASH)
				add_dashes(now.v[i], 0, &next);
			else if (m <= ENDSWITH)
				next.v[next.n++] = with_runs(now.v[i], m != STARTSWITH, m != ENDSWITH);
			else
				add_encoded(now.v[i], bytes, m, &next);
		bytes = m >= WIDE && m <= UTF16;
		now = next;
	}
	if (bytes)
		give_up("UTF-16 is no text", written);
	for (size_t i = 0; i < now.n; i++)
	{
		if (t->field.n == 0)
			now.v[i] = with_runs(now.v[i], true, true);
		if (!has(t, CASED))
			fold(&now.v[i]);
	}
	return now;
}

/*
 * Regular expressions, kept: to compile one takes longer than all else here.
 */
typedef struct expression
{
	char *text;
	size_t n;
	uint32_t options;
	pcre2_code *code;
} expression;

static bool
regex_holds(const test *t, sl_str written, sl_str s)
{
	static expression kept[4096];
	static pcre2_match_data *found;
	uint32_t options = PCRE2_UTF | (has(t, RE_I) ? PCRE2_CASELESS : 0) | (has(t, RE_M) ? PCRE2_MULTILINE : 0) |
					   (has(t, RE_S) ? PCRE2_DOTALL : 0);
	uint32_t at = options;
	expression *e;

	for (size_t i = 0; i < written.n; i++)
		at = at * 31 + (unsigned char) written.p[i];
	e = &kept[at % 4096];
	if (!e->code || e->options != options || e->n != written.n || memcmp(e->text, written.p, written.n) != 0)
	{
		int error;
		PCRE2_SIZE where;

		pcre2_code_free(e->code);
		free(e->text);
		e->text = malloc(written.n + 1);
		memcpy(e->text, written.p, written.n);
		e->n = written.n;
		e->options = options;
		e->code = pcre2_compile((PCRE2_SPTR) written.p, written.n, options, &error, &where, NULL);
		if (!e->code)
			give_up("regular expression", written);
	}
	if (!found)
		found = pcre2_match_data_create(1, NULL);
	return pcre2_match(e->code, (PCRE2_SPTR) s.p, s.n, 0, 0, found, NULL) >= 0;
}

/*
 * Addresses; IPv4 is part of IPv6 as ::ffff:a.b.c.d.
 */
static bool
is_ipv4(const char *s, uint8_t *out)
{
	for (int i = 0; i < 4; i++)
	{
		int n = 0;
		const char *first = s;

		if (i > 0 && *s++ != '.')
			return false;
		for (first = s; *s >= '0' && *s <= '9' && s - first < 3; s++)
			n = n * 10 + *s - '0';
		if (s == first || n > 255 || (s - first > 1 && *first == '0'))
			return false;
		out[i] = (uint8_t) n;
	}
	return *s == '\0';
}

static bool
is_ipv6(const char *s, uint8_t *out)
{
	uint8_t bytes[16];
	int n = 0,
		gap = -1;

	if (s[0] == ':' && s[1] != ':')
		return false;
	while (*s)
	{
		unsigned group = 0;
		int digits = 0;

		if (s[0] == ':' && s[1] == ':')
		{
			if (gap >= 0)
				return false;
			gap = n;
			s += 2;
			if (*s == '\0')
				break;
			if (*s == ':')
				return false;
		}
		else if (n > 0 && *s++ != ':')
			return false;
		if (n <= 12 && is_ipv4(s, bytes + n))
		{
			n += 4;
			break;
		}
		for (; digits < 4 && *s && strchr("0123456789abcdefABCDEF", *s); digits++, s++)
			group = group * 16 + (unsigned) (*s <= '9' ? *s - '0' : (*s | 32) - 'a' + 10);
		if (digits == 0 || n == 16)
			return false;
		bytes[n++] = (uint8_t) (group >> 8);
		bytes[n++] = (uint8_t) group;
	}
	if (gap < 0 ? n != 16 : n > 14)
		return false;
	memset(out, 0, 16);
	if (gap < 0)
		gap = n;
	memcpy(out, bytes, (size_t) gap);
	memcpy(out + 16 - (n - gap), bytes + gap, (size_t) (n - gap));
	return true;
}

static bool
address_of(sl_str s, uint8_t *out, bool *v4)
{
	const char *text = sl_str_copy(&memory, s.p, s.n).p;

	*v4 = is_ipv4(text, out + 12);
	if (*v4)
	{
		memset(out, 0, 10);
		memset(out + 10, 0xFF, 2);
		return true;
	}
	return is_ipv6(text, out);
}

static bool
cidr_holds(sl_str written, sl_str s)
{
	uint8_t network[16],
		address[16];
	const char *slash = memchr(written.p, '/', written.n);
	sl_str first = {written.p, slash ? (size_t) (slash - written.p) : written.n};
	bool v4,
		any;
	int bits = 128;

	if (!address_of(first, network, &v4))
		give_up("network", written);
	if (slash)
		bits = atoi(sl_str_copy(&memory, slash + 1, written.n - first.n - 1).p) + (v4 ? 96 : 0);
	if (!address_of(s, address, &any))
		return false;
	for (int i = 0; i < bits; i++)
		if ((network[i / 8] ^ address[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

/*
 * Numbers and times.
 */
static bool
compares(const test *t, double x, double bound)
{
	return has(t, LT) ? x < bound : has(t, LTE) ? x <= bound
								: has(t, GT)	? x > bound
								: has(t, GTE)	? x >= bound
												: x == bound;
}

static bool
is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970 to a year and the day of it, from 0. */
static void
year_of(int64_t days, int *year, int *day)
{
	*year = 1970;
	for (; days < 0; days += is_leap(*year) ? 366 : 365)
		--*year;
	for (; days >= (is_leap(*year) ? 366 : 365); ++*year)
		days -= is_leap(*year) ? 366 : 365;
	*day = (int) days;
}

static int
time_part(const test *t, int64_t ns)
{
	int64_t seconds = ns / 1000000000 - (ns % 1000000000 < 0);
	int64_t days = seconds / 86400 - (seconds % 86400 < 0);
	int in_day = (int) (seconds - days * 86400);
	int months[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year,
		day,
		month = 0;

	if (has(t, MINUTE))
		return in_day / 60 % 60;
	if (has(t, HOUR))
		return in_day / 3600;
	if (has(t, WEEK))
	{
		/* a week is of the year in which its Thursday lies; 1970 began with one */
		int64_t thursday = days - (days % 7 + 7 + 3) % 7 + 3;

		year_of(thursday, &year, &day);
		return day / 7 + 1;
	}
	year_of(days, &year, &day);
	if (has(t, YEAR))
		return year;
	months[1] += is_leap(year);
	while (day >= months[month])
		day -= months[month++];
	return has(t, MONTH) ? month + 1 : day + 1;
}

/*
 * One value of a rule against one value of a record.
 */
static bool
reference_holds(const test *t, sl_str other, item *it)
{
	sl_str name = sl_field_name(other);
	bool before = has(t, CONTAINS) || has(t, ENDSWITH),
		 after = has(t, CONTAINS) || has(t, STARTSWITH);
	const chars *text = text_of(it, !has(t, CASED));

	for (int i = 0; i < n_items; i++)
		if (sl_str_eq(items[i].name, name) && items[i].value.type != SL_NULL)
		{
			chars pattern = with_runs(*text_of(&items[i], !has(t, CASED)), before, after);

			if (wild(pattern.c, pattern.n, text->c, text->n))
				return true;
		}
	return false;
}

static bool
pattern_holds(const test *t, const texts *patterns, item *it)
{
	const chars *text = text_of(it, !has(t, CASED));

	for (size_t i = 0; i < patterns->n; i++)
		if (wild(patterns->v[i].c, patterns->v[i].n, text->c, text->n))
			return true;
	return false;
}

#define BITS(first, last) ((((uint64_t) 1 << ((last) - (first) + 1)) - 1) << (first))

static bool
is_text_test(const test *t)
{
	return !(t->set & (BITS(RE, RE) | BITS(CIDR, GTE) | BITS(MINUTE, YEAR)));
}

static bool
value_holds(const test *t, const sl_node *node, const texts *patterns, item *it)
{
	double bound = node->value.type == SL_INT ? (double) node->value.u.i : node->value.u.d;
	double number;
	int64_t ns;
	sl_str text;

	if (t->set & BITS(MINUTE, YEAR))
		return time_of(it, &ns) && compares(t, time_part(t, ns), bound);
	if (t->set & BITS(LT, GTE))
		return number_of(&it->value, &number) && compares(t, number, bound);
	if (is_text_test(t))
		return pattern_holds(t, patterns, it);
	if (has(t, FIELDREF))
		return reference_holds(t, node->value.u.s, it);
	text = sl_value_text(&memory, &it->value);
	if (has(t, RE))
		return regex_holds(t, node->value.u.s, text);
	return cidr_holds(node->value.u.s, text);
}

/* One value of a rule against all that a record has under the field. */
static bool
any_holds(const test *t, const sl_node *node)
{
	bool present = false,
		 not_null = false;
	texts patterns = {NULL, 0};

	for (int i = 0; i < n_items; i++)
		if (is_of(t, &items[i]))
		{
			present = true;
			not_null |= items[i].value.type != SL_NULL;
		}
	if (has(t, EXISTS))
		return present == node->value.u.b;
	if (node->value.type == SL_NULL)
		return !not_null;
	if (!not_null)
		return false;
	if (is_text_test(t))
		patterns = patterns_of(t, sl_value_text(&memory, &node->value));
	for (int i = 0; i < n_items; i++)
		if (is_of(t, &items[i]) && items[i].value.type != SL_NULL && value_holds(t, node, &patterns, &items[i]))
			return true;
	return false;
}

static bool
differs(const test *t)
{
	for (int i = 0; i < n_items; i++)
		if (is_of(t, &items[i]) && items[i].value.type != SL_NULL)
			return true;
	return false;
}

static bool
key_holds(sl_str key, const sl_node *value)
{
	test t;
	bool all,
		result;

	read_key(key, &t);
	all = has(&t, ALL) && !has(&t, NEQ);
	if (value->kind == SL_SCALAR)
		result = any_holds(&t, value);
	else
	{
		result = all;
		for (size_t i = 0; i < value->n && result == all; i++)
			result = any_holds(&t, value->entries[i].value);
	}
	/* is there, and is none of the values */
	if (has(&t, NEQ))
		result = !result && differs(&t);
	for (int i = 0; i < t.n; i++)
	{
		naive_modifiers[t.modifiers[i]].tried++;
		naive_modifiers[t.modifiers[i]].held += result;
	}
	return result;
}

/*
 * Selections and conditions.
 */
static bool
selection_holds(const sl_node *node)
{
	if (node->kind == SL_SCALAR)
		return key_holds(SL_STR(""), node);
	if (node->kind == SL_MAP)
	{
		for (size_t i = 0; i < node->n; i++)
			if (!key_holds(node->entries[i].key, node->entries[i].value))
				return false;
		return true;
	}
	for (size_t i = 0; i < node->n; i++)
		if (selection_holds(node->entries[i].value))
			return true;
	return false;
}

typedef struct words
{
	const sl_node *detection;
	sl_str text;
	sl_str *v;
	int n;
	int next;
} words;

static void
split_condition(sl_str text, words *w)
{
	size_t i = 0;

	w->text = text;
	w->v = sl_alloc(&memory, (text.n + 1) * sizeof(sl_str));
	w->n = w->next = 0;
	while (i < text.n)
	{
		size_t from = i;

		if (strchr(" \t\r\n", text.p[i]))
		{
			i++;
			continue;
		}
		if (strchr("()", text.p[i]))
			i++;
		else
			while (i < text.n && !strchr(" \t\r\n()", text.p[i]))
				i++;
		w->v[w->n++] = (sl_str){text.p + from, i - from};
	}
}

static bool
is_word(const words *w, int at, const char *word)
{
	return at < w->n && sl_str_is(w->v[at], word);
}

static bool
take(words *w, const char *word)
{
	if (!is_word(w, w->next, word))
		return false;
	w->next++;
	return true;
}

static bool
named_like(sl_str pattern, sl_str name)
{
	chars p = chars_of(pattern),
		  s = chars_of(name);

	for (size_t i = 0; i < p.n; i++)
		if (p.c[i] == '*')
			p.c[i] = ANY_RUN;
	return wild(p.c, p.n, s.c, s.n);
}

static bool
quantified(const words *w, bool all, sl_str pattern)
{
	bool them = sl_str_is(pattern, "them");

	for (size_t i = 0; i < w->detection->n; i++)
	{
		const sl_entry *entry = &w->detection->entries[i];

		if (sl_str_is(entry->key, "condition"))
			continue;
		if (them ? entry->key.p[0] == '_' : !named_like(pattern, entry->key))
			continue;
		if (selection_holds(entry->value) != all)
			return !all;
	}
	return all;
}

static bool either(words *w, bool wanted);

/* wanted: false where the value is of no account and only the words are read. */
static bool
operand(words *w, bool wanted)
{
	bool result;

	if (take(w, "not"))
		return !operand(w, wanted);
	if (take(w, "("))
	{
		result = either(w, wanted);
		if (!take(w, ")"))
			give_up("condition", w->text);
		return result;
	}
	if (w->next == w->n)
		give_up("condition", w->text);
	if ((is_word(w, w->next, "1") || is_word(w, w->next, "any") || is_word(w, w->next, "all")) &&
		is_word(w, w->next + 1, "of") && w->next + 2 < w->n)
	{
		w->next += 3;
		return wanted && quantified(w, is_word(w, w->next - 3, "all"), w->v[w->next - 1]);
	}
	for (size_t i = 0; i < w->detection->n; i++)
		if (sl_str_eq(w->detection->entries[i].key, w->v[w->next]))
		{
			w->next++;
			return wanted && selection_holds(w->detection->entries[i].value);
		}
	give_up("condition", w->text);
	return false;
}

static bool
both(words *w, bool wanted)
{
	bool result = operand(w, wanted);

	while (take(w, "and"))
		result = operand(w, wanted && result) && result;
	return result;
}

static bool
either(words *w, bool wanted)
{
	bool result = both(w, wanted);

	while (take(w, "or"))
		result = both(w, wanted && !result) || result;
	return result;
}

static bool
condition_holds(const sl_node *detection, const sl_node *condition)
{
	words w;
	bool result;

	w.detection = detection;
	split_condition(condition->text, &w);
	result = either(&w, true);
	if (w.next < w.n)
		give_up("condition", w.text);
	return result;
}

bool
naive_match(const sl_node *rule_document, const sl_record *record)
{
	const sl_node *detection = sl_node_get(rule_document, "detection");
	const sl_node *condition = sl_node_get(detection, "condition");

	if (!memory.out_of_memory)
		sl_arena_init(&memory, 0, no_memory);
	sl_arena_reset(&memory);
	if (!condition)
		give_up("no condition", (sl_str){"", 0});
	list_items(record);
	if (condition->kind == SL_SCALAR)
		return condition_holds(detection, condition);
	for (size_t i = 0; i < condition->n; i++)
		if (condition_holds(detection, condition->entries[i].value))
			return true;
	return false;
}

/*
 * test_differential.c
 *	  Random rules and random records: the engine against the naive evaluator.
 *
 *	SL_SEED=7 build/test_differential		other rules and records
 *	SL_PAIRS=20000000 build/test_differential	more of them
 *
 * Texts are made of few characters, chosen for the trouble that they are, and
 * rules and records of a round draw from the same few texts: so predicates
 * are true often enough, and false by little.  A difference is shrunk to the
 * smallest rule and record that still show it.
 */
#include "tap.h"
#include "naive.h"
#include "../../src/core/decode/decode.h"
#include "../../src/core/match/ruleset.h"
#include "../../src/core/utf8.h"

#include <math.h>
#include <time.h>

static sl_error err;

/*
 * Chance.
 */
static uint64_t seed;

static int
below(int n)
{
	seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
	return (int) ((seed >> 11) % (uint64_t) n);
}

/* True once in n times. */
static bool
rarely(int n)
{
	return below(n) == 0;
}

#define COUNT(pool) ((int) (sizeof(pool) / sizeof((pool)[0])))
#define PICK(pool) (pool)[below(COUNT(pool))]

/*
 * Rules from their text.
 */
static sl_node *
read_document(sl_arena *arena, sl_str text)
{
	sl_documents documents = {0};

	if (!sl_read_documents(text.p, text.n, arena, &documents, &err) || documents.n != 1)
		return NULL;
	return documents.v[0];
}

static sl_rule *
read_rule(sl_arena *arena, sl_str text)
{
	sl_node *document = read_document(arena, text);

	return document ? sl_rule_read(document, NULL, arena, &err) : NULL;
}

/*
 * What a field can be asked: modifiers, and the kind of values they take.
 */
typedef enum kind
{
	TEXT,
	DASHES,
	ENCODED,
	REGEX,
	NETWORK,
	NUMBER,
	TIME,
	REFERENCE,
	EXISTS,
	KINDS
} kind;

typedef struct form
{
	kind kind;
	const char *modifiers;
	bool keyword; /* may be asked of the whole record */
	bool refused; /* by this version */
} form;

#define TIMES(part)                                                                        \
	{.kind = TIME, .modifiers = part}, {.kind = TIME, .modifiers = part "|lt"},            \
		{.kind = TIME, .modifiers = part "|lte"}, {.kind = TIME, .modifiers = part "|gt"}, \
		{.kind = TIME, .modifiers = part "|gte"},                                          \
	{                                                                                      \
		.kind = TIME, .modifiers = part "|neq"                                             \
	}

static form forms[] = {
	{.kind = TEXT, .modifiers = ""},
	{.kind = TEXT, .modifiers = ""},
	{.kind = TEXT, .modifiers = ""},
	{.kind = TEXT, .modifiers = ""},
	{.kind = TEXT, .modifiers = "contains"},
	{.kind = TEXT, .modifiers = "contains"},
	{.kind = TEXT, .modifiers = "startswith"},
	{.kind = TEXT, .modifiers = "endswith"},
	{.kind = TEXT, .modifiers = "all", .keyword = true},
	{.kind = TEXT, .modifiers = "contains|all"},
	{.kind = TEXT, .modifiers = "all|startswith"},
	{.kind = TEXT, .modifiers = "cased", .keyword = true},
	{.kind = TEXT, .modifiers = "cased|contains"},
	{.kind = TEXT, .modifiers = "startswith|cased"},
	{.kind = TEXT, .modifiers = "endswith|cased"},
	{.kind = TEXT, .modifiers = "all|cased", .keyword = true},
	{.kind = TEXT, .modifiers = "neq"},
	{.kind = TEXT, .modifiers = "neq"},
	{.kind = TEXT, .modifiers = "contains|neq"},
	{.kind = TEXT, .modifiers = "cased|neq"},

	{.kind = DASHES, .modifiers = "windash"},
	{.kind = DASHES, .modifiers = "windash|contains"},
	{.kind = DASHES, .modifiers = "contains|windash"},
	{.kind = DASHES, .modifiers = "windash|contains|all"},
	{.kind = DASHES, .modifiers = "windash|startswith"},
	{.kind = DASHES, .modifiers = "windash|endswith|cased"},
	{.kind = DASHES, .modifiers = "windash|all", .keyword = true},
	{.kind = DASHES, .modifiers = "windash|neq"},

	{.kind = ENCODED, .modifiers = "base64"},
	{.kind = ENCODED, .modifiers = "base64|contains"},
	{.kind = ENCODED, .modifiers = "base64|startswith|cased"},
	{.kind = ENCODED, .modifiers = "base64|neq"},
	{.kind = ENCODED, .modifiers = "base64offset"},
	{.kind = ENCODED, .modifiers = "base64offset|contains", .keyword = true},
	{.kind = ENCODED, .modifiers = "base64offset|contains"},
	{.kind = ENCODED, .modifiers = "base64offset|contains|cased"},
	{.kind = ENCODED, .modifiers = "base64offset|contains|all"},
	{.kind = ENCODED, .modifiers = "base64offset|endswith"},
	{.kind = ENCODED, .modifiers = "wide|base64"},
	{.kind = ENCODED, .modifiers = "wide|base64offset|contains"},
	{.kind = ENCODED, .modifiers = "utf16le|base64offset|contains"},
	{.kind = ENCODED, .modifiers = "utf16le|base64|startswith"},
	{.kind = ENCODED, .modifiers = "utf16be|base64offset|contains"},
	{.kind = ENCODED, .modifiers = "utf16be|base64|contains|cased"},
	{.kind = ENCODED, .modifiers = "utf16|base64|startswith"},
	{.kind = ENCODED, .modifiers = "utf16|base64offset|contains"},
	{.kind = ENCODED, .modifiers = "utf16|base64"},
	{.kind = ENCODED, .modifiers = "windash|base64offset|contains"},
	{.kind = ENCODED, .modifiers = "windash|wide|base64offset|contains"},

	{.kind = REGEX, .modifiers = "re", .keyword = true},
	{.kind = REGEX, .modifiers = "re"},
	{.kind = REGEX, .modifiers = "re|i", .keyword = true},
	{.kind = REGEX, .modifiers = "re|m"},
	{.kind = REGEX, .modifiers = "re|s"},
	{.kind = REGEX, .modifiers = "re|i|m|s"},
	{.kind = REGEX, .modifiers = "re|all"},
	{.kind = REGEX, .modifiers = "re|neq"},
	{.kind = REGEX, .modifiers = "re|cased"},
	{.kind = REGEX, .modifiers = "re|startswith"},
	{.kind = REGEX, .modifiers = "re|endswith"},
	{.kind = REGEX, .modifiers = "re|contains"},

	{.kind = NETWORK, .modifiers = "cidr"},
	{.kind = NETWORK, .modifiers = "cidr|all"},
	{.kind = NETWORK, .modifiers = "cidr|neq"},

	{.kind = NUMBER, .modifiers = "lt"},
	{.kind = NUMBER, .modifiers = "lte"},
	{.kind = NUMBER, .modifiers = "gt"},
	{.kind = NUMBER, .modifiers = "gte"},

	TIMES("minute"),
	TIMES("hour"),
	TIMES("day"),
	TIMES("week"),
	TIMES("month"),
	TIMES("year"),
	{.kind = TIME, .modifiers = "hour|all"},

	{.kind = REFERENCE, .modifiers = "fieldref"},
	{.kind = REFERENCE, .modifiers = "fieldref|neq"},
	{.kind = REFERENCE, .modifiers = "fieldref|startswith"},
	{.kind = REFERENCE, .modifiers = "fieldref|endswith"},
	{.kind = REFERENCE, .modifiers = "fieldref|contains"},
	{.kind = REFERENCE, .modifiers = "fieldref|cased"},
	{.kind = REFERENCE, .modifiers = "fieldref|contains|cased"},
	{.kind = REFERENCE, .modifiers = "fieldref|all"},

	{.kind = EXISTS, .modifiers = "exists"},
};

/* Fields, with what most often stands in them. */
static const struct
{
	const char *name;
	kind kind;
} fields[] = {
	{"a", TEXT},
	{"A", TEXT},
	{"b.c", TEXT},
	{"list", TEXT},
	{"resource.x", TEXT},
	{"resource.list", TEXT},
	{"level", TEXT},
	{"severity", TEXT},
	{"message", TEXT},
	{"msg", TEXT},
	{"body", TEXT},
	{"service", TEXT},
	{"service.name", TEXT},
	{"resource.service.name", TEXT},
	{"error_code", TEXT},
	{"errorCode", TEXT},
	{"trace_id", TEXT},
	{"dash", DASHES},
	{"dash", DASHES},
	{"code", ENCODED},
	{"code", ENCODED},
	{"lines", REGEX},
	{"ip", NETWORK},
	{"resource.ip", NETWORK},
	{"number", NUMBER},
	{"number", NUMBER},
	{"severity_number", NUMBER},
	{"timestamp", TIME},
	{"ts", TIME},
	{"@timestamp", TIME},
	{"observed_timestamp", TIME},
	{"when", TIME},
	{"when", TIME},
};

/* A field for a kind of values; now and then any. */
static const char *
random_field(kind kind)
{
	int first = 0,
		n = 0;

	if (kind == REFERENCE || kind == EXISTS || rarely(8))
		return PICK(fields).name;
	while (fields[first].kind != kind)
		first++;
	while (first + n < COUNT(fields) && fields[first + n].kind == kind)
		n++;
	return fields[first + below(n)].name;
}

static kind
kind_of(const char *name)
{
	for (int i = 0; i < COUNT(fields); i++)
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].kind;
	return TEXT;
}

/*
 * Texts.  What rules and records of a round share:
 */
static sl_str bases[8];	  /* short texts, some of them empty */
static sl_str secrets[4]; /* longer ones, for encodings */

static const char *const atoms[] = {
	"a", "a", "a", "b", "b", "A", "B", "k", "\xE2\x84\xAA", "s", "\xC5\xBF", "i", "\xC4\xB0", "\xC3\x84", "\xC3\xA4",
	"\xC3\x9F", "\xE1\xBA\x9E", "\\", "\\", "*", "?", "-", "/", " ", "\"", "'", "\n", "0", "1", ".", "%", "\xF0\x9F\x98\x80"};

/* Letters that are one without regard to case, and some that nearly are. */
static const char *const alike[][4] = {
	{"a", "A", "a", "A"},
	{"b", "B", "b", "B"},
	{"k", "K", "\xE2\x84\xAA", "k"},
	{"s", "S", "\xC5\xBF", "s"},
	{"i", "I", "\xC4\xB0", "\xC4\xB1"},
	{"\xC3\xA4", "\xC3\x84", "\xC3\xA4", "\xC3\x84"},
	{"\xC3\x9F", "\xE1\xBA\x9E", "\xC3\x9F", "\xE1\xBA\x9E"},
	{"-", "/", "\xE2\x80\x93", "\xE2\x80\x94"},
};

static void
add(sl_buf *out, sl_str s)
{
	sl_buf_add(out, s.p, s.n);
}

/* A text with some of its letters changed for letters that are alike. */
static void
add_varied(sl_buf *out, sl_str s, int one_in)
{
	for (size_t i = 0; i < s.n;)
	{
		size_t len = (size_t) sl_utf8_len((unsigned char) s.p[i]);
		sl_str c = {s.p + i, len};

		if (rarely(one_in))
			for (int k = 0; k < COUNT(alike) - 1; k++)
				for (int j = 0; j < 4; j++)
					if (sl_str_is(c, alike[k][j]))
					{
						c = S(PICK(alike[k]));
						k = COUNT(alike);
						break;
					}
		add(out, c);
		i += len;
	}
}

static sl_buf
new_text(sl_arena *arena)
{
	sl_buf out;

	sl_buf_init(&out, arena, 32);
	return out;
}

static void
choose_texts(sl_arena *arena)
{
	static const char *const known[] = {"error", "WARN", "5", "4104", "true", "ab", "k", "2025"};
	static const char *const dashes[] = {"-a", "/b -s", " -i /k", "", "", ""};
	static const char *const words[] = {"foo", "Bar", "\xC3\xA4", "\xF0\x9F\x98\x80", "a-b", "*", "\\", "\xC7\xBF", " "};

	for (int i = 0; i < COUNT(bases); i++)
	{
		sl_buf out = new_text(arena);

		if (rarely(4))
			sl_buf_puts(&out, PICK(known));
		else
			for (int n = below(5); n > 0; n--)
				sl_buf_puts(&out, PICK(atoms));
		bases[i] = B(&out);
	}
	for (int i = 0; i < COUNT(secrets); i++)
	{
		sl_buf out = new_text(arena);

		/* no more dashes than that: each makes five texts of one */
		sl_buf_puts(&out, PICK(dashes));
		while (out.n < 3 || !rarely(2))
			sl_buf_puts(&out, PICK(words));
		secrets[i] = B(&out);
	}
}

/* A text as a Sigma string that means just it; or with wildcards for parts of it. */
static void
add_escaped(sl_buf *out, sl_str s, bool wildcards)
{
	for (size_t i = 0; i < s.n;)
	{
		size_t len = (size_t) sl_utf8_len((unsigned char) s.p[i]);

		if (wildcards && rarely(4))
			sl_buf_putc(out, rarely(2) ? '?' : '*');
		else
		{
			if (strchr("*?\\", s.p[i]))
				sl_buf_putc(out, '\\');
			add(out, (sl_str){s.p + i, len});
		}
		if (wildcards && rarely(8))
			sl_buf_putc(out, '*');
		i += len;
	}
}

/* A text as an expression that finds it. */
static void
add_quoted(sl_buf *out, sl_str s)
{
	for (size_t i = 0; i < s.n; i++)
	{
		if (strchr("\\^$.[]|()?*+{}-/", s.p[i]))
			sl_buf_putc(out, '\\');
		sl_buf_putc(out, s.p[i]);
	}
}

/*
 * Values of rules.
 */
static const char *const networks[] = {
	"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.2/31", "10.1.2.3/32", "10.1.2.3", "0.0.0.0/0", "192.168.0.0/17",
	"fe80::/10", "2001:db8::/32", "2001:DB8::1", "::1/128", "::ffff:10.0.0.0/104", "::ffff:10.1.2.3", "1:2:3:4:5:6:7:8/127",
	"2001:db8:8000::/33"};

static const char *const numbers[] = {"0", "1", "5", "5.0", "5.5", "-1", "17", "13", "100", "4104", "9007199254740993", "1e3", "-0.5"};

static const char *const expressions[] = {
	"^\\d+$", "\\w\\s\\w", "^.$", "^..$", "a.b", "a.*b", "^a", "b$", "^a$", "^a|b$", "[a-c]+k", "[^a]", "a{2,3}", "(a|b)*k",
	"\\n", ".+?b", "(?s)a.b", "(?m)^a$", "(?i)K", "k", "S", "\\x{212A}", "a(?!b)", "(?<=a)b", "\\\\", "\\S\\\\", "\\bk\\b",
	"^[A-Z]+$", "[[:punct:]]", "\xC3\xA4", "(?:\xC3\x84|s)", "^$", "a?", "\\*|\\?", "true", "^-?[0-9.]+$", "\\Aa\\z", "a.b", "a.+b", "^a.b", "a.b$",
	"(?m)^b", "a$"};

static void
add_expression(sl_buf *out)
{
	static const char *const around[][2] = {{"^", ""}, {"", "$"}, {"^", "$"}, {"(?i)", ""}, {"", ".*"}, {".", ""}, {"", "|k"}, {"(", ")+"}, {"(?m)^", ""}, {"(?m)", "$"}, {"a.", ""}, {"", ".+b"}};
	int k;

	if (rarely(2))
	{
		sl_buf_puts(out, PICK(expressions));
		return;
	}
	k = below(COUNT(around));
	sl_buf_puts(out, around[k][0]);
	add_quoted(out, PICK(bases));
	sl_buf_puts(out, around[k][1]);
}

static void
add_text(sl_buf *out)
{
	static const char *const special[] = {
		"", "*", "?", "??", "**", "\\", "\\\\", "\\*", "\\?", "\\\\*", "\\\\\\*", "\\\\\\\\", "\\a", "a\\", "*\\*", "a*b*", "*a?b*",
		"5", "4104", "true", "2025*", "* *", "-1", "0"};

	switch (below(8))
	{
		case 0:
			sl_buf_puts(out, PICK(special));
			return;
		case 1:
			add(out, PICK(bases)); /* with what its backslashes and wildcards mean */
			return;
		case 2:
		case 3:
			add_escaped(out, PICK(bases), true);
			return;
		case 4:
			sl_buf_puts(out, rarely(2) ? "*" : "");
			add_escaped(out, PICK(bases), false);
			sl_buf_puts(out, rarely(2) ? "*" : "");
			return;
		default:
			add_escaped(out, PICK(bases), false);
	}
}

static void
add_flag(sl_buf *out)
{
	static const char *const flags[] = {
		"-a", "/a", " -a", "a -b", "-a /b", "--a", "a-b", "-", "a/", "- a", "-\xC3\xA4", "*-a", "-a*", "a *-b", "/*", "-?", "\\-a",
		"_-a", "\"-a\"", "-_", "/1"};

	sl_buf_puts(out, PICK(flags));
}

static void
add_time_part(sl_buf *out, const char *modifiers)
{
	static const int minutes[] = {0, 30, 59},
					 hours[] = {0, 12, 22, 23},
					 days[] = {1, 3, 28, 29, 30, 31},
					 weeks[] = {1, 2, 9, 52, 53},
					 months[] = {1, 2, 3, 12},
					 years[] = {1970, 2016, 2020, 2021, 2023, 2024, 2025};
	int n = modifiers[0] == 'h'	  ? PICK(hours)
			: modifiers[0] == 'd' ? PICK(days)
			: modifiers[0] == 'w' ? PICK(weeks)
			: modifiers[0] == 'y' ? PICK(years)
			: modifiers[1] == 'i' ? PICK(minutes)
								  : PICK(months);

	sl_buf_printf(out, "%d", n);
}

/* One value that the form takes, as JSON. */
static void
random_value(sl_buf *out, const form *f, bool null)
{
	sl_buf text = new_text(out->arena);

	switch (f->kind)
	{
		case TEXT:
			if (null && rarely(10))
			{
				sl_buf_puts(out, "null");
				return;
			}
			if (rarely(6))
			{
				sl_buf_puts(out, rarely(4) ? (rarely(2) ? "true" : "false") : PICK(numbers));
				return;
			}
			do
				add_text(&text);
			while (text.n == 0 && (!null || f->modifiers[0]) && !rarely(20)); /* most forms refuse it */
			break;
		case DASHES:
			add_flag(&text);
			break;
		case ENCODED:
			add_escaped(&text, PICK(secrets), false);
			break;
		case REGEX:
			add_expression(&text);
			break;
		case NETWORK:
			sl_buf_puts(&text, PICK(networks));
			break;
		case NUMBER:
			sl_buf_puts(out, PICK(numbers));
			return;
		case TIME:
			add_time_part(out, f->modifiers);
			return;
		case REFERENCE:
			sl_buf_puts(&text, rarely(2) ? random_field(TEXT) : PICK(fields).name);
			break;
		default:
			sl_buf_puts(out, rarely(2) ? "true" : "false");
			return;
	}
	sl_buf_json_string(out, B(&text));
}

static void
random_values(sl_buf *out, const form *f, bool keyword)
{
	int n = f->kind == EXISTS || !rarely(3) ? 1 : 2 + below(2);
	bool null = !keyword && (f->modifiers[0] == '\0' || strcmp(f->modifiers, "neq") == 0);

	if (n == 1 && (f->kind == EXISTS || !rarely(8)))
	{
		random_value(out, f, null);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		sl_buf_putc(out, i ? ',' : '[');
		random_value(out, f, null);
	}
	sl_buf_putc(out, ']');
}

/* What most keys of a round ask, so that there are sets of little else; or KINDS. */
static kind theme;

static const form *
random_form(bool keyword)
{
	static const kind often[] = {TEXT, TEXT, TEXT, TEXT, TEXT, DASHES, ENCODED, ENCODED, ENCODED, REGEX, REGEX, NETWORK, NUMBER, TIME, REFERENCE, EXISTS};

	for (;;)
	{
		kind kind = theme == KINDS || rarely(4) ? PICK(often) : theme;

		/* a kind may be refused altogether */
		for (int tries = 0; tries < 1000; tries++)
		{
			const form *f = &PICK(forms);

			if (!f->refused && (keyword ? f->keyword : f->kind == kind))
				return f;
		}
	}
}

static void
random_map(sl_buf *out)
{
	int n = 1 + below(3) * below(2);

	for (int i = 0; i < n; i++)
	{
		bool keyword = rarely(30);
		const form *f = random_form(keyword);

		sl_buf_printf(out, "%c\"%s", i ? ',' : '{', keyword ? "" : random_field(f->kind));
		sl_buf_printf(out, "%s%s\":", f->modifiers[0] ? "|" : "", f->modifiers);
		random_values(out, f, keyword);
	}
	sl_buf_putc(out, '}');
}

static void
random_selection(sl_buf *out)
{
	static const form keyword = {.kind = TEXT, .modifiers = ""};
	int shape = below(20),
		n = 1 + below(3);

	if (shape >= 6)
		random_map(out);
	else if (shape == 0)
		random_value(out, &keyword, false);
	else
	{
		/* maps, texts, or some of both */
		for (int i = 0; i < n; i++)
		{
			sl_buf_putc(out, i ? ',' : '[');
			if (shape < 3 || (shape == 3 && rarely(2)))
				random_value(out, &keyword, false);
			else
				random_map(out);
		}
		sl_buf_putc(out, ']');
	}
}

/*
 * Names of selections: the first are always there, and patterns that name
 * them; the others look like words of the condition.
 */
static const char *const names[] = {"s0", "_s1", "s10", "not_s", "S0", "s-or", "and1", "_"};
static const char *const patterns[] = {"them", "s*", "*", "*0", "s0", "s*0", "**", "*s*"};

static void
random_condition(sl_buf *out, int n, int depth)
{
	static const char *const quantifiers[] = {"1 of ", "any of ", "all of "};
	int shape = depth > 3 ? below(4) : below(10);

	if (shape < 3)
		sl_buf_puts(out, names[below(n)]);
	else if (shape == 3)
	{
		sl_buf_puts(out, PICK(quantifiers));
		if (n > 1 && rarely(6))
			sl_buf_puts(out, "_*");
		else
			sl_buf_puts(out, PICK(patterns));
	}
	else if (shape == 4)
	{
		sl_buf_puts(out, "not ");
		random_condition(out, n, depth + 2);
	}
	else
	{
		/* without parentheses what binds tighter decides */
		bool apart = rarely(2);

		sl_buf_puts(out, apart ? "(" : "");
		random_condition(out, n, depth + 1);
		sl_buf_puts(out, rarely(3) ? " or " : " and ");
		random_condition(out, n, depth + 1);
		sl_buf_puts(out, apart ? ")" : "");
	}
}

static void
add_condition(sl_buf *out, int n)
{
	sl_buf text = new_text(out->arena);

	random_condition(&text, n, 0);
	sl_buf_json_string(out, B(&text));
}

static sl_str
random_rule(sl_arena *arena)
{
	int n = 1 + below(rarely(6) ? COUNT(names) : 3);
	sl_buf out;

	sl_buf_init(&out, arena, 512);
	sl_buf_puts(&out, "{\"title\":\"t\",\"detection\":{");
	for (int i = 0; i < n; i++)
	{
		sl_buf_printf(&out, "\"%s\":", names[i]);
		random_selection(&out);
		sl_buf_putc(&out, ',');
	}
	sl_buf_puts(&out, "\"condition\":");
	if (rarely(8))
	{
		sl_buf_putc(&out, '[');
		add_condition(&out, n);
		if (rarely(2))
		{
			sl_buf_putc(&out, ',');
			add_condition(&out, n);
		}
		sl_buf_putc(&out, ']');
	}
	else
		add_condition(&out, n);
	sl_buf_puts(&out, "}}");
	return B(&out);
}

/*
 * Records.
 */
static sl_value
text_value(sl_str s)
{
	return (sl_value){.type = SL_STRING, .u.s = s};
}

static sl_value
random_number(void)
{
	static const char *const texts[] = {"5", "5.0", "+5", "6e0", "-", ".5", "5.", "1e", "0x10", "inf", "nan", " 5", "5 ", "4104.0",
										"1e400", "9007199254740992", "00017", "--5", "5.5.5", "123456789012345678901234567890123456789012345678901234567890123",
										"1234567890123456789012345678901234567890123456789012345678901234"};
	const char *text = PICK(numbers);

	switch (below(8))
	{
		case 0:
			return text_value(S(PICK(texts)));
		case 1:
			return text_value(S(text));
		case 2:
			return (sl_value){.type = SL_DOUBLE, .u.d = rarely(4) ? (rarely(2) ? NAN : -INFINITY) : -0.0};
		case 3:
			return (sl_value){.type = SL_DOUBLE, .u.d = atof(text)};
		default:
			return (sl_value){.type = SL_INT, .u.i = atoll(text)};
	}
}

static sl_value
random_address(sl_arena *arena)
{
	static const char *const addresses[] = {
		"10.1.2.3", "10.1.2.2", "10.1.2.4", "10.255.0.1", "9.255.255.255", "11.0.0.0", "192.168.127.255", "192.168.128.0", "127.0.0.1",
		"0.0.0.0", "255.255.255.255", "::1", "::", "::ffff:10.1.2.3", "::FFFF:0a01:0203", "::10.1.2.3", "fe80::1", "febf::1", "FEC0::1",
		"2001:db8::1", "2001:DB8:0:0:0:0:0:1", "2001:db8:8000::1.2.3.4", "2001:db9::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:9",
		"1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"};
	static const char *const none[] = {
		"10.1.2", "10.1.2.3.4", "10.01.2.3", "256.1.2.3", "10.1.2.3 ", " 10.1.2.3", "10.1.2.3/32", "10.1.2.a", "10.1.2.", ".1.2.3",
		"10..2.3", "fe80::1%eth0", "[::1]", "1::2::3", ":::", ":1::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::12345", "1:", "g::",
		"1:2:3:4::5:6:7:8", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "1.2.3.4::", "0x0a.1.2.3", "167837955", "", "::ffff:10.1.2.256"};

	(void) arena;
	return text_value(S(rarely(4) ? PICK(none) : PICK(addresses)));
}

/* Seconds since 1970 where parts of times turn over. */
static const int64_t moments[] = {
	1735603199, /* 2024-12-30T23:59:59Z, week 1 of 2025 */
	1735689600, /* 2025-01-01T00:00:00Z */
	1735776000, /* 2025-01-02 */
	1609632000, /* 2021-01-03, week 53 of 2020 */
	1609718400, /* 2021-01-04 */
	1609459199, /* 2020-12-31T23:59:59Z */
	1709210096, /* 2024-02-29T12:34:56Z */
	1709251199, /* the same day's end */
	1672531200, /* 2023-01-01, week 52 of 2022 */
	1451865599, /* 2016-01-03T23:59:59Z, week 53 of 2015 */
	86400,
	59,
	4102444799, /* 2099-12-31T23:59:59Z */
};

static sl_value
random_time(sl_arena *arena)
{
	static const char *const none[] = {"", "never", "2024-02-30", "2025-13-01", "2025-01-01T24:00:00Z", "-5", "0", "1e30", "25:00",
									   "2025-01-01T00:00:00+1", "1969-12-31T23:59:59Z"};
	int64_t s = PICK(moments);
	char text[64];

	switch (below(12))
	{
		case 0:
			return (sl_value){.type = SL_INT, .u.i = s * 1000 + 999};
		case 1:
			return (sl_value){.type = SL_INT, .u.i = s * 1000000 + 999999};
		case 2:
			return (sl_value){.type = SL_INT, .u.i = s * 1000000000 + 999999999};
		case 3:
			return (sl_value){.type = SL_DOUBLE, .u.d = (double) s + below(1000) / 1000.0};
		case 4:
			return (sl_value){.type = SL_INT, .u.i = s};
		case 5:
			return text_value(sl_strf(arena, "%lld", (long long) s * (rarely(2) ? 1 : 1000)));
		case 6:
			return rarely(2) ? text_value(S(PICK(none))) : (sl_value){.type = SL_INT, .u.i = below(3) - 1};
		case 7:
		case 8:
		{
			int minutes = 15 * (below(120) - 60);

			sl_format_timestamp(text, (s + minutes * 60 > 0 ? s + minutes * 60 : s) * 1000000000);
			if (s + minutes * 60 <= 0)
				minutes = 0;
			return text_value(sl_strf(arena, "%.*s%c%02d:%02d", 19, text, minutes < 0 ? '-' : '+', abs(minutes) / 60, abs(minutes) % 60));
		}
		case 9:
			sl_format_timestamp(text, s * 1000000000);
			text[10] = rarely(2) ? ' ' : 't';
			return text_value(sl_strf(arena, "%.*s", rarely(3) ? 10 : rarely(2) ? 16
																				: 23,
									  text));
		default:
			sl_format_timestamp(text, s * 1000000000 + below(1000) * 1000000);
			return text_value(sl_strf(arena, "%s", text));
	}
}

/* Base64 of a secret, between what stands before and after it. */
static sl_value
random_code(sl_arena *arena)
{
	static const char *const as[] = {"", "", "wide", "utf16be", "utf16"};
	static const char *const rest[] = {"", "", "a", "ab", "abc"};
	const char *how = PICK(as);
	sl_buf text = new_text(arena),
		   out = new_text(arena);
	sl_str bytes;

	sl_buf_puts(&text, PICK(rest));
	add_varied(&text, PICK(secrets), 10);
	sl_buf_puts(&text, PICK(rest));
	bytes = *how ? naive_utf16(arena, B(&text), how) : B(&text);
	/* an odd offset too, that UTF-16 alone never has */
	if (*how && rarely(4))
	{
		sl_buf odd = new_text(arena);

		sl_buf_putc(&odd, 'x');
		add(&odd, bytes);
		bytes = B(&odd);
	}
	sl_buf_puts(&out, rarely(4) ? "x " : "");
	add_varied(&out, naive_base64(arena, bytes), rarely(3) ? 3 : 1000);
	sl_buf_puts(&out, rarely(4) ? "\"" : "");
	return text_value(B(&out));
}

static sl_value
random_flags(sl_arena *arena)
{
	static const char *const flags[] = {"-a", "-b", "-\xC3\xA4", "--a", "a-b", "-", "/1", "-_", "_-a", "a -b", "a/", "- a", "\"-a\"", "-*", "\\-a"};
	static const char *const dashes[] = {"-", "/", "\xE2\x80\x93", "\xE2\x80\x94", "\xE2\x80\x95"};
	sl_buf out = new_text(arena);

	for (int n = 1 + below(2); n > 0; n--)
	{
		const char *flag = PICK(flags);

		for (const char *c = flag; *c; c++)
			if (*c == '-' || *c == '/')
				sl_buf_puts(&out, PICK(dashes));
			else
				sl_buf_putc(&out, *c == 'a' && rarely(3) ? 'A' : *c);
		if (n > 1)
			sl_buf_puts(&out, rarely(2) ? " " : "");
	}
	return text_value(B(&out));
}

static sl_value
random_text(sl_arena *arena)
{
	sl_buf out = new_text(arena);

	switch (below(6))
	{
		case 0:
			add_varied(&out, PICK(bases), 4);
			add_varied(&out, PICK(bases), 4);
			break;
		case 1:
			sl_buf_puts(&out, rarely(2) ? PICK(atoms) : "");
			add_varied(&out, PICK(bases), 4);
			sl_buf_puts(&out, PICK(atoms));
			break;
		case 2:
			add(&out, PICK(bases));
			break;
		default:
			add_varied(&out, PICK(bases), 4);
	}
	return text_value(B(&out));
}

static sl_value
random_lines(sl_arena *arena)
{
	static const char *const ends[] = {"\n", "\n", "", "\r\n", "a", "b\na", "a\nb", "a\n\nb"};
	sl_buf out = new_text(arena);

	for (int n = 1 + below(3); n > 0; n--)
	{
		add_varied(&out, PICK(bases), 4);
		sl_buf_puts(&out, PICK(ends));
	}
	return text_value(B(&out));
}

/* Long enough that what scans many bytes at a time has ends of blocks to miss. */
static sl_value
lengthened(sl_arena *arena, sl_value value)
{
	static const char *const fillings[] = {"x", "x", "a", "b", " ", "\n", "\xC3\xA4", "ab"};
	const char *filling = PICK(fillings);
	int before = rarely(3) ? 0 : below(80),
		after = rarely(2) ? 0 : below(80);
	sl_buf out;

	if (value.type != SL_STRING)
		return value;
	sl_buf_init(&out, arena, value.u.s.n + 400);
	while (before-- > 0)
		sl_buf_puts(&out, filling);
	add(&out, value.u.s);
	while (after-- > 0)
		sl_buf_puts(&out, filling);
	value.u.s = B(&out);
	return value;
}

static sl_value
random_of_record(sl_arena *arena, kind kind)
{
	if (rarely(14))
		return rarely(2) ? (sl_value){.type = SL_NULL} : (sl_value){.type = SL_BOOL, .u.b = below(2)};
	if (rarely(14))
		kind = below(REFERENCE);
	if (kind <= REGEX && rarely(6))
		return lengthened(arena, random_of_record(arena, kind));
	switch (kind)
	{
		case DASHES:
			return random_flags(arena);
		case ENCODED:
			return random_code(arena);
		case REGEX:
			return random_lines(arena);
		case NETWORK:
			return random_address(arena);
		case NUMBER:
			return random_number();
		case TIME:
			return random_time(arena);
		default:
			return rarely(8) ? random_number() : random_text(arena);
	}
}

static void
set_field(sl_arena *arena, sl_record *r, const char *name, sl_value value)
{
	if (strncmp(name, "resource.", 9) != 0 || rarely(10))
	{
		sl_record_set(arena, r, S(name), value);
		return;
	}
	if (!r->resource)
		r->resource = sl_alloc0(arena, sizeof(sl_resource));
	*sl_fields_add(arena, &r->resource->fields, S(name + 9)) = value;
}

static sl_record
random_record(sl_arena *arena)
{
	sl_record r = {0};

	for (int n = below(24); n > 0; n--)
	{
		const char *name = PICK(fields).name;
		kind kind = kind_of(name);

		if (strstr(name, "list") || rarely(8))
			for (int k = below(4); k > 0; k--)
			{
				sl_value v = random_of_record(arena, kind);

				v.element = true;
				set_field(arena, &r, name, v);
			}
		else if (strcmp(name, "level") == 0 && rarely(2))
		{
			static const char *const levels[] = {"error", "WARN", "Info", "fatal", "ERROR2"};

			set_field(arena, &r, name, text_value(S(PICK(levels))));
		}
		else if (strcmp(name, "severity_number") == 0)
			set_field(arena, &r, name, (sl_value){.type = SL_INT, .u.i = below(26)});
		else
			set_field(arena, &r, name, random_of_record(arena, kind));
	}
	if (r.resource)
		sl_resource_finish(r.resource);
	sl_record_finish(arena, &r);
	return r;
}

/*
 * Shrinking: of all that is in a rule or a record, what can go without the
 * difference going with it.  Edits are numbered in the order in which a walk
 * comes past them.
 */
static int edit_wanted;
static int edit_seen;

static bool
edit_here(void)
{
	return edit_seen++ == edit_wanted;
}

/* A text without one of its characters. */
static sl_str
edit_text(sl_arena *arena, sl_str s)
{
	if (s.n > 200)
		return edit_here() ? (sl_str){s.p, sl_utf8_cut(s.p, s.n, s.n / 2)} : s;
	for (size_t i = 0; i < s.n;)
	{
		size_t len = (size_t) sl_utf8_len((unsigned char) s.p[i]);

		if (edit_here())
		{
			sl_buf out = new_text(arena);

			sl_buf_add(&out, s.p, i);
			sl_buf_add(&out, s.p + i + len, s.n - i - len);
			return B(&out);
		}
		i += len;
	}
	return s;
}

/* Text split at one of some characters, without the parts from .. to. */
static sl_str
without_parts(sl_arena *arena, sl_str s, const char *at, int from, int to, int *parts)
{
	sl_buf out = new_text(arena);
	int part = 0;

	for (size_t i = 0; i < s.n; i++)
	{
		part += i > 0 && (strchr(at, s.p[i]) || strchr("()", s.p[i]) || strchr("()", s.p[i - 1]));
		if ((part < from || part > to) && (out.n > 0 || s.p[i] != ' '))
			sl_buf_putc(&out, s.p[i]);
	}
	*parts = part + 1;
	return B(&out);
}

static sl_str
edit_parts(sl_arena *arena, sl_str s, const char *at, int first)
{
	int n;

	without_parts(arena, s, at, 1, 0, &n);
	/* one part alone; or some fewer */
	for (int i = first; first == 0 && i < n - 1; i++)
		if (edit_here())
		{
			s = without_parts(arena, s, at, i + 1, n, &n);
			return without_parts(arena, s, at, 0, i - 1, &n);
		}
	for (int length = n - first; length > 0; length--)
		for (int from = first; from + length <= n; from++)
			if (edit_here())
				return without_parts(arena, s, at, from, from + length - 1, &n);
	return s;
}

/* Writes a tree with the edit that is wanted; what is the key it stands under. */
static void
write_edited(sl_buf *out, const sl_node *node, const char *what)
{
	const char *comma = "";

	if (node->kind == SL_SCALAR)
	{
		sl_node copy = *node;

		if (copy.value.type == SL_STRING && strcmp(what, "condition") == 0)
			copy.value.u.s = edit_parts(out->arena, copy.value.u.s, " ", 0);
		else if (copy.value.type == SL_STRING && strcmp(what, "title") != 0)
			copy.value.u.s = edit_text(out->arena, copy.value.u.s);
		sl_node_json(out, &copy);
		return;
	}
	if (node->kind == SL_LIST && node->n == 1 && edit_here())
	{
		write_edited(out, node->entries[0].value, what);
		return;
	}
	sl_buf_putc(out, node->kind == SL_MAP ? '{' : '[');
	for (size_t i = 0; i < node->n; i++)
	{
		sl_str key = node->entries[i].key;
		const char *name = sl_strf(out->arena, "%.*s", SL_STR_FMT(key)).p;

		if (edit_here())
			continue;
		sl_buf_puts(out, comma);
		comma = ",";
		if (node->kind == SL_MAP)
		{
			sl_buf_json_string(out, edit_parts(out->arena, key, "|", 1));
			sl_buf_putc(out, ':');
		}
		write_edited(out, node->entries[i].value, node->kind == SL_MAP ? name : what);
	}
	sl_buf_putc(out, node->kind == SL_MAP ? '}' : ']');
}

static void
edit_fields(sl_arena *arena, sl_fields *fields)
{
	sl_fields old = *fields;

	memset(fields, 0, sizeof(*fields));
	for (uint32_t i = 0; i < old.n; i++)
	{
		sl_value v = old.v[i].value;

		if (edit_here())
			continue;
		if (v.type == SL_STRING)
			v.u.s = edit_text(arena, v.u.s);
		if (v.element && edit_here())
			v.element = false;
		*sl_fields_add(arena, fields, old.v[i].name) = v;
	}
}

static sl_record
edit_record(sl_arena *arena, const sl_record *from)
{
	sl_record r = *from;

	if (r.resource && edit_here())
		r.resource = NULL;
	if (r.timestamp && edit_here())
		r.timestamp = 0;
	if (r.observed && edit_here())
		r.observed = 0;
	if (r.severity && edit_here())
		r.severity = 0;
	if (r.notes && edit_here())
		r.notes = 0;
	for (int i = 0; i < SL_KNOWN_TEXTS; i++)
		if (r.text[i].p)
		{
			if (edit_here())
				r.text[i] = (sl_str){NULL, 0};
			else
				r.text[i] = edit_text(arena, r.text[i]);
		}
	edit_fields(arena, &r.attributes);
	if (r.resource)
	{
		sl_resource *copy = sl_alloc(arena, sizeof(*copy));

		*copy = *r.resource;
		edit_fields(arena, &copy->fields);
		r.resource = copy;
	}
	return r;
}

/* The rules of a set, of which one is in dispute. */
typedef struct dispute
{
	sl_str rules[100];
	int n;
	int at;
	sl_record record;
	bool engine; /* what it says */
} dispute;

/* Do the two still differ, in a set made for the purpose?  Not if a rule is none. */
static bool
still_differs(dispute *d)
{
	static sl_arena arena;
	sl_ruleset *set;
	const uint32_t *found;
	size_t n;
	sl_node *document;

	if (!arena.out_of_memory)
		sl_arena_init(&arena, 0, tap_out_of_memory);
	sl_arena_reset(&arena);
	set = sl_ruleset_new(&arena);
	for (int i = 0; i < d->n; i++)
	{
		sl_rule *rule = read_rule(&arena, d->rules[i]);

		if (!rule)
			return false;
		sl_ruleset_add(set, rule);
	}
	sl_ruleset_finish(set, NULL, NULL);
	n = sl_match(sl_matcher_new(&arena, set), &d->record, &arena, &found);
	d->engine = false;
	for (size_t i = 0; i < n; i++)
		d->engine |= found[i] == (uint32_t) d->at;
	document = read_document(&arena, d->rules[d->at]);
	return naive_match(document, &d->record) != d->engine;
}

static bool
drop_rule(dispute *d)
{
	for (int i = 0; i < d->n; i++)
	{
		dispute less = *d;

		if (i == d->at)
			continue;
		memmove(less.rules + i, less.rules + i + 1, (size_t) (less.n - i - 1) * sizeof(sl_str));
		less.n--;
		less.at -= i < less.at;
		if (still_differs(&less))
		{
			*d = less;
			return true;
		}
	}
	return false;
}

static bool
shrink_rule(sl_arena *arena, dispute *d, int which)
{
	for (edit_wanted = 0;; edit_wanted++)
	{
		dispute less = *d;
		sl_buf text;

		sl_buf_init(&text, arena, d->rules[which].n + 16);
		edit_seen = 0;
		write_edited(&text, read_document(arena, d->rules[which]), "");
		if (edit_seen <= edit_wanted)
			return false;
		less.rules[which] = B(&text);
		if (text.n < d->rules[which].n && still_differs(&less))
		{
			*d = less;
			return true;
		}
	}
}

static bool
shrink_record(sl_arena *arena, dispute *d)
{
	for (edit_wanted = 0;; edit_wanted++)
	{
		dispute less = *d;

		edit_seen = 0;
		less.record = edit_record(arena, &d->record);
		if (edit_seen <= edit_wanted)
			return false;
		if (still_differs(&less))
		{
			*d = less;
			return true;
		}
	}
}

#define REPORTS 5

/* Shows a difference, unless one with the same rule has been shown. */
static void
report(sl_arena *arena, dispute *d)
{
	static char *reported[REPORTS];
	static int n_reported,
		n_shrunk;
	dispute alone = *d;
	bool again;
	sl_buf shown;

	if (n_reported == REPORTS || n_shrunk++ == 10 * REPORTS)
		return;

	alone.rules[0] = d->rules[d->at];
	alone.n = 1;
	alone.at = 0;
	if (still_differs(&alone))
		*d = alone;
	if (still_differs(d))
	{
		do
		{
			again = drop_rule(d);
			for (int i = 0; i < d->n; i++)
				while (shrink_rule(arena, d, i))
					again = true;
			while (shrink_record(arena, d))
				again = true;
		} while (again);
		still_differs(d);
	}
	else
		printf("# the next difference shows only in a matcher that has seen other records:\n");
	for (int i = 0; i < n_reported; i++)
		if (sl_str_is(d->rules[d->at], reported[i]))
			return;
	reported[n_reported] = malloc(d->rules[d->at].n + 1);
	memcpy(reported[n_reported++], d->rules[d->at].p, d->rules[d->at].n + 1);
	sl_buf_init(&shown, arena, 512);
	sl_record_json(&shown, &d->record);
	printf("# the engine says %s where the naive evaluator says %s\n#   rule   %s\n#   record %s\n",
		   d->engine ? "true" : "false", d->engine ? "false" : "true", d->rules[d->at].p, shown.p);
	for (int i = 0; i < d->n; i++)
		if (i != d->at && d->n <= 10)
			printf("#   beside %s\n", d->rules[i].p);
}

/*
 * The oracle itself, by hand: what no engine says twice.
 */
static void
oracle(const char *selection, const char *record, bool want)
{
	sl_arena *arena = tap_arena();
	sl_str rule = sl_strf(arena, "{\"title\":\"t\",\"detection\":{\"s\":%s,\"condition\":\"s\"}}", selection);
	sl_node *document = read_document(arena, rule);
	sl_records records = {0};

	if (!document || !sl_decode(SL_JSON, record, strlen(record), arena, &records, &err) || records.n != 1)
		printf("Bail out! %s: %s, %s\n", err.message, selection, record), exit(1);
	ok(naive_match(document, &records.v[0]) == want, "naive: %s is %s of %s", selection, want ? "true" : "false", record);
}

#define yes(selection, record) oracle(selection, record, true)
#define no(selection, record) oracle(selection, record, false)

static void
test_oracle(void)
{
	/* strings, numbers, null */
	yes("{\"f\":4104.0}", "{\"f\":\"4104\"}");
	yes("{\"f\":\"\\u212A\"}", "{\"f\":\"k\"}");
	no("{\"f\":\"\\u0130\"}", "{\"f\":\"i\"}");
	yes("{\"f\":\"a\\\\\\\\*\"}", "{\"f\":\"a\\\\b\"}");
	no("{\"f\":\"a\\\\\\\\*\"}", "{\"f\":\"a*\"}");
	yes("{\"f\":\"a\\\\\\\\\\\\*\"}", "{\"f\":\"a\\\\*\"}");
	no("{\"f\":\"a\\\\\\\\\\\\*\"}", "{\"f\":\"a\\\\b\"}");
	yes("{\"f\":null}", "{\"f\":[null]}");
	no("{\"f\":null}", "{\"f\":[null,0]}");
	yes("{\"f|exists\":true}", "{\"f\":null}");
	yes("{\"f|contains|all\":[\"b\",\"A\"]}", "{\"f\":\"ab\"}");
	no("{\"f|cased\":\"a\"}", "{\"f\":\"A\"}");

	/* neq */
	yes("{\"f|neq\":\"a\"}", "{\"f\":\"b\"}");
	no("{\"f|neq\":\"a\"}", "{\"f\":\"A\"}");
	no("{\"f|neq\":\"a\"}", "{}");
	no("{\"f|neq\":\"a\"}", "{\"f\":null}");
	no("{\"f|neq\":[\"a\",\"b\"]}", "{\"f\":\"b\"}");
	no("{\"f|neq\":\"a\"}", "{\"f\":[\"b\",\"a\"]}");
	no("{\"f|neq\":4104}", "{\"f\":\"4104\"}");

	/* regular expressions */
	yes("{\"f|re\":\"b+c\"}", "{\"f\":\"abbcd\"}");
	no("{\"f|re\":\"B\"}", "{\"f\":\"b\"}");
	yes("{\"f|re|i\":\"B\"}", "{\"f\":\"b\"}");
	no("{\"f|re\":\"^b\"}", "{\"f\":\"a\\nb\"}");
	yes("{\"f|re|m\":\"^b\"}", "{\"f\":\"a\\nb\"}");
	no("{\"f|re\":\"a.b\"}", "{\"f\":\"a\\nb\"}");
	yes("{\"f|re|s\":\"a.b\"}", "{\"f\":\"a\\nb\"}");
	yes("{\"f|re\":\"^.$\"}", "{\"f\":\"\\u00e4\"}");
	yes("{\"f|re\":\"^41\"}", "{\"f\":4104}");
	yes("{\"|re\":\"b$\"}", "{\"x\":1,\"y\":\"ab\"}");

	/* encodings */
	yes("{\"f|base64\":\"foobar\"}", "{\"f\":\"Zm9vYmFy\"}");
	yes("{\"f|base64|contains\":\"/bin/bash\"}", "{\"f\":\"x L2Jpbi9iYXNo x\"}");
	yes("{\"f|base64\":\"a\"}", "{\"f\":\"YQ==\"}");
	yes("{\"f|base64offset\":\"foobar\"}", "{\"f\":\"Zm9vYmFy\"}");
	yes("{\"f|base64offset\":\"foobar\"}", "{\"f\":\"Zvb2Jhc\"}");
	yes("{\"f|base64offset\":\"foobar\"}", "{\"f\":\"mb29iYX\"}");
	yes("{\"f|base64offset|contains\":\"foobar\"}", "{\"f\":\"eGZvb2Jhcg==\"}");
	yes("{\"f|base64offset|contains|cased\":\"foobar\"}", "{\"f\":\"eHhmb29iYXJ4\"}");
	no("{\"f|base64offset|contains|cased\":\"foobar\"}", "{\"f\":\"EHhmb29IyXJ4\"}");
	no("{\"f|base64offset|contains\":\"foobar\"}", "{\"f\":\"Zm9vYmF\"}");
	yes("{\"f|base64offset|contains|all\":[\"foobar\",\"oba\"]}", "{\"f\":\"Zm9vYmFy\"}");
	no("{\"f|base64offset|contains|all\":[\"foobar\",\"baz\"]}", "{\"f\":\"Zm9vYmFy\"}");
	yes("{\"f|wide|base64\":\"foobar\"}", "{\"f\":\"ZgBvAG8AYgBhAHIA\"}");
	yes("{\"f|utf16le|base64\":\"foobar\"}", "{\"f\":\"ZgBvAG8AYgBhAHIA\"}");
	yes("{\"f|utf16be|base64\":\"foobar\"}", "{\"f\":\"AGYAbwBvAGIAYQBy\"}");
	yes("{\"f|utf16|base64\":\"foobar\"}", "{\"f\":\"//5mAG8AbwBiAGEAcgA=\"}");
	yes("{\"f|wide|base64\":\"\\ud83d\\ude00\"}", "{\"f\":\"PdgA3g==\"}");
	yes("{\"f|wide|base64offset|contains\":\"ping\"}", "{\"f\":\"cABpAG4AZwAgAA==\"}");
	yes("{\"f|base64\":\"\\\\*\"}", "{\"f\":\"Kg==\"}");

	/* dashes */
	yes("{\"f|windash|contains\":\" -a\"}", "{\"f\":\"x /a\"}");
	yes("{\"f|windash|contains\":\" /a\"}", "{\"f\":\"x \\u2013A\"}");
	yes("{\"f|windash\":\"-a -b\"}", "{\"f\":\"\\u2014a \\u2015b\"}");
	no("{\"f|windash\":\"a-b\"}", "{\"f\":\"a/b\"}");
	no("{\"f|windash\":\"-\"}", "{\"f\":\"/\"}");
	yes("{\"f|windash\":\"--a\"}", "{\"f\":\"-/a\"}");
	no("{\"f|windash\":\"--a\"}", "{\"f\":\"//a\"}");
	yes("{\"f|windash|contains|all\":[\"-a\",\"-b\"]}", "{\"f\":\"/b /a\"}");
	no("{\"f|windash|contains|all\":[\"-a\",\"-b\"]}", "{\"f\":\"/b\"}");
	yes("{\"f|windash|base64offset|contains\":\" -a\"}", "{\"f\":\"eCAvYQ==\"}");

	/* networks */
	yes("{\"f|cidr\":\"10.0.0.0/8\"}", "{\"f\":\"10.255.0.1\"}");
	no("{\"f|cidr\":\"10.0.0.0/8\"}", "{\"f\":\"11.0.0.1\"}");
	yes("{\"f|cidr\":\"192.168.0.0/23\"}", "{\"f\":\"192.168.1.255\"}");
	no("{\"f|cidr\":\"192.168.0.0/23\"}", "{\"f\":\"192.168.2.0\"}");
	yes("{\"f|cidr\":\"10.0.0.0/8\"}", "{\"f\":\"::ffff:10.1.2.3\"}");
	yes("{\"f|cidr\":\"::ffff:10.0.0.0/104\"}", "{\"f\":\"10.1.2.3\"}");
	yes("{\"f|cidr\":\"fe80::/10\"}", "{\"f\":\"FEBF::1\"}");
	no("{\"f|cidr\":\"fe80::/10\"}", "{\"f\":\"fec0::1\"}");
	no("{\"f|cidr\":\"0.0.0.0/0\"}", "{\"f\":\"::1\"}");
	no("{\"f|cidr\":\"10.0.0.0/8\"}", "{\"f\":\"10.1.2\"}");
	no("{\"f|cidr\":\"10.0.0.0/8\"}", "{\"f\":\"10.01.2.3\"}");
	no("{\"f|cidr\":\"10.0.0.0/8\"}", "{\"f\":\"10.1.2.3 \"}");
	yes("{\"f|cidr\":\"1:2:3:4:5:6:7:8/127\"}", "{\"f\":\"1:2:3:4:5:6:0.7.0.9\"}");
	no("{\"f|cidr|neq\":\"10.0.0.0/8\"}", "{\"f\":\"10.0.0.1\"}");

	/* other fields */
	yes("{\"f|fieldref\":\"g\"}", "{\"f\":\"a\",\"g\":\"A\"}");
	no("{\"f|fieldref|cased\":\"g\"}", "{\"f\":\"a\",\"g\":\"A\"}");
	yes("{\"f|fieldref\":\"g\"}", "{\"f\":[1,2],\"g\":[\"2\",3]}");
	no("{\"f|fieldref\":\"g\"}", "{\"f\":\"a\"}");
	no("{\"f|fieldref\":\"g\"}", "{\"f\":null,\"g\":null}");
	yes("{\"f|fieldref|startswith\":\"g\"}", "{\"f\":\"ab\",\"g\":\"a\"}");
	no("{\"f|fieldref|endswith\":\"g\"}", "{\"f\":\"ab\",\"g\":\"a\"}");
	no("{\"f|fieldref|contains\":\"g\"}", "{\"f\":\"a\",\"g\":\"ab\"}");
	no("{\"f|fieldref\":\"g\"}", "{\"f\":\"ab\",\"g\":\"a*\"}");
	yes("{\"f|fieldref|neq\":\"g\"}", "{\"f\":\"a\",\"g\":\"b\"}");
	yes("{\"msg|fieldref\":\"service.name\"}", "{\"message\":\"x\",\"service\":\"x\"}");

	/* numbers and times */
	yes("{\"f|gte\":5}", "{\"f\":\"5.0\"}");
	no("{\"f|lt\":5}", "{\"f\":\"0x1\"}");
	yes("{\"timestamp|hour|gte\":22}", "{\"timestamp\":\"2025-01-02T22:59:00Z\"}");
	no("{\"timestamp|hour|gte\":22}", "{\"timestamp\":\"2025-01-02T22:59:00+01:00\"}");
	yes("{\"ts|minute\":59}", "{\"timestamp\":\"2025-01-02T22:59:00Z\"}");
	yes("{\"f|day\":29}", "{\"f\":\"2024-02-29\"}");
	yes("{\"f|month\":2}", "{\"f\":\"2024-02-29\"}");
	yes("{\"f|month\":3}", "{\"f\":\"2024-03-01\"}");
	yes("{\"f|year|lt\":2025}", "{\"f\":\"2024-12-31T23:59:59Z\"}");
	yes("{\"f|week\":1}", "{\"f\":\"2024-12-30\"}");
	yes("{\"f|week\":53}", "{\"f\":\"2021-01-03\"}");
	yes("{\"f|week\":1}", "{\"f\":\"2021-01-04\"}");
	yes("{\"f|week\":52}", "{\"f\":\"2023-01-01\"}");
	yes("{\"f|week\":9}", "{\"f\":\"2024-02-29\"}");
	yes("{\"f|year\":2025}", "{\"f\":1735776000}");
	yes("{\"f|day\":2}", "{\"f\":1735776000123}");
	yes("{\"f|hour\":0}", "{\"f\":\"1735776000\"}");
	no("{\"f|hour\":0}", "{\"f\":true}");
	yes("{\"f|hour|neq\":5}", "{\"f\":\"never\"}");
	no("{\"f|hour|neq\":5}", "{}");
}

/*
 * Leaves out what this version refuses as not supported.
 */
static void
probe(void)
{
	static const char *const values[KINDS] = {
		[TEXT] = "\"abc\"",
		[DASHES] = "\"-abc\"",
		[ENCODED] = "\"abc\"",
		[REGEX] = "\"abc\"",
		[NETWORK] = "\"10.0.0.0/8\"",
		[NUMBER] = "5",
		[TIME] = "5",
		[REFERENCE] = "\"g\"",
		[EXISTS] = "true",
	};

	for (int i = 0; i < COUNT(forms); i++)
	{
		form *f = &forms[i];
		sl_str rule = sl_strf(tap_arena(), "{\"title\":\"t\",\"detection\":{\"s\":{\"f%s%s\":%s},\"condition\":\"s\"}}",
							  f->modifiers[0] ? "|" : "", f->modifiers,
							  strncmp(f->modifiers, "year", 4) == 0 ? "2025" : values[f->kind]);

		if (read_rule(tap_arena(), rule))
			continue;
		if (strcmp(err.sqlstate, SL_NOT_SUPPORTED) != 0)
			printf("Bail out! %s: %s\n", err.message, rule.p), exit(1);
		f->refused = true;
		printf("# not supported: %s\n", f->modifiers);
	}
}

/* Is there a form with this modifier that isn't refused? */
static bool
is_asked(const char *modifier)
{
	size_t n = strlen(modifier);

	for (int i = 0; i < COUNT(forms); i++)
		for (const char *m = forms[i].refused ? NULL : forms[i].modifiers; m; m = strchr(m, '|') ? strchr(m, '|') + 1 : NULL)
			if (strcspn(m, "|") == n && strncmp(m, modifier, n) == 0)
				return true;
	return false;
}

#define RULES 40
#define RECORDS 500

static void
test_differential(void)
{
	const char *env_seed = getenv("SL_SEED"),
			   *env_pairs = getenv("SL_PAIRS");
	uint64_t first = env_seed ? strtoull(env_seed, NULL, 10) : 20260101;
	size_t wanted = env_pairs ? strtoull(env_pairs, NULL, 10) : 2000000;
	size_t pairs = 0,
		   hits = 0,
		   wrong = 0,
		   refused = 0;
	int missed = 0,
		rounds = 0;
	sl_arena *arena = tap_arena();
	sl_arena scratch;

	seed = first * 0x9E3779B97F4A7C15ULL + 1;
	sl_arena_init(&scratch, 0, tap_out_of_memory);
	for (int i = 0; i < naive_n_modifiers; i++)
		naive_modifiers[i].tried = naive_modifiers[i].held = 0;
	while (pairs < wanted)
	{
		sl_ruleset *set;
		sl_matcher *matcher;
		sl_node *documents[RULES];
		dispute d = {.n = rarely(3) ? 1 + below(8) : RULES};

		sl_arena_reset(arena);
		choose_texts(arena);
		theme = rarely(3) ? (kind) below(KINDS) : KINDS;
		set = sl_ruleset_new(arena);
		for (int i = 0; i < d.n;)
		{
			sl_str text = random_rule(arena);
			sl_rule *rule = read_rule(arena, text);

			/* what is random may name a key twice, or search for nothing: no rule */
			if (!rule)
			{
				if (!strstr(err.message, "stands twice") && !strstr(err.message, "empty text"))
					printf("Bail out! %s: %s\n", err.message, text.p), exit(1);
				refused++;
				continue;
			}
			sl_ruleset_add(set, rule);
			d.rules[i] = text;
			/* a tree of its own: reading a rule may change the one it is read from */
			documents[i++] = read_document(arena, text);
		}
		sl_ruleset_finish(set, NULL, NULL);
		/* every other set as another process gets it */
		if (rounds++ % 2)
			set = sl_ruleset_load(sl_ruleset_save(set, arena), arena);
		if (!set)
			printf("Bail out! a set that was saved is not loaded\n"), exit(1);
		matcher = sl_matcher_new(arena, set);
		for (int k = 0; k < RECORDS; k++)
		{
			const uint32_t *found;
			size_t n,
				at = 0;

			d.record = random_record(arena);
			sl_arena_reset(&scratch);
			n = sl_match(matcher, &d.record, &scratch, &found);
			for (int i = 0; i < d.n; i++)
			{
				bool got = at < n && found[at] == (uint32_t) i;

				at += got;
				hits += got;
				pairs++;
				if (got != naive_match(documents[i], &d.record))
				{
					dispute one = d;

					wrong++;
					one.at = i;
					one.engine = got;
					report(arena, &one);
				}
			}
		}
	}
	sl_arena_free(&scratch);
	for (int i = 0; i < naive_n_modifiers; i++)
		if (is_asked(naive_modifiers[i].name))
		{
			printf("# %-12s asked %9llu times, true %9llu times\n", naive_modifiers[i].name,
				   (unsigned long long) naive_modifiers[i].tried, (unsigned long long) naive_modifiers[i].held);
			missed += naive_modifiers[i].held == 0 || naive_modifiers[i].held == naive_modifiers[i].tried;
		}
	printf("# SL_SEED=%llu: %zu pairs, %zu true, %zu rules refused\n", (unsigned long long) first, pairs, hits, refused);
	is_int(wrong, 0, "%zu pairs of rule and record agree with the naive evaluator", pairs);
	ok(hits > pairs / 20 && hits < pairs / 2, "between 5 and 50 in a hundred are true");
	ok(missed == 0 || wanted < 200000, "every modifier was true of some record and false of another");
}

int
main(void)
{
	test_oracle();
	sl_arena_reset(tap_arena());
	probe();
	test_differential();
	sl_arena_free(tap_arena());
	return tap_done();
}

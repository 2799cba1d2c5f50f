/*
 * literals.c
 *	  What a regular expression can't be found without.
 *
 * Gives a few literals of which one must stand, whatever its case, in every
 * text that the expression matches.  A scan for literals is far cheaper to
 * build and to run than one for expressions.  Only a part of the syntax is
 * understood: what isn't says nothing, and what might change the meaning of
 * the rest (extended syntax, verbs, conditions, recursion) ends the attempt.
 */
#include "reader.h"
#include "../utf8.h"

#define MAX_SET 16
#define MAX_LENGTH 64
#define MAX_DEPTH 50

typedef struct texts
{
	sl_str v[MAX_SET];
	size_t n;
} texts;

/* What is known of a part of the expression. */
typedef struct info
{
	bool exact; /* it matches the texts of set, and nothing else */
	texts set;
	texts required; /* one of these is in every match; n == 0: nothing is known */
} info;

typedef struct parser
{
	sl_arena *arena;
	sl_str s;
	size_t at;
	int depth;
	bool failed;
} parser;

static const info nothing = {.exact = false};

static info
exactly(const char *p, size_t n)
{
	return (info){.exact = true, .set = {.v = {{p, n}}, .n = 1}};
}

static size_t
shortest(const texts *t)
{
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].n < best)
			best = t->v[i].n;
	return t->n ? best : 0;
}

/* The better of two sets, each of which has to be met. */
static void
keep_better(texts *best, const texts *other)
{
	if (shortest(other) > shortest(best))
		*best = *other;
}

/* Every text of a followed by every one of b; false where that is too much. */
static bool
cross(parser *p, texts *a, const texts *b)
{
	texts out = {.n = 0};

	if (a->n * b->n > MAX_SET)
		return false;
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < b->n; k++)
		{
			size_t n = a->v[i].n + b->v[k].n;
			char *text;

			if (n > MAX_LENGTH)
				return false;
			text = sl_alloc(p->arena, n + 1);
			memcpy(text, a->v[i].p, a->v[i].n);
			memcpy(text + a->v[i].n, b->v[k].p, b->v[k].n);
			out.v[out.n++] = (sl_str){text, n};
		}
	*a = out;
	return true;
}

static bool
more(const parser *p)
{
	return !p->failed && p->at < p->s.n;
}

static bool
looking_at(const parser *p, const char *text)
{
	size_t n = strlen(text);

	return p->s.n - p->at >= n && memcmp(p->s.p + p->at, text, n) == 0;
}

static info
give_up(parser *p)
{
	p->failed = true;
	return nothing;
}

static info read_alternatives(parser *p);

/* "[…]": a few single characters are an exact set; others say nothing. */
static info
read_class(parser *p)
{
	info result = {.exact = true};
	bool first = true;

	p->at++;
	if (looking_at(p, "^"))
	{
		result.exact = false;
		p->at++;
	}
	for (; more(p) && (first || p->s.p[p->at] != ']'); first = false)
	{
		int len = sl_utf8_len((unsigned char) p->s.p[p->at]);

		if (looking_at(p, "[:") || looking_at(p, "[.") || looking_at(p, "[="))
			return give_up(p);
		if (p->s.p[p->at] == '\\')
		{
			p->at++;
			/* "\c]" is one character */
			if (!more(p) || p->s.p[p->at] == 'Q' || p->s.p[p->at] == 'E' || p->s.p[p->at] == 'c')
				return give_up(p);
			/* an escaped letter or digit is a class or a code */
			if (((p->s.p[p->at] | 0x20) >= 'a' && (p->s.p[p->at] | 0x20) <= 'z') || (p->s.p[p->at] >= '0' && p->s.p[p->at] <= '9'))
				result.exact = false;
			len = sl_utf8_len((unsigned char) p->s.p[p->at]);
		}
		else if (p->s.p[p->at] == '-' && !first)
			result.exact = false;
		if (p->at + (size_t) len > p->s.n)
			return give_up(p);
		if (result.exact && result.set.n < MAX_SET / 2)
			result.set.v[result.set.n++] = (sl_str){p->s.p + p->at, (size_t) len};
		else
			result.exact = false;
		p->at += (size_t) len;
	}
	if (!more(p))
		return give_up(p);
	p->at++;
	return result.exact ? result : nothing;
}

static info
read_escape(parser *p)
{
	static const char classes[] = "dDwWsShHvVRNX";
	static const char anchors[] = "bBAZzG";
	static const char controls[] = "tnrfea";
	static const char *const meant[] = {"\t", "\n", "\r", "\f", "\x1B", "\a"};
	size_t at;
	char c;

	p->at++;
	if (!more(p))
		return give_up(p);
	c = p->s.p[p->at];
	if (c == 'N' && looking_at(p, "N{"))
		return give_up(p); /* a character by its number */
	if (strchr(classes, c))
	{
		p->at++;
		return nothing;
	}
	if (strchr(anchors, c))
	{
		p->at++;
		return exactly("", 0);
	}
	for (size_t i = 0; controls[i]; i++)
		if (c == controls[i])
		{
			p->at++;
			return exactly(meant[i], 1);
		}
	/* other letters and digits: codes, properties, references */
	if (((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9'))
		return give_up(p);
	at = p->at;
	p->at += (size_t) sl_utf8_len((unsigned char) c);
	return p->at <= p->s.n ? exactly(p->s.p + at, p->at - at) : give_up(p);
}

/* "(…)" of any kind. */
static info
read_group(parser *p)
{
	info inner;
	bool around = false;

	p->at++;
	if (looking_at(p, "*"))
		return give_up(p);
	if (looking_at(p, "?"))
	{
		p->at++;
		if (looking_at(p, "=") || looking_at(p, "!") || looking_at(p, "<=") || looking_at(p, "<!"))
		{
			around = true;
			p->at += looking_at(p, "<") ? 2 : 1;
		}
		else if (looking_at(p, ":") || looking_at(p, ">"))
			p->at++;
		else if (looking_at(p, "<") || looking_at(p, "P<") || looking_at(p, "'"))
		{
			char close = looking_at(p, "'") ? '\'' : '>';

			p->at += looking_at(p, "P") ? 2 : 1;
			/* "(?<*" looks behind, too */
			if (looking_at(p, "*"))
				return give_up(p);
			while (more(p) && p->s.p[p->at] != close)
				p->at++;
			p->at++;
		}
		else
		{
			/* flags, of which x would change the syntax of what follows */
			while (more(p) && (p->s.p[p->at] == 'i' || p->s.p[p->at] == 'm' || p->s.p[p->at] == 's' || p->s.p[p->at] == '-'))
				p->at++;
			if (looking_at(p, ")"))
			{
				p->at++;
				return exactly("", 0);
			}
			if (!looking_at(p, ":"))
				return give_up(p);
			p->at++;
		}
	}
	inner = read_alternatives(p);
	if (!more(p) || p->s.p[p->at] != ')')
		return give_up(p);
	p->at++;
	return around ? exactly("", 0) : inner;
}

/* A count after an atom: at least how often; false when there is none. */
static bool
read_count(parser *p, size_t *least, bool *once)
{
	size_t at = p->at;

	*least = 0;
	*once = false;
	if (!more(p))
		return false;
	switch (p->s.p[p->at])
	{
		case '*':
		case '?':
			p->at++;
			break;
		case '+':
			*least = 1;
			p->at++;
			break;
		case '{':
			at++;
			/* counts to later versions of PCRE2, a brace to others */
			if (at < p->s.n && (p->s.p[at] == ',' || p->s.p[at] == ' ' || p->s.p[at] == '\t'))
			{
				p->failed = true;
				return false;
			}
			while (at < p->s.n && p->s.p[at] >= '0' && p->s.p[at] <= '9' && *least < 10000)
				*least = *least * 10 + (size_t) (p->s.p[at++] - '0');
			if (at == p->at + 1)
				return false; /* a literal brace */
			*once = *least == 1 && at < p->s.n && p->s.p[at] == '}';
			while (at < p->s.n && (p->s.p[at] == ',' || (p->s.p[at] >= '0' && p->s.p[at] <= '9')))
				at++;
			if (at >= p->s.n || p->s.p[at] != '}')
			{
				p->failed = true;
				return false;
			}
			p->at = at + 1;
			break;
		default:
			return false;
	}
	if (more(p) && (p->s.p[p->at] == '?' || p->s.p[p->at] == '+'))
		p->at++;
	return true;
}

static info
read_atom(parser *p)
{
	size_t at = p->at;
	char c = p->s.p[at];

	if (c == '(')
		return read_group(p);
	if (c == '[')
		return read_class(p);
	if (c == '\\')
		return read_escape(p);
	if (c == '*' || c == '+' || c == '?')
		return give_up(p);
	p->at += (size_t) sl_utf8_len((unsigned char) c);
	if (p->at > p->s.n)
		return give_up(p);
	if (c == '^' || c == '$')
		return exactly("", 0);
	return c == '.' ? nothing : exactly(p->s.p + at, p->at - at);
}

static info
read_sequence(parser *p)
{
	info result = exactly("", 0);
	texts run = result.set; /* what the latest parts match, one after the other */

	while (more(p) && p->s.p[p->at] != '|' && p->s.p[p->at] != ')')
	{
		info atom = read_atom(p);
		size_t least;
		bool once;

		if (!p->failed && read_count(p, &least, &once) && !once)
		{
			if (least == 0)
				atom = nothing;
			else if (atom.exact)
			{
				/* once for certain, and then who knows */
				atom.required = atom.set;
				atom.exact = false;
			}
		}
		if (p->failed)
			return nothing;
		if (atom.exact && cross(p, &run, &atom.set))
			continue;
		result.exact = false;
		keep_better(&result.required, &run);
		if (atom.exact)
			run = atom.set;
		else
		{
			keep_better(&result.required, &atom.required);
			run = exactly("", 0).set;
		}
	}
	if (result.exact)
		result.set = run;
	else
		keep_better(&result.required, &run);
	return result;
}

static bool
join(texts *into, const texts *more_texts)
{
	if (into->n + more_texts->n > MAX_SET)
		return false;
	memcpy(into->v + into->n, more_texts->v, more_texts->n * sizeof(sl_str));
	into->n += more_texts->n;
	return true;
}

static info
read_alternatives(parser *p)
{
	info result;

	if (++p->depth > MAX_DEPTH)
		return give_up(p);
	result = read_sequence(p);
	while (more(p) && p->s.p[p->at] == '|')
	{
		info other;
		texts all;

		p->at++;
		other = read_sequence(p);
		if (result.exact && other.exact && join(&result.set, &other.set))
			continue;
		all = result.exact ? result.set : result.required;
		if (all.n == 0 || (other.exact ? other.set : other.required).n == 0 ||
			!join(&all, other.exact ? &other.set : &other.required))
			all.n = 0;
		result = (info){.required = all};
	}
	p->depth--;
	return result;
}

size_t
sl_regex_literals(sl_arena *arena, sl_str expression, sl_str *out)
{
	parser p = {.arena = arena, .s = expression};
	info all = read_alternatives(&p);
	const texts *found = all.exact ? &all.set : &all.required;

	if (p.failed || p.at < p.s.n)
		return 0;
	for (size_t i = 0; i < found->n; i++)
	{
		if (found->v[i].n == 0)
			return 0;
		out[i] = sl_fold(arena, found->v[i]);
	}
	return found->n;
}

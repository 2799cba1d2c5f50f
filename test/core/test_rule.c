/*
 * test_rule.c
 *	  Rule documents to rules: values, modifiers, conditions, every error.
 */
#include "tap.h"
#include "../../src/core/rule/correlation.h"
#include "../../src/core/utf8.h"

#include <setjmp.h>
#include <time.h>

static sl_error err;

/* The first rule of a document, or NULL with err. */
static sl_rule *
read_n(const char *text, size_t n)
{
	sl_arena *arena = tap_arena();
	sl_documents documents = {0},
				 rules = {0};

	if (!sl_read_documents(text, n, arena, &documents, &err))
		return NULL;
	for (size_t i = 0; i < documents.n; i++)
		sl_rule_documents(documents.v[i], arena, &rules);
	if (rules.n == 0)
	{
		sl_fail(&err, SL_SYNTAX, "no document");
		return NULL;
	}
	return sl_rule_read(rules.v[0], NULL, arena, &err);
}

static sl_rule *
read_text(const char *text)
{
	return read_n(text, strlen(text));
}

static void
dump(sl_buf *out, const sl_expr *e)
{
	static const char *const names[] = {"", "and", "or", "not"};
	const sl_predicate *p = e->predicate;

	if (e->kind != SL_EXPR_PREDICATE)
	{
		sl_buf_printf(out, "(%s", names[e->kind]);
		for (size_t i = 0; i < e->n; i++)
		{
			sl_buf_putc(out, ' ');
			dump(out, e->children[i]);
		}
		sl_buf_putc(out, ')');
		return;
	}
	sl_buf_printf(out, "%.*s%s %s", SL_STR_FMT(p->field), p->keyword ? "<keyword>" : "", sl_op_name[p->op]);
	if (p->op >= SL_OP_LT && p->op <= SL_OP_GTE)
		sl_buf_printf(out, " %g", p->number);
	else if (p->op >= SL_OP_REGEX)
	{
		sl_buf what;

		sl_buf_init(&what, tap_arena(), 16);
		sl_predicate_describe(&what, p);
		sl_buf_printf(out, " %s", what.p);
	}
	else if (p->op < SL_OP_LT)
	{
		sl_buf_puts(out, p->cased ? " '" : " \"");
		for (size_t i = 0; i < p->text.n; i++)
			if (p->text.p[i] == SL_ANY_RUN || p->text.p[i] == SL_ANY_ONE)
				sl_buf_putc(out, p->text.p[i] == SL_ANY_RUN ? '%' : '_');
			else
				sl_buf_putc(out, p->text.p[i]);
		sl_buf_putc(out, p->cased ? '\'' : '"');
	}
}

static void
rule_is(const char *text, const char *want, const char *what)
{
	sl_rule *rule = read_text(text);
	sl_buf out;

	sl_buf_init(&out, tap_arena(), 64);
	if (rule)
		dump(&out, rule->condition);
	else
		sl_buf_printf(&out, "%d:%d: %s", err.line, err.col, err.message);
	is(B(&out), want, "%s", what);
}

/* "selection" as the whole rule; it is indented by four. */
static void
selection_is(const char *selection, const char *want, const char *what)
{
	rule_is(sl_strf(tap_arena(), "title: t\ndetection:\n  s:\n    %s\n  condition: s\n", selection).p, want, what);
}

/* One written value (within single quotes of YAML) to operator and text. */
static void
value_is(const char *written, const char *want)
{
	selection_is(sl_strf(tap_arena(), "f: '%s'", written).p, sl_strf(tap_arena(), "(and f %s)", want).p,
				 sl_strf(tap_arena(), "value %s", written).p);
}

static void
condition_is(const char *condition, const char *want)
{
	rule_is(sl_strf(tap_arena(), "title: t\ndetection:\n  a: {f: 1}\n  b: {f: 2}\n  a_c: {f: 3}\n  _d: {f: 4}\n  not-so: {f: 5}\n  1: {f: 6}\n"
								 "  \xC3\xA9t\xC3\xA9: {f: 7}\n  condition: %s\n",
					condition)
				.p,
			want,
			sl_strf(tap_arena(), "condition: %s", condition).p);
}

static void
refused(const char *text, int line, int col, const char *sqlstate, const char *message)
{
	sl_rule *rule = read_text(text);
	bool right = !rule && err.line == line && err.col == col && strstr(err.message, message) &&
				 strcmp(err.sqlstate, sqlstate) == 0;

	ok(right, "refused: %s", message);
	if (!right)
		printf("# got %s %d:%d: %s\n", rule ? "accepted" : err.sqlstate, err.line, err.col, err.message);
}

static void
selection_refused(const char *selection, int line, int col, const char *sqlstate, const char *message)
{
	refused(sl_strf(tap_arena(), "title: t\ndetection:\n  s:\n    %s\n  condition: s\n", selection).p, line, col, sqlstate, message);
}

static void
condition_refused(const char *condition, int col, const char *sqlstate, const char *message)
{
	refused(sl_strf(tap_arena(), "title: t\ndetection:\n  a: {f: 1}\n  _b: {f: 2}\n  condition: %s\n", condition).p, 5, col, sqlstate, message);
}

static void
test_values(void)
{
	value_is("Abc", "equals \"abc\"");
	value_is("", "equals \"\"");
	value_is("*", "contains \"\"");
	value_is("**", "contains \"\"");
	value_is("?", "matches \"_\"");
	value_is("a*", "startswith \"a\"");
	value_is("*a", "endswith \"a\"");
	value_is("*a*", "contains \"a\"");
	value_is("a*b", "matches \"a%b\"");
	value_is("*a*b*", "matches \"%a%b%\"");
	value_is("A?\xC3\x84*\xE2\x84\xAA", "matches \"a_\xC3\xA4%k\"");
	value_is("\\*", "equals \"*\"");
	value_is("\\?", "equals \"?\"");
	value_is("\\\\", "equals \"\\\"");
	value_is("\\\\*", "startswith \"\\\"");
	value_is("\\\\\\*", "equals \"\\*\"");
	value_is("\\\\\\\\*", "startswith \"\\\\\"");
	value_is("a\\b", "equals \"a\\b\"");
	value_is("a\\", "equals \"a\\\"");
	value_is("C:\\\\x\\y\\*.exe", "equals \"c:\\x\\y*.exe\"");
	value_is("*\\*", "endswith \"*\"");
	value_is("\\**", "startswith \"*\"");
	value_is("\\\\?", "matches \"\\_\"");
	selection_is("f: 4104", "(and f equals \"4104\")", "a number");
	selection_is("f: 4104.0", "(and f equals \"4104\")", "a double");
	selection_is("f: -1.50", "(and f equals \"-1.5\")", "a negative one");
	selection_is("f: 0x1F", "(and f equals \"31\")", "hexadecimal");
	selection_is("f: 0o17", "(and f equals \"15\")", "octal");
	selection_is("f: 1e3", "(and f equals \"1000\")", "an exponent");
	selection_is("f: 99999999999999999999", "(and f equals \"99999999999999999999\")", "a number of more than 64 bits");
	selection_is("f: 1.2.3.4", "(and f equals \"1.2.3.4\")", "an address is text");
	selection_is("f: 2025-01-02", "(and f equals \"2025-01-02\")", "a date is text");
	selection_is("f: -", "4:8: invalid YAML: block sequence entries are not allowed in this context", "a lone dash isn't YAML");
	selection_is("f: .inf", "(and f equals \".inf\")", "infinity is text");
	selection_is("f: true", "(and f equals \"true\")", "true");
	selection_is("f: No", "(and f equals \"no\")", "No is text");
	selection_is("f: null", "(and (not f is not null))", "null");
	selection_is("f:", "(and (not f is not null))", "nothing is null");
	selection_is("f: ''", "(and f equals \"\")", "empty text");
	selection_is("f: 'null'", "(and f equals \"null\")", "quoted null is text");
	selection_is("f: [a, 1, null, '']", "(and (or f equals \"a\" f equals \"1\" (not f is not null) f equals \"\"))", "a list");
}

static void
test_modifiers(void)
{
	selection_is("f|contains: a", "(and f contains \"a\")", "contains");
	selection_is("f|contains: '*a'", "(and f contains \"a\")", "contains, with a wildcard that is there");
	selection_is("f|contains: a*b", "(and f matches \"%a%b%\")", "contains, with one inside");
	selection_is("f|contains: '\\*'", "(and f contains \"*\")", "contains, with an escape");
	selection_is("f|contains: 5", "(and f contains \"5\")", "contains a number");
	selection_is("f|startswith: a", "(and f startswith \"a\")", "startswith");
	selection_is("f|startswith: '*a'", "(and f contains \"a\")", "startswith and *");
	selection_is("f|startswith: 'a*'", "(and f startswith \"a\")", "startswith, with a wildcard that is there");
	selection_is("f|endswith: 'A'", "(and f endswith \"a\")", "endswith");
	selection_is("f|endswith: 'a?'", "(and f matches \"%a_\")", "endswith and ?");
	selection_is("f|startswith|endswith: a", "(and f contains \"a\")", "both");
	selection_is("f|contains|all: [a, b]", "(and (and f contains \"a\" f contains \"b\"))", "all");
	selection_is("f|all: [a, b]", "(and (and f equals \"a\" f equals \"b\"))", "all, of whole values");
	selection_is("f|all: a", "(and f equals \"a\")", "all of one");
	selection_is("f|cased: Ab", "(and f equals 'Ab')", "cased");
	selection_is("f|cased|contains: A?b", "(and f matches '%A_b%')", "cased and contains");
	selection_is("f|exists: true", "(and f exists)", "exists");
	selection_is("f|exists: no", "4:15: \"exists\" takes true or false, not text", "exists takes no text");
	selection_is("f|exists: false", "(and (not f exists))", "exists not");
	selection_is("f|gt: 5", "(and f gt 5)", "gt");
	selection_is("f|gte: -5.5", "(and f gte -5.5)", "gte");
	selection_is("f|lt: [1, 2]", "(and (or f lt 1 f lt 2))", "lt of a list");
	selection_is("f|lte: 0", "(and f lte 0)", "lte");
	selection_is("a.b|contains: x\n    resource.k: v", "(and a.b contains \"x\" resource.k equals \"v\")", "a map is and");
	selection_is("- f: a\n      g: b\n    - h: c", "(or (and f equals \"a\" g equals \"b\") (and h equals \"c\"))", "a list of maps is or");
	selection_is("- Abc\n    - 'd*e'\n    - 5", "(or <keyword> contains \"abc\" <keyword> matches \"%d%e%\" <keyword> contains \"5\")", "keywords");
	selection_is("- a\n    - f: b", "(or <keyword> contains \"a\" (and f equals \"b\"))", "keywords and maps");
	selection_is("'|all': [a, b]", "(and (and <keyword> contains \"a\" <keyword> contains \"b\"))", "keywords, all");
	selection_is("'|cased': Ab", "(and <keyword> contains 'Ab')", "keywords, cased");
	rule_is("title: t\ndetection:\n  s: word\n  condition: s\n", "<keyword> contains \"word\"", "one keyword");

	selection_is("f|re: 'a\\.b(?:c|d)+'", "(and f re \"a\\.b(?:c|d)+\")", "re");
	selection_is("f|re|i|s: a.b", "(and f re \"a.b\")", "re with flags");
	selection_is("f|contains|re: a.b", "(and f re \"a.b\")", "contains adds nothing to re");
	selection_is("f|base64: foo", "(and f equals \"zm9v\")", "base64");
	selection_is("f|base64offset|contains: foobar", "(and (or f contains \"zm9vymfy\" f contains \"zvb2jhc\" f contains \"mb29iyx\"))", "base64offset");
	selection_is("f|wide|base64: ab", "(and f equals \"yqbiaa==\")", "wide");
	selection_is("f|utf16be|base64: ab", "(and f equals \"ageayg==\")", "utf16be");
	selection_is("f|utf16|base64: a", "(and f equals \"//5haa==\")", "utf16 with its mark");
	selection_is("f|windash: ' -a'", "(and (or f equals \" -a\" f equals \" /a\" f equals \" \xE2\x80\x93"
									 "a\" f equals \" \xE2\x80\x94"
									 "a\" f equals \" \xE2\x80\x95"
									 "a\"))",
				 "windash");
	selection_is("f|windash: a-b", "(and f equals \"a-b\")", "a dash within a word begins no flag");
	selection_is("f|cidr: 10.1.2.3/8", "(and f cidr \"10.1.2.3/8\")", "cidr");
	selection_is("f|cidr: fe80::/10", "(and f cidr \"fe80::/10\")", "cidr of IPv6");
	selection_is("f|fieldref: g.h", "(and f fieldref equals \"g.h\")", "fieldref");
	selection_is("f|neq: a", "(and (and f is not null (not f equals \"a\")))", "neq: there, and another");
	selection_is("f|neq: [a, b]", "(and (and f is not null (not (or f equals \"a\" f equals \"b\"))))", "neq of a list: none of them");
	selection_is("f|hour: 5", "(and f time hour equals 5)", "a part of a time");
	selection_is("f|contains: ''", "(and f contains \"\")", "empty text is part of any");
	selection_is("f|endswith: ['a', '']", "(and (or f endswith \"a\" f contains \"\"))", "and its end");

	selection_refused("f|re: a(b", 4, 14, SL_SYNTAX, "regular expression does not compile: missing closing parenthesis");
	ok(strstr(err.detail, "At offset 3"), "with the offset");
	selection_refused("f|re: '[z-a]'", 4, 15, SL_SYNTAX, "range out of order");
	selection_refused("f|re: ''", 4, 11, SL_SYNTAX, "an empty regular expression");
	selection_refused("f|i: a", 4, 7, SL_SYNTAX, "modifier \"i\" needs \"re\" before it");
	selection_refused("f|re|windash: a", 4, 10, SL_SYNTAX, "modifier \"windash\" can't stand here");
	ok(strstr(err.detail, "\"re\" and \"windash\""), "with what excludes it");
	selection_refused("f|contains|base64: a", 4, 24, SL_SYNTAX, "wildcards can't be encoded by \"base64\"");
	selection_refused("f|base64: a*", 4, 15, SL_SYNTAX, "wildcards can't be encoded");
	selection_refused("f|wide|contains: a", 4, 5, SL_SYNTAX, "searches text for UTF-16");
	selection_refused("f|base64offset: a", 4, 21, SL_SYNTAX, "value is too short");
	selection_refused("f|windash: '-a -b -c -d -e -f'", 4, 16, SL_TOO_COMPLEX, "stands for too many texts");
	selection_refused("f|cidr: 10.0.0.0/33", 4, 13, SL_INVALID_TEXT, "\"10.0.0.0/33\" is not a network");
	selection_refused("f|cidr: 10.0.0", 4, 13, SL_INVALID_TEXT, "is not a network");
	selection_refused("f|cidr: fe80::/129", 4, 13, SL_INVALID_TEXT, "is not a network");
	selection_refused("f|fieldref: 5", 4, 17, SL_SYNTAX, "takes the name of a field, not a number");
	selection_refused("f|hour: 24", 4, 13, SL_INVALID_PARAMETER, "\"24\" is no hour");
	selection_refused("f|minute: x", 4, 15, SL_SYNTAX, "compares with a number, not with text");
	selection_refused("f|hour|day: 1", 4, 12, SL_SYNTAX, "can't stand here");
	selection_refused("f|expand: '%x%'", 4, 15, SL_UNDEFINED_OBJECT, "placeholder \"x\" is not defined");
	selection_refused("f|expand: x", 4, 15, SL_SYNTAX, "holds no placeholder");
	selection_refused("f|contains|contains: x", 4, 16, SL_SYNTAX, "modifier \"contains\" stands twice");
	selection_refused("f|contain: x", 4, 7, SL_SYNTAX, "unknown modifier \"contain\"");
	ok(strstr(err.hint, "contains, startswith"), "with a hint that lists them");
	selection_refused("'f|X': x", 4, 8, SL_SYNTAX, "unknown modifier \"X\"");
	selection_refused("\xC3\xA4|: x", 4, 7, SL_SYNTAX, "unknown modifier \"\"");
	selection_refused("f|gt|lt: 5", 4, 10, SL_SYNTAX, "modifier \"lt\" can't stand here");
	selection_refused("f|gt|contains: 5", 4, 10, SL_SYNTAX, "modifier \"contains\" can't stand here");
	selection_refused("f|exists|all: true", 4, 14, SL_SYNTAX, "modifier \"all\" can't stand here");
	selection_refused("f|exists|gt: true", 4, 14, SL_SYNTAX, "modifier \"gt\" can't stand here");
	selection_refused("f|gt: x", 4, 11, SL_SYNTAX, "\"f|gt\" compares with a number, not with text");
	selection_refused("f|gt: .nan", 4, 11, SL_SYNTAX, "\"f|gt\" compares with a number, not with text");
	selection_refused("f|gt: null", 4, 11, SL_SYNTAX, "not with null");
	selection_refused("f|contains: null", 4, 17, SL_SYNTAX, "null can't be searched for");
	selection_refused("f: {a: b}", 4, 8, SL_SYNTAX, "value of \"f\" is a map");
	selection_refused("f: [[a]]", 4, 9, SL_SYNTAX, "value of \"f\" is a list");
	selection_refused("f: []", 4, 5, SL_SYNTAX, "list of values of \"f\" is empty");
	selection_refused("{}", 4, 5, SL_SYNTAX, "selection \"s\" is empty");
	selection_refused("[]", 4, 5, SL_SYNTAX, "selection \"s\" is empty");
	selection_refused("[[a]]", 4, 6, SL_SYNTAX, "a list within a list");
	selection_refused("['']", 4, 6, SL_SYNTAX, "empty text is part of any text");
	selection_refused("[null]", 4, 6, SL_SYNTAX, "null can't be searched for");
	selection_refused("'': x", 4, 5, SL_SYNTAX, "names no field");
	selection_refused("'|exists': true", 4, 5, SL_SYNTAX, "names no field");
	selection_refused("'|gt': 5", 4, 5, SL_SYNTAX, "names no field");
}

static void
test_conditions(void)
{
	condition_is("a", "(and f equals \"1\")");
	condition_is("a and b", "(and (and f equals \"1\") (and f equals \"2\"))");
	condition_is("a or b and not a_c", "(or (and f equals \"1\") (and (and f equals \"2\") (not (and f equals \"3\"))))");
	condition_is("(a or b) and a_c", "(and (or (and f equals \"1\") (and f equals \"2\")) (and f equals \"3\"))");
	condition_is("not not a", "(not (not (and f equals \"1\")))");
	condition_is("not (a)", "(not (and f equals \"1\"))");
	condition_is("((a))and(b)", "(and (and f equals \"1\") (and f equals \"2\"))");
	condition_is("A", "10:14: condition names selection \"A\", which is not there");
	condition_is("a AND b Or a_c", "(or (and (and f equals \"1\") (and f equals \"2\")) (and f equals \"3\"))");
	condition_is("1 of a*", "(or (and f equals \"1\") (and f equals \"3\"))");
	condition_is("any of a*", "(or (and f equals \"1\") (and f equals \"3\"))");
	condition_is("all of a*", "(and (and f equals \"1\") (and f equals \"3\"))");
	condition_is("1 of b", "(or (and f equals \"2\"))");
	condition_is("all of _*", "(and (and f equals \"4\"))");
	condition_is("all of *_?", "10:21: no selection is named like \"*_?\"");
	condition_is("1 of them", "(or (and f equals \"1\") (and f equals \"2\") (and f equals \"3\") (and f equals \"5\") (and f equals \"6\") (and f equals \"7\"))");
	condition_is("ALL OF THEM and _d", "(and (and (and f equals \"1\") (and f equals \"2\") (and f equals \"3\") (and f equals \"5\") (and f equals \"6\") (and f equals \"7\")) (and f equals \"4\"))");
	condition_is("not 1 of a* and b", "(and (not (or (and f equals \"1\") (and f equals \"3\"))) (and f equals \"2\"))");
	condition_is("not-so", "(and f equals \"5\")");
	condition_is("'1'", "(and f equals \"6\")");
	condition_is("\xC3\xA9t\xC3\xA9 and 1 of \xC3\xA9*", "(and (and f equals \"7\") (or (and f equals \"7\")))");
	condition_is("[a, b and a_c]", "(or (and f equals \"1\") (and (and f equals \"2\") (and f equals \"3\")))");
	condition_is("[a]", "(or (and f equals \"1\"))");
	condition_is(">\n    a and\n    b", "(and (and f equals \"1\") (and f equals \"2\"))");

	condition_refused("", 13, SL_SYNTAX, "a condition is text, not null");
	condition_refused("''", 15, SL_SYNTAX, "condition ends where a selection is expected");
	condition_refused("a and", 19, SL_SYNTAX, "condition ends where a selection is expected");
	condition_refused("a and not", 23, SL_SYNTAX, "condition ends where a selection is expected");
	condition_refused("a b", 16, SL_SYNTAX, "unexpected \"b\" in condition");
	condition_refused("and a", 14, SL_SYNTAX, "unexpected \"and\" in condition");
	condition_refused("a and or a", 20, SL_SYNTAX, "unexpected \"or\" in condition");
	condition_refused("a )", 16, SL_SYNTAX, "unexpected \")\" in condition");
	condition_refused("(a", 14, SL_SYNTAX, "parenthesis is not closed");
	condition_refused("a and ((a)", 20, SL_SYNTAX, "parenthesis is not closed");
	condition_refused("a and other", 20, SL_SYNTAX, "condition names selection \"other\", which is not there");
	ok(strstr(err.hint, "a, _b"), "with a hint that lists the selections");
	condition_refused("'a and other'", 21, SL_SYNTAX, "condition names selection \"other\"");
	condition_refused("\xC3\xA4 and a", 14, SL_SYNTAX, "condition names selection \"\xC3\xA4\"");
	condition_refused("a = a", 16, SL_SYNTAX, "unexpected \"=\" in condition");
	condition_refused("1 of", 18, SL_SYNTAX, "condition wants \"them\" or a selection pattern");
	condition_refused("1 of (a)", 19, SL_SYNTAX, "condition wants \"them\" or a selection pattern");
	condition_refused("all of x*", 21, SL_SYNTAX, "no selection is named like \"x*\"");
	condition_refused("2 of a*", 14, SL_SYNTAX, "unexpected \"2 of\" in condition");
	condition_refused("a | count() > 5", 16, SL_NOT_SUPPORTED, "condition uses an aggregation");
	ok(strstr(err.hint, "correlation"), "with a hint that names correlations");
	condition_refused("a and | count() by x > 5", 20, SL_NOT_SUPPORTED, "condition uses an aggregation");
	condition_refused("[a, 5]", 18, SL_SYNTAX, "a condition is text, not a number");
	condition_refused("[a, [a]]", 18, SL_SYNTAX, "a condition is text, not a list");
	condition_refused("{a: b}", 14, SL_SYNTAX, "a condition is text, not a map");
	condition_refused("[]", 14, SL_SYNTAX, "a condition is text, not a list");
	/* where the text isn't written as it reads, the error stands at its beginning */
	condition_refused("\"a \\x61nd x\"", 14, SL_SYNTAX, "condition names selection \"x\"");
	condition_refused(">-\n    a and\n    x", 14, SL_SYNTAX, "condition names selection \"x\"");
	condition_refused("a and\n    x", 14, SL_SYNTAX, "condition names selection \"x\"");
}

#define TAIL "detection:\n  s: {f: 1}\n  condition: s\n"

static void
test_documents(void)
{
	sl_rule *rule;
	sl_buf out;

	rule = read_text("title: A title\nid: 0A1B2C3D-0000-4000-8000-00000000ABCD\nlevel: high\nlogsource: {product: windows, category: c}\n"
					 "stacklens:\n  issue_code: CODE\n  message: m\n  labels: {team: x, n: 5}\n  suppress: {by: [a, b]}\n" TAIL);
	if (ok(rule, "a rule with everything"))
	{
		is(rule->title, "A title", "title");
		is(rule->name, "A title", "name");
		is(rule->id, "0a1b2c3d-0000-4000-8000-00000000abcd", "id in lower case");
		is(rule->logsource, "c/windows/*", "log source");
		is(rule->issue_code, "CODE", "issue code");
		is(rule->message, "m", "message");
		ok(rule->severity == SL_HIGH && rule->n_group_by == 2 && sl_str_is(rule->group_by[1], "b") && rule->labels.n > 10, "severity, grouping, labels");
	}
	rule = read_text("title: \xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4"
					 "x\xC3\xA4z\n" TAIL);
	ok(rule && rule->severity == SL_MEDIUM && rule->n_group_by == 1 && sl_str_is(rule->group_by[0], "service"), "defaults");
	ok(rule && rule->issue_code.n == 63 && sl_utf8_valid(rule->issue_code.p, 63), "a long name is cut to an issue code between characters");

	rule = read_text("{\"name\":\"N\",\"match\":{\"error_code\":\"X\"},\"severity\":\"low\",\"issue_code\":\"I\",\"message\":\"M\"}");
	if (ok(rule, "the short form"))
	{
		sl_buf_init(&out, tap_arena(), 64);
		sl_node_json(&out, rule->definition);
		is(B(&out), "{\"name\":\"N\",\"title\":\"N\",\"level\":\"low\",\"detection\":{\"selection\":{\"error_code\":\"X\"},\"condition\":\"selection\"},"
					"\"stacklens\":{\"issue_code\":\"I\",\"message\":\"M\"}}",
		   "is spelled out");
		ok(read_n(out.p, out.n), "and reads again");
	}
	rule = read_text("title: 1.10\nstacklens: {suppress: {by: [007]}}\n" TAIL);
	if (ok(rule && sl_str_is(rule->name, "1.10") && sl_str_is(rule->group_by[0], "007"), "a name that looks like a number is text"))
	{
		sl_buf_init(&out, tap_arena(), 64);
		sl_node_json(&out, rule->definition);
		rule = read_n(out.p, out.n);
		ok(rule && sl_str_is(rule->name, "1.10") && sl_str_is(rule->group_by[0], "007"), "also when its definition is read again");
	}
	rule_is("{\"rules\":[{\"name\":\"a\",\"match\":[{\"f\":1},{\"g|contains\":\"x\"}]}]}", "(or (and f equals \"1\") (and g contains \"x\"))", "rules under \"rules\"");
	rule_is("[{\"name\":\"a\",\"match\":{\"f\":1}}]", "(and f equals \"1\")", "a list");
	rule_is("{\"title\":\"t\",\"detection\":{\"s\":{\"f|gt\":5},\"condition\":\"s and not s\"}}", "(and (and f gt 5) (not (and f gt 5)))", "Sigma in JSON");
	rule_is("---\n---\ntitle: t\n" TAIL "---\ntitle: u\n" TAIL, "(and f equals \"1\")", "documents");
	rule_is("\xEF\xBB\xBFtitle: t\n" TAIL, "(and f equals \"1\")", "after a byte order mark");
	rule_is("x: &a {f: 1}\n", "1:1: unknown field \"x\" of a rule", "an anchor");
	rule_is("title: t\ndetection:\n  a: &a {f: &v q}\n  b: *a\n  c: {g: *v}\n  condition: b and c\n", "(and (and f equals \"q\") (and g equals \"q\"))", "aliases");

	/* rules and their keys */
	refused("5", 1, 1, SL_SYNTAX, "a rule is a map, not a number");
	refused("[[]]", 1, 2, SL_SYNTAX, "a rule is a map, not a list");
	refused("", 0, 0, SL_SYNTAX, "no document");
	refused("title: t\nfoo: 1\n" TAIL, 2, 1, SL_SYNTAX, "unknown field \"foo\" of a rule");
	ok(strstr(err.hint, "title, id, name"), "with a hint that lists the fields");
	refused("{\"title\":\"t\",\n \"d\xC3\xA4\":1}", 2, 2, SL_SYNTAX, "unknown field \"d\xC3\xA4\" of a rule");
	refused("name: n\nmatch: {f: 1}\nlevel: high\n", 3, 1, SL_SYNTAX, "unknown field \"level\"");
	refused("correlation:\n  type: event_count\ntitle: t\n", 1, 1, SL_SYNTAX, "\"correlation\" names no rules");
	refused("title: t\nfilter: {}\n", 2, 1, SL_SYNTAX, "\"filter\" names no rules");
	refused("id: 0a1b2c3d-0000-4000-8000-00000000abcd\n" TAIL, 1, 1, SL_SYNTAX, "neither a title nor a name");
	refused("title: t\n", 1, 1, SL_SYNTAX, "rule \"t\" has no detection");
	refused("title: [a]\n" TAIL, 1, 8, SL_SYNTAX, "\"title\" is a list where text is expected");
	refused("title: ''\n" TAIL, 1, 8, SL_SYNTAX, "\"title\" is empty where text is expected");
	refused(sl_strf(tap_arena(), "title: %0300d\n" TAIL, 1).p, 1, 8, SL_LIMIT_EXCEEDED, "\"title\" is longer than 256 bytes");
	refused("title: t\nid: not-a-uuid\n" TAIL, 2, 5, SL_INVALID_TEXT, "\"id\" is not a UUID: \"not-a-uuid\"");
	refused("title: t\nid: 0a1b2c3d-0000-4000-8000-00000000abcg\n" TAIL, 2, 5, SL_INVALID_TEXT, "is not a UUID");
	refused("title: t\nid: 0a1b2c3d-0000-4000-8000-00000000abcde\n" TAIL, 2, 5, SL_INVALID_TEXT, "is not a UUID");
	refused("title: t\nid: {}\n" TAIL, 2, 5, SL_INVALID_TEXT, "is not a UUID");
	refused("title: t\nlevel: urgent\n" TAIL, 2, 8, SL_INVALID_PARAMETER, "unknown severity \"urgent\"");
	refused("title: t\nlogsource: windows\n" TAIL, 2, 12, SL_SYNTAX, "\"logsource\" is text, not a map");
	refused("title: t\nlogsource: {produkt: x}\n" TAIL, 2, 13, SL_SYNTAX, "unknown field \"produkt\" under \"logsource\"");
	refused("title: t\nstacklens: x\n" TAIL, 2, 12, SL_SYNTAX, "\"stacklens\" is text, not a map");
	refused("title: t\nstacklens: {x: 1}\n" TAIL, 2, 13, SL_SYNTAX, "unknown field \"x\" under \"stacklens\"");
	refused("title: t\nstacklens: {channels: [a]}\n" TAIL, 2, 13, SL_NOT_SUPPORTED, "\"channels\" is not supported");
	refused("title: t\nstacklens: {labels: x}\n" TAIL, 2, 21, SL_SYNTAX, "\"labels\" is text, not a map");
	refused("title: t\nstacklens: {labels: {a: []}}\n" TAIL, 2, 22, SL_SYNTAX, "label \"a\" is not plain text");
	refused("title: t\nstacklens: {suppress: x}\n" TAIL, 2, 23, SL_SYNTAX, "\"suppress\" is text");
	refused("title: t\nstacklens: {suppress: {for: 5m}}\n" TAIL, 2, 24, SL_NOT_SUPPORTED, "\"for\" under \"suppress\"");
	refused("title: t\nstacklens: {suppress: {by: {x: y}}}\n" TAIL, 2, 28, SL_SYNTAX, "a name under \"by\" is a map, not text");
	refused("title: t\nstacklens: {suppress: {by: [a, '']}}\n" TAIL, 2, 32, SL_SYNTAX, "a name under \"by\" is");
	refused("title: t\nstacklens: {suppress: {by: [a, ~]}}\n" TAIL, 2, 32, SL_SYNTAX, "a name under \"by\" is");
	refused("title: t\ndetection: []\n", 2, 12, SL_SYNTAX, "\"detection\" is a list");
	refused("title: t\ndetection:\n  s: {f: 1}\n", 2, 1, SL_SYNTAX, "detection has no condition");
	refused("title: t\ndetection:\n  '': {f: 1}\n  condition: s\n", 3, 3, SL_SYNTAX, "a selection has no name");
	refused("title: t\ndetection:\n  s: {f: 1}\n  timeframe: 5m\n  condition: s\n", 4, 3, SL_NOT_SUPPORTED, "\"timeframe\" under \"detection\"");
	refused("title: t\ntitle: u\n" TAIL, 2, 1, SL_SYNTAX, "key \"title\" stands twice");
	refused("{\"title\":\"t\",\n\"title\":\"u\"}", 2, 1, SL_SYNTAX, "key \"title\" stands twice");

	/* texts that are none */
	refused("title: [a\n", 2, 1, SL_SYNTAX, "invalid YAML: did not find expected ',' or ']'");
	ok(strstr(err.detail, "line 1, column 8"), "with what it belongs to");
	refused("title: t\n\tx: y\n", 2, 1, SL_SYNTAX, "invalid YAML: found a tab character that violates indentation");
	refused("title: \"a\n", 2, 1, SL_SYNTAX, "invalid YAML: found unexpected end of stream");
	refused("a: b: c\n", 1, 5, SL_SYNTAX, "invalid YAML: mapping values are not allowed");
	refused("a: *b\n", 1, 4, SL_SYNTAX, "an alias names an anchor that is not there");
	refused("---\na: &b c\n---\na: *b\n", 4, 4, SL_SYNTAX, "an alias names an anchor that is not there");
	refused("a: &b [*b]\n", 1, 8, SL_SYNTAX, "an anchor refers to itself");
	refused("a: &b {c: {d: [*b]}}\n", 1, 16, SL_SYNTAX, "an anchor refers to itself");
	refused("? [a]\n: b\n", 1, 3, SL_SYNTAX, "a key is not plain text");
	refused("a: \"\\0\"\n", 1, 4, SL_INVALID_TEXT, "text holds a NUL");
	refused("{\"a\":1,}", 1, 1, SL_INVALID_TEXT, "invalid JSON");
	refused("{\"a\":1} x", 1, 9, SL_INVALID_TEXT, "invalid JSON");
	refused("{\"a\":\n\"\\q\"}", 2, 3, SL_INVALID_TEXT, "invalid JSON: unknown escape");
	ok(!read_n("title: \xFF", 8) && strstr(err.message, "not valid UTF-8"), "text that isn't UTF-8");
	ok(!read_n("a\0b", 3) && strstr(err.message, "not valid UTF-8"), "text with a NUL");
	{
		char *huge = calloc(1, SL_DOCUMENT_MAX + 1);

		ok(!read_n(huge, SL_DOCUMENT_MAX + 1) && strcmp(err.sqlstate, SL_LIMIT_EXCEEDED) == 0, "text over the limit");
		free(huge);
	}
}

/* A document of n times a piece between two others. */
static sl_rule *
read_repeated(const char *before, const char *piece, int n, const char *after)
{
	sl_buf out;

	sl_buf_init(&out, tap_arena(), 1024);
	sl_buf_puts(&out, before);
	for (int i = 0; i < n; i++)
		sl_buf_puts(&out, piece);
	sl_buf_puts(&out, after);
	return read_n(out.p, out.n);
}

static void
too_much(sl_rule *rule, const char *message, const char *what)
{
	bool right = !rule && (strncmp(err.sqlstate, "54", 2) == 0 || strcmp(err.sqlstate, SL_SYNTAX) == 0) &&
				 strstr(err.message, message);

	ok(right, "%s", what);
	if (!right)
		printf("# got %s %s\n", rule ? "accepted" : err.sqlstate, err.message);
	sl_arena_reset(tap_arena());
}

static jmp_buf jump;

static void
jump_out(sl_arena *arena, size_t wanted)
{
	(void) arena, (void) wanted;
	longjmp(jump, 1);
}

static void
test_hostile(void)
{
	clock_t start = clock();
	sl_buf out;

	too_much(read_repeated("", "[", 1000000, ""), "", "1 MB of [");
	too_much(read_repeated("a: ", "[", 1000000, ""), "nested deeper than 64", "1 MB of [ in YAML");
	too_much(read_repeated("", "- ", 500000, "x"), "nested deeper than 64", "1 MB of lists in YAML");
	too_much(read_repeated("", "{\"a\":", 200000, "1"), "", "1 MB of objects in JSON");
	too_much(read_repeated("a: ", "{a: ", 250000, "1"), "nested deeper than 64", "1 MB of maps in YAML");
	too_much(read_repeated("", "? ", 500000, "x"), "nested deeper than 64", "1 MB of complex keys");
	too_much(read_repeated("[", "[", 63, "1]"), "", "65 lists in JSON");

	/* aliases of aliases: every level names the last one ten times */
	sl_buf_init(&out, tap_arena(), 1024);
	sl_buf_puts(&out, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 10; i++)
		sl_buf_printf(&out, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i,
					  i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	too_much(read_n(out.p, out.n), "more than 500000 values", "an alias bomb");
	sl_buf_init(&out, tap_arena(), 1024);
	for (int i = 0; i < 100000; i++)
		sl_buf_printf(&out, "- &a%d x\n", i);
	too_much(read_n(out.p, out.n), "more than 1000 anchors", "100,000 anchors");
	too_much(read_repeated("a: [", "x,", 600000, "]"), "more than 500000 values", "600,000 values in YAML");
	too_much(read_repeated("[1", ",1", 600000, "]"), "more than 500000 values", "600,000 values in JSON");
	sl_buf_init(&out, tap_arena(), 1024);
	for (int i = 0; i < 100000; i++)
		sl_buf_printf(&out, "k%05d: 1\n", i);
	too_much(read_n(out.p, out.n), "more than 4096 keys", "100,000 keys");
	sl_buf_init(&out, tap_arena(), 1024);
	for (int m = 0; m < 60; m++)
	{
		sl_buf_puts(&out, "- {z: 1");
		for (int i = 0; i < 4095; i++)
			sl_buf_printf(&out, ",\n  k%04d: 1", i);
		sl_buf_puts(&out, "}\n");
	}
	too_much(read_n(out.p, out.n), "unknown field", "60 maps of 4,096 keys");

	too_much(read_repeated("title: t\ndetection:\n  s: {f: 1}\n  condition: ", "(", 1000000, "s"), "nested too deep", "1 MB of parentheses");
	too_much(read_repeated("title: t\ndetection:\n  s: {f: 1}\n  condition: ", "not ", 250000, "s"), "nested too deep", "1 MB of not");
	too_much(read_repeated("title: t\ndetection:\n  s: {f: 1}\n  condition: s", " and s", 200000, ""), "condition is too large", "1 MB of and");
	too_much(read_repeated("title: t\ndetection:\n  s: {f: 1}\n  condition: [s", ", 1 of s", 150000, "]"), "condition is too large", "1 MB of conditions");
	too_much(read_repeated("title: t\ndetection:\n  condition: s\n  s:\n", "  - x\n", 60000, ""), "more than 50000 values", "60,000 keywords");
	sl_buf_init(&out, tap_arena(), 1024);
	sl_buf_puts(&out, "title: t\ndetection:\n");
	for (int i = 0; i < 4000; i++)
		sl_buf_printf(&out, "  s%d: {f: 1}\n", i);
	sl_buf_puts(&out, "  condition: 1 of s*");
	for (int i = 0; i < 100000; i++)
		sl_buf_puts(&out, " or 1 of s1*");
	sl_buf_puts(&out, "\n");
	too_much(read_n(out.p, out.n), "condition is too large", "4,000 selections, named 100,000 times");
	sl_buf_init(&out, tap_arena(), 1024);
	sl_buf_puts(&out, "title: t\ndetection:\n  s:\n");
	for (int i = 0; i < 40000; i++)
		sl_buf_printf(&out, "  - x%d\n", i);
	sl_buf_puts(&out, "  condition: s");
	for (int i = 0; i < 1000; i++)
		sl_buf_puts(&out, " or s");
	sl_buf_puts(&out, "\n");
	too_much(read_n(out.p, out.n), "condition is too large", "40,000 keywords, named 1,000 times");
	sl_buf_init(&out, tap_arena(), 1024);
	sl_buf_puts(&out, "title: t\ndetection:\n  s:\n");
	for (int i = 0; i < 40000; i++)
		sl_buf_printf(&out, "  - x%d\n", i);
	sl_buf_puts(&out, "  condition: s and not s\n");
	ok(read_n(out.p, out.n), "named twice is fine");
	ok((clock() - start) / CLOCKS_PER_SEC < 30, "all that in seconds");
	sl_arena_reset(tap_arena());

	/* memory that runs out half-way: the sanitizer would report what libyaml leaked */
	for (size_t limit = 70000; limit < 800000; limit += 60000)
	{
		sl_arena small;
		sl_documents documents = {0};
		volatile bool out_of_memory = false;

		sl_buf_init(&out, tap_arena(), 1024);
		for (int i = 0; i < 3000; i++)
			sl_buf_printf(&out, "- &a%d {key: [some text, 'more of it', \"and more\"]}\n", i);
		sl_arena_init(&small, limit, jump_out);
		if (setjmp(jump) == 0)
			sl_read_yaml(out.p, out.n, &small, &documents, &err);
		else
			out_of_memory = true;
		if (!out_of_memory && limit < 200000)
			printf("# limit %zu was enough\n", limit);
		sl_arena_free(&small);
	}
	ok(true, "memory may run out at any place");
	sl_arena_reset(tap_arena());
}

/* A rule cut at any byte, or with any byte exchanged, does no harm. */
static void
test_damage(void)
{
	static const char yaml[] = "title: t\nid: 0a1b2c3d-0000-4000-8000-00000000abcd\nstacklens: {labels: &l {a: \"b\\n\"}}\n"
							   "detection:\n  s:\n    - f|contains|all: ['a*', b]\n      g: null\n    - h|gt: 5\n  k: [word]\n  condition: 1 of s* and not (k or s)\n";
	static const char json[] = "{\"title\":\"t\",\"detection\":{\"s\":[{\"f|contains\":[\"a\\u00e4\",1.5]}],\"condition\":[\"s\",\"not 1 of them\"]}}";
	const char *const texts[] = {yaml, json};

	for (int k = 0; k < 2; k++)
	{
		size_t n = strlen(texts[k]);
		char *copy = malloc(n);

		ok(read_n(texts[k], n), "the whole rule reads");
		for (size_t i = 0; i < n; i++)
		{
			memcpy(copy, texts[k], n);
			read_n(copy, i);
			for (int c = 1; c < 128; c += 3)
			{
				copy[i] = (char) c;
				read_n(copy, n);
			}
			sl_arena_reset(tap_arena());
		}
		free(copy);
		ok(true, "and damaged ones are survived");
	}
}

/* A placeholder's values, each of which windash makes another number of. */
static void
test_placeholders(void)
{
	sl_definitions *definitions = sl_definitions_new(tap_arena());
	sl_documents documents = {0},
				 values = {0};
	const char *text = "title: t\ndetection:\n  s:\n    f|expand|windash: '%p%'\n  condition: s\n";
	const char *json = "[\"abc\",\"-a -b\",\"-c -d -e\"]";
	sl_rule *rule;

	sl_read_json(json, strlen(json), tap_arena(), &values, &err);
	ok(sl_definitions_add_placeholder(definitions, S("p"), values.v[0], &err), "a placeholder of three values");
	sl_read_yaml(text, strlen(text), tap_arena(), &documents, &err);
	rule = sl_rule_read(documents.v[0], definitions, tap_arena(), &err);
	if (ok(rule && rule->condition->n == 1, "a rule that expands it"))
	{
		const sl_expr *either = rule->condition->children[0];
		size_t whole = 0;

		is_int(either->n, 1 + 25 + 125, "every way to write each of them");
		for (size_t i = 0; i < either->n; i++)
			whole += either->children[i]->predicate->text.n >= 3;
		is_int(whole, either->n, "and none is lost");
	}
}

typedef struct complaints
{
	sl_buf text;
	size_t n;
} complaints;

static void
complain(void *arg, sl_rule *rule, const sl_error *error)
{
	complaints *c = arg;

	ok(rule->broken && error->hint[0] + error->detail[0] > 0, "a complaint says more: %s", error->message);
	sl_buf_printf(&c->text, "%s%.*s: %s at %d:%d", c->n++ ? "; " : "", SL_STR_FMT(rule->name), error->message, error->line, error->col);
}

/* What linking says of the rules of a text. */
static void
links(const char *text, const char *want, const char *what)
{
	sl_documents documents = {0};
	sl_rule *rules[200];
	size_t n = 0;
	complaints c = {.n = 0};

	sl_buf_init(&c.text, tap_arena(), 256);
	if (!sl_read_documents(text, strlen(text), tap_arena(), &documents, &err))
		printf("Bail out! %s\n", err.message), exit(1);
	for (size_t i = 0; i < documents.n; i++)
		if (!(rules[n++] = sl_rule_read(documents.v[i], NULL, tap_arena(), &err)))
			printf("Bail out! %s\n", err.message), exit(1);
	sl_rules_link(rules, n, tap_arena(), complain, &c);
	is(B(&c.text), want, "%s", what);
}

#define BASE "title: base\nname: base\ndetection: {s: {a: b}, condition: s}\n---\n"
#define COUNTS(name, rule) "title: " name "\ncorrelation: {type: event_count, rules: [" rule "], timespan: 1m, condition: {gte: 2}}\n---\n"

static void
test_links(void)
{
	sl_buf chain;

	links(BASE COUNTS("x", "base"), "", "a correlation finds its rule");
	links(COUNTS("y", "x") COUNTS("x", "base") BASE, "", "in any order, also another correlation");
	links(BASE COUNTS("x", "nobody"), "x: correlation names rule \"nobody\", which is not there at 6:42", "a rule that isn't there");
	links(COUNTS("x", "x"), "x: correlation names itself, \"x\" at 2:42", "itself");
	links(COUNTS("x", "y") COUNTS("y", "x"),
		  "y: correlation \"y\" is part of a cycle at 4:1; x: correlation names rule \"y\", which is left out itself at 2:42", "a cycle");
	links(BASE "title: base\nname: base\ndetection: {s: {c: d}, condition: s}\n---\n" COUNTS("x", "base"),
		  "x: correlation names rule \"base\", and there are two of that name at 10:42", "a name that two rules have");
	links("title: a\nid: 6f2f1c6e-8a35-4e0e-9f3e-1f5e6a1f0b11\ndetection: {s: {a: b}, condition: s}\n---\n"
		  "title: b\nid: 6F2F1C6E-8a35-4e0e-9f3e-1f5e6a1f0b11\ndetection: {s: {a: b}, condition: s}\n",
		  "b: id 6f2f1c6e-8a35-4e0e-9f3e-1f5e6a1f0b11 is already that of rule \"a\" at 6:5", "two rules with one id");
	links("title: a\nid: 6f2f1c6e-8a35-4e0e-9f3e-1f5e6a1f0b11\ndetection: {s: {a: b}, condition: s}\n---\n"
		  "title: 6f2f1c6e-8a35-4e0e-9f3e-1f5e6a1f0b11\ndetection: {s: {a: b}, condition: s}\n---\n"
		  "title: b\nid: 6f2f1c6e-8a35-4e0e-9f3e-1f5e6a1f0b11\ndetection: {s: {a: b}, condition: s}\n",
		  "b: id 6f2f1c6e-8a35-4e0e-9f3e-1f5e6a1f0b11 is already that of rule \"a\" at 9:5", "also when a third is called like it");
	links(BASE "title: f\nfilter: {rules: [base, other], s: {a: c}, condition: not s}\n", "f: filter names rule \"other\", which is not there at 6:24",
		  "a filter of a rule that isn't there");
	links(BASE COUNTS("x", "base") "title: f\nfilter: {rules: [x], s: {a: c}, condition: not s}\n", "f: filter names \"x\", which is of another kind at 9:18",
		  "a filter of a correlation");

	sl_buf_init(&chain, tap_arena(), 4096);
	sl_buf_puts(&chain, BASE COUNTS("c0", "base"));
	for (int i = 1; i < SL_CORRELATION_MAX_DEPTH; i++)
		sl_buf_printf(&chain, "title: c%d\ncorrelation: {type: event_count, rules: [c%d], timespan: 1m, condition: {gte: 2}}\n---\n", i, i - 1);
	links(chain.p, "", "a chain as long as it may be");
	sl_buf_puts(&chain, COUNTS("c32", "c31"));
	links(chain.p, "c32: correlation \"c32\" is part of a chain that is too long at 101:1", "and one too many");

	refused("title: t\ncorrelation: {rules: [a], timespan: 5m, condition: {gte: 1}}\n", 2, 14, SL_SYNTAX, "correlation has no type");
	refused("title: t\ncorrelation: {type: count, rules: [a]}\n", 2, 21, SL_SYNTAX, "unknown correlation type \"count\"");
	ok(strstr(err.hint, "event_count, value_count"), "with a hint that lists them");
	refused("title: t\ncorrelation: {type: event_count, timespan: 5m}\n", 2, 1, SL_SYNTAX, "names no rules");
	refused("title: t\ncorrelation: {type: event_count, rules: [], timespan: 5m}\n", 2, 34, SL_SYNTAX, "\"rules\" is empty");
	refused("title: t\ncorrelation: {type: event_count, rules: [a, a], timespan: 5m}\n", 2, 45, SL_SYNTAX, "\"a\" stands twice");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], timespan: 0m, condition: {gte: 1}}\n", 2, 56, SL_INVALID_PARAMETER, "is no timespan: \"0m\"");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], timespan: 3q, condition: {gte: 1}}\n", 2, 56, SL_INVALID_PARAMETER, "is no timespan: \"3q\"");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], condition: {gte: 1}}\n", 2, 1, SL_SYNTAX, "has no timespan");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], timespan: 1m}\n", 2, 14, SL_SYNTAX, "compares with nothing");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], timespan: 1m, condition: {gte: x}}\n", 2, 77, SL_SYNTAX, "\"gte\" takes a number, not text");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], timespan: 1m, condition: {field: x, gte: 1}}\n", 2, 72, SL_SYNTAX, "has no \"field\"");
	refused("title: t\ncorrelation: {type: value_count, rules: [a], timespan: 1m, condition: {gte: 1}}\n", 2, 71, SL_SYNTAX, "names no field");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], group-by: [], timespan: 1m, condition: {gte: 1}}\n", 2, 46, SL_SYNTAX, "\"group-by\" is empty");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], aliases: {x: {b: c}}, timespan: 1m, condition: {gte: 1}}\n", 2, 60, SL_SYNTAX,
			"alias names rule \"b\"");
	refused("title: t\ncorrelation: {type: ratio, rules: [a], timespan: 1m, condition: {gte: 1}}\n", 2, 28, SL_SYNTAX, "of a ratio are two");
	refused("title: t\ncorrelation: {type: spike, rules: [a], timespan: 1m}\n", 2, 14, SL_SYNTAX, "has no height");
	refused("title: t\ncorrelation: {type: event_count, rules: [a], timespan: 1m, condition: {gte: 1}}\nstacklens: {after: later}\n", 3, 13, SL_INVALID_PARAMETER,
			"is either reset or slide");
	refused("title: t\nstacklens: {lateness: 1m}\n" TAIL, 2, 13, SL_SYNTAX, "is for correlations only");
	refused("title: t\ndetection: {s: {a: b}, condition: s}\ncorrelation: {}\n", 3, 1, SL_SYNTAX, "not both");
}

int
main(void)
{
	test_values();
	test_modifiers();
	test_conditions();
	test_documents();
	test_hostile();
	test_damage();
	test_links();
	test_placeholders();
	sl_arena_free(tap_arena());
	return tap_done();
}

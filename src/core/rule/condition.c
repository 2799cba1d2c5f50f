/*
 * condition.c
 *	  Sigma's condition language, by recursive descent.
 *
 *		or    := and ("or" and)*
 *		and   := not ("and" not)*
 *		not   := "not" not | item
 *		item  := "(" or ")" | ("1" | "any" | "all") "of" ("them" | pattern) | selection
 */
#include "reader.h"
#include "../utf8.h"

#include <ctype.h>
#include <strings.h>

typedef struct parser
{
	const sl_node *node;
	sl_selections *selections;
	sl_arena *arena;
	sl_error *err;
	sl_str text;
	size_t next;  /* first byte not read */
	sl_str token; /* the current one; n == 0 at the end */
	size_t at;	  /* its offset */
	int depth;
} parser;

static bool
fail_here(parser *p, size_t at, const char *format, const char *what, size_t n)
{
	return sl_fail_at(p->err, p->node->line,
					  sl_text_col(p->node->col, p->node->text_col, p->text, at), SL_SYNTAX,
					  format, (int) sl_utf8_cut(what, n, 60), what);
}

static bool
word_char(char c)
{
	return isalnum((unsigned char) c) || c == '_' || c == '-' || c == '*' || c == '?' || c == '.' ||
		   (unsigned char) c >= 0x80;
}

static void
advance(parser *p)
{
	while (p->next < p->text.n && isspace((unsigned char) p->text.p[p->next]))
		p->next++;
	p->at = p->next;
	if (p->next < p->text.n)
	{
		p->next++;
		if (word_char(p->text.p[p->at]))
			while (p->next < p->text.n && word_char(p->text.p[p->next]))
				p->next++;
	}
	p->token = (sl_str){p->text.p + p->at, p->next - p->at};
}

static bool
is_word(const parser *p, const char *word)
{
	return p->token.n == strlen(word) && strncasecmp(p->token.p, word, p->token.n) == 0;
}

static bool
is_keyword(const parser *p)
{
	return is_word(p, "and") || is_word(p, "or") || is_word(p, "not") || is_word(p, "of");
}

static sl_str
glob_of(parser *p, sl_str pattern)
{
	sl_str glob = sl_str_copy(p->arena, pattern.p, pattern.n);

	for (size_t i = 0; i < glob.n; i++)
		if (glob.p[i] == '*')
			((char *) glob.p)[i] = SL_ANY_RUN;
	return glob;
}

/*
 * Selections are shared, so a short condition can come to very much: names
 * are charged with all that they stand for.
 */
static bool
charge(parser *p, size_t at, size_t weight)
{
	p->selections->weight += weight;
	if (p->selections->weight <= SL_CONDITION_MAX_WEIGHT)
		return true;
	fail_here(p, at, "condition is too large%.*s", "", 0);
	p->err->sqlstate = SL_TOO_COMPLEX;
	sl_error_detail(p->err, "Written out, the rule's conditions have more than %d parts.",
					SL_CONDITION_MAX_WEIGHT);
	return false;
}

/* "1 of x*": the quantifier is the current token. */
static sl_expr *
read_quantified(parser *p)
{
	bool all = is_word(p, "all");
	sl_expr *expr = sl_expr_new(p->arena, all ? SL_EXPR_AND : SL_EXPR_OR);
	size_t at;
	bool them;
	sl_str glob;

	advance(p); /* "of" */
	advance(p);
	at = p->at;
	them = is_word(p, "them");
	if (p->token.n == 0 || !word_char(p->token.p[0]))
	{
		fail_here(p, p->at, "condition wants \"them\" or a selection pattern after \"of\"%.*s", "", 0);
		return NULL;
	}
	glob = glob_of(p, p->token);
	if (!charge(p, at, p->selections->n))
		return NULL;
	for (size_t i = 0; i < p->selections->n; i++)
	{
		sl_str name = p->selections->names[i];

		if (them ? name.p[0] == '_' : !sl_glob(glob, name))
			continue;
		if (!charge(p, at, p->selections->exprs[i]->weight))
			return NULL;
		sl_expr_add(p->arena, expr, p->selections->exprs[i]);
	}
	if (expr->n == 0)
	{
		fail_here(p, at, "no selection is named like \"%.*s\"", p->token.p, p->token.n);
		sl_error_hint(p->err, "\"them\" stands for all selections whose names don't begin with an underscore.");
		return NULL;
	}
	advance(p);
	return expr;
}

static sl_expr *read_or(parser *p);

static sl_expr *
read_item(parser *p)
{
	sl_expr *expr;
	size_t next = p->next;

	if (p->token.n == 0)
	{
		fail_here(p, p->at, "condition ends where a selection is expected%.*s", "", 0);
		return NULL;
	}
	if (p->token.p[0] == '(')
	{
		size_t open = p->at;

		advance(p);
		expr = read_or(p);
		if (!expr)
			return NULL;
		if (p->token.n != 1 || p->token.p[0] != ')')
		{
			fail_here(p, open, "parenthesis is not closed%.*s", "", 0);
			return NULL;
		}
		advance(p);
		return expr;
	}
	if (p->token.p[0] == '|')
	{
		fail_here(p, p->at, "condition uses an aggregation after \"|\"%.*s", "", 0);
		p->err->sqlstate = SL_NOT_SUPPORTED;
		sl_error_hint(p->err, "Sigma has dropped them; write a correlation rule that names this rule.");
		return NULL;
	}
	if (!word_char(p->token.p[0]) || is_keyword(p))
	{
		fail_here(p, p->at, "unexpected \"%.*s\" in condition", p->token.p, p->token.n);
		return NULL;
	}
	if (is_word(p, "1") || is_word(p, "any") || is_word(p, "all"))
	{
		parser look = *p;

		advance(&look);
		if (is_word(&look, "of"))
			return read_quantified(p);
	}
	else if (isdigit((unsigned char) p->token.p[0]))
	{
		parser look = *p;

		advance(&look);
		if (is_word(&look, "of"))
		{
			fail_here(p, p->at, "unexpected \"%.*s of\" in condition", p->token.p, p->token.n);
			sl_error_hint(p->err, "Sigma knows \"1 of\", \"any of\" and \"all of\".");
			return NULL;
		}
	}
	p->next = next;
	for (size_t i = 0; i < p->selections->n; i++)
		if (sl_str_eq(p->selections->names[i], p->token))
		{
			if (!charge(p, p->at, p->selections->exprs[i]->weight))
				return NULL;
			advance(p);
			return p->selections->exprs[i];
		}
	fail_here(p, p->at, "condition names selection \"%.*s\", which is not there", p->token.p, p->token.n);
	{
		sl_buf names;

		sl_buf_init(&names, p->arena, 64);
		for (size_t i = 0; i < p->selections->n && names.n < 200; i++)
			sl_buf_printf(&names, "%s%.*s", i ? ", " : "", SL_STR_FMT(p->selections->names[i]));
		sl_error_hint(p->err, "The rule's selections are: %s.", names.p);
	}
	return NULL;
}

static sl_expr *
read_not(parser *p)
{
	sl_expr *expr,
		*child;

	if (++p->depth > SL_CONDITION_MAX_DEPTH)
	{
		fail_here(p, p->at, "condition is nested too deep%.*s", "", 0);
		p->err->sqlstate = SL_TOO_COMPLEX;
		sl_error_detail(p->err, "The limit is %d levels.", SL_CONDITION_MAX_DEPTH);
		return NULL;
	}
	if (is_word(p, "not"))
	{
		advance(p);
		child = read_not(p);
		if (!child)
			return NULL;
		expr = sl_expr_new(p->arena, SL_EXPR_NOT);
		sl_expr_add(p->arena, expr, child);
	}
	else
		expr = read_item(p);
	p->depth--;
	return expr;
}

static sl_expr *
read_chain(parser *p, const char *word, sl_expr_kind kind, sl_expr *(*operand)(parser *) )
{
	sl_expr *expr = operand(p),
			*chain;

	if (!expr || !is_word(p, word))
		return expr;
	chain = sl_expr_new(p->arena, kind);
	sl_expr_add(p->arena, chain, expr);
	while (is_word(p, word))
	{
		advance(p);
		expr = operand(p);
		if (!expr)
			return NULL;
		sl_expr_add(p->arena, chain, expr);
	}
	return chain;
}

static sl_expr *
read_and(parser *p)
{
	return read_chain(p, "and", SL_EXPR_AND, read_not);
}

static sl_expr *
read_or(parser *p)
{
	return read_chain(p, "or", SL_EXPR_OR, read_and);
}

sl_expr *
sl_condition_read(const sl_node *node, sl_selections *selections,
				  sl_arena *arena, sl_error *err)
{
	parser p = {.node = node, .selections = selections, .arena = arena, .err = err, .text = node->text};
	sl_expr *expr;

	advance(&p);
	expr = read_or(&p);
	if (expr && p.token.n > 0)
	{
		if (p.token.p[0] == '|')
			return read_item(&p); /* says what aggregations are told */
		fail_here(&p, p.at, "unexpected \"%.*s\" in condition", p.token.p, p.token.n);
		sl_error_hint(err, "Join selections with \"and\", \"or\", \"not\".");
		return NULL;
	}
	return expr;
}

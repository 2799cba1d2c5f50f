/*
 * regex.c
 *	  Regular expressions: PCRE2 says what they mean.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "rule.h"

#include <pcre2.h>

pcre2_code *
sl_regex_compile(sl_str expression, unsigned flags, sl_error *err, size_t *offset)
{
	uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C;
	pcre2_code *code;
	PCRE2_SIZE at = 0;
	int number;

	if (flags & SL_REGEX_IGNORE_CASE)
		options |= PCRE2_CASELESS;
	if (flags & SL_REGEX_MULTILINE)
		options |= PCRE2_MULTILINE;
	if (flags & SL_REGEX_DOTALL)
		options |= PCRE2_DOTALL;
	code = pcre2_compile((PCRE2_SPTR) expression.p, expression.n, options, &number, &at, NULL);
	*offset = at;
	if (!code)
	{
		PCRE2_UCHAR why[200];

		pcre2_get_error_message(number, why, sizeof(why));
		sl_fail(err, SL_SYNTAX, "regular expression does not compile: %s", (const char *) why);
		sl_error_detail(err, "At offset %zu of \"%.*s\".", (size_t) at, SL_STR_FMT(expression));
		return NULL;
	}
	return code;
}

void
sl_regex_free(pcre2_code *code)
{
	pcre2_code_free(code);
}

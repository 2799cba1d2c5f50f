/*
 * spi.c
 *	  Statements that a session prepares once, and what goes into them and
 *	  comes out.
 */
#include "stacklens.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

SPIPlanPtr
sl_prepare(const char *sql, int n, Oid *types)
{
	SPIPlanPtr plan = SPI_prepare(sql, n, types);

	if (!plan || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%.60s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

sl_str
sl_column(sl_arena *arena, HeapTuple tuple, int number)
{
	bool isnull;
	Datum value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, number, &isnull);
	text *detoasted;
	sl_str s;

	if (isnull)
		return (sl_str){0};
	detoasted = DatumGetTextPP(value);
	s = sl_str_copy(arena, VARDATA_ANY(detoasted), VARSIZE_ANY_EXHDR(detoasted));
	if ((Pointer) detoasted != DatumGetPointer(value))
		pfree(detoasted);
	return s;
}

Datum
sl_bytea(const char *p, size_t n)
{
	bytea *b = palloc_extended(n + VARHDRSZ, MCXT_ALLOC_HUGE);

	SET_VARSIZE(b, n + VARHDRSZ);
	if (n)
		memcpy(VARDATA(b), p, n);
	return PointerGetDatum(b);
}

Datum
sl_uuid(sl_str id)
{
	return DirectFunctionCall1(uuid_in, CStringGetDatum(pnstrdup(id.p, id.n)));
}

/*
 * spi.c
 *	  Statements that a session prepares once.
 */
#include "stacklens.h"

#include "executor/spi.h"

SPIPlanPtr
sl_prepare(const char *sql, int n, Oid *types)
{
	SPIPlanPtr plan = SPI_prepare(sql, n, types);

	if (!plan || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%.60s\": %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

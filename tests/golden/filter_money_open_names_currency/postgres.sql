SELECT string_agg(j, chr(30)) FILTER (WHERE n < $3::bigint), count(*), max(k0) FILTER (WHERE n = $3::bigint - 1)
FROM (SELECT *, row_number() OVER () AS n
  FROM (SELECT concat('{"number":', t0."number", ',"total":{"amount":', t0."total", ',"currency":"', t0."total_currency", '"}}') AS j, (t0."id")::text AS k0
    FROM "orders" AS t0
    WHERE (t0."total_currency" = $1::text
      AND t0."total" >= $2::bigint)
    ORDER BY t0."id"
    LIMIT $3::bigint) AS page) AS numbered

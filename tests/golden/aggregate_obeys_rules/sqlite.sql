SELECT concat('{"total":{"currency":', json_quote(x.g0), '},"count":', coalesce(x.m0, 'null'), ',"sum":{"total":', coalesce(x.m1, 'null'), '}}')
FROM (SELECT t0."total_currency" AS g0, count(*) AS m0, coalesce(sum(t0."total"), 0) AS m1
  FROM "orders" AS t0
  WHERE t0."customer_id" = ?1
  GROUP BY 1) AS x
ORDER BY x.g0 NULLS LAST
LIMIT ?2

SELECT concat('{"status":', json_quote(x.g0), ',"count":', coalesce(x.m0, 'null'), ',"count_distinct":{"customer":', coalesce(x.m1, 'null'), '}}')
FROM (SELECT t0."status" AS g0, count(*) AS m0, count(DISTINCT t0."customer_id") AS m1
  FROM "orders" AS t0
  GROUP BY 1) AS x
ORDER BY x.m0 DESC NULLS FIRST, x.g0 NULLS LAST
LIMIT ?1

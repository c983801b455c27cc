SELECT ('{' || '"total":' || json_object('currency', x.g0) || ',' || '"sum":' || json_object('total', x.m1) || ',' || substr(json_object('count', x.m0), 2))
FROM (SELECT t0."total_currency" AS g0, count(*) AS m0, coalesce(sum(t0."total"), 0) AS m1
  FROM "orders" AS t0
  WHERE t0."customer_id" = ?1
  GROUP BY 1) AS x
ORDER BY x.g0 NULLS LAST
LIMIT ?2

SELECT ('{' || '"paid_at":' || json_object('year', x.g0, 'day', x.g1) || ',' || substr(json_object('count', x.m0), 2))
FROM (SELECT substr(t0."paid_at", 1, 4) AS g0, substr(t0."paid_at", 1, 10) AS g1, count(*) AS m0
  FROM "orders" AS t0
  WHERE t0."placed_at" < ?1
  GROUP BY 1, 2) AS x
ORDER BY x.g0 NULLS LAST, x.g1 NULLS LAST
LIMIT ?2

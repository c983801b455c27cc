SELECT concat('{"paid_at":{"year":', json_quote(x.g0), ',"day":', json_quote(x.g1), '},"count":', coalesce(x.m0, 'null'), '}')
FROM (SELECT substr(t0."paid_at", 1, 4) AS g0, substr(t0."paid_at", 1, 10) AS g1, count(*) AS m0
  FROM "orders" AS t0
  WHERE t0."placed_at" < ?1
  GROUP BY 1, 2) AS x
ORDER BY x.g0 NULLS LAST, x.g1 NULLS LAST
LIMIT ?2

SELECT concat('{"customer":{"city":', json_quote(x.g0), '},"placed_at":{"month":', json_quote(x.g1), '},"total":{"currency":', json_quote(x.g2), '},"sum":{"total":', coalesce(x.m0, 'null'), '},"count":', coalesce(x.m1, 'null'), '}')
FROM (SELECT (SELECT t1."city"
    FROM "customers" AS t1
    WHERE t1."id" = t0."customer_id") AS g0, substr(t0."placed_at", 1, 7) AS g1, t0."total_currency" AS g2, coalesce(sum(t0."total"), 0) AS m0, count(*) AS m1
  FROM "orders" AS t0
  GROUP BY 1, 2, 3) AS x
ORDER BY x.g0 NULLS LAST, x.g1 NULLS LAST, x.g2 NULLS LAST
LIMIT ?1

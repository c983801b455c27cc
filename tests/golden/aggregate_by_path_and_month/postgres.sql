SELECT concat('{"customer":{"city":', coalesce((to_json(x.g0))::text, 'null'), '},"placed_at":{"month":', coalesce((to_json(x.g1))::text, 'null'), '},"total":{"currency":', coalesce((to_json(x.g2))::text, 'null'), '},"sum":{"total":', coalesce((x.m0)::text, 'null'), '},"count":', coalesce((x.m1)::text, 'null'), '}')
FROM (SELECT (SELECT t1."city"
    FROM "customers" AS t1
    WHERE t1."id" = t0."customer_id") AS g0, to_char((t0."placed_at") AT TIME ZONE 'UTC', 'YYYY-MM') COLLATE "C" AS g1, t0."total_currency" AS g2, coalesce(sum(t0."total"), 0) AS m0, count(*) AS m1
  FROM "orders" AS t0
  GROUP BY 1, 2, 3) AS x
ORDER BY x.g0, x.g1, x.g2
LIMIT $1::bigint

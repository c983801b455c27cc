SELECT concat('{"total":{"currency":', coalesce((to_json(x.g0))::text, 'null'), '},"count":', coalesce((x.m0)::text, 'null'), ',"sum":{"total":', coalesce((x.m1)::text, 'null'), '}}')
FROM (SELECT t0."total_currency" AS g0, count(*) AS m0, coalesce(sum(t0."total"), 0) AS m1
  FROM "orders" AS t0
  WHERE t0."customer_id" = $1::uuid
  GROUP BY 1) AS x
ORDER BY x.g0
LIMIT $2::bigint

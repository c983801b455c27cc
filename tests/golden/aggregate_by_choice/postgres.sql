SELECT concat('{"status":', coalesce((to_json(x.g0))::text, 'null'), ',"count":', coalesce((x.m0)::text, 'null'), ',"count_distinct":{"customer":', coalesce((x.m1)::text, 'null'), '}}')
FROM (SELECT t0."status" AS g0, count(*) AS m0, count(DISTINCT t0."customer_id") AS m1
  FROM "orders" AS t0
  GROUP BY 1) AS x
ORDER BY x.m0 DESC, x.g0
LIMIT $1::bigint

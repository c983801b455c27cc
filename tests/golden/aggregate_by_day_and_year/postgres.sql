SELECT concat('{"paid_at":{"year":', coalesce((to_json(x.g0))::text, 'null'), ',"day":', coalesce((to_json(x.g1))::text, 'null'), '},"count":', coalesce((x.m0)::text, 'null'), '}')
FROM (SELECT to_char((t0."paid_at") AT TIME ZONE 'UTC', 'YYYY') COLLATE "C" AS g0, to_char((t0."paid_at") AT TIME ZONE 'UTC', 'YYYY-MM-DD') COLLATE "C" AS g1, count(*) AS m0
  FROM "orders" AS t0
  WHERE t0."placed_at" < $1::timestamptz
  GROUP BY 1, 2) AS x
ORDER BY x.g0, x.g1
LIMIT $2::bigint

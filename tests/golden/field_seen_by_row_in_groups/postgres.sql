SELECT concat('{"remark":', coalesce((to_json(x.g0))::text, 'null'), ',"count":', coalesce((x.m0)::text, 'null'), '}')
FROM (SELECT CASE WHEN t0."author_id" = $1::uuid THEN t0."remark" END AS g0, count(*) AS m0
  FROM "reviews" AS t0
  WHERE (t0."hidden" <> $2::boolean
    OR t0."author_id" = $1::uuid)
  GROUP BY 1) AS x
ORDER BY x.g0
LIMIT $3::bigint

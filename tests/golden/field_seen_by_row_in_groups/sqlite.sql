SELECT concat('{"remark":', json_quote(x.g0), ',"count":', coalesce(x.m0, 'null'), '}')
FROM (SELECT CASE WHEN t0."author_id" = ?1 THEN t0."remark" END AS g0, count(*) AS m0
  FROM "reviews" AS t0
  WHERE (t0."hidden" <> ?2
    OR t0."author_id" = ?1)
  GROUP BY 1) AS x
ORDER BY x.g0 NULLS LAST
LIMIT ?3

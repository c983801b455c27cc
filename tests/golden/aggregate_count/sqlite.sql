SELECT concat('{"count":', coalesce(x.m0, 'null'), '}')
FROM (SELECT count(*) AS m0
  FROM "products" AS t0
  WHERE (t0."state" = ?1
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at"))) AS x
LIMIT ?3

SELECT concat('{"count":', coalesce(x.m0, 'null'), ',"sum":{"stock":', coalesce(x.m1, 'null'), ',"price":', CASE WHEN x.m2 IS NULL THEN 'null' ELSE concat('{"amount":', x.m2, ',"currency":"EUR"}') END, '},"avg":{"stock":', json_quote(x.m3), '},"min":{"name":', json_quote(x.m4), '}}')
FROM (SELECT count(*) AS m0, coalesce(sum(t0."stock"), 0) AS m1, coalesce(sum(t0."price"), 0) AS m2, (CAST(sum(t0."stock") AS REAL) / (count(t0."stock"))) AS m3, min(t0."name") AS m4
  FROM "products" AS t0
  WHERE (t0."state" = ?1
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at")
    AND t0."origin" = ?3)) AS x
LIMIT ?4

SELECT concat('{"category":{"name":', json_quote(x.g0), '},"sum":{"price":', CASE WHEN x.m0 IS NULL THEN 'null' ELSE concat('{"amount":', x.m0, ',"currency":"EUR"}') END, '},"avg":{"price":', json_quote(x.m1), '},"min":{"price":', CASE WHEN x.m2 IS NULL THEN 'null' ELSE concat('{"amount":', x.m2, ',"currency":"EUR"}') END, '},"max":{"price":', CASE WHEN x.m3 IS NULL THEN 'null' ELSE concat('{"amount":', x.m3, ',"currency":"EUR"}') END, '}}')
FROM (SELECT (SELECT t1."name"
    FROM "categories" AS t1
    WHERE t1."id" = t0."category_id") AS g0, coalesce(sum(t0."price"), 0) AS m0, (CAST(sum(t0."price") AS REAL) / (count(t0."price"))) AS m1, min(t0."price") AS m2, max(t0."price") AS m3
  FROM "products" AS t0
  WHERE (t0."state" = ?1
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at"))
  GROUP BY 1) AS x
ORDER BY x.m0 DESC NULLS FIRST, x.g0 NULLS LAST
LIMIT ?3

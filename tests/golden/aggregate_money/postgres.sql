SELECT concat('{"category":{"name":', coalesce((to_json(x.g0))::text, 'null'), '},"sum":{"price":', CASE WHEN x.m0 IS NULL THEN 'null' ELSE concat('{"amount":', x.m0, ',"currency":"EUR"}') END, '},"avg":{"price":', coalesce((x.m1)::text, 'null'), '},"min":{"price":', CASE WHEN x.m2 IS NULL THEN 'null' ELSE concat('{"amount":', x.m2, ',"currency":"EUR"}') END, '},"max":{"price":', CASE WHEN x.m3 IS NULL THEN 'null' ELSE concat('{"amount":', x.m3, ',"currency":"EUR"}') END, '}}')
FROM (SELECT (SELECT t1."name"
    FROM "categories" AS t1
    WHERE t1."id" = t0."category_id") AS g0, coalesce(sum(t0."price"), 0) AS m0, ((sum(t0."price"))::float8 / (count(t0."price"))) AS m1, min(t0."price") AS m2, max(t0."price") AS m3
  FROM "products" AS t0
  WHERE (t0."state" = $1::text
    AND (t0."released_at" IS NULL
      OR $2::timestamptz >= t0."released_at"))
  GROUP BY 1) AS x
ORDER BY x.m0 DESC, x.g0
LIMIT $3::bigint

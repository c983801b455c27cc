SELECT concat('{"kind":', coalesce((to_json(x.g0))::text, 'null'), ',"count_of":{"rating":', coalesce((x.m0)::text, 'null'), ',"weight":', coalesce((x.m1)::text, 'null'), '},"avg":{"rating":', coalesce((x.m2)::text, 'null'), ',"weight":', coalesce((x.m3)::text, 'null'), '},"sum":{"weight":', CASE WHEN x.m4 IS NULL THEN 'null' ELSE concat('"', round((x.m4)::numeric, 3), '"') END, '},"min":{"brewing":', CASE WHEN x.m5 IS NULL THEN 'null' ELSE concat('"', CASE WHEN x.m5 < 0 THEN '-' ELSE '' END, 'PT', abs(x.m5) / 1000000, CASE WHEN abs(x.m5) % 1000000 = 0 THEN '' ELSE '.' || lpad((abs(x.m5) % 1000000)::text, 6, '0') END, 'S"') END, '},"max":{"harvested":', CASE WHEN x.m6 IS NULL THEN 'null' ELSE concat('"', x.m6, '"') END, '}}')
FROM (SELECT t0."kind" AS g0, count(t0."rating") AS m0, count(t0."weight") AS m1, ((sum(t0."rating"))::float8 / (count(t0."rating"))) AS m2, ((sum(t0."weight") * 1000)::float8 / (count(t0."weight") * 1000)) AS m3, coalesce(sum(t0."weight"), 0) AS m4, min(t0."brewing") AS m5, max(t0."harvested") AS m6
  FROM "products" AS t0
  WHERE (t0."state" = $1::text
    AND (t0."released_at" IS NULL
      OR $2::timestamptz >= t0."released_at"))
  GROUP BY 1) AS x
ORDER BY x.g0
LIMIT $3::bigint

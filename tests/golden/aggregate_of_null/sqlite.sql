SELECT concat('{"kind":', json_quote(x.g0), ',"count_of":{"rating":', coalesce(x.m0, 'null'), ',"weight":', coalesce(x.m1, 'null'), '},"avg":{"rating":', json_quote(x.m2), ',"weight":', json_quote(x.m3), '},"sum":{"weight":', CASE WHEN x.m4 IS NULL THEN 'null' ELSE concat('"', CASE WHEN x.m4 < 0 THEN '-' ELSE '' END, abs(x.m4) / 1000, '.', printf('%03d', abs(x.m4) % 1000), '"') END, '},"min":{"brewing":', CASE WHEN x.m5 IS NULL THEN 'null' ELSE concat('"', CASE WHEN x.m5 < 0 THEN '-' ELSE '' END, 'PT', abs(x.m5) / 1000000, CASE WHEN abs(x.m5) % 1000000 = 0 THEN '' ELSE printf('.%06d', abs(x.m5) % 1000000) END, 'S"') END, '},"max":{"harvested":', json_quote(x.m6), '}}')
FROM (SELECT t0."kind" AS g0, count(t0."rating") AS m0, count(t0."weight") AS m1, (CAST(sum(t0."rating") AS REAL) / (count(t0."rating"))) AS m2, (CAST(sum(t0."weight") AS REAL) / (count(t0."weight") * 1000)) AS m3, coalesce(sum(t0."weight"), 0) AS m4, min(t0."brewing") AS m5, max(t0."harvested") AS m6
  FROM "products" AS t0
  WHERE (t0."state" = ?1
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at"))
  GROUP BY 1) AS x
ORDER BY x.g0 NULLS LAST
LIMIT ?3

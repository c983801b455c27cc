SELECT ('{' || '"count_of":' || json_object('rating', x.m0, 'weight', x.m1) || ',' || '"avg":' || json_object('rating', x.m2, 'weight', x.m3) || ',' || '"sum":' || json_object('weight', CASE WHEN x.m4 IS NOT NULL THEN CASE WHEN x.m4 < 0 THEN '-' ELSE '' END || (abs(x.m4) / 1000) || '.' || printf('%03d', abs(x.m4) % 1000) END) || ',' || '"min":' || json_object('brewing', CASE WHEN x.m5 IS NOT NULL THEN CASE WHEN x.m5 < 0 THEN '-' ELSE '' END || 'PT' || (abs(x.m5) / 1000000) || CASE WHEN abs(x.m5) % 1000000 = 0 THEN '' ELSE printf('.%06d', abs(x.m5) % 1000000) END || 'S' END) || ',' || '"max":' || json_object('harvested', x.m6) || ',' || substr(json_object('kind', x.g0), 2))
FROM (SELECT t0."kind" AS g0, count(t0."rating") AS m0, count(t0."weight") AS m1, (CAST(sum(t0."rating") AS REAL) / (count(t0."rating"))) AS m2, (CAST(sum(t0."weight") AS REAL) / (count(t0."weight") * 1000)) AS m3, coalesce(sum(t0."weight"), 0) AS m4, min(t0."brewing") AS m5, max(t0."harvested") AS m6
  FROM "products" AS t0
  WHERE (t0."state" = ?1
    AND (t0."released_at" IS NULL
      OR ?2 >= t0."released_at"))
  GROUP BY 1) AS x
ORDER BY x.g0 NULLS LAST
LIMIT ?3

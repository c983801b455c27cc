SELECT concat('{"name":', json_quote(t0."name"), ',"brewing":', CASE WHEN t0."brewing" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t0."brewing" < 0 THEN '-' ELSE '' END, 'PT', abs(t0."brewing") / 1000000, CASE WHEN abs(t0."brewing") % 1000000 = 0 THEN '' ELSE printf('.%06d', abs(t0."brewing") % 1000000) END, 'S"') END, '}'), t0."brewing", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."brewing" <= ?3)
ORDER BY t0."brewing" NULLS LAST, t0."id"
LIMIT ?4

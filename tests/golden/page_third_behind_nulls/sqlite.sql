SELECT concat('{"name":', json_quote(t0."name"), ',"weight":', CASE WHEN t0."weight" IS NULL THEN 'null' ELSE concat('"', CASE WHEN t0."weight" < 0 THEN '-' ELSE '' END, abs(t0."weight") / 1000, '.', printf('%03d', abs(t0."weight") % 1000), '"') END, '}'), t0."weight", t0."name", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND (t0."weight" > ?3
    OR t0."weight" IS NULL
    OR (t0."weight" = ?3
      AND t0."name" < ?4)
    OR (t0."weight" = ?3
      AND t0."name" = ?4
      AND t0."id" < ?5)))
ORDER BY t0."weight" NULLS LAST, t0."name" DESC, t0."id" DESC
LIMIT ?6

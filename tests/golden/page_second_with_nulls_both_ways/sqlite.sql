SELECT concat('{"name":', json_quote(t0."name"), ',"rating":', json_quote(t0."rating"), ',"stock":', t0."stock", '}'), t0."rating", t0."stock", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND (t0."rating" < ?3
    OR (t0."rating" = ?3
      AND t0."stock" > ?4)
    OR (t0."rating" = ?3
      AND t0."stock" = ?4
      AND t0."id" > ?5)))
ORDER BY t0."rating" DESC NULLS FIRST, t0."stock", t0."id"
LIMIT ?6

SELECT concat('{"name":', json_quote(t0."name"), ',"rating":', json_quote(t0."rating"), '}'), t0."rating", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."kind" = ?3)
ORDER BY t0."rating" NULLS LAST, t0."id"
LIMIT ?4

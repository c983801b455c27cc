SELECT concat('{"name":', json_quote(t0."name"), ',"origin":', json_quote(t0."origin"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND NOT coalesce(t0."origin" = ?3, 0)
  AND t0."kind" = ?4)
ORDER BY t0."id"
LIMIT ?5

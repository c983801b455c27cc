SELECT concat('{"name":', json_quote(t0."name"), ',"tags":', t0."tags", '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND EXISTS (SELECT 1
    FROM json_each(t0."tags")
    WHERE value = ?3))
ORDER BY t0."id"
LIMIT ?4

SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND ((t0."kind" = ?3
      AND NOT coalesce(t0."origin" IN (SELECT value
          FROM json_each(?4)), 0))
    OR (t0."price" > ?5
      AND EXISTS (SELECT 1
        FROM json_each(t0."tags")
        WHERE value = ?6))))
ORDER BY t0."id"
LIMIT ?7

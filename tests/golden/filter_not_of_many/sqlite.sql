SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND NOT (t0."stock" > ?3)
  AND NOT coalesce(t0."rating" >= ?4, 0)
  AND t0."subtitle" IS NULL)
ORDER BY t0."id"
LIMIT ?5

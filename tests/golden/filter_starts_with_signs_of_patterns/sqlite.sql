SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND substr(t0."name", 1, length(?3)) = ?3)
ORDER BY t0."id"
LIMIT ?4

SELECT concat('{"name":', json_quote(t0."name"), ',"harvested":', json_quote(t0."harvested"), ',"released_at":', json_quote(t0."released_at"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."harvested" < ?3
  AND t0."released_at" > ?4)
ORDER BY t0."id"
LIMIT ?5

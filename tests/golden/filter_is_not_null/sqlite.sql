SELECT concat('{"name":', json_quote(t0."name"), ',"harvested":', json_quote(t0."harvested"), '}'), t0."harvested", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."harvested" IS NOT NULL)
ORDER BY t0."harvested" DESC NULLS FIRST, t0."id" DESC
LIMIT ?3

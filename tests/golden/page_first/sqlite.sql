SELECT concat('{"name":', json_quote(t0."name"), ',"price":{"amount":', t0."price", ',"currency":"EUR"}}'), t0."price", t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at"))
ORDER BY t0."price" DESC, t0."id" DESC
LIMIT ?3

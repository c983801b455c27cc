SELECT concat('{"name":', json_quote(t0."name"), ',"deposit":', CASE WHEN t0."deposit" IS NULL THEN 'null' ELSE concat('{"amount":', t0."deposit", ',"currency":"', t0."deposit_currency", '"}') END, '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."kind" = ?3
  AND (NOT coalesce(t0."deposit_currency" = ?4, 0)
    OR NOT coalesce(t0."deposit" >= ?5, 0)))
ORDER BY t0."id"
LIMIT ?6

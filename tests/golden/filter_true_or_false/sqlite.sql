SELECT concat('{"name":', json_quote(t0."name"), ',"fair_trade":', CASE t0."fair_trade" WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END, '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."fair_trade" = ?3
  AND CASE WHEN t0."stock" > ?4 THEN 1 ELSE 0 END = ?5)
ORDER BY t0."id"
LIMIT ?6

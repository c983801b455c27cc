SELECT concat('{"number":', t0."number", ',"note":', json_quote(CASE WHEN t0."customer_id" = ?1 THEN t0."note" END), '}'), t0."id"
FROM "orders" AS t0
WHERE CASE WHEN t0."customer_id" = ?1 THEN t0."note" END IS NOT NULL
ORDER BY t0."id"
LIMIT ?2

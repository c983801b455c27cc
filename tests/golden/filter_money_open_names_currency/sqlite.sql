SELECT concat('{"number":', t0."number", ',"total":{"amount":', t0."total", ',"currency":"', t0."total_currency", '"}}'), t0."id"
FROM "orders" AS t0
WHERE (t0."total_currency" = ?1
  AND t0."total" >= ?2)
ORDER BY t0."id"
LIMIT ?3

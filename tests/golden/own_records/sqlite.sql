SELECT concat('{"number":', t0."number", ',"status":', json_quote(t0."status"), ',"gift":', CASE t0."gift" WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'null' END, ',"note":', json_quote(CASE WHEN t0."customer_id" = ?1 THEN t0."note" END), ',"total":{"amount":', t0."total", ',"currency":"', t0."total_currency", '"},"goods":{"amount":', (SELECT coalesce(sum(s.v), 0)
    FROM (SELECT (t1."price" * t1."quantity") AS v
      FROM "order_items" AS t1
      WHERE t1."order_id" = t0."id") AS s), ',"currency":"EUR"}}'), t0."placed_at", t0."id"
FROM "orders" AS t0
WHERE t0."customer_id" = ?1
ORDER BY t0."placed_at" DESC, t0."id" DESC
LIMIT ?2

SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND EXISTS (SELECT 1
    FROM "order_items" AS t1
    WHERE t1."product_id" = t0."id"
    AND 1 = 0))
ORDER BY t0."id"
LIMIT ?3

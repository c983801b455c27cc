SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "products" AS t0
WHERE EXISTS (SELECT 1
  FROM "product_labels" AS t1
  JOIN "labels" AS t2 ON t2."id" = t1."label_id"
  WHERE t1."product_id" = t0."id"
  AND t2."name" IN (SELECT value
    FROM json_each(?1)))
ORDER BY t0."id"
LIMIT ?2

SELECT concat('{"name":', to_json(t0."name")::text, '}'), (t0."id")::text
FROM "products" AS t0
WHERE EXISTS (SELECT 1
  FROM "product_labels" AS t1
  JOIN "labels" AS t2 ON t2."id" = t1."label_id"
  WHERE t1."product_id" = t0."id"
  AND t2."name" = ANY($1::text[]))
ORDER BY t0."id"
LIMIT $2::bigint

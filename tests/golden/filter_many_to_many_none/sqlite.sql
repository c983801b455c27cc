SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND t0."kind" = ?3
  AND NOT EXISTS (SELECT 1
    FROM "product_labels" AS t1
    JOIN "labels" AS t2 ON t2."id" = t1."label_id"
    WHERE t1."product_id" = t0."id"
    AND t1."hidden" <> ?4
    AND t2."internal" <> ?5))
ORDER BY t0."id"
LIMIT ?6

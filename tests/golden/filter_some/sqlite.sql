SELECT concat('{"name":', json_quote(t0."name"), '}'), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at")
  AND EXISTS (SELECT 1
    FROM "reviews" AS t1
    WHERE t1."product_id" = t0."id"
    AND (t1."hidden" <> ?3
      AND t1."stars" <= ?4)))
ORDER BY t0."id"
LIMIT ?5

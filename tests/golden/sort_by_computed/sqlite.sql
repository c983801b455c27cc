SELECT concat('{"name":', json_quote(t0."name"), ',"review_count":', (SELECT count(*)
    FROM "reviews" AS t2
    WHERE t2."product_id" = t0."id"), ',"stock_value":{"amount":', (t0."price" * t0."stock"), ',"currency":"EUR"}}'), (SELECT count(*)
  FROM "reviews" AS t1
  WHERE t1."product_id" = t0."id"), (t0."price" * t0."stock"), t0."id"
FROM "products" AS t0
WHERE (t0."state" = ?1
  AND (t0."released_at" IS NULL
    OR ?2 >= t0."released_at"))
ORDER BY (SELECT count(*)
  FROM "reviews" AS t1
  WHERE t1."product_id" = t0."id") DESC, (t0."price" * t0."stock") DESC, t0."id" DESC
LIMIT ?3

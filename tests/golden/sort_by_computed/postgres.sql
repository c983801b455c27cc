SELECT concat('{"name":', to_json(t0."name")::text, ',"review_count":', ((SELECT count(*)
      FROM "reviews" AS t2
      WHERE t2."product_id" = t0."id"))::text, ',"stock_value":', '{"amount":' || ((t0."price" * t0."stock"))::text || ',"currency":"' || 'EUR' || '"}', '}'), ((SELECT count(*)
    FROM "reviews" AS t1
    WHERE t1."product_id" = t0."id"))::text, ((t0."price" * t0."stock"))::text, (t0."id")::text
FROM "products" AS t0
WHERE (t0."state" = $1::text
  AND (t0."released_at" IS NULL
    OR $2::timestamptz >= t0."released_at"))
ORDER BY (SELECT count(*)
  FROM "reviews" AS t1
  WHERE t1."product_id" = t0."id") DESC, (t0."price" * t0."stock") DESC, t0."id" DESC
LIMIT $3::bigint
